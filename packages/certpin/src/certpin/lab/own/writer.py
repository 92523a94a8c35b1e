"""Write cases to a folder: ``cases.toml``, and a folder of PEM files for each case."""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin.lab.case import Expect
from certpin.lab.own.chain import ExpectedVerdict
from certpin.lab.own.reader import SCHEMA
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from certpin.lab.case import Case, OwnChain

CASE_FILE = "cases.toml"
CHAIN_FILE, KEY_FILE, ANCHORS_FILE = "chain.pem", "key.pem", "anchors.pem"
_WORDS = {
    Expect.ACCEPT: ExpectedVerdict.ACCEPT,
    Expect.REJECT: ExpectedVerdict.REFUSE,
    Expect.POLICY: ExpectedVerdict.REPORT,
}


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Context manager: make a folder, into which the ``with`` block writes files.

    The folder can already exist if it is empty.

    Raises:
        ConfigError: the folder has files, or the folder or a file in it can't be written.
    """
    name = printable(str(folder))
    try:
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{name} has files", fix="name a new folder")
        yield
    except OSError as exc:
        raise ConfigError(
            f"{name} cannot be written: {exc.strerror}",
            fix="name a new folder in one that you may write to",
        ) from exc


def write_cases(folder: Path, cases: Iterable[Case]) -> None:
    """Write cases of the user's own chains into a folder, in the format that ``load_cases`` reads.

    Args:
        folder: an existing folder (``new_folder``).
        cases: cases with a chain of the user (``Case.own``).

    Raises:
        OSError: a file can't be written.
    """
    import tomlkit

    tables = [_table(folder, case, case.own) for case in cases if case.own]
    text = tomlkit.dumps({"schema": SCHEMA, "case": tables})
    (folder / CASE_FILE).write_text(text, encoding="utf-8")


def _table(folder: Path, case: Case, own: OwnChain) -> dict[str, Any]:
    write_chain(folder / case.name, own.chain, own.key_pem)
    (folder / case.name / ANCHORS_FILE).write_text(pem(own.anchors), encoding="ascii")
    table: dict[str, Any] = {
        "name": case.name,
        "host": own.host,
        "chain": f"{case.name}/{CHAIN_FILE}",
        "key": f"{case.name}/{KEY_FILE}",
        "anchors": f"{case.name}/{ANCHORS_FILE}",
        "expect": _WORDS[case.expected.none].value,
        "about": case.presents,
    }
    if own.time:
        table["time"] = own.time
    if own.pins:
        table["pins"] = list(map(str, own.pins))
    return table


def write_chain(folder: Path, chain: tuple[bytes, ...], key_pem: bytes) -> None:
    """Write a chain (DER) and its key as PEM into a new folder. The key file has the mode 600.

    Raises:
        OSError: a file can't be written.
    """
    folder.mkdir()
    (folder / CHAIN_FILE).write_text(pem(chain), encoding="ascii")
    with open(folder / KEY_FILE, "xb", opener=_private) as key:
        key.write(key_pem)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def pem(certificates: Iterable[bytes]) -> str:
    """Return certificates in DER as one PEM text."""
    return "".join(map(ssl.DER_cert_to_PEM_cert, certificates))
