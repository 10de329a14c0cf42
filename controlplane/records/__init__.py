"""
Request records after they have left the workers: into the database, and to people's eyes.

`ingest` empties the spool for the control child; `api` is how a record is shown anywhere, `admin`
a page of it. What a record is stands in routing.gateway.records.record.
"""
