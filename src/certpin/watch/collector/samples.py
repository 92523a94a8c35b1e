"""A few reports as they came, for whoever has to look closer: without what identifies a device.

What is kept is named here, and all else is left out: ``app-vendor-id`` of TrustKit, user agents,
referrers, paths and queries of addresses, and whatever a client of tomorrow adds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import func, select

from certpin.watch.collector.statements import pieces
from certpin.watch.store import budget, insert
from certpin.watch.store.tables.reports import REPORT_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from certpin.watch.collector.counting import New, Rules

# RFC 7469 section 3, TrustKit for iOS and Android, certpin's own.
_REPORT = frozenset(
    {
        "app",
        "app-bundle-id",
        "app-platform",
        "app-platform-version",
        "app-version",
        "date-time",
        "decision",
        "effective-expiration-date",
        "enforce-pinning",
        "hostname",
        "include-subdomains",
        "known-pins",
        "known-pins-expiration-date",
        "library",
        "network",
        "noted-hostname",
        "pin-set",
        "pin-set-version",
        "platform",
        "platform-version",
        "policy",
        "port",
        "reason",
        "schema",
        "served-certificate-chain",
        "trustkit-version",
        "validated-certificate-chain",
        "validation-result",
    }
)
# https://w3c.github.io/network-error-logging/
_ENTRY = frozenset({"age", "type"})
_BODY = frozenset(
    {
        "elapsed_time",
        "method",
        "phase",
        "protocol",
        "sampling_fraction",
        "server_ip",
        "status_code",
        "type",
    }
)
_encode = msgspec.json.Encoder().encode


def sample_of(document: object, most: int) -> bytes:
    """The document without what is personal, as JSON; empty where it has more than ``most`` bytes.

    Not checked: what whoever wrote the app put into the fields that are kept.
    """
    if isinstance(document, list):
        found: object = [_entry(each) for each in document if isinstance(each, dict)]
    elif isinstance(document, dict):
        found = _kept(document, _REPORT)
    else:
        return b""
    data = _encode(found)
    return data if len(data) <= most else b""


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    kept = _kept(entry, _ENTRY)
    if isinstance(url := entry.get("url"), str):
        kept["url"] = _origin(url)
    if isinstance(body := entry.get("body"), dict):
        kept["body"] = _kept(body, _BODY)
    return kept


def _origin(url: str) -> str:
    """Scheme, host and port: the path and the query are the user's own business."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


def _kept(document: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Texts, numbers and lists of texts under these names. Nothing that has names of its own."""
    return {
        name: value
        for name, value in document.items()
        if name in names
        and (
            isinstance(value, str | int | float | None)
            or (isinstance(value, list) and all(isinstance(each, str) for each in value))
        )
    }


class Taste:
    """Which bodies are worth being kept: the first few of those that look alike, in each hour.

    Only a first sieve, so that not every body is written out: the store has the last word.
    """

    def __init__(self, samples: int, most: int) -> None:
        self._samples = samples
        self._most = most
        self._hour = 0
        self._seen: dict[int, int] = {}

    def wants(self, looks: tuple[object, ...], hour: int) -> bool:
        """Whether a body that looks so shall be kept."""
        if hour != self._hour or len(self._seen) >= self._most:
            self._hour = hour
            self._seen.clear()
        mark = hash(looks)
        count = self._seen.get(mark, 0)
        if count < self._samples:
            self._seen[mark] = count + 1
        return count < self._samples


def keep_samples(
    connection: Connection, failures: Sequence[New], keys: Sequence[bytes], rules: Rules
) -> None:
    """Keep some of each group, as far as there is room. For whoever holds the budget."""
    pairs = zip(keys, failures, strict=True)
    offered = [(key, new) for key, new in pairs if new.body.sample and rules.samples]
    if not offered:
        return
    total = connection.execute(select(func.count()).select_from(REPORT_SAMPLES)).scalar_one()
    used, spent = budget.hold(connection), 0
    held = _held(connection, {key for key, _ in offered})
    rows: list[dict[str, Any]] = []
    for key, new in offered:
        body, host = new.body, new.failure.host
        size = len(body.sample) + budget.ROW
        most, room = (rules.room.of(each, host) for each in (rules.most_samples, rules.room.budget))
        fits = total + len(rows) < most and used + spent + size <= room - room // 8
        if held[key] < rules.samples and fits:
            held[key] += 1
            spent += size
            sample = {"received_at": body.at, "source": body.source, "body": body.sample}
            rows.append({"key": key, **sample})
    if rows:
        connection.execute(insert(connection, REPORT_SAMPLES), rows)
        budget.spend(connection, spent)


def _held(connection: Connection, keys: set[bytes]) -> Counter[bytes]:
    """How many samples these groups have."""
    samples = REPORT_SAMPLES.c
    held: Counter[bytes] = Counter()
    for piece in pieces(keys):
        by_key = select(samples.key, func.count()).where(samples.key.in_(piece))
        for key, number in connection.execute(by_key.group_by(samples.key)):
            held[bytes(key)] = number
    return held
