"""One event of certspotter: a certificate that stands in a log (Certificate Transparency).

certspotter(8) watches the logs and runs a program for each event, with its words in the
environment (certspotter-script(8)). It is trusted as far as that it ran; what it found in a log is
anybody's, and is read strictly. Whose hosts it concerns, and whether a key is pinned, is judged
later, by the pins of then: see ``rules/logged.py``.
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
from certpin.x509 import printable
from certpin.x509.reader import read_certificates
from certpin_watch.store.probes import LoggedRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from certpin.x509 import Certificate

CERTIFICATE, MALFORMED = "discovered_cert", "malformed_cert"
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_MOST_BYTES = 1024 * 1024  # of the file with the chain
_MOST_NAMES = 2000
_LONGEST = 400  # characters of what is shown to people
_NO_END = timedelta(days=400)  # no certificate that browsers accept lives longer


def read_event(environment: Mapping[str, str], now: datetime) -> LoggedRow | None:
    """What certspotter tells, or ``None`` for an event that is about no certificate.

    Raises ``InputError`` on what certspotter does not say, and on a file that cannot be read.
    """
    event = environment.get("EVENT", "")
    shown: dict[str, Any] = {
        "log": _words(environment.get("LOG_URI", "")),
        "summary": _words(environment.get("SUMMARY", "")),
    }
    if event == MALFORMED:
        leaf = environment.get("LEAF_HASH") or environment.get("SUMMARY", "")
        name = f"{environment.get('LOG_URI', '')}\n{leaf}"
        end = int((now + _NO_END).timestamp())
        return LoggedRow(
            hashlib.sha256(name.encode()).digest(), "malformed", not_after=end, **shown
        )
    if event != CERTIFICATE:
        return None
    tbs = _digest(environment, "TBS_SHA256")
    if path := environment.get("CERT_FILENAME"):
        return LoggedRow(tbs, "certificate", **_of_chain(_read(Path(path))), **shown)
    return LoggedRow(tbs, "certificate", **_of_words(environment, now), **shown)


def _of_chain(certificates: tuple[Certificate, ...]) -> dict[str, Any]:
    leaf, *above = certificates
    try:
        return {
            "key": leaf.spki_sha256,
            "authorities": b"".join(each.spki_sha256 for each in above),
            "names": _names(leaf.dns_names),
            "issuer": leaf.issuer[:_LONGEST],
            "not_after": int(leaf.not_after.timestamp()),
        }
    except CertificateParseError as exc:
        raise InputError(f"what was logged cannot be read: {exc.problem}") from exc


def _of_words(environment: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Without a file (-no_save) the item of the watch list is all that is known of the names."""
    end = int((now + _NO_END).timestamp())
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
    """The names that are names, with spaces between: what else stands there names no host."""
    found: dict[str, None] = {}
    for name in names:
        with suppress(HostError):
            found[str(HostPattern.parse(name))] = None
        if len(found) >= _MOST_NAMES:
            break
    return " ".join(found)


def _read(path: Path) -> tuple[Certificate, ...]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise InputError(f"{printable(str(path))} cannot be read") from exc
    if len(data) > _MOST_BYTES:
        raise InputError(f"{printable(str(path))} has more than {_MOST_BYTES} bytes")
    return read_certificates(data)


def _digest(environment: Mapping[str, str], name: str) -> bytes:
    text = environment.get(name, "")
    if not _HEX.fullmatch(text):
        raise InputError(f"{name} is not a SHA-256", fix="certspotter sets it; let it run this")
    return bytes.fromhex(text)


def _words(text: str) -> str:
    return printable(text[:_LONGEST])
