"""
The database as one numbered, checksummed snapshot, written where the workers look.

`content` and `facts` build it, `publisher` compares, numbers, notes the revision and writes,
`snapshots` keeps some whole for decisions that are asked about later. Entered by the control child;
decisions read what was kept.
"""
