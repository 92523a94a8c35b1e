"""The commands that this package adds to ``certpin``: ``serve`` and ``watch``."""
