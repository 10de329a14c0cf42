"""
Decisions for people: what a request would meet, why a recorded one met what it met, and one try.

`deciding` asks the planner itself, over the snapshot that this process serves or one that was kept;
`trying` sends one real request through the gateway of this process. `pages` and `forms` are
admin's, `api` and `pools_api` the API's. Entered from urls and admin's links alone.
"""
