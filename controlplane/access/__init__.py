"""
Access: that nobody makes something stronger than himself.

`reach` says how far a key reaches and who may make one that does, `people` are admin's pages of
users and groups, `acts` is the table of what needs which permission. Who somebody is says
controlplane.authentication; what they may do, providers.managed.rights. Entered by the rooms above
and by the root.
"""
