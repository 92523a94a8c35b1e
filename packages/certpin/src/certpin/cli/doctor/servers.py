"""The facts about servers that ``certpin doctor`` collects: how each one answers.

This is the only part of the command that needs the library of certpin. It is a separate module,
so that ``certpin doctor`` can import it as a whole, and report the reason if that fails.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import click

from certpin.cli.doctor.facts import ServerFacts
from certpin.cli.options import chain_fix
from certpin.cli.servers import ServerOptions, run_parallel
from certpin.errors import ProbeError
from certpin.probe import ContextCache, Endpoint, observe, server_time, split_address

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from certpin.pinfile import PinSet
    from certpin.pins import HostPolicy

    Target = tuple[HostPolicy | None, Endpoint]

_MAX_SERVERS = 5  # of a pin file: enough to compare the clock, and to see that the network works


def server_facts(
    hosts: Sequence[str], pins: PinSet | None, timeout: float
) -> tuple[ServerFacts, ...]:
    """Connect to servers in parallel, and return the result for each one.

    Args:
        hosts: the servers to contact; if empty, the first servers of the pin file are contacted.
        pins: the content of the pin file; None without a usable pin file. The chain of a host with
            a policy is verified against the trust anchors of the policy.
        timeout: seconds for each step of a connection.

    Raises:
        HostError: one of ``hosts`` is not a host.
    """
    contexts = ContextCache()
    jobs = [
        partial(_ask, endpoint, contexts.get(policy.trust if policy else None), timeout)
        for policy, endpoint in _targets(hosts, pins)
    ]
    return tuple(run_parallel(jobs, "servers"))


def _ask(endpoint: Endpoint, context: ssl.SSLContext, timeout: float) -> ServerFacts:
    name = str(endpoint)
    try:
        seen = observe(endpoint, context, timeout=timeout)
    except ProbeError as exc:
        return ServerFacts(name, problem=exc.problem, fix=exc.fix)
    date = server_time(seen, context, timeout=timeout)
    local = datetime.now(UTC)
    if seen.verified is not None:
        return ServerFacts(name, date=date, local=local)
    return ServerFacts(name, "", "", seen.problem, chain_fix(seen, pinned=True), date, local)


def _targets(hosts: Sequence[str], pins: PinSet | None) -> list[Target]:
    """Return the servers to contact, each with its policy.

    A server that no policy covers has None instead of a policy. If ``hosts`` is empty, return the
    first servers of the pin file; if there is no usable pin file either, return an empty list.
    """
    if hosts:
        return [target for host in hosts for target in _named(host, pins)]
    return list(islice(_of_file((), pins), _MAX_SERVERS))


def _named(text: str, pins: PinSet | None) -> list[Target]:
    host, port = split_address(text)
    try:
        return list(_of_file((text,), pins)) or [(None, Endpoint(host, port))]
    except click.UsageError:  # no policy covers it
        return [(None, Endpoint(host, port))]


def _of_file(hosts: tuple[str, ...], pins: PinSet | None) -> Iterator[Target]:
    found = ServerOptions(hosts, (), ()).targets(pins) if pins else []
    for policy, endpoint in found:
        if endpoint is not None:
            yield policy, endpoint
