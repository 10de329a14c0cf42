"""
What is done periodically, once, however many workers there are.

    schedule   every job: its function, how often, and how long it may take
    running    one run under the database's lease, with its progress, noted as a JobRun
    tasks      the Celery tasks of the schedule, and the tick that sends what is due
    folder     the embedded broker: messages are files
    remote     the broker that REDIS_URL names
    beating    beat as a thread of the worker
    api pages  for operators: what ran, what is next, run now, pause

A job is a function somewhere above and a line in `schedule`; it is idempotent, and looks at the
state of the world instead of remembering what it did.
"""
