"""
What an operator is told unasked: cautions about what has just been saved, drafts of rules, and
suggestions.

`scene` is the database's configuration as the cautions of failover.cautions want it, `offers` what
requests may go to; `drafts` is the API of drafts, `throttling` its bound. Suggestions: `suggesting`
is the worker's job, which has `evidence` read, the finders of `finding` look at it, `keeping` merge
what they found into rows, and `outcomes` tell whether what was accepted has helped; `accepting` is
an operator's word on one, by `api` or `admin`. The apps' signals, the API's urls and the schedule
come in; nothing here changes a row of the configuration but `accepting`.
"""
