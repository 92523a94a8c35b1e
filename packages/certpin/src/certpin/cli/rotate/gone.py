"""``certpin rotate gone``: record that a server that the journal lists is switched off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option, pin_file_option, timeout_option
from certpin.cli.rotate.files import (
    RotationFiles,
    person_name,
    repeat_if_changed,
    who_option,
)
from certpin.cli.rotate.steps import ForceOptions, HostViolation, StepOutcome
from certpin.cli.servers import ProbeOptions, no_family

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.pins import HostPolicy, Pin
    from certpin.probe import Endpoint, Observation
    from certpin.rotation import ServerObservation


@click.command()
@click.argument("server", metavar="SERVER")
@click.option("--reason", required=True, metavar="TEXT", help="Why it is gone, for the journal.")
@click.option(
    "--force",
    is_flag=True,
    help="Record it although the server still answers. Clients may be locked out there.",
)
@click.option(
    "--starttls",
    metavar="PROTOCOL",
    help="The protocol that comes before TLS; by default that of the server's port.",
)
@pin_file_option
@timeout_option
@who_option
@json_option
@click.pass_context
@repeat_if_changed
def gone(
    ctx: click.Context,
    server: str,
    reason: str,
    force: bool,
    starttls: str | None,
    path: Path,
    timeout: float,
    who: str | None,
    as_json: bool,
) -> None:
    """Record that a server that was seen once is switched off.

    Each step of a rotation records the servers that it contacts. A server that the pin file no
    longer lists blocks the steps after that: it may present a key that clients are about to lose.
    Name it as the refusal does, ADDRESS:PORT.

    It is contacted once more, at each IP address of its name: a server that still presents a key
    of the host is not gone. If the pin file lists the server, take it out of the file first. If a
    later command sees the server again, it counts again.

    \b
    certpin rotate gone 192.0.2.7:443 --reason "region us is shut down"

    Exit code 0: recorded. 1: refused, nothing was changed. 2: wrong usage, or an invalid file.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin.rotation import Event, step_time

    if not reason.strip():
        raise click.UsageError("--reason is empty: it is recorded in the journal")
    files = RotationFiles(path)
    now = step_time(files.newest, utc_now())
    if not force:
        files.require_time(now)
    _refuse_listed(files, server)
    seen = _observed(files, server)
    violations = [
        violation for each in seen for violation in _still_there(files, each, starttls, timeout)
    ]
    hosts = [str(each.host) for each in seen]
    outcome = StepOutcome("gone", path, hosts, forced=force, violations=violations)
    if not ForceOptions(force, reason if force else None).refuses(violations):
        events = [
            Event(now, person_name(who), "gone", host, server=server, reason=reason.strip())
            for host in hosts
        ]
        files.commit(events)
        outcome.events, outcome.done = events, True
        outcome.messages = [f"{server} is gone: no step of {', '.join(hosts)} waits for it."]
        outcome.next_command = ProbeOptions.without_probe().next_command(
            "certpin rotate status", path, files.pins, connects=False
        )
    outcome.show(ctx, as_json=as_json)


def _observed(files: RotationFiles, server: str) -> list[ServerObservation]:
    """Return the last observation of a server in the journal, for each host that it served.

    ``files`` are the pin file and the journal, and ``server`` is the name of the server in the
    journal.

    Raises:
        ConfigError: the journal has no observation of the server.
    """
    from certpin.errors import ConfigError
    from certpin.support.text import printable

    found = [each for each in files.history.observed if each.server == server]
    if not found:
        known = ", ".join(dict.fromkeys(each.server for each in files.history.observed))
        raise ConfigError(
            f"{files.journal} has no observation of {printable(server)[:200]}, or it is gone",
            key="SERVER",
            fix=f"name it as the journal does: {known or 'it has no server'}",
        )
    return found


def _refuse_listed(files: RotationFiles, server: str) -> None:
    """Raise ``ConfigError`` if the pin file lists a server: later steps would contact it again.

    ``files`` are the pin file and the journal, and ``server`` is the name of the server in the
    journal.
    """
    from certpin.errors import ConfigError
    from certpin.rotation.gate import listed_servers

    is_seen = any(each.server == server for each in files.history.observed)
    for policy in files.pins.policies:
        if server in listed_servers(policy, files.pins):
            when = "first" if is_seen else "only: no step saw it, so there is nothing to record"
            fix = (
                f"take it out of the pin file {when}"
                if policy.servers
                else f"list the servers that {policy.pattern} has now ([[host.server]]) {when}"
            )
            raise ConfigError(
                f"{server} is a server of {policy.pattern} in {files.path}", key="SERVER", fix=fix
            )


def _still_there(
    files: RotationFiles, seen: ServerObservation, starttls: str | None, timeout: float
) -> Iterator[HostViolation]:
    """Contact a server at each of its addresses, and yield the reasons why it may still be in use.

    There is a violation for each address at which a chain of the host is presented, for each one at
    which the chain can't be read, and for each one that this machine could not ask. There is none
    for an address that doesn't answer, or belongs to another server now.

    Args:
        files: the pin file and the journal.
        seen: the last observation of the server in the journal.
        starttls: the STARTTLS protocol; None for the usual one of the port.
        timeout: seconds for each step of the connection.
    """
    from certpin.errors import DialError, ProbeError
    from certpin.pins import pins_of
    from certpin.probe import ContextCache, ask_each_address, could_not_ask, observe
    from certpin.rotation import Violation
    from certpin.rotation.fleet import deployed_sizes
    from certpin.support.text import printable

    endpoint = _endpoint(seen, starttls)
    policy = files.pins.policy_for(endpoint.name)
    context = ContextCache().get(policy.trust if policy else None)
    clients = deployed_sizes(files.deployed).total
    answers = ask_each_address(
        endpoint, lambda each: observe(each, context, timeout=timeout), timeout=timeout
    )
    for address in answers.unreachable:
        problem = f"{seen.server} was not asked at {address}: {no_family(address)}"
        violation = Violation("unseen", problem, clients, fix="repeat it on a machine that has it")
        yield HostViolation(str(seen.host), violation)
    for each, found in answers.by_address.items():
        name = f"{seen.server} at {each.resolved}" if each.resolved else seen.server
        if isinstance(found, DialError) and not could_not_ask(found):
            continue
        if isinstance(found, DialError):
            violation = Violation(
                "unseen",
                f"{name} was not asked: {printable(found.problem)}",
                clients,
                fix="repeat it later, or on a machine that reaches this address",
            )
        elif isinstance(found, ProbeError):
            violation = Violation(
                "unseen",
                f"{name} answers, and its chain can't be read: {printable(found.problem)}",
                clients,
                fix="switch it off, or name its protocol: --starttls PROTOCOL",
            )
        elif found.verified is None and not _pins_of(found) & _known_pins(files, seen, policy):
            continue  # the address belongs to another server now
        else:
            presents = pins_of(found.served.certificates[0])[0]
            violation = Violation(
                "still-served",
                f"{name} still presents a chain of {seen.host}, with {presents}",
                clients,
                fix="switch it off, or list it in the pin file ([[host.server]])",
            )
        yield HostViolation(str(seen.host), violation)


def _pins_of(found: Observation) -> frozenset[Pin]:
    """Return the pins of all certificates that a server sent, and the pins of their keys.

    ``found`` is the result of contacting the server.
    """
    from certpin.pins import pins_of

    return frozenset(pin for each in found.served.certificates for pin in pins_of(each))


def _known_pins(
    files: RotationFiles, seen: ServerObservation, policy: HostPolicy | None
) -> frozenset[Pin]:
    """Return the pins that show that a server still serves the host.

    These are every pin that the host has in the pin file or in the journal, and the pin of the leaf
    that the server last presented.

    Args:
        files: the pin file and the journal.
        seen: the last observation of the server in the journal.
        policy: the host's policy in the pin file; ``None`` if it has none.
    """
    known = set(files.history.past(seen.host).states)
    known |= {entry.pin for entry in policy.pins} if policy else set()
    return frozenset(known | ({seen.leaf} if seen.leaf else set()))


def _endpoint(seen: ServerObservation, starttls: str | None) -> Endpoint:
    """Return the address and the protocol of a server from its name in the journal.

    Args:
        seen: the last observation of the server in the journal.
        starttls: the STARTTLS protocol; None for the usual one of the port.

    Raises:
        click.UsageError: the protocol is unknown.
    """
    from certpin.probe import PROTOCOLS
    from certpin.rotation.gate import observed_endpoint

    if starttls is not None and starttls not in PROTOCOLS:
        raise click.UsageError(f"{starttls!r} is not one of {', '.join(sorted(PROTOCOLS))}")
    usual = {protocol.port: protocol.name for protocol in PROTOCOLS.values()}
    endpoint = observed_endpoint(seen)
    return replace(endpoint, starttls=starttls or usual.get(endpoint.port))
