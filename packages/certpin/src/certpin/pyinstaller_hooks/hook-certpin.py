"""PyInstaller's hook for certpin: its data files, and the compiled part of tomli.

PyInstaller reads the variables ``datas`` and ``hiddenimports``.
"""

from __future__ import annotations

from importlib.metadata import files

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("certpin")
# tomli's compiled modules import this one from C, which PyInstaller can't see. A tomli in pure
# Python has none.
hiddenimports = [
    file.name.partition(".")[0] for file in files("tomli") or () if "__mypyc." in file.name
]
