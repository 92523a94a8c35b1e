"""What clients told, from a running watch or from its database."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, urlsplit

from certpin.errors import ConfigError, DialError
from certpin.pins.policy import is_report_address
from certpin.rotation import Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TOKEN_VARIABLE = "CERTPIN_WATCH_TOKEN"  # noqa: S105  # the name of a variable
_DAYS = 400  # as far back as the watch tells: a binary may be told long after it should have ended
_PATIENCE = 30.0  # seconds
_MOST_BYTES = 16 * 1024 * 1024
_KEY = "--watch"


def told_by(watch: str, pin_set: str, now: datetime, versions: Iterable[int]) -> tuple[Told, ...]:
    """What clients told of these versions.

    Raises ``ConfigError``, ``DialError`` and ``StoreError``.
    """
    if watch.startswith(("https://", "http://")):
        wanted = set(versions)
        return tuple(each for each in _by_url(watch, pin_set) if each.version in wanted)
    return _by_store(watch, pin_set, now, versions)


def _by_store(watch: str, pin_set: str, now: datetime, versions: Iterable[int]) -> tuple[Told, ...]:
    try:
        from certpin.watch.facts.adoption import told
        from certpin.watch.secret import resolve
        from certpin.watch.store import open_store
    except ModuleNotFoundError as exc:
        raise ConfigError(
            "the database of a watch needs more packages",
            key=_KEY,
            fix="pip install 'certpin[watch]', or name the address of the watch",
        ) from exc
    store = open_store(resolve(watch, _KEY).reveal())
    with closing(store), store.read() as connection:
        return told(connection, pin_set, now, versions, _DAYS)


def _by_url(watch: str, pin_set: str) -> Iterator[Told]:
    """Ask its API. The token goes to this address alone: no redirect is followed."""
    if not is_report_address(watch):
        raise ConfigError(
            "a token must not travel in clear text",
            key=_KEY,
            fix="name an https:// address; http:// is for this machine alone",
        )
    url = urlsplit(watch)
    path = f"{url.path.rstrip('/')}/api/v1/pin-sets/{quote(pin_set, safe='')}/adoption"
    answer = _fetched(url, f"{path}?days={_DAYS}")
    try:
        days = answer["days"]
        found = [
            Told(datetime.fromisoformat(each["day"]), each["version"], each["clients"])
            for each in days
        ]
        if not all(_makes_sense(each) for each in found):
            raise ValueError("not a count")  # noqa: TRY301  # told with the others, below
    except (KeyError, TypeError, ValueError) as exc:
        raise _failed(url, "its answer is not that of a watch") from exc
    yield from found


def _makes_sense(told: Told) -> bool:
    """Whether it can be counted. JSON's true is a number to Python."""
    numbers = (told.version, told.clients)
    whole = all(type(each) is int and each >= 0 for each in numbers)
    return whole and told.day.tzinfo is not None


def _fetched(url: SplitResult, path: str) -> Any:
    headers = {"Accept": "application/json"}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    try:
        with closing(_connection(url)) as connection:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            data = response.read(_MOST_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        # Not its words: a header that cannot be sent is shown in them.
        raise _failed(url, "the watch cannot be asked") from exc
    if response.status != 200:
        raise _refused(url, response.status)
    if len(data) > _MOST_BYTES:
        raise _failed(url, f"its answer has more than {_MOST_BYTES} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _failed(url, "its answer is not that of a watch") from exc


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    host, port = url.hostname or "", url.port
    if url.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=context)


def _refused(url: SplitResult, status: int) -> DialError:
    fixes = {
        401: f"set {TOKEN_VARIABLE} to a token with the scope read",
        403: "take a token with the scope read",
        404: "does this watch read this pin file? the names of both pin sets must be the same",
    }
    return _failed(url, f"the watch answers {status}", fixes.get(status, ""))


def _failed(url: SplitResult, problem: str, fix: str = "") -> DialError:
    port = url.port or (443 if url.scheme == "https" else 80)
    fix = fix or "ask again, or leave --watch out: then T_adopt counts alone"
    return DialError(problem, host=url.hostname or "", port=port, fix=fix)
