"""The version number of the package certpin-watch, equal to that of the package certpin."""

__version__ = "0.1.0"
