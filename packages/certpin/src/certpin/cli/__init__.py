"""The command line: one file for each command, and a package for each group of commands.

Only this package prints, and only this package ends the program. Its modules:

- ``main``: all commands, groups, exit codes and errors. ``reply``: text, progress and JSON output.
  ``options``, ``servers``, ``keys``: options that several commands share. ``choices``: values that
  help texts name.
- A module with the name of a command contains that command. It imports the library inside
  functions, so that help is fast (decision 43).
- These modules are parts of commands, and import the library at the top, because a command imports
  them only when it runs: ``findings`` (for ``lint`` and ``import``), ``get_request`` (``get``),
  ``import_hosts``, ``source`` and ``app_result`` (``import``), ``export_files``
  (``export``), ``prove_result`` (``prove`` and ``lab``), ``demo_matrix`` (``demo``).
  ``import_app`` is the part of ``import`` that reads apps.
- ``rotate``, ``publish``, ``lab`` and ``providers`` are the groups.
"""
