"""
Who is tried next: failover rules for people, and the engine that goes by them.

The root is ordinary Django, with the rules' models, admin, API and cautions; `engine` is the data
plane. Imports from `providers` alone.
"""
