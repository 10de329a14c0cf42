"""
Secrets: encrypted at rest, and never in what a process says.

`encryption` holds the keys and turns secrets into tokens and back, `redaction` takes them out of
words; both know no Django and are the data plane's as well. `fields` is the column of a model.
"""
