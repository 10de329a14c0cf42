"""
How people sign in: how often a password may be tried, and what checking one may cost.

Django finds the backend, the form and the hashers by their names in the settings; nobody else
enters, but for `hashing.Busy` and the rows in `models`.
"""
