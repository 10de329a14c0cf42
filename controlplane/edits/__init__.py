"""
Who edits what and why, noted in the edit's own transaction; the lowest room.

`noting` is told by the signals of apps.py and asked by whoever edits in another's name; `models`
are its rows, which revisions are made of; `poke` makes an edit live at once. Everybody may enter.
"""
