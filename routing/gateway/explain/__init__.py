"""
Decisions in words: what would be tried and why, what each pool would do now, and deciding again.

Entered by the control plane alone; the way of a request does not come by here.
"""
