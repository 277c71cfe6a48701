"""One module a command. Heavy libraries are imported inside the commands, so that ``--help`` stays fast."""
