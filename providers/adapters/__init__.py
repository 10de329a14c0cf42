"""
Kinds of providers: where one is, how it wants its key, what its errors mean, what it speaks.

A vendor that differs from others by data is a row of `registry`. `spec` is a provider as the
snapshot has it, `upstream` the same compiled for calls, which the engine makes; `simulator` is one
without a network. Stands on protocols and transport, which know nothing of it.
"""
