"""Read an app's source: the pins that it contains, and the mistakes in how it checks them.

``tree`` lists the files below the paths that the user named, ``project`` gives each file to its
reader, and ``merge`` makes policies of the results (``model``). The readers are a package for each
language (``dart``, in ``languages``), ``pubspec``, ``certificates`` and ``platforms``. ``rules``
explains each mistake.
"""
