"""Helpers that packages share: deadlines, locks, forks, HTTP, thread pools, HTML and text."""
