"""Dart: pins, certificates and hosts in a file of an app, and mistakes in how it checks them.

``reader`` has the entry point, ``read_dart``. ``code`` knows the syntax, ``flow`` functions and
conditions. ``callbacks``, ``gates`` and ``mistakes`` find the mistakes; ``examples`` has examples.
"""
