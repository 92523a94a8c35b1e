"""Values that a shell offers when the user presses TAB: hosts, files, rules and lab cases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.cli.choices import PIN_FILE

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import click
    from click.shell_completion import CompletionItem

# A TAB must not take long, and a list of thousands of hosts can't be read.
_MAX_COMPLETED_FILE = 1024 * 1024  # bytes
_MAX_COMPLETED = 1000  # hosts
# A host pattern of letters, digits, "-", "_" and "." (RFC 1035 section 2.3.4: 253 characters).
_COMPLETED = re.compile(r"(?:\*\*?\.)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")


def complete_hosts(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the hosts of the command's pin file that begin with the typed text.

    Names with characters that a shell interprets are left out, except the wildcard. IPv6 addresses
    are left out too, because bash splits words at a colon. The file may come from an attacker, so
    it is read with a size limit. If it can't be read, no hosts are returned.
    """
    path = ctx.params.get("pin_file") or ctx.params.get("path") or PIN_FILE
    return completions(dict.fromkeys(_hosts_in(path)), incomplete)


def complete_hosts_or_files(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the pin file's hosts that begin with the typed text, and a marker for file names.

    The marker makes the shell add the names of files. The hosts are left out if the pin file of the
    command can't be read.
    """
    from click.shell_completion import CompletionItem

    return [*complete_hosts(ctx, param, incomplete), CompletionItem(incomplete, type="file")]


def complete_files(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the marker that makes the shell complete file names.

    Use it for an argument that can be a file, a URI or a pin. Only file names are completed.
    """
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_rules(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the rules of ``lint`` and of ``import dart`` that begin with the typed text."""
    from certpin.apps.rules import RULES as APP_RULES
    from certpin.lint import RULES

    lint = {name: rule.summary for name, rule in RULES.items()}
    apps = {name: rule.summary for name, rule in APP_RULES.items()}
    return completions(lint | apps, incomplete)


def complete_cases(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the lab's attack cases that begin with the typed text."""
    from certpin.lab.attacks import CASES, OPTIONAL_CASES

    return completions({case.name: case.presents for case in (*CASES, *OPTIONAL_CASES)}, incomplete)


def completions(known: Mapping[str, str | None], incomplete: str) -> list[CompletionItem]:
    """Return the names that begin with the typed text, as completions for a shell.

    Args:
        known: all names, each with a description for shells that show it; None for no description.
        incomplete: the text that the user has typed so far.
    """
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(name, help=text)
        for name, text in known.items()
        if name.startswith(incomplete)
    ]


def _hosts_in(path: str | os.PathLike[str]) -> list[str]:
    """Return those host names in a pin file that a shell can complete, sorted.

    The rest of the file's content is not checked. Return an empty list if the file can't be read.
    """
    import tomli

    from certpin.pinfile.file import read_regular

    try:
        tables = tomli.loads(read_regular(Path(path), _MAX_COMPLETED_FILE).decode())["host"]
        names = {table["name"] for table in tables if isinstance(table["name"], str)}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []
    return sorted(filter(_COMPLETED.fullmatch, names))[:_MAX_COMPLETED]
