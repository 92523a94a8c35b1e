"""Measure which versions clients have, from a monitoring service or from app store reports."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, urlsplit

from certpin.cli.extras import load_extension
from certpin.errors import ConfigError, DialError, InputError
from certpin.pins.hosts import is_report_address
from certpin.probe import describe_error
from certpin.rotation import ReportedUsage
from certpin.rotation.exports import MAX_EXPORT_BYTES, read_export
from certpin.rotation.measured import measured_releases
from certpin.support.network import BodyTooLargeError, Deadline, exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from certpin.rotation import DeployedVersions
    from certpin.rotation.exports import ReleaseUsage

TOKEN_VARIABLE = "CERTPIN_WATCH_TOKEN"  # noqa: S105  # the name of a variable
_DAYS = 400  # all that the service keeps: a binary may be reported long after its recorded end
_TIMEOUT = 30.0  # seconds for each step
_TOTAL = 120.0  # seconds for the whole answer
_MAX_BYTES = 16 * 1024 * 1024
_OPTION = "--watch"


def reported_usage(
    watch: str, pin_set: str, now: datetime, versions: Iterable[int]
) -> tuple[ReportedUsage, ...]:
    """Return the numbers of clients that reported each version to the monitoring service, by day.

    Args:
        watch: the address of the monitoring service, or its database: a URL, ``env:NAME`` or
            ``file:PATH``.
        pin_set: the name of the pin set.
        now: the current time. Only the result from a database depends on it.
        versions: the numbers of the versions to count; others are left out of the result.

    Raises:
        ConfigError: the address is invalid, or a database is named without certpin-watch.
        DialError: the service refuses the request, or its answer is invalid.
        StoreError: the database can't be read.
    """
    if watch.startswith(("https://", "http://")):
        wanted = set(versions)
        return tuple(usage for usage in _by_url(watch, pin_set) if usage.version in wanted)
    return _by_store(watch, pin_set, now, versions)


def with_exports(deployed: DeployedVersions, paths: Iterable[Path]) -> DeployedVersions:
    """Return the published versions, with the adoption curves of app releases from store reports.

    An adoption curve is the share of users that have a release, by day. It replaces the curve that
    the journal has for the release.

    Args:
        deployed: the published versions.
        paths: the reports, CSV files of Google Play or App Store Connect.

    Raises:
        InputError: a file can't be read, is not a store report, or has no app with a recorded
            release.
    """
    read: list[ReleaseUsage] = []
    apps = {each.app for version in deployed.versions for each in version.releases if each.app}
    for path in paths:
        try:
            with path.open("rb") as file:
                usage = read_export(file.read(MAX_EXPORT_BYTES + 1))
        except OSError as exc:
            raise InputError(f"{path} cannot be read: {exc.strerror or exc}") from exc
        except InputError as exc:
            raise InputError(f"{path}: {exc.problem}", fix=exc.fix) from exc
        if not apps & {each.app for each in usage}:
            found = ", ".join(sorted({each.app for each in usage})[:5]) or "no app"
            raise InputError(
                f"{path} is about {found}, of which no release is recorded",
                fix="record releases under the app's name in the report: certpin rotate shipped",
            )
        read += usage
    return measured_releases(deployed, read)


def _by_store(
    watch: str, pin_set: str, now: datetime, versions: Iterable[int]
) -> tuple[ReportedUsage, ...]:
    stored_usage = load_extension(
        "certpin.extensions",
        "usage",
        "the database of the monitoring service",
        key=_OPTION,
        alternative=", or give the address of the service",
    )
    found: tuple[ReportedUsage, ...] = stored_usage(watch, pin_set, now, versions, _DAYS)
    return found


def _by_url(watch: str, pin_set: str) -> Iterator[ReportedUsage]:
    """Request the API of a monitoring service; yield the number of clients by day and version.

    ``watch`` is the address of the service, and ``pin_set`` the name of the pin set. Redirects are
    not followed, so that the access token is sent only to this address.
    """
    if not is_report_address(watch):
        raise ConfigError(
            "a token must not travel in clear text",
            key=_OPTION,
            fix="give an https:// address; http:// is only for this machine",
        )
    url = urlsplit(watch)
    path = f"{url.path.rstrip('/')}/api/v1/pin-sets/{quote(pin_set, safe='')}/adoption"
    answer = _get(url, f"{path}?days={_DAYS}")
    try:
        reports = [
            ReportedUsage(datetime.fromisoformat(day["day"]), day["version"], day["clients"])
            for day in answer["days"]
        ]
        if not all(map(_is_valid, reports)):
            raise ValueError("not a count")  # noqa: TRY301  # reported with the others, below
    except (KeyError, TypeError, ValueError) as exc:
        raise _error(url, "the answer is not that of a monitoring service") from exc
    yield from reports


def _is_valid(usage: ReportedUsage) -> bool:
    """Return True if version and client count are integers of at least 0, and the day has a zone.

    ``True`` and ``False`` do not count as integers. If a value is not valid, certpin refuses the
    whole answer of the monitoring service with a ``DialError``.
    """
    numbers = (usage.version, usage.clients)
    whole = all(type(number) is int and number >= 0 for number in numbers)
    return whole and usage.day.tzinfo is not None


def _get(url: SplitResult, path: str) -> Any:
    headers = {"Accept": "application/json"}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    context = ssl.create_default_context() if url.scheme == "https" else None
    deadline = Deadline(_TIMEOUT, _TOTAL)
    address = f"{url.scheme}://{url.netloc}{path}"
    try:
        answer = exchange("GET", address, deadline, context, headers=headers, max_bytes=_MAX_BYTES)
    except BodyTooLargeError as exc:
        raise _error(url, str(exc)) from exc
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise _unanswered(url, exc) from exc
    if answer.status != 200:
        raise _refusal(url, answer.status)
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as exc:
        raise _error(url, "the answer is not that of a monitoring service") from exc


def _unanswered(url: SplitResult, exc: Exception) -> DialError:
    """Return the error to raise if the request to the monitoring service failed with ``exc``.

    The error never contains the access token. ``url`` is the address of the service.
    """
    problem, fix = "the monitoring service can't be reached", ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        problem += f": its certificate does not verify: {exc.verify_message}"
        fix = (
            "if your own authority issued it, name that authority's file in SSL_CERT_FILE; or make "
            "the service send every intermediate"
        )
    elif isinstance(exc, OSError):
        problem += f": {describe_error(exc)}"
    return _error(url, problem, fix)


def _refusal(url: SplitResult, status: int) -> DialError:
    fixes = {
        401: f"set {TOKEN_VARIABLE} to a token with the scope read",
        403: "use a token with the scope read",
        404: "check that the service monitors this pin file: both pin sets must have the same name",
    }
    return _error(url, f"the monitoring service answers {status}", fixes.get(status, ""))


def _error(url: SplitResult, problem: str, fix: str = "") -> DialError:
    port = url.port or (443 if url.scheme == "https" else 80)
    fix = fix or "try again, or omit --watch: then only T_adopt counts"
    return DialError(problem, host=url.hostname or "", port=port, fix=fix)
