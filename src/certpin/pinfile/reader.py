"""From the text of ``pins.toml`` to the fields of a pin set."""

from __future__ import annotations

import re
from contextlib import contextmanager
from errno import ENOENT
from typing import TYPE_CHECKING, Any, get_args

from certpin.errors import ConfigError, InputError, PinFileError
from certpin.pinfile.fields import Table
from certpin.pinfile.places import line_of
from certpin.pins import (
    HostPattern,
    HostPin,
    HostPolicy,
    HostServer,
    Match,
    Mode,
    OnExpiry,
    Pin,
    Role,
    StartTLS,
    State,
    TrustAnchors,
)
from certpin.x509.reader import read_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from certpin.x509 import Certificate

    # The bytes of a file that a pin file names. Raises OSError.
    Files = Callable[[str], bytes]

SCHEMA = 1

TOP_KEYS = ("schema", "name", "version", "host", "debug")
HOST_KEYS = ("name", "mode", "match", "expires", "on_expiry", "trust", "report_to", "server", "pin")
SERVER_KEYS = ("address", "region", "starttls")
PIN_KEYS = ("pin", "role", "state", "note")
DEBUG_KEYS = ("anchors",)

# The parser takes memory as the square of a key's parts (a.a.a.…): some kB of text kill a process.
_DEEP_KEY = re.compile(
    r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""",
    re.MULTILINE | re.ASCII,
)


def read_fields(text: str, path: Path, files: Mapping[str, bytes] | None = None) -> dict[str, Any]:
    """The arguments of ``PinSet``. Raises ``ConfigError``; ``placed`` tells where."""
    read = beside(path.parent) if files is None else _among(files)
    return _pin_set(Table(load_toml(text, path)), read)


def beside(folder: Path) -> Files:
    """Files of the disk, by names relative to a folder."""
    return lambda name: (folder / name).read_bytes()


def _among(files: Mapping[str, bytes]) -> Files:
    def read(name: str) -> bytes:
        if name not in files:
            raise FileNotFoundError(ENOENT, "it did not come with the pin file", name)
        return files[name]

    return read


def load_toml(text: str, path: Path) -> dict[str, Any]:
    """The tables of the file, whatever they hold. Raises ``PinFileError`` on what is not TOML."""
    import tomllib  # a tenth of the import time, for those who read a file

    if deep := _DEEP_KEY.search(text):
        line = text.count("\n", 0, deep.end()) + 1
        raise PinFileError("a key has too many parts", path=path, line=line, fix="shorten it")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # ValueError: a number of 5000 digits
        raise _not_toml(exc, path) from exc


@contextmanager
def placed(text: str, path: Path) -> Iterator[None]:
    """Let a ``ConfigError`` become a ``PinFileError``, with the place in the file."""
    try:
        yield
    except PinFileError:
        raise
    except ConfigError as exc:
        line = line_of(text, exc.key)
        raise PinFileError(exc.problem, path=path, line=line, key=exc.key, fix=exc.fix) from exc


def _not_toml(exc: Exception, path: Path) -> PinFileError:
    place = re.search(r"at line (\d+)", str(exc))
    return PinFileError(
        f"it is not TOML: {exc}",
        path=path,
        line=int(place[1]) if place else None,
        fix="see https://toml.io, or compare with a file that `certpin add` wrote",
    )


def refuse_other_schema(top: Table) -> None:
    """Raise ``ConfigError`` unless the file is of the schema that is read here."""
    if (schema := top.integer("schema")) != SCHEMA:
        raise ConfigError(
            f"this certpin reads schema {SCHEMA}, and the file has {schema}",
            key="schema",
            fix="use the certpin that wrote the file, or a newer one",
        )


def _pin_set(top: Table, files: Files) -> dict[str, Any]:
    refuse_other_schema(top)
    top.warn_unknown(TOP_KEYS)
    return {
        "name": top.text("name"),
        "version": top.integer("version"),
        "policies": tuple(_host(table, files) for table in top.tables("host")),
        "debug": _debug(top.table("debug"), files),
    }


def _host(table: Table, files: Files) -> HostPolicy:
    table.warn_unknown(HOST_KEYS)
    pattern = host_pattern(table)
    trust = table.text("trust", "system")
    with _under(table):
        return HostPolicy(
            pattern=pattern,
            pins=tuple(_pin(entry) for entry in table.tables("pin")),
            mode=table.choice("mode", get_args(Mode), "enforce"),
            match=table.choice("match", get_args(Match), "any"),
            expires=table.moment("expires"),
            on_expiry=table.choice("on_expiry", get_args(OnExpiry), "fail-closed"),
            trust=None if trust == "system" else _anchors(files, trust, table.under("trust")),
            report_to=table.texts("report_to"),
            servers=tuple(_server(entry) for entry in table.tables("server")),
        )


def _server(table: Table) -> HostServer:
    table.warn_unknown(SERVER_KEYS)
    return host_server(table)


def _pin(table: Table) -> HostPin:
    table.warn_unknown(PIN_KEYS)
    return HostPin(
        pin_digest(table),
        role=table.choice("role", get_args(Role), "leaf"),
        state=table.choice("state", get_args(State), "active"),
        note=table.text("note", ""),
    )


def _debug(table: Table | None, files: Files) -> TrustAnchors | None:
    if table is None:
        return None
    table.warn_unknown(DEBUG_KEYS)
    return _anchors(files, table.text("anchors"), table.under("anchors"))


def host_pattern(table: Table) -> HostPattern:
    """The hosts of a policy. Raises ``ConfigError``."""
    with _under(table, "name"):
        return HostPattern.parse(table.text("name"))


def host_server(table: Table) -> HostServer:
    """A server of a host. Raises ``ConfigError``."""
    starttls: str | None = None
    if "starttls" in table.data:
        starttls = table.choice("starttls", get_args(StartTLS), None)
    region = table.text("region", "")
    if "address" not in table.data:
        return HostServer(starttls=starttls, region=region)
    with _under(table, "address"):
        return HostServer.parse(table.text("address"), starttls=starttls, region=region)


def pin_digest(table: Table) -> Pin:
    """The pin of an entry. Raises ``ConfigError``."""
    with _under(table, "pin"):
        return Pin.parse(table.text("pin"))


def _anchors(files: Files, name: str, key: str) -> TrustAnchors:
    """The certificates of a file, read now: a pin set never touches the disk again."""
    certificates = anchor_certificates(files, name, key)
    return TrustAnchors(tuple(each.der for each in certificates), source=name)


def anchor_certificates(files: Files, name: str, key: str) -> tuple[Certificate, ...]:
    """The certificates of a file of trust anchors. Raises ``ConfigError``."""
    try:
        return read_certificates(files(name))
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"{name!r} holds no trust anchors: {getattr(exc, 'strerror', None) or exc}",
            key=key,
            fix="name a PEM file of certificates, relative to the pin file",
        ) from exc


@contextmanager
def _under(table: Table, name: str = "") -> Iterator[None]:
    """Let an error of the model say where in the file it happened."""
    try:
        yield
    except InputError as exc:
        raise ConfigError(exc.problem, key=table.under(name), fix=exc.fix) from exc
    except ConfigError as exc:
        if exc.key.startswith(table.key):
            raise
        raise ConfigError(exc.problem, key=table.under(exc.key), fix=exc.fix) from exc
