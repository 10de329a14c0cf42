"""
The worker process and its HTTP server, between the listening socket and the ASGI callable.

`worker` is the command, `server connections cycle` what uvicorn leaves open (docs/decisions/0004),
`lifeline` its end with its parent, `allocator` one setting of the C library. Entered by `serve`,
which starts `worker` as a process.
"""
