"""Read Dart: pins, certificates and hosts in a file of an app, and mistakes in how it checks them.

``reader`` has the entry point, ``read_dart``. ``code`` reads the syntax tree, ``flow`` analyses
functions and conditions. ``usages`` finds the names and hosts around a text. ``callbacks``,
``gates``, ``mistakes`` and ``plain_http`` find the mistakes; ``examples`` has examples.
"""
