"""Admin's first page: what there is, and what of it is off. The settings name it."""
