"""
The rows that a document asks for: `part` is what of it is written and how, `providers` and
`objects` write the kinds. Entered by what mirrors the file and by what applies one.
"""
