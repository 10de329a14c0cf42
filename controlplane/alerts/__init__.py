"""
Alerts: what needs an operator, and who is told of it.

    kinds conditions        a table of what there is, and the state of the world as causes; pure
    world                   that state, as the database has it
    merging models          causes as rows: an alert lasts as long as its cause
    sending senders         notices: one message to one address, posted or mailed
    addresses configured    where they go, and webhooks as objects of the configuration
    watching                the job: all of this, every five seconds
    admin pages api         what operators see, and where they send a test

Nothing here is remembered outside the database. Entered by jobs, by its dotted path.
"""
