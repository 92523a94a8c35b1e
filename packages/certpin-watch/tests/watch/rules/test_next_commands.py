"""The next commands of alerts, run against real servers: each finds the servers of its host."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin.cli.main import PROBLEM_FOUND
from certpin.lab import Authority, LabServer
from certpin.rotation import Event, journal_path
from certpin.rotation.journal import format_event
from certpin.x509 import Chain
from certpin.x509.certificate import read_certificates
from certpin_watch.monitor.evidence import PolicyEvidence, ProbeEvidence, ServerView
from certpin_watch.monitor.targets import monitored_policies
from certpin_watch.settings import HostSettings, MonitorSettings
from certpin_watch.snapshot import PinFiles
from tests import kit
from tests.cli.conftest import invoke
from tests.watch.rules._probes import DAY, findings_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Identity

NOW = datetime.now(UTC).replace(microsecond=0)
OLD = Authority("Old Root").issue("localhost")
LOCKED_OUT = {"field-mismatch", "key-changed", "issuer-changed", "pin-mismatch"}


@pytest.fixture
def leaf(intermediate: Authority) -> Identity:
    return intermediate.issue("localhost")


@pytest.fixture
def servers(leaf: Identity) -> Iterator[list[str]]:
    """The addresses of two servers with the same key."""
    with LabServer(leaf) as first, LabServer(leaf) as second:
        yield [f"localhost:{first.port}", f"localhost:{second.port}"]


def evidence_of(
    folder: Path,
    root: Authority,
    leaf: Identity,
    servers: list[str],
    settings: MonitorSettings | None = None,
    *,
    edge: str = "",
    host: str = "localhost",
) -> ProbeEvidence:
    """Return probe results: the servers replaced a key that the pin file and clients have pinned.

    The pin file and its journal are written to ``folder``. In the journal, clients have a version
    with pins for ``localhost``.

    Args:
        folder: the folder of the pin file.
        root: the root of the server's certificate.
        leaf: the key and certificate of all servers.
        servers: the addresses of the servers in the pin file.
        settings: the settings of the monitor; None for the defaults.
        edge: the IP address of the probes, if the addresses are probed separately.
        host: the host pattern in the pin file.
    """
    (folder / "root.pem").write_bytes(root.pem)
    (folder / "pins.toml").write_text(
        f'schema = 1\nname = "test"\nversion = 2\n[[host]]\nname = "{host}"\ntrust = "root.pem"\n'
        + "".join(f'[[host.server]]\naddress = "{server}"\n' for server in servers)
        + "".join(f'[[host.pin]]\npin = "{pin}"\n' for pin in (OLD.pin, kit.NOBODY))
    )
    settings = settings or MonitorSettings()
    anchors = kit.anchors(root)
    old = kit.pin_set(kit.policy("localhost", OLD.pin, trust=anchors))
    event = Event(NOW - DAY, "ann", "publish", version=1, pins=old, clients=40)
    journal_path(folder / "pins.toml").write_text(format_event(event) + "\n")
    served = Chain(read_certificates(leaf.chain_pem))
    verified = Chain((*served.certificates, root.certificate))
    before = Chain(read_certificates(OLD.chain_pem))
    (watched,) = PinFiles([folder / "pins.toml"]).snapshot().sets
    policies = []
    for monitored in monitored_policies([watched], settings, NOW):
        views = [
            ServerView(
                target,
                "local",
                "verified",
                edge=edge,
                served=served,
                verified=verified,
                since=NOW - DAY,
                last=NOW,
                before=before,
                changed=NOW - timedelta(hours=1),
            )
            for target in monitored.targets
        ]
        policies.append(PolicyEvidence(monitored, tuple(views), settings, NOW))
    return ProbeEvidence(policies=tuple(policies), settings=settings, now=NOW)


def run(command: str) -> Any:
    """Run the next command of a finding, which must find a problem, and return its JSON."""
    done = invoke(*shlex.split(command)[1:], "--json")
    assert done.code == PROBLEM_FOUND, (command, done.out, done.err)
    return done.json


def status_command(evidence: ProbeEvidence, host: str = "localhost") -> str:
    """Return the ``certpin rotate status`` command for a host with a new key."""
    return next(
        finding.command
        for finding in findings_of(evidence)
        if (finding.rule, finding.host) == ("key-changed", host)
    )


@pytest.mark.medium
def test_every_command_of_a_host_with_two_servers_finds_the_problem(
    tmp_path: Path, root: Authority, leaf: Identity, servers: list[str]
) -> None:
    findings = findings_of(evidence_of(tmp_path, root, leaf, servers))
    assert {finding.rule for finding in findings} >= LOCKED_OUT
    for finding in findings:
        run(finding.command)


@pytest.mark.medium
@pytest.mark.parametrize("listed", [0, 1, 2])
def test_the_command_for_a_rotation_contacts_a_server_that_only_the_settings_name(
    listed: int, tmp_path: Path, root: Authority, leaf: Identity, servers: list[str]
) -> None:
    """If the pin file lists it too, the command contacts all servers of the pin file."""
    settings = MonitorSettings(hosts=(HostSettings("localhost", port=port_of(servers[1])),))
    evidence = evidence_of(tmp_path, root, leaf, servers[:listed], settings)
    (status,) = run(status_command(evidence))["hosts"]
    assert [place["vantage"] for place in status["vantages"]] == [
        f"{server} at 127.0.0.1:{port_of(server)}"
        for server in (servers if listed == 2 else servers[1:])
    ]


def port_of(server: str) -> int:
    return int(server.rpartition(":")[2])


def test_the_command_for_a_rotation_names_all_servers_of_a_wildcard(
    tmp_path: Path, root: Authority, leaf: Identity
) -> None:
    servers = ["a.bank.test", "b.bank.test"]
    evidence = evidence_of(tmp_path, root, leaf, servers, host="*.bank.test")
    assert status_command(evidence, "*.bank.test").endswith(" --host '*.bank.test'")


def test_the_command_for_a_rotation_asks_all_addresses_of_a_listed_server(
    tmp_path: Path, root: Authority, leaf: Identity
) -> None:
    every = MonitorSettings(every_address=True)
    evidence = evidence_of(tmp_path, root, leaf, ["localhost:8443"], every, edge="127.0.0.1")
    assert status_command(evidence).endswith(" --host localhost")


@pytest.mark.medium
def test_the_commands_for_a_host_that_left_the_pin_file_can_be_run(
    tmp_path: Path, root: Authority, leaf: Identity, servers: list[str]
) -> None:
    """Only the deployed version pins the host, and ``--host`` takes hosts of the pin file."""
    settings = MonitorSettings(hosts=(HostSettings("localhost", port=port_of(servers[0])),))
    evidence = evidence_of(tmp_path, root, leaf, [], settings, host="new.bank.test")
    file = tmp_path / "pins.toml"
    assert status_command(evidence) == f"certpin rotate status --file {file}"
    (mismatch,) = (
        finding
        for finding in findings_of(evidence)
        if (finding.rule, finding.host) == ("pin-mismatch", "localhost")
    )
    assert mismatch.command == f"certpin pin {servers[0]}"
    assert str(leaf.pin) in invoke(*shlex.split(mismatch.command)[1:]).out
