"""Read an app's source: the pins that it contains, and the mistakes in how it checks them.

``tree`` lists the files below the named paths, ``project`` gives each to its reader, and ``merge``
makes policies of the results (``model``). The readers are a package per language (``dart``, in
``languages``), ``pubspec``, ``certificates`` and ``platforms``. ``rules`` explains each mistake.
"""
