"""The commands. The only package that prints or exits: one file a command."""
