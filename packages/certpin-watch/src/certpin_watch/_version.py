"""The version of certpin-watch, which is also that of certpin."""

__version__ = "0.1.0"
