"""Dates in admin."""
