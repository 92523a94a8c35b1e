"""The options that select the attack cases of the lab to run against a client.

``--case`` names cases. ``--case-file`` names a file of the user with cases and their chains.
``--certificate`` and ``--key`` add a case in which the server presents a genuine certificate for
another domain.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.candidates import complete_cases
from certpin.cli.main import unknown
from certpin.cli.options import option_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from certpin.cli.options import Decorator
    from certpin.lab.case import Case


def find_case(
    name: str, cases: Iterable[Case] | None = None, listing: str = "`certpin lab attacks`"
) -> Case:
    """Return the lab case with this name.

    Args:
        name: the name.
        cases: the known cases; None for those of the lab.
        listing: a text for the error: the command or file that lists the cases.

    Raises:
        click.BadParameter: no case has the name. The message suggests a similar name.
    """
    from certpin.lab.attacks import CASES, CONTROL, OPTIONAL_CASES

    known = {case.name: case for case in cases or (CONTROL, *CASES, *OPTIONAL_CASES)}
    if name in known:
        return known[name]
    raise click.BadParameter(unknown("case", name, list(known), listing))


def _chosen_cases(
    ctx: click.Context, _param: click.Parameter, names: tuple[str, ...]
) -> list[Case]:
    """Return the attack cases that the user selected, each once.

    If ``--case-file`` is given, ``--case`` names cases of that file; without ``--case``, all cases
    of the file are returned. Otherwise ``--case`` names cases of the lab; without ``--case``, all
    cases of the lab but the optional ones are returned. The lab's control case (the honest server)
    is left out, because every run begins with it.

    Raises:
        click.BadParameter: a case is unknown.
        CaseFileError: the case file is invalid.
    """
    from certpin.lab.attacks import CASES, CONTROL

    file = ctx.params.get("case_file")  # known here, because its option is eager
    if file:
        from certpin.lab import load_cases
        from certpin.support.text import printable

        own, listing = load_cases(file), printable(str(file))
        chosen = [find_case(name, own, listing) for name in names] or list(own)
        return list(dict.fromkeys(chosen))
    chosen = [find_case(name) for name in names] or list(CASES)
    return [case for case in dict.fromkeys(chosen) if case is not CONTROL]


case_option: Decorator = click.option(
    "--case",
    "cases",
    multiple=True,
    callback=_chosen_cases,
    metavar="NAME",
    shell_complete=complete_cases,
    help="Run only this case. May be repeated.",
)

case_file_option: Decorator = click.option(
    "--case-file",
    type=click.Path(dir_okay=False, path_type=Path),
    is_eager=True,
    metavar="FILE",
    help="Run the cases of this file, your own chains, in place of those of the lab.",
)


def _read_foreign(chain_file: Path | None, key_file: Path | None) -> tuple[bytes, bytes] | None:
    """Return the content of the files of ``--certificate`` and ``--key``; None without options.

    The user names a genuine certificate for another domain, and its key.

    Raises:
        click.UsageError: only one of the two files is given.
        ConfigError: a file can't be read.
    """
    if not chain_file and not key_file:
        return None
    if not (chain_file and key_file):
        raise click.UsageError("--certificate and --key need each other: give both")
    from certpin.errors import ConfigError
    from certpin.pinfile.file import read_regular
    from certpin.x509.certificate import MAX_FILE_BYTES

    def read(option: str, path: Path) -> bytes:
        try:
            return read_regular(path, MAX_FILE_BYTES)
        except (OSError, ValueError) as exc:  # ValueError: it is too large
            problem = f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}"
            raise ConfigError(problem, key=option, fix="check the path") from exc

    return read("--certificate", chain_file), read("--key", key_file)


foreign_option: Decorator = option_group(
    "foreign",
    [
        click.option(
            "--certificate",
            "chain_file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Also attack with this genuine certificate of your other domain (PEM, with "
            "its chain), for a device with a fixed trust store. Needs --key.",
        ),
        click.option(
            "--key",
            "key_file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="The unencrypted private key of --certificate, as PEM.",
        ),
    ],
    _read_foreign,
)


def with_foreign(
    cases: list[Case], foreign: tuple[bytes, bytes] | None, hosts: Sequence[str]
) -> list[Case]:
    """Return the cases, and one more if ``foreign`` is given.

    In the added case, the server presents a genuine certificate for another domain.

    Args:
        cases: the cases that the user chose.
        foreign: the content of the certificate's file and of its key's file; None for no such case.
        hosts: the hosts under test, for which the certificate must not be valid.

    Raises:
        ConfigError: the certificate or its key can't be used, or the certificate is for one of
            ``hosts``.
    """
    if not foreign:
        return cases
    from certpin.lab.own.foreign import foreign_case

    return [*cases, foreign_case(*foreign, hosts)]
