"""
`manage.py` of the control plane: `run` and `serve` start it, `control` is their child, `config`
is the configuration file's. Each is its arguments and one call into a room.
"""
