"""A whole key renewal by two signers takes 8 commands in 3 sittings: periods of work.

Each command that certpin prints as the next one runs unchanged.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.pinfile import PinSet
from certpin.pins import utc_now
from certpin.rotation import AdoptionDelays
from certpin.updates.settings import PIN_FILE
from certpin.x509.keys import new_private_key
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import QUICK, accepts, history, journal, states
from tests.cli._team import Team, printed_commands
from tests.cli.conftest import HOST
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority, Identity
    from tests.cli.conftest import Run

pytestmark = [pytest.mark.peer("nginx"), pytest.mark.medium]


@pytest.fixture
def server(identity: Identity) -> Iterator[Nginx]:
    """Start the host's server. A test can change the key that it presents."""
    with nginx({HOST: identity}) as running:
        yield running


def _signing_key(path: Path) -> None:
    """Write a private key, and its public key beside it."""
    pem, _ = new_private_key("p256", None)
    path.write_bytes(pem)
    public = load_pem_private_key(pem, None).public_key()
    path.with_suffix(".pub").write_bytes(
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


@pytest.fixture
def team(
    run: Run,
    ca: Path,
    identity: Identity,
    server: Nginx,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Team:
    """Return a team 100 days after it published version 3. Its versions need two signatures."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    for name in ("root", "anna", "bob"):
        _signing_key(tmp_path / f"{name}.key")
    (tmp_path / "anna").mkdir()
    team = Team(run, tmp_path, monkeypatch)
    team.at("anna")
    shutil.copy(ca, "root.pem")
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=Path("root.pem"))
    text = Path("pins.toml").read_text(encoding="utf-8")
    server_lines = f'[[host.server]]\naddress = "127.0.0.1:{server.port}"\n'
    Path("pins.toml").write_text(text + server_lines, encoding="utf-8")
    words = ["--root-key", "../root.key", "--targets-key", "../anna.key"]
    words += ["--targets-key", "../bob.pub", "--targets-threshold", "2"]
    words += ["--online-key", "../ci.key", "--url", "../www"]
    (tmp_path / "www").mkdir()
    assert run("publish", "init", *words).code == 0
    team.begin()
    first = team.types("anna", f"certpin publish sign --clients 1200 {' '.join(QUICK)}")
    assert first.code == 0, first.err
    team.pushes("anna", "version 3", ci=False)
    team.pulls("bob")
    assert team.types("bob", printed_commands(first.out)[0]).code == 0
    team.pushes("bob", "version 3, signed by bob")
    team.time_passes(100)
    assert [event.step for event in journal()] == ["publish", "push"]
    team.typed.clear()
    team.git.clear()
    team.sitting = 1
    return team


def alive() -> list[PinSet]:
    """Return the pin sets that clients may still use now, according to the journal."""
    known = history()
    found = known.deployed.alive(utc_now(), known.timing or AdoptionDelays())
    return [PinSet(each.pins.name, each.number, each.pins.policies) for each in found]


def every_client_connects(team: Team, server: Nginx) -> bool:
    """Return True if clients with each pin set that is still in use complete a handshake."""
    team.at("anna")
    return all(accepts(pins, server) for pins in alive())


def fetched_version(here: Path) -> int:
    """Return the version of the pin file in the newest signed metadata, which clients fetch.

    ``here`` is the folder with the published files.
    """
    newest = max(
        (here / "www/metadata").glob("*.targets.json"), key=lambda path: path.stat().st_mtime
    )
    signed: dict[str, Any] = json.loads(newest.read_bytes())["signed"]
    version: int = signed["targets"][PIN_FILE]["custom"]["version"]
    return version


def test_a_renewal_with_two_signers_takes_eight_commands_in_three_sittings(
    team: Team, server: Nginx, intermediate: Authority, identity: Identity
) -> None:
    # The first sitting: a new key.
    begun = team.types("anna", "certpin rotate start --new ../next.key --csr ../next.csr")
    assert begun.code == 0, begun.err
    sign, switch = printed_commands(begun.out)
    signed = team.types("anna", sign)
    assert (signed.code, "Version 4 was checked" in signed.out) == (0, True)
    team.pushes("anna", "next key")
    assert fetched_version(team.here) == 3  # one signature is not enough
    team.pulls("bob")
    cosigned = team.types("bob", printed_commands(signed.out)[0])
    assert (cosigned.code, "was checked" in cosigned.out) == (0, False)
    team.pushes("bob", "next key, signed by bob")
    assert fetched_version(team.here) == 4
    assert every_client_connects(team, server)

    # The second sitting, when the last client has version 4: the new certificate.
    team.time_passes(9.2)
    team.pulls("anna")
    key = load_pem_private_key((team.here / "next.key").read_bytes(), None)
    issued = intermediate.issue(HOST, key=key)  # type: ignore[arg-type]  # a P-256 key
    (team.here / "fullchain.pem").write_bytes(issued.chain_pem)
    switched = team.types("anna", switch)
    assert switched.code == 0, switched.err
    gate = team.types("anna", "certpin rotate switch ../fullchain.pem")  # the deployment's
    assert (gate.code, "ACTIVE already" in gate.out) == (0, True)
    server.use(HOST, issued)
    team.pushes("anna", "the servers switch")
    assert every_client_connects(team, server)

    # The third sitting, when every server presents it: the old key goes.
    team.time_passes(1)
    team.pulls("anna")
    finished = team.types("anna", printed_commands(switched.out)[0])
    assert finished.code == 0, finished.err
    signed = team.types("anna", printed_commands(finished.out)[0])
    assert signed.code == 0, signed.err
    team.pushes("anna", "the old key goes")
    team.pulls("bob")
    assert team.types("bob", printed_commands(signed.out)[0]).code == 0
    team.pushes("bob", "the old key goes, signed by bob")

    team.pulls("anna")
    assert fetched_version(team.here) == 5
    assert every_client_connects(team, server)
    assert states() == ["removed", "active", "active"]
    steps = [event.step for event in journal()]
    assert steps == [
        *("publish", "push", "generate", "stage", "publish", "push"),
        *("activate", "retire", "remove", "publish", "push"),
    ]
    assert [event.version for event in journal() if event.step == "push"] == [3, 4, 5]
    assert (len(team.typed), team.sitting) == (8, 3)
    assert {person for _, person, _ in team.typed} == {"anna", "bob"}
    assert all(word.startswith("git ") for word in team.git)  # listed, not counted
