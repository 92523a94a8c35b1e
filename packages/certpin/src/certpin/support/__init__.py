"""General helpers that the other packages of certpin share. None of them depends on pins.

The helpers are for HTTP with deadlines, file locks, forks, thread pools and hooks; for text,
markup, YAML and SARIF; and for the requirements of installed packages.
"""
