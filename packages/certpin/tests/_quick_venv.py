"""Create virtual environments fast, with links to a pip that ``ensurepip`` installed once.

``ensurepip`` unpacks and compiles the same pip in each new environment, which takes 2.7 s.

    python _quick_venv.py READY FOLDER      creates FOLDER, with the pip of the environment READY
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_PROGRAM = """\
#!/bin/sh
if [ "$#" = 3 ] && [ "$1 $2" = "-m venv" ]; then
  exec "{python}" -S "{here}" "{ready}" "$3"
fi
exec "{python}" "$@"
"""


def quick_python(factory: pytest.TempPathFactory) -> Path:
    """Return the path of a program that runs this Python, but creates environments fast.

    The workers of one test run share the program: the first worker that needs it creates it.
    """
    base = factory.getbasetemp()
    # pytest-xdist gives each worker a folder of this name, in the folder of the run.
    shared = (base.parent if base.name.startswith("popen-") else base) / "quick-venv"
    shared.mkdir(exist_ok=True)
    ready, program = shared / "ready", shared / "python3"
    python = Path(sys.executable).resolve()
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            subprocess.run([python, "-m", "venv", ready], check=True)
            text = _PROGRAM.format(python=python, here=Path(__file__).resolve(), ready=ready)
            program.write_text(text, encoding="utf-8")
            program.chmod(0o755)
    return program


def _make(ready: Path, folder: Path) -> None:
    """Create the environment ``folder`` with the packages and pip of the environment ``ready``.

    The packages are hard links. The pip programs are copies with the paths of ``folder``.
    """
    venv.create(folder, symlinks=True)
    (installed,) = ready.glob("lib/python*/site-packages")
    target = folder / installed.relative_to(ready)
    shutil.copytree(installed, target, copy_function=os.link, dirs_exist_ok=True)
    for program in ready.glob("bin/pip*"):
        copy = folder / "bin" / program.name
        text = program.read_text(encoding="utf-8")
        copy.write_text(text.replace(str(ready), str(folder.absolute())), encoding="utf-8")
        copy.chmod(0o755)


if __name__ == "__main__":
    _make(*map(Path, sys.argv[1:]))
