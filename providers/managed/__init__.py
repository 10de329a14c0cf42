"""
What all configuration objects share: their source, their version, their admin and their API.

`models.Managed` is the base of every such row; `admin` and `api` the bases of their pages and
views; `versions` and the two modules named for it let one of two editors win. Entered by the
models, admin and API of every app.
"""
