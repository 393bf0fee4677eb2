"""The subcommands of `dit-grid`, a module a topic: options in, words out; what is done in between lies elsewhere."""
