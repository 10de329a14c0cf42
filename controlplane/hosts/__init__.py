"""
What hosts tell of themselves: their rows, the page of all processes, and who runs beside us.

`peers` says what must not be taken from the others; it is asked by the configuration's mirror.
"""
