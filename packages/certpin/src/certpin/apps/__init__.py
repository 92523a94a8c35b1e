"""Read an app's source: the pins that it contains, and the mistakes in how it checks them.

``tree`` lists the files below the paths that the user named. ``project`` passes each file to its
reader: a package for the programming language (``languages`` lists these packages, such as
``dart``), or the module ``pubspec``, ``certificates`` or ``platforms``. ``model`` has the classes
of the results. ``merge`` makes policies of the results. ``rules`` explains each mistake.
"""
