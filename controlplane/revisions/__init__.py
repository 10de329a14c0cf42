"""
Revisions: what each published configuration changed, by whom and why, and the way back.

`history` notes them for publishing, `returning` goes back: `secrets`, `merging` and `blockers` say
what can be had again. `api` and `admin` show, preview and ask for it.
"""
