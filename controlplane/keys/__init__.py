"""
Callers' keys, as operators see them: admin and API, what each of them is used for, and another
text in its place.

Only the root's admin and api enter.
"""
