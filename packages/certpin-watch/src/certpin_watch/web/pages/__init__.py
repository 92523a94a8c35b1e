"""The pages that people look at: a module for each, its templates, and what they share.

``render`` makes a page from a template, ``routes`` lists them with who may see them. A page asks
``watch.facts`` for what it shows, draws it with ``web.pictures``, and decides nothing itself.
"""
