"""Store a few reports as samples: as they arrived, without fields that identify a device.

The fields to store are listed here, and all others are dropped: ``app-vendor-id`` of TrustKit, user
agents, referrers, paths and queries of addresses, and any field that a future client adds.

The total number of samples is limited (``max_samples``). But in each hour, ``RESERVED`` samples are
reserved for each share (see ``snapshot.Patterns``), even if the limit is reached. So a sender who
floods one host does not keep out the samples of another.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from certpin_watch.collector.grouping import RESERVED
from certpin_watch.store import reports
from certpin_watch.store.chains import ROW_OVERHEAD, add_usage, lock_usage
from certpin_watch.store.identities import HOUR
from certpin_watch.store.reports import SampleRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from certpin_watch.collector.decode import ReceivedBody
    from certpin_watch.collector.grouping import CountingLimits

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


class SampleFilter:
    """Selects request bodies as possible samples: in each hour, the first few with equal fields.

    The filter only reduces the work of ``keep_samples``, which decides which samples are stored.

    Args:
        samples: how many bodies with equal fields are selected in an hour.
        max_remembered: how many different combinations of fields the filter remembers.
    """

    def __init__(self, samples: int, max_remembered: int) -> None:
        self._samples = samples
        self._max_remembered = max_remembered
        self._hour = 0
        self._seen: dict[int, int] = {}

    def wants(self, fields: tuple[object, ...], hour: int) -> bool:
        """Return True if a body with these fields is to be offered to the store as a sample.

        Args:
            fields: the fields of the body's first report, except the identity.
            hour: the hour of arrival, as its first second.
        """
        if hour != self._hour or len(self._seen) >= self._max_remembered:
            self._hour = hour
            self._seen.clear()
        mark = hash(fields)
        count = self._seen.get(mark, 0)
        if count < self._samples:
            self._seen[mark] = count + 1
        return count < self._samples


def sample_of(document: object, max_bytes: int) -> bytes:
    """Return a report document without personal fields, as JSON.

    Not checked: the content of the remaining fields, which the author of the app controls.

    Args:
        document: the parsed JSON of the request body.
        max_bytes: the maximum size of the result. If the result is larger, an empty text is
            returned.
    """
    if isinstance(document, list):
        found: object = [_entry(entry) for entry in document if isinstance(entry, dict)]
    elif isinstance(document, dict):
        found = _kept(document, _REPORT)
    else:
        return b""
    data = _encode(found)
    return data if len(data) <= max_bytes else b""


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    kept = _kept(entry, _ENTRY)
    if isinstance(url := entry.get("url"), str):
        kept["url"] = _origin(url)
    if isinstance(body := entry.get("body"), dict):
        kept["body"] = _kept(body, _BODY)
    return kept


def _origin(url: str) -> str:
    """Return only the scheme, host and port of a URL, because the rest is private to the user.

    An invalid URL gives an empty text.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


def _kept(document: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Return the fields of a document that are in ``names`` and have simple values.

    Simple values are texts, numbers, true, false, null and lists of texts. All other fields are
    left out of the sample, because they could identify a device.
    """
    return {
        name: value
        for name, value in document.items()
        if name in names
        and (
            isinstance(value, str | int | float | None)
            or (isinstance(value, list) and all(isinstance(item, str) for item in value))
        )
    }


class OfferedSample(NamedTuple):
    """A sample (a request body with reports) that ``keep_samples`` can choose to store.

    Attributes:
        key: the key of its report group, which counts equal reports of an hour.
        host: the host in the report.
        body: the request body that contains the sample.
    """

    key: bytes
    host: str
    body: ReceivedBody

    @property
    def size(self) -> int:
        """The bytes that the sample (a request body) adds to the used part of the storage quota."""
        return len(self.body.sample) + ROW_OVERHEAD


@dataclass
class SampleCounts:
    """How many samples (report documents) are stored, and how much of the storage quota is used.

    A *share* is a monitored host, or all names that one pattern covers.

    Attributes:
        total: the number of stored samples.
        used: the used bytes of the storage quota, which samples and chains share.
        shares: the number of samples of the last hour by the name of the share.
    """

    total: int
    used: int
    shares: Counter[str]

    def add(self, share: str, size: int) -> None:
        """Count one more sample (a report document), with ``size`` bytes.

        ``share`` is the monitored host or pattern to which the sample's host belongs.
        """
        self.total += 1
        self.used += size
        self.shares[share] += 1


def keep_samples(
    connection: Connection, offered: Sequence[OfferedSample], limits: CountingLimits
) -> None:
    """Store some of the offered samples (report documents), while the limits leave room.

    Each report group gets at most ``limits.samples``. A report group counts the reports of one hour
    with equal fields.

    Args:
        connection: a transaction that may write, and that has called ``lock_usage``.
        offered: the samples to choose from; at least one.
        limits: the maximum number of stored samples, and the other limits on reports.
    """
    if not limits.samples:
        return
    used = lock_usage(connection)
    counts = SampleCounts(reports.count_samples(connection), used, Counter())
    if _is_tight(counts, offered, limits):
        since = max(sample.body.at for sample in offered) - HOUR
        # A row that is more than an hour ahead is from a clock that ran ahead: it would stay new.
        recent = reports.samples_by_share(connection, since, since + 2 * HOUR)
        counts.shares.update(recent)
    held = Counter(reports.samples_by_group(connection, {sample.key for sample in offered}))
    rows: list[SampleRow] = []
    for sample in offered:
        key, body = sample.key, sample.body
        if held[key] < limits.samples and _fits(sample, counts, limits):
            held[key] += 1
            share = limits.reports.share_of(sample.host)
            counts.add(share, sample.size)
            rows.append(SampleRow(key, body.at, body.source, body.sample, share))
    if rows:
        reports.insert_samples(connection, rows)
        add_usage(connection, counts.used - used)


def _is_tight(
    counts: SampleCounts, offered: Sequence[OfferedSample], limits: CountingLimits
) -> bool:
    """Return True if storing all offered samples could exceed the limit on their number or bytes.

    A sample is a report document. If the result is True, the caller has to count the samples of the
    last hour by share, because some samples are reserved for each share (a monitored host or
    pattern). ``counts`` has the number and bytes of the samples that are stored already.
    """
    room = limits.reports.budget
    used = counts.used + sum(sample.size for sample in offered)
    return counts.total + len(offered) > limits.max_samples or used > room - room // 8


def _fits(sample: OfferedSample, counts: SampleCounts, limits: CountingLimits) -> bool:
    """Return True if the limits on number and bytes of samples leave room to store this sample.

    ``counts`` has the number of stored samples and the used bytes. The first ``RESERVED`` samples
    of a monitored host or pattern in an hour need only room for their bytes.
    """
    reports, used = limits.reports, counts.used + sample.size
    share = reports.share_of(sample.host)
    if share and limits.max_samples and counts.shares[share] < RESERVED:
        # The last part of the budget is for chains, because a sample says little without them.
        return used <= reports.budget - reports.budget // 16
    parts = (limits.max_samples, reports.budget)
    samples, room = (reports.part_for(limit, sample.host) for limit in parts)
    return counts.total < samples and used <= room - room // 8
