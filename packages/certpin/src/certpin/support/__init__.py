"""Helpers that packages share.

HTTP with deadlines, file locks, forks, thread pools and hooks; text, markup, YAML and SARIF; the
requirements of installed packages.
"""
