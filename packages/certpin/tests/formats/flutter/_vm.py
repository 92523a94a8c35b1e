"""Run and compile Dart programs with the Dart VMs of requirements/dart.txt.

The packages in ``vm/`` take the place of those from pub. Tests that use this module need the mark
``peer("dart")``.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from scripts import dart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.dart import DartVM

ROOT = Path(__file__).parents[5]
PACKAGE = ROOT / "packages/certpin-dart"
HERE = Path(__file__).parent / "vm"
PACKAGES = HERE / "packages"
VERSIONS = dart.read()  # the oldest first
NEWEST = VERSIONS[-1]
PROMISED = "3.5"  # the language version that the documentation asks for
# Of the VM, for a program that ends in less than a second: it costs more to optimise than it saves.
BRIEF = "--optimization-counter-threshold=-1"
# Of the VM, for its compiler, which allocates more than the young generation's 16 MB.
_COMPILER = (BRIEF, "--new_gen_semi_max_size=64")
PATIENCE = 120.0  # seconds for one run


def library() -> Path:
    """Return the folder of the Dart package's source, as the installed certpin contains it."""
    return Path(str(files("certpin.formats.flutter").joinpath("dart")))


def package_config(folder: Path, packages: Mapping[str, Path]) -> Path:
    """Write the package configuration of a Dart program, and return the file.

    It has the package certpin and the substitutes in ``vm/packages``.

    Args:
        folder: where to write the file.
        packages: more packages, each with the folder of its libraries.
    """
    whole = {path.name: path / "lib" for path in PACKAGES.iterdir()}
    whole |= {"certpin": library(), **packages}
    found = [
        {"name": name, "rootUri": path.as_uri(), "languageVersion": PROMISED}
        for name, path in sorted(whole.items())
    ]
    target = folder / "package_config.json"
    target.write_text(json.dumps({"configVersion": 2, "packages": found}), encoding="utf-8")
    return target


def run(
    program: Path,
    packages: Path,
    *words: str,
    vm: DartVM = NEWEST,
    cwd: Path | None = None,
    defines: Sequence[str] = (),
    options: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Compile and run a Dart program, and return the finished process of one or the other.

    It is compiled with the options that make the compiler fast: they would make the program slow.

    Args:
        program: the source file.
        packages: the package configuration that ``package_config`` wrote.
        words: the arguments of the program.
        vm: the Dart VM that runs the program.
        cwd: the working folder of the program.
        defines: constants of the build, as ``NAME=value``.
        options: more options of the VM.
    """
    constants = [f"-D{each}" for each in defines]
    with tempfile.TemporaryDirectory(prefix="certpin-dart-") as folder:
        target = Path(folder, "program.dill")
        done = _compiled(program, packages, target, vm, constants)
        if not target.exists():
            return done
        return _started([*constants, *options, str(target), *words], vm, cwd)


def compile_kernel(program: Path, packages: Path, target: Path, vm: DartVM = NEWEST) -> str:
    """Compile a Dart program to a kernel file, which checks the types of all that it imports.

    Returns:
        The compiler's errors, or an empty text.
    """
    done = _compiled(program, packages, target, vm)
    return (done.stderr or done.stdout) if done.returncode or not target.exists() else ""


def _compiled(
    program: Path, packages: Path, target: Path, vm: DartVM, constants: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    options = [f"--packages={packages}", "--snapshot-kind=kernel", f"--snapshot={target}"]
    return _started([*_COMPILER, *options, *constants, str(program)], vm)


def _started(
    words: list[str], vm: DartVM, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [vm.program, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        env=environment(),
    )


def environment() -> dict[str, str]:
    """Return the environment variables for a VM: all but those that begin with ``DART_``."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DART_")}
