"""HTML that the pages of ``auth`` and of ``web`` share.

render    pages from ``templates/``, icons, and the files in ``static/``
words     times, durations, numbers and reasons as text
"""
