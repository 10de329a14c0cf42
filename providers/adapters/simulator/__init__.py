"""
Providers inside this process that answer, or fail as they are told: for first steps and drills.

`faults` is how a fault is written, `provider` who has it always, `pretending` who has it for one
call.
"""
