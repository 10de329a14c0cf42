"""
One gateway that runs, and what is measured of it from outside.

`under_test` says what a gateway has to be for that, and starts Switchyard as one; `measures` puts
loads on it and reads its CPU time and memory.
"""
