"""A few reports as they came, for whoever has to look closer: without what identifies a device.

What is kept is named here, and all else is left out: ``app-vendor-id`` of TrustKit, user agents,
referrers, paths and queries of addresses, and whatever a client of tomorrow adds.

Each part of what is watched has ``OWN`` of an hour for itself, beyond ``most_samples`` where that
is full: who floods it with one host keeps nothing of another out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import func, select

from certpin_watch.collector.grouping import HOUR, OWN
from certpin_watch.collector.statements import pieces
from certpin_watch.store import insert, quota
from certpin_watch.store.tables.reports import REPORT_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from certpin_watch.collector.counting import New, Rules

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


@dataclass
class Kept:
    """How many there are and their bytes; of the last hour, by part of what is watched."""

    total: int
    used: int
    shares: Counter[str]

    def add(self, share: str, size: int) -> None:
        """One more."""
        self.total += 1
        self.used += size
        self.shares[share] += 1


def fits(host: str, size: int, kept: Kept, rules: Rules) -> bool:
    """Whether a sample of so many bytes about this host is kept: pure."""
    share, used = rules.room.share(host), kept.used + size
    if share and rules.most_samples and kept.shares[share] < OWN:
        # Not the last of the budget: it is for chains, without which a sample says little.
        return used <= rules.room.budget - rules.room.budget // 16
    most, room = (rules.room.of(each, host) for each in (rules.most_samples, rules.room.budget))
    return kept.total < most and used <= room - room // 8


def keep_samples(
    connection: Connection, offered: Sequence[tuple[bytes, New]], rules: Rules
) -> None:
    """Keep some of each group, as far as there is room. For whoever holds the budget.

    Args:
        connection: a transaction that may write.
        offered: reports that came with a sample, with the keys of their groups.
        rules: how many are kept.
    """
    if not rules.samples:
        return
    used = quota.lock_usage(connection)
    kept = Kept(_total(connection), used, Counter())
    if _is_tight(kept, offered, rules):
        kept.shares = _shares(connection, max(new.body.at for _, new in offered) - HOUR)
    held = _held(connection, {key for key, _ in offered})
    rows: list[dict[str, Any]] = []
    for key, new in offered:
        body, host = new.body, new.failure.host
        size = len(body.sample) + quota.ROW_OVERHEAD
        if held[key] < rules.samples and fits(host, size, kept, rules):
            held[key] += 1
            share = rules.room.share(host)
            kept.add(share, size)
            sample = {"received_at": body.at, "source": body.source, "body": body.sample}
            rows.append({"key": key, "share": share, **sample})
    if rows:
        connection.execute(insert(connection, REPORT_SAMPLES), rows)
        quota.add_usage(connection, kept.used - used)


def _total(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(REPORT_SAMPLES)).scalar_one()


def _is_tight(kept: Kept, offered: Sequence[tuple[bytes, New]], rules: Rules) -> bool:
    """Whether what a part has for itself matters: else nobody needs to count it."""
    room = rules.room.budget
    used = kept.used + sum(len(new.body.sample) + quota.ROW_OVERHEAD for _, new in offered)
    return kept.total + len(offered) > rules.most_samples or used > room - room // 8


def _shares(connection: Connection, since: int) -> Counter[str]:
    """How many samples of the hour from then on each part of what is watched has."""
    samples = REPORT_SAMPLES.c
    # What is far ahead came while the clock ran ahead, and would be new until then.
    lately = samples.received_at.between(since + 1, since + 2 * HOUR)
    rows = connection.execute(
        select(samples.share, func.count()).where(lately).group_by(samples.share)
    )
    return Counter({share: int(number) for share, number in rows})


def _held(connection: Connection, keys: set[bytes]) -> Counter[bytes]:
    """How many samples these groups have."""
    samples = REPORT_SAMPLES.c
    held: Counter[bytes] = Counter()
    for piece in pieces(keys):
        by_key = select(samples.key, func.count()).where(samples.key.in_(piece))
        for key, number in connection.execute(by_key.group_by(samples.key)):
            held[bytes(key)] = number
    return held
