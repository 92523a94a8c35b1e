"""Helpers that the other packages share, without any knowledge of pins.

HTTP with deadlines, file locks, forks, thread pools and hooks; text, markup, YAML and SARIF; the
requirements of installed packages.
"""
