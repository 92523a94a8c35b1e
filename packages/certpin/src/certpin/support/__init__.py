"""General helpers that the other packages of certpin share. None of them depends on pins.

HTTP with deadlines, file locks, forks, thread pools and hooks; text, markup, YAML and SARIF; the
requirements of installed packages.
"""
