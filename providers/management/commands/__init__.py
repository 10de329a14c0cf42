"""`manage.py catalog`: the model facts, from files and by hand."""
