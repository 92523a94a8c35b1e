"""Read ``cases.toml``: the user's own chains, each with the verdict that clients should reach.

    schema = 1

    [[case]]
    name = "cross-sign-expired"
    host = "api.bank.example"
    chain = ["server.pem", "intermediate.pem"]    # files relative to this one, or PEM text
    key = "server.key"
    anchors = "root.pem"
    expect = "accept"                             # or "refuse" or "report"
    time = 2026-05-01T12:00:00Z
    pins = ["sha256/…="]
    about = "an expired cross-signed certificate beside a good path"

An error names the file, the line and the field. A field with an unknown name is an error too: a
case without its anchors or its time would prove something else.
"""

from __future__ import annotations

import re
import ssl
from errno import ENOENT
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.errors import CaseFileError, ConfigError, InputError, PinFileError
from certpin.lab.case import OwnChain
from certpin.lab.own.chain import ExpectedVerdict, own_case
from certpin.pinfile.file import Table, load_toml, read_regular
from certpin.pinfile.places import line_of
from certpin.pins import Pin, normalise
from certpin.x509 import Certificate, quoted
from certpin.x509.certificate import MAX_FILE_BYTES, pem_blocks

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from certpin.lab.case import Case

    # Returns the bytes of a file by its name in the case file. Raises OSError and ValueError.
    Files = Callable[[str], bytes]

SCHEMA = 1
MAX_CASE_FILE_BYTES = 64 * 1024 * 1024
MAX_CHAIN = 256  # certificates: more than any client follows, and a handshake can carry
TOP_KEYS = ("schema", "case")
CASE_KEYS = ("name", "host", "chain", "key", "anchors", "expect", "time", "pins", "about")
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # reports and file names contain it
_LATEST = 221_845_392_000  # seconds: 9000-01-01 UTC. The lab issues certificates for years after it
_RESERVED = "control-"  # the lab's good controls
_PEM = "-----BEGIN "


def load_cases(path: str | os.PathLike[str]) -> tuple[Case, ...]:
    """Read a case file: the chains with which ``certpin.lab.prove`` and pytest test a client.

    Not checked: that the expected verdict is right, and that a chain leads to an anchor.

    Args:
        path: the file, TOML in UTF-8, at most 64 MiB. Files that it names are relative to its
            folder, and have at most 16 MiB each.

    Returns:
        The cases, in the order of the file.

    Raises:
        CaseFileError: the file, or a file that it names, can't be read or is invalid. ``path``,
            ``line`` (from 1) and ``key`` (``case[2].anchors``) name the place.
    """
    from pathlib import Path

    file = Path(path)
    text = _read_text(file)
    try:
        return _cases(Table(load_toml(text, file)), lambda name: _read(file.parent / name))
    except PinFileError as exc:  # not TOML
        raise CaseFileError(exc.problem, path=file, line=exc.line, fix=exc.fix) from exc
    except ConfigError as exc:
        line = line_of(text, exc.key)
        raise CaseFileError(exc.problem, path=file, line=line, key=exc.key, fix=exc.fix) from exc


def _read_text(file: Path) -> str:
    try:
        return read_regular(file, MAX_CASE_FILE_BYTES).decode()
    except UnicodeDecodeError as exc:
        raise CaseFileError("it is not UTF-8 text", path=file, fix="save it as UTF-8") from exc
    except (OSError, ValueError) as exc:  # ValueError: the path contains a NUL
        problem = f"it cannot be read: {getattr(exc, 'strerror', exc)}"
        raise CaseFileError(problem, path=file, fix="check the path") from exc


def _read(path: Path) -> bytes:
    return read_regular(path, MAX_FILE_BYTES)


def _cases(top: Table, files: Files) -> tuple[Case, ...]:
    _refuse_unknown(top, TOP_KEYS)
    if top.integer("schema") != SCHEMA:
        raise ConfigError(
            "this certpin doesn't know this schema", key="schema", fix=f"write {SCHEMA}"
        )
    cases: dict[str, Case] = {}
    for table in top.tables("case"):
        case = _case(table, files)
        if case.name in cases:
            _refuse(table, "name", f"{quoted(case.name)} is the name of an earlier case", "rename")
        cases[case.name] = case
    if not cases:
        raise ConfigError("there is no case in it", key="case", fix="add one: [[case]]")
    return tuple(cases.values())


def read_case(fields: dict[str, Any]) -> Case:
    """Return the case of a table ``[[case]]`` in which all certificates and keys are PEM texts.

    Args:
        fields: the fields of the table, in which no file is named.

    Raises:
        ConfigError: a field is invalid. The error's ``key`` names the field.
    """
    return _case(Table(fields, "case"), _no_files)


def _no_files(_: str) -> bytes:
    raise OSError(ENOENT, "it is not PEM text")


def _case(table: Table, files: Files) -> Case:
    _refuse_unknown(table, CASE_KEYS)
    name = table.text("name")
    if not NAME.fullmatch(name) or name.startswith(_RESERVED):
        fix = "write letters, digits, dots, hyphens and underscores, at most 100, as in old-root"
        _refuse(table, "name", f"{quoted(name)} can't be the name of a case", fix)
    choices = tuple(ExpectedVerdict)
    expect = ExpectedVerdict(table.choice("expect", tuple(map(str, choices)), None))
    chain = _certificates(table, "chain", files)
    own = OwnChain(
        _host(table),
        chain,
        _key(table, files, chain[0]),
        _anchors(table, files),
        _time(table),
        _pins(table),
    )
    return own_case(name, own, expect, table.text("about", ""))


def _host(table: Table) -> str:
    try:
        return normalise(table.text("host"))
    except InputError as exc:
        _refuse(table, "host", exc.problem, exc.fix or "write a host name or an IP address")


def _certificates(table: Table, name: str, files: Files) -> tuple[bytes, ...]:
    """Return the certificates in the field ``name`` of a case as DER.

    The field is a PEM text, the name of a file, or a list of them. Not checked: that the decoded
    bytes are valid certificates, because an attack can serve other bytes.

    Args:
        table: the case in the case file.
        name: the name of the field.
        files: returns the content of a file that the case file names.

    Raises:
        ConfigError: a file can't be read, a value is not PEM, or there is no certificate, or too
            many.
    """
    found: list[bytes] = []
    for part in _parts(table, name):
        blocks = [block for _, block in pem_blocks(_content(table, name, part, files))]
        try:
            found += [ssl.PEM_cert_to_DER_cert((block or b"").decode()) for block in blocks]
        except ValueError:
            problem = f"{_called(part)} has something else than certificates in PEM"
            _refuse(table, name, problem, "convert it: openssl x509 -in FILE -inform DER")
        if not blocks:
            problem = f"{_called(part)} has no certificate in PEM"
            _refuse(table, name, problem, "convert it: openssl x509 -in FILE -inform DER")
    if not 0 < len(found) <= MAX_CHAIN:
        _refuse(table, name, f"it has {len(found)} certificates", f"write 1 to {MAX_CHAIN}")
    return tuple(found)


def _parts(table: Table, name: str) -> tuple[str, ...]:
    if isinstance(table.data.get(name), list):
        return table.texts(name)
    return (table.text(name),)


def _content(table: Table, name: str, part: str, files: Files) -> bytes:
    """Return the PEM of a value in a case file. It is not parsed.

    Args:
        table: the case in the case file.
        name: the name of the field with the value, for errors.
        part: the value: a PEM text, or the name of a file.
        files: returns the content of a file that the case file names.

    Raises:
        ConfigError: the file can't be read.
    """
    if _PEM in part:
        return part.encode()
    try:
        return files(part)
    except (OSError, ValueError) as exc:  # ValueError: the name contains a NUL
        problem = f"{quoted(part)} cannot be read: {getattr(exc, 'strerror', None) or exc}"
        _refuse(table, name, problem, "name a file relative to the folder of the case file")


def _called(part: str) -> str:
    return "the PEM text" if _PEM in part else quoted(part)


def _anchors(table: Table, files: Files) -> tuple[bytes, ...]:
    """Return the trust anchors of the case in ``table``, as DER.

    Each must be a certificate that can be parsed, because Java's trust store requires this;
    otherwise ``ConfigError`` is raised. ``files`` returns the content of a file that the case file
    names.
    """
    anchors = _certificates(table, "anchors", files)
    for anchor in anchors:
        try:
            Certificate.from_der(anchor).parsed  # noqa: B018  # a property that raises
        except InputError as exc:
            _refuse(table, "anchors", exc.problem, exc.fix)
    return anchors


def _key(table: Table, files: Files, leaf: bytes) -> bytes:
    """Return the private key of the case in ``table``, as PEM.

    It must be the unencrypted key of the leaf; otherwise ``ConfigError`` is raised. This is not
    checked if the leaf or its public key can't be read. ``files`` returns the content of a file
    that the case file names.
    """
    text = table.text("key")
    pem = _content(table, "key", text, files)
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        problem = f"{_called(text)} is not an unencrypted private key in PEM"
        _refuse(table, "key", problem, "remove its passphrase, or convert it: openssl pkey")
    try:
        public = Certificate.from_der(leaf).parsed.public_key()
    except (InputError, ValueError, UnsupportedAlgorithm):
        return pem
    if key.public_key() != public:
        _refuse(
            table,
            "key",
            f"{_called(text)} is not the key of the first certificate of the chain",
            "put the certificate of the server first, and give its key",
        )
    return pem


def _time(table: Table) -> datetime | None:
    moment = table.moment("time")
    if moment is not None and moment.utcoffset() is None:
        _refuse(table, "time", "the time has no time zone", "add Z for UTC: 2026-05-01T12:00:00Z")
    if moment is not None and not 0 <= moment.timestamp() <= _LATEST:
        _refuse(table, "time", "no clock can be set to this time", "write a year from 1970 to 9000")
    return moment


def _pins(table: Table) -> tuple[Pin, ...]:
    try:
        return tuple(map(Pin.parse, table.texts("pins")))
    except InputError as exc:
        _refuse(table, "pins", exc.problem, exc.fix or "write pins as certpin pin prints them")


def _refuse_unknown(table: Table, known: tuple[str, ...]) -> None:
    table.warn_unknown(known)
    if table.unknown:
        key, name, _ = table.unknown[0]
        problem = f"{quoted(name)} is not a key of this table"
        raise ConfigError(problem, key=key, fix=f"use one of {', '.join(known)}")


def _refuse(table: Table, name: str, problem: str, fix: str) -> NoReturn:
    raise ConfigError(problem, key=table.under(name), fix=fix)
