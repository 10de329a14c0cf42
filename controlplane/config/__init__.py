"""
The configuration as text and as rows: read, judged, mirrored, compared, applied, written.

    yaml types schema environment references document cautions   text to a Document, or its mistakes
    file rows mirror                        the watched file as `managed_source="config"` rows
    objects general text changes            rows as objects, as text again, and what differs
    apply                                   a file's text made admin's own

Entered by the control child (`file`), `manage.py config`, edits, publishing and revisions. The
first line of these knows neither Django nor the clock.
"""
