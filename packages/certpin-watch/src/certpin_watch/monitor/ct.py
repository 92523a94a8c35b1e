"""Read events of certspotter: a certificate was found in a Certificate Transparency log.

certspotter(8) monitors the logs and runs a program for each event, with the data in environment
variables (certspotter-script(8)). certspotter itself is trusted. The certificate possibly comes
from an attacker, so it is read strictly. This module does not compare it with any pins. The alert
rules do that at each evaluation: they find the hosts of the certificate, and check if its key is
pinned.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError, HostError, InputError
from certpin.pins import HostPattern
from certpin.support.text import printable
from certpin.x509.certificate import read_certificates
from certpin_watch.store.probes import LoggedRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from certpin.x509 import Certificate

CERTIFICATE, MALFORMED = "discovered_cert", "malformed_cert"
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_MAX_BYTES = 1024 * 1024  # of the file with the chain
_MAX_NAMES = 2000
_FIX = "certspotter sets it: let certspotter run this command"
_MAX_TEXT = 400  # characters
_MAX_LIFETIME = timedelta(days=400)  # browsers accept no longer one


def read_event(environment: Mapping[str, str], now: datetime) -> LoggedRow | None:
    """Decode an event of certspotter from environment variables.

    Args:
        environment: the variables that certspotter sets.
        now: the current time. If certspotter does not give the expiry of the certificate, the
            longest possible lifetime from this time on is assumed.

    Returns:
        A row for the store. Its kind is "certificate"; or "malformed" if the event is about an
        entry of a log that certspotter can't decode. None for all other events.

    Raises:
        InputError: a variable has a value that certspotter doesn't set, or the file with the chain
            can't be read.
    """
    if not (event := environment.get("EVENT", "")):
        raise InputError("the environment has no event: EVENT is not set", fix=_FIX)
    texts: dict[str, Any] = {
        "log": _printable(environment.get("LOG_URI", "")),
        "summary": _printable(environment.get("SUMMARY", "")),
    }
    if event == MALFORMED:
        leaf = environment.get("LEAF_HASH") or environment.get("SUMMARY", "")
        name = f"{environment.get('LOG_URI', '')}\n{leaf}"
        end = int((now + _MAX_LIFETIME).timestamp())
        return LoggedRow(
            hashlib.sha256(name.encode()).digest(), "malformed", not_after=end, **texts
        )
    if event != CERTIFICATE:
        return None
    tbs = _digest(environment, "TBS_SHA256")
    if path := environment.get("CERT_FILENAME"):
        return LoggedRow(tbs, "certificate", **_chain_fields(_read(Path(path))), **texts)
    return LoggedRow(tbs, "certificate", **_watch_item_fields(environment, now), **texts)


def _chain_fields(certificates: tuple[Certificate, ...]) -> dict[str, Any]:
    leaf, *above = certificates
    try:
        return {
            "key": leaf.spki_sha256,
            "authorities": b"".join(issuer.spki_sha256 for issuer in above),
            "names": _names(leaf.dns_names),
            "issuer": leaf.issuer[:_MAX_TEXT],
            "not_after": int(leaf.not_after.timestamp()),
        }
    except CertificateParseError as exc:
        raise InputError(f"the logged certificate cannot be read: {exc.problem}") from exc


def _watch_item_fields(environment: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return the key, names and expiry for a row if certspotter saved no certificate.

    certspotter saves none if it runs with ``-no_save``. Then the host names in the certificate are
    unknown. Instead, the row gets the *watch item*: the line in certspotter's list of domains that
    matched the certificate. ``environment`` are the environment variables that certspotter sets. If
    they lack the expiry, or it is too far ahead, the row gets the time that is the longest possible
    lifetime after ``now``.
    """
    end = int((now + _MAX_LIFETIME).timestamp())
    with suppress(ValueError):
        end = min(int(environment.get("NOT_AFTER_UNIXTIME", "")), end)
    item = environment.get("WATCH_ITEM", "")
    names = [item.removeprefix("."), f"*{item}"] if item.startswith(".") else [item]
    return {
        "key": _digest(environment, "PUBKEY_SHA256"),
        "names": _names(names),
        "not_after": max(end, 0),
    }


def _names(names: Iterable[str]) -> str:
    """Return the valid host names and wildcards among ``names``, joined with spaces.

    The result has each name once, and at most ``_MAX_NAMES`` names. Invalid names are left out.
    """
    found: dict[str, None] = {}
    for name in names:
        with suppress(HostError):
            found[str(HostPattern.parse(name))] = None
        if len(found) >= _MAX_NAMES:
            break
    return " ".join(found)


def _read(path: Path) -> tuple[Certificate, ...]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise InputError(f"{printable(str(path))} cannot be read") from exc
    if len(data) > _MAX_BYTES:
        raise InputError(f"{printable(str(path))} has more than {_MAX_BYTES} bytes")
    return read_certificates(data)


def _digest(environment: Mapping[str, str], name: str) -> bytes:
    text = environment.get(name, "")
    if not _HEX.fullmatch(text):
        raise InputError(f"{name} is not a SHA-256", fix=_FIX)
    return bytes.fromhex(text)


def _printable(text: str) -> str:
    return printable(text[:_MAX_TEXT])
