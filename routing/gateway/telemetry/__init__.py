"""
What is told of the gateway as a whole: metrics as text, and one line of log an event.

`metrics` counts from records, `promtext` writes, `ledger` adds up the workers; `logs` is the one
way to log in every process, `failure_log` the lines about requests and benches. All may enter.
"""
