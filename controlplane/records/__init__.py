"""
Request records after they have left the workers: into the database, and to people's eyes.

    ingest                 empties the spool, for the control child
    rollups sums hours     a job: sums by the minute, and by the hour
    retention              a job: what is old is deleted
    reading                what sums say, for charts, health and suggestions
    api admin              how a record is shown
    captured_admin looking prompts and answers, and who looked at them

What a record is stands in routing.gateway.records.record.
"""
