"""A private root is replaced: the commands judge each version by its own ``trust``.

Clients with version 3 trust only the old root. The pin file, the draft, may trust others. Every
statement about clients is compared with a real client of that version.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import QUICK, days_pass, history, next_number
from tests.cli.conftest import HOST, Run
from tests.cli.test_rotate import accepts
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity
    from tests.cli.conftest import Done

pytestmark = [pytest.mark.peer("nginx")]

_TRUST = Path("private-ca.pem")


class Hospital:
    """A hospital with a private root, and the root that replaces it.

    Version 3 is with 900 clients, and trusts only the old root. The server presents its key under
    the old root.

    Attributes:
        by_old: a certificate of the old root for the key of the server.
        by_new: a certificate of the new root for the same key.
    """

    def __init__(
        self, run: Run, server: Nginx, by_old: Identity, trust: Path | None = _TRUST
    ) -> None:
        self.run, self.server, self.by_old = run, server, by_old
        self.new = Authority("New Root")
        self.issuer = self.new.intermediate("New Issuer")
        self.by_new = self.issuer.issue(HOST, key=by_old.key)
        write(kit.policy(HOST, by_old.pin, kit.NOBODY), trust=trust)
        with Path("pins.toml").open("a", encoding="utf-8") as file:
            file.write(f'[[host.server]]\naddress = "127.0.0.1:{server.port}"\n')
        self.ship("--clients", "900")

    def __call__(self, *words: str | Path) -> Done:
        return self.run("rotate", *words)

    def ship(self, *words: str) -> None:
        """Give the pin file to the clients as the next version."""
        done = self("shipped", next_number(), *QUICK, *words)
        assert done.code == 0, done.err

    def trusts(self, *roots: Authority) -> None:
        """Let the pin file, the draft, trust exactly these roots."""
        _TRUST.write_bytes(b"".join(root.pem for root in roots))

    def host(self, command: str, *words: str) -> tuple[int, dict[str, Any]]:
        """Run a command. Return its exit code, and its JSON about the host."""
        done = self(command, *words, "--json")
        (host,) = done.json["hosts"]
        return done.code, host

    def is_accepted_by(self, number: int) -> bool:
        """Return True if a client with a version completes a handshake with the server."""
        (pins,) = (each.pins for each in history().deployed.versions if each.number == number)
        return accepts(PinSet(pins.name, number, pins.policies), self.server)


@pytest.fixture
def old(root: Authority) -> Authority:
    return root


@pytest.fixture
def hospital(run: Run, old: Authority, identity: Identity) -> Iterator[Hospital]:
    _TRUST.write_bytes(old.pem)
    with nginx({HOST: identity}) as server:
        yield Hospital(run, server, identity)


@pytest.mark.parametrize("draft", ["old", "both", "new"])
def test_a_chain_of_a_root_that_clients_lack_is_a_lockout(
    hospital: Hospital, old: Authority, draft: str
) -> None:
    """The key is pinned, and the draft may trust the new root already: clients don't."""
    hospital.server.use(HOST, hospital.by_new)
    hospital.trusts(*{"old": [old], "both": [old, hospital.new], "new": [hospital.new]}[draft])
    assert not hospital.is_accepted_by(3)
    code, status = hospital.host("status")
    assert (code, [each["invariant"] for each in status["breaches"]]) == (1, ["served-chain"])
    assert status["breaches"][0]["clients"] == 900
    done = hospital("status")
    assert "  NOW: " in done.out
    _, path = hospital.host("emergency", str(kit.NOBODY), "--lost")
    assert path["locked_out_now"] == 900
    assert "LOCKED OUT NOW: 900 clients" in hospital("emergency", str(kit.NOBODY), "--lost").out


def test_the_lockout_names_the_anchor_as_the_fault(hospital: Hospital, old: Authority) -> None:
    hospital.server.use(HOST, hospital.by_new)
    hospital.trusts(old, hospital.new)
    _, status = hospital.host("status")
    (breach,) = status["breaches"]
    assert "serves no chain that verifies with the trust anchors of version 3" in breach["problem"]
    assert breach["fix"].startswith("let that server present a chain to a trust anchor that every ")
    # Once all clients have the draft, they accept the chain.
    hospital.ship("--force", "--reason", "a test")
    _, status = hospital.host("status")
    assert status["breaches"][0]["safe_from"] is not None
    assert (hospital.is_accepted_by(3), hospital.is_accepted_by(4)) == (False, True)
    days_pass(11)
    assert hospital.host("status")[1]["breaches"] == []


def test_a_root_that_only_the_draft_lacks_locks_no_client_out(hospital: Hospital) -> None:
    hospital.trusts(hospital.new)
    assert hospital.is_accepted_by(3)
    code, status = hospital.host("status")
    assert (code, status["breaches"], status["next"]["act"]) == (0, [], "publish")
    _, path = hospital.host("emergency", str(kit.NOBODY), "--lost")
    assert path["locked_out_now"] == 0
    assert "LOCKED OUT NOW" not in hospital("emergency", str(kit.NOBODY), "--lost").out


def test_clients_that_trust_the_platform_refuse_a_private_root(
    run: Run, trusted_root: Path, identity: Identity
) -> None:
    """Version 3 has no ``trust``; the draft names a private root, which the server uses already."""
    _TRUST.write_bytes(trusted_root.read_bytes())
    with nginx({HOST: identity}) as server:
        hospital = Hospital(run, server, identity, trust=None)
        hospital.server.use(HOST, hospital.by_new)
        text = Path("pins.toml").read_text(encoding="utf-8")
        text = text.replace("[[host.pin]]", 'trust = "private-ca.pem"\n[[host.pin]]', 1)
        Path("pins.toml").write_text(text, encoding="utf-8")
        hospital.trusts(hospital.new)
        assert not hospital.is_accepted_by(3)
        code, status = hospital.host("status")
        assert (code, [each["invariant"] for each in status["breaches"]]) == (1, ["served-chain"])


def test_the_draft_that_lacks_the_root_is_not_published(hospital: Hospital) -> None:
    hospital.trusts(hospital.new)
    done = hospital("shipped", next_number())
    assert done.code == 1
    assert "serves no chain that verifies with the trust anchors of version 4" in done.err
    assert "keep that anchor in the file of `trust`" in done.err
