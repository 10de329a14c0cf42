"""
Admin's first page: what an operator looks at first, gathered from the rooms below.

`figures` makes numbers and charts of the sums of request records, `dashboard` the page; the
settings name it. The topmost room: nobody enters.
"""
