"""A private root is replaced: the commands judge each version by its own ``trust``.

Clients with version 3 trust only the old root. The pin file, the draft, may trust others. Every
statement about clients is compared with a real client of that version.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import QUICK, accepts, days_pass, history, invariants, next_number, stepped
from tests.cli.conftest import HOST, Run
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
        backup: the backup, with a certificate of the new root.
    """

    def __init__(
        self, run: Run, server: Nginx, by_old: Identity, trust: Path | None = _TRUST
    ) -> None:
        self.run, self.server, self.by_old = run, server, by_old
        self.new = Authority("New Root")
        self.issuer = self.new.intermediate("New Issuer")
        self.by_new = self.issuer.issue(HOST, key=by_old.key)
        self.backup = self.issuer.issue(HOST)
        write(kit.policy(HOST, by_old.pin, self.backup.pin), trust=trust)
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
    _, path = hospital.host("emergency", str(hospital.backup.pin), "--lost")
    assert path["locked_out_now"] == 900
    assert (
        "LOCKED OUT NOW: 900 clients"
        in hospital("emergency", str(hospital.backup.pin), "--lost").out
    )


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
    lost = ("emergency", str(hospital.backup.pin), "--lost")
    _, path = hospital.host(*lost)
    assert path["locked_out_now"] == 0
    assert "LOCKED OUT NOW" not in hospital(*lost).out


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


def test_the_refusal_of_a_chain_says_how_to_replace_the_root(
    hospital: Hospital, old: Authority
) -> None:
    """Each step is that of the guide: the root into ``trust``, the next version, and time."""
    Path("fullchain.pem").write_bytes(hospital.by_new.chain_pem)

    def fix() -> tuple[str, bool]:
        done, facts = stepped(hospital.run, "switch", "fullchain.pem")
        (breach,) = facts["breaches"]
        assert (done.code, breach["invariant"]) == (1, "adopted")
        return breach["fix"], breach["safe_from"] is not None

    then = "give version = 4 of the pin file to the clients, and wait until they have it"
    add = "add the missing intermediate to the file, or use a certificate of that authority"
    new = f"if the root is a new one, put it into the file of `trust`, {then}"
    assert fix() == (f"{add}; {new}", False)
    hospital.trusts(old, hospital.new)
    assert fix() == (f"`trust` has the root: {then}", False)
    hospital.ship()
    assert fix() == ("wait", True)
    days_pass(11)
    assert stepped(hospital.run, "switch", "fullchain.pem")[0].code == 0
    hospital.server.use(HOST, hospital.by_new)
    assert hospital.is_accepted_by(4)
    hospital.trusts(hospital.new)
    hospital.ship()
    assert hospital.is_accepted_by(5)


# A key is stolen while some clients trust only the old root, and others both.


@pytest.fixture
def halfway(hospital: Hospital, old: Authority) -> Hospital:
    """Publish version 4, which trusts both roots. Write the key of the backup into a file."""
    Path("backup.key").write_bytes(hospital.backup.key_pem)
    hospital.trusts(old, hospital.new)
    hospital.ship()
    return hospital


def test_a_stolen_key_is_replaced_below_the_root_that_all_clients_trust(
    halfway: Hospital, old: Authority
) -> None:
    code, path = halfway.host("emergency", str(halfway.by_old.pin), "--stolen")
    assert (code, path["safe"], path["locked_out"]) == (0, True, 0)
    request, switch = (step for step in path["steps"] if step["act"] in {"request", "switch"})
    assert "below CN=Test Root, which all versions trust" in request["text"]
    assert (switch["commands"], switch["forced"]) == (
        ["certpin rotate switch fullchain.pem"],
        False,
    )
    for issuer, accepted in ((halfway.issuer, False), (old, True)):
        backup = issuer.issue(HOST, key=halfway.backup.key)
        Path("fullchain.pem").write_bytes(backup.chain_pem)
        done = halfway("switch", "fullchain.pem")
        halfway.server.use(HOST, backup)
        clients = [halfway.is_accepted_by(number) for number in (3, 4)]
        assert (done.code == 0, all(clients)) == (accepted, accepted), done.err


def test_a_draft_with_another_root_has_the_chain_named_too(
    hospital: Hospital, old: Authority
) -> None:
    """All clients trust the old root only: a certificate below the next one locks them out."""
    hospital.trusts(old, hospital.new)
    _, path = hospital.host("emergency", str(hospital.by_old.pin), "--stolen")
    assert "below CN=Test Root, which all versions trust" in path["steps"][0]["text"]


@pytest.mark.parametrize("stolen", [False, True])
def test_without_a_root_that_all_clients_trust_no_path_is_safe(
    halfway: Hospital, old: Authority, stolen: bool
) -> None:
    """The draft drops the old root, or its key is stolen, too."""
    if stolen:
        halfway("emergency", str(old.pin), "--stolen")
    else:
        halfway.trusts(halfway.new)
    code, path = halfway.host("emergency", str(halfway.by_old.pin), "--stolen")
    assert (code, path["safe"], path["locked_out"]) == (1, False, 900)


def leads_to_the_backup(hospital: Hospital, backup: Identity, numbers: tuple[int, ...]) -> bool:
    """Switch to the backup, with the chain that an emergency names. No client is locked out.

    Args:
        hospital: the hospital, of which the key of the server was stolen.
        backup: the key of the backup, with the chain that the server will present.
        numbers: the versions that clients hold.
    """
    code, path = hospital.host("emergency", str(hospital.by_old.pin), "--stolen")
    (switch,) = (step for step in path["steps"] if step["act"] == "switch")
    is_named = switch["commands"] == ["certpin rotate switch fullchain.pem"]
    Path("fullchain.pem").write_bytes(backup.chain_pem)
    is_switched = hospital("switch", "fullchain.pem").code == 0
    hospital.server.use(HOST, backup)
    is_accepted = all(map(hospital.is_accepted_by, numbers))
    return (code, path["safe"]) == (0, True) and is_named and is_switched and is_accepted


def test_a_root_that_the_pin_file_dropped_has_to_be_put_back(
    hospital: Hospital, old: Authority
) -> None:
    """All clients hold version 3: either they refuse a certificate, or those with version 4 do."""
    hospital.trusts(hospital.new)
    theft = ("emergency", str(hospital.by_old.pin), "--stolen")
    code, path = hospital.host(*theft)
    assert (code, path["safe"], path["locked_out"]) == (1, False, 900)
    assert "the pin file and version 3 trust no valid anchor in common" in path["problem"]
    put_back = "put CN=Test Root, which clients trust, into the file of `trust`, and run this again"
    assert f"Mend that first: {put_back}." in hospital(*theft).out
    hospital.trusts(old, hospital.new)
    assert leads_to_the_backup(hospital, old.issue(HOST, key=hospital.backup.key), (3,))
    assert hospital("start", "--new", "next-backup.key").code == 0
    hospital.ship()
    assert hospital.is_accepted_by(4)


@pytest.mark.parametrize("is_cross_signed", [False, True])
def test_the_next_certificate_of_a_root_in_two_forms_is_safe(
    hospital: Hospital, old: Authority, is_cross_signed: bool
) -> None:
    """Version 4 has the root that was renewed with its key, or another one, signed by the old."""
    if is_cross_signed:
        crossed = Authority("New Root", issuer=old, key=hospital.new.key).x509
        key, backup = (
            replace(each, chain=(*each.chain, crossed))
            for each in (hospital.by_new, hospital.backup)
        )
        hospital.server.use(HOST, key)
        hospital.trusts(hospital.new)
    else:
        backup = old.issue(HOST, key=hospital.backup.key)
        hospital.trusts(Authority("Test Root", key=old.key))
    hospital.ship()
    assert leads_to_the_backup(hospital, backup, (3, 4))


@pytest.mark.parametrize("is_shipped", [False, True])
@pytest.mark.parametrize("has_file", [False, True])
def test_a_root_of_the_platform_and_of_a_file_is_a_common_one(
    run: Run,
    trusted_root: Path,
    identity: Identity,
    root: Authority,
    *,
    has_file: bool,
    is_shipped: bool,
) -> None:
    """Clients with version 3 have ``trust``, and the next version not, or the other way round."""
    _TRUST.write_bytes(trusted_root.read_bytes())
    with nginx({HOST: identity}) as server:
        hospital = Hospital(run, server, identity, trust=_TRUST if has_file else None)
        text, line = Path("pins.toml").read_text(encoding="utf-8"), 'trust = "private-ca.pem"\n'
        other = (
            text.replace(line, "")
            if has_file
            else text.replace("[[host.pin]]", f"{line}[[host.pin]]", 1)
        )
        assert text != other
        Path("pins.toml").write_text(other, encoding="utf-8")
        if is_shipped:
            hospital.ship()
        backup = root.issue(HOST, key=hospital.backup.key)
        assert leads_to_the_backup(hospital, backup, (3, 4) if is_shipped else (3,))


def test_the_last_root_that_all_clients_trust_stays_in_the_pin_file(
    halfway: Hospital, old: Authority
) -> None:
    """The server got a certificate of the new root too early: version 3 refuses it, 4 accepts it.

    With a version 5 that trusts only the new root, no certificate would be accepted by all.
    """
    halfway.server.use(HOST, halfway.by_new)
    assert [halfway.is_accepted_by(number) for number in (3, 4)] == [False, True]
    halfway.trusts(halfway.new)
    refused, facts = stepped(halfway.run, "shipped", next_number())
    assert (refused.code, invariants(facts)) == (1, ["served-chain"])
    [breach] = facts["breaches"]
    common = "the pin file trusts none of the anchors that version 3 trusts"
    assert breach["problem"].startswith(common)
    assert breach["fix"] == "keep CN=Test Root in the file of `trust` until then"
    assert (breach["clients"], breach["safe_from"] is not None) == (900, True)
    halfway.trusts(old, halfway.new)
    halfway.server.use(HOST, old.issue(HOST, key=halfway.by_old.key))
    assert [halfway.is_accepted_by(number) for number in (3, 4)] == [True, True]
    halfway.server.use(HOST, halfway.by_new)
    days_pass(11)
    halfway.trusts(halfway.new)
    halfway.ship()
    assert halfway.is_accepted_by(5)
