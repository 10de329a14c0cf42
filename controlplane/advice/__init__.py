"""
What an operator is told unasked: cautions about what has just been saved, and drafts of rules.

`scene` is the database's configuration as the cautions of failover.cautions want it, `drafts` the
API of suggested failover rules, `throttling` its bound. The apps' signals and the API's urls come
in; nothing here changes a row.
"""
