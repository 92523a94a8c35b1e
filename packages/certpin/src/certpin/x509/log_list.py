"""The Certificate Transparency logs that a client recognises: Google's list, in its v3 JSON.

https://googlechrome.github.io/CertificateTransparency/log_lists.html names the list and its schema.
The user chooses the file, so it is treated as hostile: its size and the number of logs are limited,
and an error names the wrong value. Fields that don't affect certpin's decisions are ignored. Not
checked: the signature that Google publishes beside its list.

A log of a private authority is marked by ``"log_type": "private"``, which Google's schema lacks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from certpin.errors import LogListError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.x509.signing import SignerPublicKey

# Google's list of all logs had less than 300 KiB and 300 logs in 2026.
MAX_LOG_LIST_BYTES = 4 * 1024 * 1024
MAX_LOGS = 2000
_SHOWN = 80  # characters of a value in an error

# With an older list, Chrome no longer requires SCTs: its logs may have been replaced.
STALE_AFTER = timedelta(days=70)

LogState = Literal["pending", "qualified", "usable", "readonly", "retired", "rejected"]
LogKind = Literal["prod", "test", "private"]

_DATE = "2026-11-02T00:00:00Z"
_FIX = "download the list again (log_list.json of Google, version 3)"

Value = TypeVar("Value")


@dataclass(frozen=True)
class CTLog:
    """One Certificate Transparency log, as described in a list of logs.

    Attributes:
        key: the log's public key, as the DER of a SubjectPublicKeyInfo.
        name: the log's description in the list, unchanged: not safe to print.
        operator: the name of the log's present operator, unchanged: not safe to print.
        state: the log's state in Chrome, such as ``usable`` or ``retired``; None if the list has no
            state, or one that certpin doesn't know.
        since: the time at which the log entered that state.
        starts: the log accepts certificates that expire at this time or later; None for any.
        ends: the log accepts certificates that expire before this time; None for any.
        former: the names of the log's earlier operators, each with the time at which its operation
            ended.
        kind: ``prod`` for a normal log, ``test`` for a log that no client should count, ``private``
            for a log of the user's private authority.
    """

    key: bytes = field(repr=False)
    name: str
    operator: str
    state: LogState | None
    since: datetime | None = None
    starts: datetime | None = None
    ends: datetime | None = None
    former: tuple[tuple[str, datetime], ...] = ()
    kind: LogKind = "prod"

    @cached_property
    def log_id(self) -> bytes:
        """The ID of the log in SCTs: the SHA-256 of its key, 32 bytes (RFC 6962 section 3.2)."""
        return hashlib.sha256(self.key).digest()

    def operator_at(self, moment: datetime) -> str:
        """Return the name of the log's operator at the time ``moment``."""
        ended = sorted((end, name) for name, end in self.former if moment < end)
        return ended[0][1] if ended else self.operator

    def covers(self, not_after: datetime) -> bool:
        """Return True if the log accepts certificates that expire at the time ``not_after``."""
        return (self.starts is None or self.starts <= not_after) and (
            self.ends is None or not_after < self.ends
        )

    @property
    def public_key(self) -> SignerPublicKey | None:
        """The log's key as an object of ``cryptography``.

        None if the key is not P-256, or RSA with at least 2048 bits, as RFC 6962 requires.
        """
        return _load_key(self.key)


@dataclass(frozen=True)
class LogList:
    """A list of Certificate Transparency logs. Immutable. Its methods read no file and no clock.

    Attributes:
        logs: the logs, in the order of the file.
        timestamp: the time at which the list was made; None for the list of a platform such as
            Android, which certpin can't read (``PLATFORM_LOGS``).
        source: the name of the file, for messages. Two lists with different sources may be equal.
    """

    logs: tuple[CTLog, ...]
    timestamp: datetime | None
    source: str = field(default="", compare=False)

    @staticmethod
    def parse(data: bytes, source: str = "") -> LogList:
        """Read a list in Google's v3 JSON.

        Args:
            data: the content of the file.
            source: the name of the file.

        Returns:
            The list. Logs with a state that certpin doesn't know are kept, but their SCTs never
            count.

        Raises:
            LogListError: the list is invalid, has no log, or exceeds a limit.
        """
        import json  # not at the top: programs without a list need not load it

        if len(data) > MAX_LOG_LIST_BYTES:
            raise LogListError(f"it has more than {MAX_LOG_LIST_BYTES} bytes", fix=_FIX)
        try:
            top = _Node(json.loads(data), "")
        except (ValueError, RecursionError) as exc:
            raise LogListError("it is not JSON", fix=_FIX) from exc
        logs: dict[bytes, CTLog] = {}
        for log in _logs(top):
            if log.log_id in logs:
                raise LogListError(f"two logs have the key of {log.name[:_SHOWN]!r}", fix=_FIX)
            if len(logs) == MAX_LOGS:
                raise LogListError(f"it has more than {MAX_LOGS} logs", fix=_FIX)
            logs[log.log_id] = log
        if not logs:
            raise LogListError("it has no log", fix=_FIX)
        return LogList(tuple(logs.values()), top.get("log_list_timestamp").moment(), source)

    @cached_property
    def by_id(self) -> dict[bytes, CTLog]:
        """A dict from the ID of each log to the log."""
        return {log.log_id: log for log in self.logs}

    @cached_property
    def digest(self) -> bytes:
        """A SHA-256 digest of the content of the list, 32 bytes.

        Lists with equal digests lead to the same decisions about certificates.
        """
        import json

        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).digest()

    def stale(self, now: datetime, after: timedelta = STALE_AFTER) -> bool:
        """Return True if the list is too old: clients then refuse no certificate for lack of SCTs.

        An old list lacks new logs, so their SCTs would not count. A list of unknown age always
        counts as too old.

        Args:
            now: the current time, with a time zone.
            after: the age from which a list is too old.
        """
        return self.timestamp is None or now - self.timestamp >= after

    @property
    def stale_at(self) -> datetime | None:
        """The time, in UTC, from which the list is too old for refusals by clients (``stale``).

        None if the age of the list is unknown, or if this time is after the year 9999.
        """
        if self.timestamp is None:
            return None
        try:
            return self.timestamp.astimezone(UTC) + STALE_AFTER
        except OverflowError:
            return None  # after the year 9999

    def has_private_log(self) -> bool:
        """Return True if some log is marked as a log of a private authority."""
        return any(log.kind == "private" for log in self.logs)

    def to_json(self) -> dict[str, Any]:
        """Return the list in Google's v3 JSON, without fields that certpin ignores."""
        operators: dict[str, list[dict[str, Any]]] = {}
        for log in self.logs:
            operators.setdefault(log.operator, []).append(_log_json(log))
        made: dict[str, Any] = {"version": "certpin"}
        if self.timestamp:
            made["log_list_timestamp"] = self.timestamp.isoformat()
        return made | {"operators": [{"name": n, "logs": logs} for n, logs in operators.items()]}


# The list of a platform that has its own, such as Android 16. It is unknown, and never refuses.
PLATFORM_LOGS = LogList((), None, "the list of the platform")


def _logs(top: _Node) -> Iterator[CTLog]:
    """Yield the logs of every operator in a list: RFC 6962 logs and static-ct-api logs.

    ``top`` is the JSON object of the whole list.
    """
    for operator in top.get("operators").items():
        name = operator.get("name").text()
        for kind in ("logs", "tiled_logs"):
            if kind in operator:
                for log in operator.get(kind).items():
                    yield _log(log, name)


def _log(node: _Node, operator: str) -> CTLog:
    key = node.get("key").base64()
    if node.get("log_id").base64() != hashlib.sha256(key).digest():
        raise node.get("log_id").wrong("the SHA-256 of the key")
    try:
        _load_key(key)
    except ValueError as exc:
        raise node.get("key").wrong("a public key (DER, in base64)") from exc
    state, since = _state(node)
    interval = node.get("temporal_interval") if "temporal_interval" in node else None
    former = node.get("previous_operators").items() if "previous_operators" in node else []
    return CTLog(
        key=key,
        name=node.get("description").text() if "description" in node else "",
        operator=operator,
        state=state,
        since=since,
        starts=interval.get("start_inclusive").moment() if interval else None,
        ends=interval.get("end_exclusive").moment() if interval else None,
        former=tuple((each.get("name").text(), each.get("end_time").moment()) for each in former),
        kind=_kind(node),
    )


def _state(node: _Node) -> tuple[LogState | None, datetime | None]:
    """Return the state of a log, and the time at which the log entered it.

    ``node`` is the JSON object of the log. The state is ``None`` if certpin doesn't know it. Both
    are ``None`` if the list has no state.
    """
    if "state" not in node:
        return None, None
    names = node.get("state").names()
    if len(names) != 1:
        raise node.get("state").wrong("an object with one state")
    known: tuple[LogState, ...] = get_args(LogState)
    state = next((each for each in known if each == names[0]), None)
    return state, node.get("state").get(names[0]).get("timestamp").moment()


def _kind(node: _Node) -> LogKind:
    text = node.get("log_type").text() if "log_type" in node else "prod"
    kinds: tuple[LogKind, ...] = get_args(LogKind)
    kind = next((each for each in kinds if each == text), None)
    if kind is None:
        raise node.get("log_type").wrong("prod, test or private")
    return kind


def _log_json(log: CTLog) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": log.name,
        "log_id": base64.b64encode(log.log_id).decode(),
        "key": base64.b64encode(log.key).decode(),
        "log_type": log.kind,
    }
    if log.state and log.since:
        made["state"] = {log.state: {"timestamp": log.since.isoformat()}}
    if log.starts and log.ends:
        made["temporal_interval"] = {
            "start_inclusive": log.starts.isoformat(),
            "end_exclusive": log.ends.isoformat(),
        }
    if log.former:
        ended = [{"name": name, "end_time": end.isoformat()} for name, end in log.former]
        made["previous_operators"] = ended
    return made


@lru_cache(maxsize=MAX_LOGS)
def _load_key(spki: bytes) -> SignerPublicKey | None:
    """Return the key of a log: P-256, or RSA with at least 2048 bits (RFC 6962 section 2.1.4).

    ``spki`` is the SubjectPublicKeyInfo in DER. Return None for a key of another type or size: a
    later list that has such a key must not be an error. Raises ``ValueError`` for bytes that are
    not a key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(spki)
    except UnsupportedAlgorithm:
        return None
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return key
    return None


class _Node:
    """A value in the JSON of a log list, with its position in the document for error messages.

    The methods check the type of the value, and raise ``LogListError``.
    """

    def __init__(self, value: Any, place: str) -> None:
        self._value = value
        self._place = place

    def wrong(self, right: str) -> LogListError:
        """Return an error with the message that the value is not ``right``, such as ``a list``."""
        place = self._place or "the file"
        return LogListError(f"{place} is not {right}: {str(self._value)[:_SHOWN]!r}", fix=_FIX)

    def __contains__(self, name: str) -> bool:
        return isinstance(self._value, dict) and name in self._value

    def names(self) -> list[str]:
        """Return the names of the fields of this value, which must be a JSON object."""
        return list(self._is(dict, "an object"))

    def get(self, name: str) -> _Node:
        """Return the field ``name`` of this value, which must be a JSON object.

        Raises ``LogListError`` if the field is missing.
        """
        fields = self._is(dict, "an object")
        place = f"{self._place}.{name}" if self._place else name
        if name not in fields:
            raise LogListError(f"{place} is missing", fix=_FIX)
        return _Node(fields[name], place)

    def items(self) -> Iterator[_Node]:
        """Yield the elements of the value, which must be a list."""
        for number, each in enumerate(self._is(list, "a list")):
            yield _Node(each, f"{self._place}[{number}]")

    def text(self) -> str:
        """Return the value, which must be a string."""
        return self._is(str, "a string")

    def base64(self) -> bytes:
        """Decode the value, which must be a base64 string, and return the bytes."""
        text = self.text()
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except ValueError as exc:  # binascii.Error, or a text that is not ASCII
            raise self.wrong("base64") from exc

    def moment(self) -> datetime:
        """Return the time in the value, which must be a string in RFC 3339 with a time zone."""
        text = self.text()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as exc:
            raise self.wrong(f"a time such as {_DATE}") from exc
        if moment.utcoffset() is None:
            raise self.wrong(f"a time with its zone, such as {_DATE}")
        return moment

    def _is(self, kind: type[Value], right: str) -> Value:
        if not isinstance(self._value, kind):
            raise self.wrong(right)
        return self._value
