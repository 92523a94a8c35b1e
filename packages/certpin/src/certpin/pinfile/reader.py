"""Read a ``PinSet`` from the text of ``pins.toml``."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from errno import ENOENT
from functools import cache
from typing import TYPE_CHECKING, Any, Self, get_args

from certpin import pins
from certpin.errors import ConfigError, InputError, PinFileError
from certpin.pinfile.file import (
    LONGEST_MESSAGE,
    MISSING,
    PinFileWarning,
    Table,
    let_others_run,
    load_toml,
    locate_errors,
    read_regular,
    read_text,
)
from certpin.pinfile.places import Places
from certpin.pinfile.spelling import misplaced_key_error
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
from certpin.x509 import Certificate, quoted
from certpin.x509.certificate import MAX_FILE_BYTES
from certpin.x509.log_list import LogList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from certpin.pinfile.file import UnknownKey

    # Returns the bytes of a file that a pin file names. Raises OSError.
    Files = Callable[[str], bytes]
    # Returns the trust anchors in such a file. Raises OSError and ValueError.
    TrustFiles = Callable[[str], TrustAnchors]

PINS_VARIABLE = "CERTPIN_PINS"
SCHEMA = 1
_HOSTS_AT_A_TIME = 4  # a tenth of a millisecond

TOP_KEYS = ("schema", "name", "version", "ct_logs", "host", "debug")
HOST_KEYS = (
    *("name", "mode", "match", "expires", "on_expiry", "trust", "strict_x509", "report_to"),
    *("require_ct", "provider_edition", "server", "pin"),
)
SERVER_KEYS = ("address", "region", "starttls")
PIN_KEYS = ("pin", "role", "state", "note", "provider", "not_after")
DEBUG_KEYS = ("anchors",)

_MODES, _MATCHES, _ON_EXPIRY = get_args(Mode), get_args(Match), get_args(OnExpiry)
_ROLES, _STATES = get_args(Role), get_args(State)


class PinSet(pins.PinSet):
    """A pin set that was read from a pin file. Immutable.

    The files that the pin file names (trust anchors, the list of logs) are read when the pin set is
    loaded. Afterwards the pin set never reads the disk.
    """

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a pin file.

        Args:
            path: the pin file; files that it names are relative to its folder.

        Returns:
            The pin set.

        Raises:
            PinFileError: the pin file can't be read, or clients must refuse it. The error has file,
                line, TOML key and fix.
        """
        from pathlib import Path  # here and below: a large part of the time of `import certpin`

        file = Path(path)
        return cls.parse(read_text(file), path=file)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        path: str | os.PathLike[str] = "pins.toml",
        files: Mapping[str, bytes] | None = None,
    ) -> Self:
        """Read the text of a pin file.

        Args:
            text: the content of the pin file.
            path: the path of the pin file, for errors; files that the text names are relative to
                its folder.
            files: the content of the files that the text names, by their names. If it is given, the
                disk is not read.

        Returns:
            The pin set.

        Raises:
            PinFileError: the text is not TOML, or a value is invalid or unsafe.
        """
        from pathlib import Path

        file = Path(path)
        read = files_in(file.parent) if files is None else _from_mapping(files)
        with locate_errors(text, file):
            return cls(**read_fields(text, file, read))

    @classmethod
    def from_env(cls) -> Self:
        """Read the pin file that the environment variable ``CERTPIN_PINS`` names.

        Returns:
            The pin set.

        Raises:
            PinFileError: the variable is not set, or the pin file is missing or invalid.
        """
        path = os.environ.get(PINS_VARIABLE)
        if not path:
            raise PinFileError(
                f"{PINS_VARIABLE} names no file", path="environment", fix=f"set {PINS_VARIABLE}"
            )
        return cls.load(path)


def files_in(folder: Path) -> Callable[[str], bytes]:
    """Return a function that reads a file by its name relative to ``folder``.

    The function raises ``OSError`` if the file can't be read, is no regular file, or has more than
    16 MiB.
    """
    return lambda name: read_regular(folder / name, MAX_FILE_BYTES)


def _from_mapping(files: Mapping[str, bytes]) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        if name not in files:
            raise FileNotFoundError(ENOENT, "it did not come with the pin file", name)
        return files[name]

    return read


_MOST_WARNINGS = 10  # of unknown keys in one file


def read_fields(text: str, path: Path, files: Files) -> dict[str, Any]:
    """Read the text of a pin file as keyword arguments for ``PinSet``.

    An unknown TOML key causes a ``PinFileWarning``: one for each name in each kind of table, such
    as ``[[host]]``.

    Args:
        text: the content of the pin file.
        path: the path of the pin file, for errors.
        files: a function that returns the content of a file that the text names.

    Raises:
        ConfigError: a value is invalid. Call this function in ``locate_errors``, which adds the
            line to the error.
        PinFileError: the text is not TOML.
    """
    top = Table(load_toml(text, path))
    fields = _pin_set(top, files, path.parent)
    if top.unknown:
        _warn(top.unknown, text, path)
    return fields


def _warn(unknown: list[UnknownKey], text: str, path: Path) -> None:
    """Warn about unknown TOML keys in the text of a pin file.

    ``unknown`` has the keys, and ``path`` is the file path for the warnings. A key that is unknown
    in several tables of one kind, such as ``[[host]]``, causes one warning. If very many keys are
    unknown, the last warning has only the number of the others, so that a log isn't filled.

    Raises ``ConfigError``, instead of a warning, for a misplaced key that belongs to ``[[host]]``.
    """
    places = Places(text)
    first: dict[tuple[str, tuple[str, ...]], UnknownKey] = {}
    for each in unknown:
        if table := intended_table(each.name):
            raise misplaced_key_error(each.key, each.name, table)
        first.setdefault((each.name, each.known), each)
    for number, each in enumerate(first.values()):
        if number == _MOST_WARNINGS:
            left = f"{len(first) - number} more keys are not known here, and are ignored"
            warnings.warn(f"{path}: {left}", PinFileWarning, stacklevel=2)
            break
        place = f"{path}:{places.line(each.key) or 1}"
        words = f"{each.key[:LONGEST_MESSAGE]} is not known here, and is ignored"
        known = f"(known: {', '.join(each.known)})"
        warnings.warn(f"{place}: {words} {known}", PinFileWarning, stacklevel=2)


def intended_table(name: str) -> str:
    """Return ``[[host]]`` if an unknown TOML key is one of that table, and so is misplaced.

    Return an empty text for all other keys, and for ``name``, which other tables have too. A key of
    a host is easily misplaced: in TOML, a line below ``[[host.pin]]`` belongs to the pin, and not
    to the host.

    Args:
        name: the TOML key, which is unknown in its table.
    """
    return "[[host]]" if name in HOST_KEYS and name != "name" else ""


def _trust_files(read: Files, folder: Path) -> TrustFiles:
    """Return a function that takes the name of a file, and returns the trust anchors in the file.

    The function reads each file only once, because many hosts share a file.

    Args:
        read: a function that returns the content of a file that the pin file names.
        folder: the folder of the pin file. The names of the files are relative to it.
    """

    @cache
    def anchors(name: str) -> TrustAnchors:
        return replace(TrustAnchors.parse(read(name), name), path=str(folder / name))

    return anchors


def read_log_list(top: Table, files: Files) -> LogList | None:
    """Read the list of Certificate Transparency logs that a pin file names.

    Args:
        top: the top-level table of the pin file. Its key ``ct_logs`` names the list.
        files: a function that returns the content of a file that the pin file names.

    Returns:
        The list of logs; ``None`` if the pin file names no list.

    Raises:
        ConfigError: the file can't be read, or is not a log list.
    """
    if "ct_logs" not in top.data:
        return None
    name = top.text("ct_logs")
    try:
        return LogList.parse(files(name), name)
    except (OSError, ValueError) as exc:
        problem = getattr(exc, "strerror", None) or getattr(exc, "problem", None) or exc
        raise ConfigError(
            f"{quoted(name)} holds no list of logs: {problem}",
            key="ct_logs",
            fix="name a file with the log list of Google in its v3 JSON, relative to the pin file",
        ) from exc


def requires_ct(table: Table, logs: LogList | None) -> bool:
    """Return ``require_ct`` of a host: True if its certificate must have enough SCTs of known logs.

    ``table`` is the ``[[host]]`` table, and ``logs`` is the list of logs that the pin file names,
    or ``None`` if it names no list.

    Raises:
        ConfigError: ``require_ct`` is true and ``logs`` is ``None``, or the value of ``require_ct``
            is not a boolean.
    """
    required = table.flag("require_ct", default=False)
    if required and logs is None:
        raise ConfigError(
            "the pin file names no list of the logs that count",
            key=table.under("require_ct"),
            fix='write ct_logs = "log_list.json" above the first host, and put that file beside '
            "the pin file",
        )
    return required


def refuse_other_schema(top: Table) -> None:
    """Raise ``ConfigError`` if the pin file has a schema that this version of certpin can't read.

    The number of the schema is the key ``schema`` in ``top``, the top-level table.
    """
    if "schema" not in top.data:
        raise ConfigError(MISSING, key="schema", fix=f"write schema = {SCHEMA} as the first line")
    if (schema := top.integer("schema")) != SCHEMA:
        raise ConfigError(
            f"this certpin reads schema {SCHEMA}, and the file has {schema}",
            key="schema",
            fix="use the certpin that wrote the file, or a newer one",
        )


def _pin_set(top: Table, files: Files, folder: Path) -> dict[str, Any]:
    refuse_other_schema(top)
    top.warn_unknown(TOP_KEYS)
    trust = _trust_files(files, folder)
    return {
        "name": top.text("name"),
        "version": top.integer("version"),
        "policies": tuple(_hosts(top, trust, read_log_list(top, files))),
        "debug": _debug(top.table("debug"), trust),
    }


def _hosts(top: Table, files: TrustFiles, logs: LogList | None) -> Iterator[HostPolicy]:
    for number, table in enumerate(top.tables("host")):
        if number % _HOSTS_AT_A_TIME == 0:
            let_others_run()
        yield _host(table, files, logs)


def _host(table: Table, files: TrustFiles, logs: LogList | None) -> HostPolicy:
    table.warn_unknown(HOST_KEYS)
    pattern = host_pattern(table)
    try:
        return HostPolicy(
            pattern=pattern,
            pins=tuple(_pin(entry) for entry in table.tables("pin")),
            mode=table.choice("mode", _MODES, "enforce"),
            match=table.choice("match", _MATCHES, "any"),
            expires=table.moment("expires"),
            on_expiry=table.choice("on_expiry", _ON_EXPIRY, "fail-closed"),
            trust=_trust(table, files),
            report_to=table.texts("report_to"),
            servers=tuple(_server(entry) for entry in table.tables("server")),
            ct_logs=logs if requires_ct(table, logs) else None,
            provider_edition=table.day("provider_edition"),
        )
    except (InputError, ConfigError) as exc:
        raise _below(table, "", exc) from exc


def _server(table: Table) -> HostServer:
    table.warn_unknown(SERVER_KEYS)
    return host_server(table)


def _trust(table: Table, files: TrustFiles) -> TrustAnchors | None:
    name, strict = table.text("trust", "system"), strict_x509(table)
    if name == "system":
        return None
    anchors = _anchors(files, name, table.under("trust"))
    return anchors if strict is None else replace(anchors, strict=strict)


def strict_x509(table: Table) -> bool | None:
    """Return ``strict_x509`` of a host: True if chains to its trust anchors must follow RFC 5280.

    ``table`` is the ``[[host]]`` table. Return ``None`` if the host doesn't have this key.

    Raises:
        ConfigError: the host has no ``trust = FILE``, or the value is not a boolean.
    """
    if "strict_x509" not in table.data:
        return None
    if table.data.get("trust", "system") == "system":
        raise ConfigError(
            "it is for hosts with trust = FILE: chains to the roots of the platform are verified "
            "as the running Python does by default",
            key=table.under("strict_x509"),
            fix="let `trust` name the certificate of the host's authority",
        )
    return table.flag("strict_x509", default=True)


def _pin(table: Table) -> HostPin:
    table.warn_unknown(PIN_KEYS)
    return HostPin(
        pin_digest(table),
        role=table.choice("role", _ROLES, "leaf"),
        state=table.choice("state", _STATES, "active"),
        note=table.text("note", ""),
        provider=table.text_or_texts("provider"),
        not_after=table.day("not_after"),
    )


def _debug(table: Table | None, files: TrustFiles) -> TrustAnchors | None:
    if table is None:
        return None
    table.warn_unknown(DEBUG_KEYS)
    return _anchors(files, table.text("anchors"), table.under("anchors"))


def host_pattern(table: Table) -> HostPattern:
    """Return the host pattern of a ``[[host]]`` table. Raises ``ConfigError`` if it is invalid."""
    try:
        return HostPattern.parse(table.text("name"))
    except (InputError, ConfigError) as exc:
        raise _below(table, "name", exc) from exc


def host_server(table: Table) -> HostServer:
    """Return the server of a ``[[host.server]]`` table. Raises ``ConfigError`` if it is invalid.

    Without ``address``, it is the server at the name of the host.
    """
    starttls: str | None = None
    if "starttls" in table.data:
        starttls = table.choice("starttls", get_args(StartTLS), None)
    region = table.text("region", "")
    if "address" not in table.data:
        return HostServer(starttls=starttls, region=region)
    try:
        return HostServer.parse(table.text("address"), starttls=starttls, region=region)
    except (InputError, ConfigError) as exc:
        raise _below(table, "address", exc) from exc


def pin_digest(table: Table) -> Pin:
    """Return the pin of a ``[[host.pin]]`` table. Raises ``ConfigError`` if it is invalid."""
    try:
        return Pin.parse(table.text("pin"))
    except (InputError, ConfigError) as exc:
        raise _below(table, "pin", exc) from exc


def _anchors(files: TrustFiles, name: str, key: str) -> TrustAnchors:
    """Return the trust anchors in a file. Raises ``ConfigError`` if the file can't be used.

    ``files`` reads the file, ``name`` is its name in the pin file, and ``key`` the TOML key with
    that name.
    """
    try:
        return files(name)
    except (OSError, ValueError) as exc:
        raise _no_anchors(name, key, exc) from exc


def anchor_certificates(files: Files, name: str, key: str) -> tuple[Certificate, ...]:
    """Return the certificates in a file that a pin file names.

    Args:
        files: a function that returns the content of the file.
        name: the name of the file.
        key: the TOML key that has this name, for errors.

    Raises:
        ConfigError: the file can't be read, contains something other than certificates, or one that
            OpenSSL can't read.
    """
    try:
        return tuple(map(Certificate.from_der, TrustAnchors.parse(files(name)).der))
    except (OSError, ValueError) as exc:
        raise _no_anchors(name, key, exc) from exc


def _no_anchors(name: str, key: str, exc: Exception) -> ConfigError:
    return ConfigError(
        f"{quoted(name)} holds no trust anchors: {getattr(exc, 'strerror', None) or exc}",
        key=key,
        fix="name a PEM file of certificates, relative to the pin file, or to the link by which it "
        "is opened",
    )


def _below(table: Table, name: str, exc: InputError | ConfigError) -> ConfigError:
    """Return the error ``exc`` as a ``ConfigError`` with a full TOML key, such as ``host[2].name``.

    Errors of ``certpin.pins`` have at most the name of a field, because that package doesn't know
    the pin file.

    Args:
        table: the table that contains the wrong value.
        name: the key of the value in ``table``. It is used only if ``exc`` names no field.
        exc: the error about the value.
    """
    if isinstance(exc, InputError):
        return ConfigError(exc.problem, key=table.under(name), fix=exc.fix)
    if exc.key.startswith(table.key):
        return exc
    return ConfigError(exc.problem, key=table.under(exc.key), fix=exc.fix)
