"""
Alerts: what needs an operator, and who is told of it.

`models` are its rows: an alert lasts as long as its cause, a notice is one message to one address.
"""
