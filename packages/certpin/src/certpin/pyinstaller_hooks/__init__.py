"""The hooks with which PyInstaller finds the files that certpin needs in a frozen app.

PyInstaller calls ``hook_folders`` by its entry point. It runs ``hook-certpin.py`` if an app imports
certpin.
"""

from __future__ import annotations

from pathlib import Path


def hook_folders() -> list[str]:
    """Return the folder of the hooks, for PyInstaller.

    Returns:
        The path of this package, in a list.
    """
    return [str(Path(__file__).parent)]
