"""
Those who answer: what they are, how they are spoken to, and what they say.

The root is ordinary Django: providers, credentials and the catalogue's rows. `managed` and
`secrets` serve every app's models; `protocols`, `adapters`, `transport` and `catalog` are the data
plane's and know no Django, and nor does `files`, by which whoever keeps a small file writes it. The
lowest app: it imports none of the others.
"""
