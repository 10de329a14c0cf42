"""
Request records on their way out of a worker: made, batched, and spooled on the local disk.

`record` is the value and its format, `recording` fills it from what the gateway knew, `recorder`
keeps it away from the request's time, `spool` is the files. The control plane reads by `record` and
`spool`.
"""
