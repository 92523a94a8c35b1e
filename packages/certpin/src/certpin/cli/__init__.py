"""The command line: one file for each command, and a package for each group of commands.

Only this package prints, and only this package ends the program. Its map:

- ``main``: all commands, exit codes and errors. ``group``: commands that are imported when they
  run. ``reply``: text and JSON output. ``options``, ``servers``, ``keyref``, ``backup``: options
  that several commands share. ``choices``: values that help texts name.
- A module with a command's name has that command, and imports the library in functions, so that
  help is fast (decision 43). The modules beside it import the library: ``policy`` (for ``add``),
  ``checklist`` (``check``), ``findings``, ``exported`` and ``lint_live`` (``lint``), ``request``
  (``get``), ``describe`` (``pin``), ``hostlist`` (``scan``), ``importing`` and ``source``
  (``import``), ``output`` and ``signed_source`` (``export``), ``matrix`` and ``upstream``
  (``prove``, ``lab``), ``demo_matrix`` (``demo``).
- ``rotate``, ``publish`` and ``lab`` are the groups.
"""
