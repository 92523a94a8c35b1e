"""``certpin rotate`` against a real server: a key is changed, and no client is locked out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab import Authority as LabAuthority
from certpin.pinfile import PinSet
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    APP,
    QUICK,
    accepts,
    days_pass,
    history,
    invariants,
    journal,
    next_number,
    states,
    stepped,
)
from tests.cli.conftest import HOST, Run
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority, Identity
    from certpin.rotation import History

pytestmark = [pytest.mark.peer("nginx")]


@pytest.fixture
def server(identity: Identity) -> Iterator[Nginx]:
    """Start the host's server. A test can change the key that it presents."""
    with nginx({HOST: identity}) as running:
        yield running


@pytest.fixture
def connection(server: Nginx) -> tuple[str, ...]:
    return ("--connect", f"127.0.0.1:{server.port}")


@pytest.fixture
def out(run: Run, ca: Path, identity: Identity, connection: tuple[str, ...]) -> Run:
    """Write a pin file and publish it a month ago: the leaf's pin, and an unused backup.

    Return the function that runs commands.
    """
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    text = Path("pins.toml").read_text(encoding="utf-8")
    text = text.replace('role = "backup"\nstate = "active"', 'role = "backup"\nstate = "published"')
    Path("pins.toml").write_text(text, encoding="utf-8")
    assert (
        run("rotate", "shipped", next_number(), *QUICK, *connection, "--clients", "1200").code == 0
    )
    days_pass(30)
    return run


def alive(history: History) -> list[PinSet]:
    """Return the pin sets that clients may still use now, according to the journal."""
    from certpin.pins import utc_now
    from certpin.rotation import AdoptionDelays

    found = history.deployed.alive(utc_now(), history.timing or AdoptionDelays())
    return [PinSet(version.pins.name, version.number, version.pins.policies) for version in found]


def test_a_key_is_changed_step_by_step_and_every_client_is_accepted_all_the_time(
    out: Run,
    server: Nginx,
    connection: tuple[str, ...],
    intermediate: Authority,
    identity: Identity,
) -> None:
    def every_client_connects() -> bool:
        return all(accepts(pins, server) for pins in alive(history()))

    assert out("rotate", "start", "--new", "new.key").code == 0
    assert out("rotate", "shipped", next_number(), *connection).code == 0
    refused, facts = stepped(out, "switch", "new.key", *connection)
    assert (refused.code, invariants(facts)) == (1, ["adopted"])
    assert facts["breaches"][0]["clients"] == 1200
    days_pass(9.2)
    assert every_client_connects()
    assert out("rotate", "switch", "new.key", *connection).code == 0
    key = load_pem_private_key(Path("new.key").read_bytes(), None)
    server.use(HOST, intermediate.issue(HOST, key=key))  # type: ignore[arg-type]  # a P-256 key
    assert every_client_connects()
    old = str(identity.pin)
    assert out("rotate", "finish", old, *connection).code == 0
    assert out("rotate", "finish", old, *connection).code == 0
    assert out("rotate", "shipped", next_number(), *connection).code == 0
    assert every_client_connects()
    assert states() == ["removed", "published", "active"]
    steps = [event.step for event in journal()]
    expected = ["publish", "generate", "stage", "publish", "activate", "retire", "remove"]
    assert steps == [*expected, "publish"]
    assert [event.version for event in journal() if event.step == "publish"] == [3, 4, 5]


def test_a_simulation_probes_the_servers(out: Run, connection: tuple[str, ...]) -> None:
    words = ("rotate", "simulate", "--to", str(kit.NOBODY_ELSE), "--json", *connection)
    safe = out(*words)
    assumed = f"the chain of {kit.NOBODY_ELSE}: the plan assumes that every client verifies it"
    assert safe.code == 0
    assert safe.json["unknown"] == [f"{assumed}; its file, such as fullchain.pem, answers that"]
    assert safe.json["fleet"]["clients"] == 1200
    early = out(*words, "--move", "4=-9d")
    (lockout,) = early.json["hosts"][0]["lockouts"]
    assert (early.code, lockout["event"], lockout["step"]) == (1, "serve", 4)


def test_forcing_a_key_too_early_locks_out_the_clients_of_the_refusal(
    out: Run, server: Nginx, connection: tuple[str, ...], intermediate: Authority
) -> None:
    out("rotate", "start", "--new", "new.key")
    out("rotate", "shipped", next_number(), *connection)
    forced, facts = stepped(
        out, "switch", "new.key", *connection, "--force", "--reason", "the old key is lost"
    )
    assert (forced.code, facts["forced"], invariants(facts)) == (0, True, ["adopted"])
    assert "forced" in forced.err
    assert journal()[-1].reason == "the old key is lost"
    key = load_pem_private_key(Path("new.key").read_bytes(), None)
    server.use(HOST, intermediate.issue(HOST, key=key))  # type: ignore[arg-type]  # as above
    assert [(pins.version, accepts(pins, server)) for pins in alive(history())] == [
        (3, False),
        (4, True),
    ]
    done = out("rotate", "status", *connection)
    assert done.code == 1
    assert "NOW: " in done.out
    assert "at risk: 1200 clients" in done.out


def test_a_served_key_is_not_taken_out(
    out: Run, connection: tuple[str, ...], identity: Identity
) -> None:
    before = Path("pins.toml").read_text(encoding="utf-8")
    done, facts = stepped(out, "finish", str(identity.pin), *connection)
    assert (done.code, facts["done"]) == (1, False)
    assert invariants(facts) == ["still-served"]
    assert "refused" in done.err
    assert Path("pins.toml").read_text(encoding="utf-8") == before
    assert len(journal()) == 1


def test_every_address_is_a_server(
    out: Run,
    server: Nginx,
    connection: tuple[str, ...],
    identity: Identity,
    intermediate: Authority,
) -> None:
    server.use(HOST, intermediate.issue(HOST))
    with nginx({HOST: identity}) as second:
        other = ("--connect", f"127.0.0.1:{second.port}")
        status = out("rotate", "status", *connection, *other, "--json").json
        assert len(status["hosts"][0]["vantages"]) == 2
        _, facts = stepped(out, "finish", str(identity.pin), *connection, *other)
        assert invariants(facts) == ["still-served"]
        assert f":{second.port}" in facts["breaches"][0]["problem"]
    _, facts = stepped(out, "finish", str(identity.pin), *connection)
    assert [each["step"] for each in facts["events"]] == ["retire"]
    assert invariants(facts) == ["served-chain"]  # the server may have to go back to it


def test_a_chain_from_a_file_counts_as_a_server(
    out: Run,
    server: Nginx,
    connection: tuple[str, ...],
    identity: Identity,
    intermediate: Authority,
) -> None:
    server.use(HOST, intermediate.issue(HOST))
    Path("eu.pem").write_bytes(identity.chain_pem)
    _, facts = stepped(out, "finish", str(identity.pin), *connection, "--served", f"{HOST}=eu.pem")
    assert invariants(facts) == ["still-served"]
    assert "file eu.pem" in facts["breaches"][0]["problem"]


def test_a_draft_that_refuses_the_served_chain_is_not_published(
    out: Run, connection: tuple[str, ...], identity: Identity
) -> None:
    out("rotate", "start", "--new", "new.key")
    hurt = out("rotate", "emergency", str(identity.pin), "--stolen", *connection)
    assert hurt.code == 0
    assert "certpin rotate switch" in hurt.out
    done, facts = stepped(out, "shipped", next_number(), *connection)
    assert (done.code, invariants(facts)) == (1, ["served-chain"])
    assert facts["breaches"][0]["clients"] == 1200
    assert [event.step for event in journal()][-1] == "compromise"


def test_a_stolen_key_is_replaced_in_the_order_of_the_documentation(
    run: Run, server: Nginx, ca: Path, intermediate: Authority, identity: Identity
) -> None:
    connect_args = ("--connect", f"127.0.0.1:{server.port}")
    spare = intermediate.issue(HOST)
    Path("b.key").write_bytes(spare.key_pem)
    write(kit.policy(HOST, identity.pin, spare.pin), trust=ca)
    assert run("rotate", "shipped", next_number(), *connect_args).code == 0
    days_pass(40)
    old = PinSet.load("pins.toml")
    steps: list[tuple[str, ...]] = [
        ("start", "--new", "next.key"),
        ("emergency", str(identity.pin), "--stolen", *connect_args),
        ("switch", "b.key", *connect_args),
    ]
    assert [run("rotate", *words).code for words in steps] == [0, 0, 0]
    assert stepped(run, "shipped", next_number(), *connect_args)[0].code == 1
    plan = run("rotate", "plan", "--to", "b.key", *connect_args, "--json").json["hosts"][0]
    assert [step["act"] for step in plan["steps"]] == ["serve", "publish"]
    server.use(HOST, spare)
    assert run("rotate", "shipped", next_number(), *connect_args).code == 0
    new = PinSet.load("pins.toml")
    assert (accepts(old, server), accepts(new, server)) == (True, True)
    server.use(HOST, identity)
    assert (accepts(old, server), accepts(new, server)) == (True, False)


def test_a_plan_says_when_to_renew_with_the_same_key(
    out: Run, connection: tuple[str, ...], identity: Identity
) -> None:
    """A certificate of the tests expires before T_adopt, the time clients need for new pins."""
    words = ("--to", str(kit.NOBODY_ELSE), *connection, "--opened", "60d")
    done = out("rotate", "plan", *words)
    assert ": renew the certificate with the same key and authority: it expires" in done.out
    expires = identity.certificate.not_after
    (host,) = out("rotate", "plan", *words, "--json").json["hosts"]
    assert host["renew_by"] == expires.isoformat()
    (host,) = out("rotate", "plan", *words, "--opened", "1d", "--json").json["hosts"]
    assert host["renew_by"] is None


def test_a_plan_has_the_command_and_date_of_each_step(
    out: Run, connection: tuple[str, ...], identity: Identity
) -> None:
    done = out("rotate", "plan", "--to", str(kit.NOBODY_ELSE), *connection)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"{HOST}: to {kit.NOBODY_ELSE}"
    assert [line.split(":")[0].strip() for line in lines if line[2:3].isdigit()][:2] == [
        "1. now",
        "2. now",
    ]
    assert "if version 4 goes out now" in done.out
    way = " ".join(connection)
    assert f"       certpin rotate finish {identity.pin} {way}" in lines
    assert f"       certpin rotate start {kit.NOBODY_ELSE}" in lines  # it connects to no server
    facts = out("rotate", "plan", "--to", str(kit.NOBODY_ELSE), *connection, "--json").json
    _documented.check("rotation plan", facts)
    assert [step["act"] for step in facts["hosts"][0]["steps"]] == [
        *("stage", "publish", "activate", "serve", "retire", "remove", "publish"),
    ]


def test_the_status_draws_each_pin(
    out: Run, connection: tuple[str, ...], identity: Identity
) -> None:
    done = out("rotate", "status", HOST, *connection)
    assert (done.code, done.err) == (0, "")
    assert "T_adopt 9d2h: cdn 0s + cache 0s + poll 1h + opened 9d + skew 1h" in done.out
    assert "version 3, fetched, until the next version, held by 1200 clients" in done.out
    line = "    generated ━ staged ━ published ━ adopted ━ ACTIVE ┄ retiring ┄ removed"
    assert line in done.out.splitlines()
    assert max(len(line) for line in done.out.splitlines() if "┄" in line) < 80
    assert f"served by {HOST}:443 at 127.0.0.1" in done.out
    assert "    switch    safe" in done.out.splitlines()
    facts = out("rotate", "status", *connection, "--json").json
    _documented.check("rotation status", facts)
    leaf, backup = facts["hosts"][0]["pins"]
    assert (leaf["state"], backup["state"]) == ("active", "adopted")
    assert leaf["pin"] == str(identity.pin)


def test_no_answer_is_inconclusive_for_a_step_that_needs_the_served_chain(
    out: Run, identity: Identity
) -> None:
    dead = ("--connect", "127.0.0.1:9", "--timeout", "1")
    for key in (identity.pin, kit.NOBODY):
        assert out("rotate", "finish", str(key), *dead).code == 3
    assert out("rotate", "shipped", next_number(), *APP, *dead).code == 3
    assert out("rotate", "plan", "--to", str(kit.NOBODY), *dead).code == 3
    status = out("rotate", "status", *dead)
    assert (status.code, "Not known: which keys " in status.out) == (3, True)
    _, facts = stepped(out, "switch", str(kit.NOBODY), *dead)
    assert invariants(facts) == ["unlisted"], "another server was contacted before"


def test_a_publish_without_an_answer_is_forced_and_recorded(out: Run) -> None:
    dead = ("--connect", "127.0.0.1:9", "--timeout", "1")
    _, facts = stepped(
        out, "shipped", next_number(), *APP, *dead, "--force", "--reason", "the data centre burns"
    )
    assert (facts["done"], invariants(facts)) == (True, ["unlisted"])
    assert facts["unknown"][0].startswith(f"which keys {HOST}:443 serves: ")
    assert journal()[-1].reason == "the data centre burns"


def test_a_server_without_a_verified_chain_is_accepted_by_no_version(
    out: Run, server: Nginx, connection: tuple[str, ...]
) -> None:
    stranger = LabAuthority("Stranger").issue(HOST)
    server.use(HOST, stranger)
    done = out("rotate", "status", *connection)
    assert (done.code, "serves no chain that verifies" in done.out) == (1, True)
    _, facts = stepped(out, "shipped", next_number(), *APP, *connection)
    assert invariants(facts) == ["served-chain"]
    text = Path("pins.toml").read_text(encoding="utf-8")
    seen = f'\n[[host.pin]]\npin = "{stranger.pin}"\nrole = "backup"\nstate = "staged"\n'
    Path("pins.toml").write_text(text + seen, encoding="utf-8")
    _, facts = stepped(out, "shipped", next_number(), *connection)
    assert invariants(facts) == ["vantage", "served-chain"]
