"""The subcommands of `dit-grid`, a module a topic: options in, words out; what is done in between lies elsewhere.

`cli` joins them and turns a user's mistake into one line and exit status 2.
"""
