"""Contact servers for ``certpin rotate``: read their chains and clocks, and prepare the record.

Commands that change a rotation also record these observations in the journal. Commands that only
read, such as ``status``, record nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.cli.rotate.files import name_of, settings_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from certpin.cli.rotate.files import RotationFiles
    from certpin.cli.servers import ProbeOptions, ProbeResults
    from certpin.pins import HostPolicy, PinSet
    from certpin.rotation import ServerDate


def probe_for_reading(
    files: RotationFiles, probes: ProbeOptions, pins: PinSet, policies: Sequence[HostPolicy]
) -> tuple[ProbeResults, datetime]:
    """Contact the servers of policies; store the servers' times in ``files.evidence``.

    Args:
        files: the pin file and the journal.
        probes: the options that choose the servers.
        pins: the pin set that has the policies.
        policies: the policies.

    Returns:
        The served chains, and the time at which to judge them.

    Raises:
        InputError: a file is not a chain.
        click.UsageError: ``--host`` leaves out a policy or a server.
    """
    from certpin.pins import utc_now
    from certpin.rotation import step_time, time_evidence

    results = probes.probe(pins, policies)
    found = [sighting for policy in policies for sighting in results.of(policy)]
    others = repository_dates(files, offline=probes.offline, timeout=probes.timeout)
    files.evidence = time_evidence(files.newest, found, others)
    return results, step_time(files.newest, utc_now())


def probe_for_step(
    files: RotationFiles,
    probes: ProbeOptions,
    pins: PinSet,
    policies: Sequence[HostPolicy],
    who: str | None,
) -> tuple[ProbeResults, datetime]:
    """Contact servers like ``probe_for_reading``, and prepare journal entries about the chains.

    The entries are in ``files.observations``; ``files.commit`` writes them. ``who`` is the value of
    ``--who``.
    """
    from certpin.rotation import new_observations

    results, now = probe_for_reading(files, probes, pins, policies)
    files.observations = [
        event
        for policy in policies
        for event in new_observations(
            files.situation(policy, results.of(policy), now, pins=pins), name_of(who)
        )
    ]
    return results, now


def repository_dates(
    files: RotationFiles, *, offline: bool, timeout: float
) -> tuple[ServerDate, ...]:
    """Ask the server from which clients fetch signed pin sets for its time.

    Args:
        files: the pin file, beside which ``publish/publish.toml`` is.
        offline: do not connect.
        timeout: seconds for each of connecting, the handshake and the response.

    Returns:
        The time of the server; empty if ``publish.toml`` has no ``fetch_url``, or the server no
        valid answer. An invalid ``publish.toml`` is reported by the commands that need it.
    """
    from certpin.errors import PinFileError
    from certpin.pins import utc_now
    from certpin.probe import ContextCache, url_time
    from certpin.publish.settings import load
    from certpin.rotation import ServerDate

    place = settings_path(files.path)
    if offline or not place.is_file():
        return ()
    try:
        url = load(place).fetch_url
    except PinFileError:
        return ()
    host = urlsplit(url).hostname if url else None
    if url is None or host is None:
        return ()
    policy = files.pins.policy_for(host)
    context = ContextCache().get(policy.trust if policy else None)
    date = url_time(url, context, timeout=timeout)
    return (ServerDate(host, date, utc_now()),) if date else ()
