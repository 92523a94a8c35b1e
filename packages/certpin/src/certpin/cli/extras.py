"""Optional packages, which may be missing: the extras of certpin, and certpin-watch."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXTENSION = "certpin-watch"


def install_command(extra: str) -> str:
    """Return the command that installs an extra of certpin, for the ``fix:`` line of an error.

    For certpin-watch, the text also has the command for users with a clone of the repository.
    """
    command = f"pip install 'certpin[{extra}]'"
    if extra != "watch":
        return command
    return f"{command} (from a clone: pip install ./packages/certpin ./packages/certpin-watch)"


@contextmanager
def extra_needed(extra: str, what: str) -> Iterator[None]:
    """Context manager: if an import in the block fails, raise an error that names the extra.

    Args:
        extra: the extra of certpin that contains the package.
        what: the feature that needs the package, for the error.

    Raises:
        ConfigError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        package = (exc.name or "certpin").partition(".")[0]
        if package == "certpin" or package in sys.stdlib_module_names:
            raise
        from certpin.errors import ConfigError

        raise ConfigError(
            f"{what} needs the package {package}", fix=install_command(extra)
        ) from exc


def load_extension(
    group: str, name: str, what: str, *, key: str = "", alternative: str = ""
) -> Any:
    """Load and return an object that certpin-watch adds to certpin through an entry point.

    Only the entry points of certpin-watch are read, so that no other package can replace a command.
    It is also faster than reading the metadata of all packages.

    Args:
        group: the group of entry points, ``certpin.commands`` or ``certpin.extensions``.
        name: the name of the entry point.
        what: the feature that needs the object, for the error.
        key: the option that needs the object, for the error; may be empty.
        alternative: text for the end of the ``fix:`` line of the error: another solution for the
            user.

    Raises:
        ConfigError: certpin-watch is not installed.
    """
    from importlib.metadata import EntryPoints, PackageNotFoundError, distribution

    try:
        entries = distribution(_EXTENSION).entry_points
    except PackageNotFoundError:
        entries = EntryPoints()
    for entry in entries.select(group=group, name=name):
        return entry.load()
    from certpin.errors import ConfigError

    raise ConfigError(
        f"{what} needs the package {_EXTENSION}",
        key=key,
        fix=f"{install_command('watch')}{alternative}",
    )
