"""The reference pages of exit codes and environment variables, from their declarations in code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.cli.conventions import EXIT_CODES, OF_CLIENTS, OF_PROGRAMS, OWN, STANDARD
from scripts.docs.markdown import code, page, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.cli.conventions import Variable

_EXIT_CODES = """\
Every command ends with one of these codes, so that a script or CI can decide. The page of each
[command](commands/index.md) has their meaning there."""

_ADD = """\
[`certpin add`](commands/add.md) ends with 2 if the server's chain doesn't verify: it writes a
file, and refuses to, as it does for any input that it must not use. The commands that only look at
a server ([`pin`](commands/pin.md), [`check`](commands/check.md)) end with 1.

A command never ends with 0 after a failure. [Errors](errors.md) lists the exit code of each
error."""

_ENVIRONMENT = """\
The variables that certpin reads, with the commands or functions that use them. A secret in a
variable doesn't appear in the list of processes, as an option would."""

_SECRETS = """\
A secret of `watch.toml` may be `env:NAME`, and so may `--store` and `--watch`: the service then
reads the variable `NAME`, which you choose."""

_LAB = """\
`certpin prove` and the pytest plugin set these for the client under test. `--via` decides which
proxy variables are set."""


def exit_codes_page() -> dict[str, str]:
    """Return the text of the page of the exit codes, by its path below ``docs``."""
    rows = [(str(each.number), each.name, prose(each.meaning)) for each in EXIT_CODES]
    shown = table(("exit code", "name", "meaning"), rows)
    return {"reference/exit-codes.md": page("Exit codes", _EXIT_CODES, shown, _ADD)}


def environment_page() -> dict[str, str]:
    """Return the text of the page of the environment variables, by its path below ``docs``."""
    text = page(
        "Environment variables",
        _ENVIRONMENT,
        "## Set by you",
        _read(OWN),
        _SECRETS,
        "## Standard variables",
        _read(STANDARD),
        "## Set by other programs",
        _read(OF_PROGRAMS),
        "## Set by certpin for a client in the lab",
        _LAB,
        table(("variable", "meaning"), ((_names(each), _meaning(each)) for each in OF_CLIENTS)),
    )
    return {"reference/environment.md": text}


def _read(variables: Iterable[Variable]) -> str:
    rows = ((_names(each), prose(each.readers), _meaning(each)) for each in variables)
    return table(("variable", "read by", "meaning"), rows)


def _names(variable: Variable) -> str:
    return ", ".join(map(code, variable.names))


def _meaning(variable: Variable) -> str:
    more = f" ([more](../{variable.see}))" if variable.see else ""
    return prose(variable.meaning) + more
