"""
Revisions: what each published configuration changed, by whom and why, and the way back.

`history` notes them for publishing and rolls back; `api` and `admin` show, preview and ask for it.
"""
