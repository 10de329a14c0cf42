"""
The control plane: Django, admin and API, the configuration file, and the processes of a host.

The root is ordinary Django: settings, models, urls, admin and API of keys and teams. Everything
else is a room, lowest first:

    edits          who edits what, and why        hosts       what hosts tell of themselves
    config         file and environment, as rows  revisions   what was published, and the way back
    publishing     rows as a snapshot             benches, records   theirs and the database
    control        the processes of a host        decisions, advice, overview   pages and drafts

A room imports from those before it and not from its siblings, and import-linter holds that. No
other app imports the control plane.
"""
