"""``certpin rotate emergency`` for a key with a pinned certificate (cert-sha256)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.pinfile import PinSet
from certpin.pins import HostPin, Pin, pins_of
from certpin.rotation import Event, format_journal
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import Bank, all_events, days_pass, journal, next_number
from tests.cli.conftest import HOST, Run
from tests.servers.nginx import nginx

if TYPE_CHECKING:
    from tests.cli.conftest import Done

OTHER = "pay.bank.example"


@pytest.fixture
def bank(run: Run) -> Bank:
    """A bank with clients that pin the certificate of key A, beside the backups B and N."""
    bank = Bank(run)
    _, certificate = pins_of(bank.a.certificate)
    _publish(bank, [HostPin(certificate, "leaf", "active"), *_backups(bank)])
    return bank


def _backups(bank: Bank) -> list[HostPin]:
    return [HostPin(each.pin, "backup", "published") for each in (bank.b, bank.n)]


def _publish(bank: Bank, *hosts: list[HostPin], port: int | None = None) -> None:
    """Record the pins of ``HOST`` and ``OTHER`` as the only version that clients have.

    Args:
        bank: the bank.
        hosts: the pins of each host.
        port: the port of the real server of ``HOST``, to contact it; None to contact no server.
    """
    Path("pins.journal.jsonl").unlink()
    write(
        *(
            replace(kit.policy(name, bank.a.pin, bank.b.pin), pins=tuple(pins))
            for name, pins in zip((HOST, OTHER), hosts, strict=False)
        ),
        trust=Path("root.pem"),
    )
    if port:
        with Path("pins.toml").open("a", encoding="utf-8") as file:
            file.write(f'[[host.server]]\naddress = "127.0.0.1:{port}"\n')
    offline = () if port else ("--offline",)
    shipped = bank.run("rotate", "shipped", next_number(), *offline, "--clients", "1200")
    assert shipped.code == 0, shipped.err
    days_pass(100)


@pytest.fixture
def seen(bank: Bank) -> Bank:
    """The bank, after a step recorded the certificate of its real server, which is down now."""
    _, certificate = pins_of(bank.a.certificate)
    with nginx({HOST: bank.a}) as server:
        _publish(bank, [HostPin(certificate, "leaf", "active"), *_backups(bank)], port=server.port)
    return bank


def offline(bank: Bank, *words: str) -> Done:
    """Run a rotation command that contacts no server and reads no file of a chain."""
    return bank.run("rotate", *words, "--offline")


def recorded() -> set[tuple[str, Pin | None]]:
    """Return the host and pin of each theft in the journal."""
    return {(event.host, event.pin) for event in journal() if event.step == "compromise"}


def marked(host: int = 0) -> set[Pin]:
    return set(PinSet.load("pins.toml").policies[host].compromised)


def test_a_stolen_key_with_a_pinned_certificate_is_one_line(bank: Bank) -> None:
    key, certificate = pins_of(bank.a.certificate)
    used = [HostPin(key, "leaf", "active"), HostPin(certificate, "leaf", "active")]
    _publish(bank, [*used, *_backups(bank)])
    bank("emergency", "a.key", "--stolen")
    assert {key, certificate} <= marked()
    [line] = [each for each in bank("status").out.splitlines() if "STOLEN:" in each]
    assert f"  STOLEN: {key}: 1200 clients may accept the key" in line
    bank("emergency", "b.key", "--stolen")
    exposures = bank("status", "--json").json["hosts"][0]["exposures"]
    assert {each["pin"] for each in exposures} == {str(key), str(bank.b.pin)}


@pytest.mark.parametrize("name", ["a.key", "a.pem"])
def test_the_certificate_of_a_stolen_key_is_recorded_and_marked(bank: Bank, name: str) -> None:
    done = bank("emergency", name, "--stolen")
    pins = set(pins_of(bank.a.certificate))
    assert (done.code, marked(), recorded()) == (0, pins, {(HOST, pin) for pin in pins})
    assert "1200 clients may accept the key" in done.out
    assert f"The same key has {pins_of(bank.a.certificate)[1]}: recorded, too." in done.out
    before = Path("pins.journal.jsonl").read_bytes()
    path = bank.emergency(name, "--stolen")[1]
    assert Path("pins.journal.jsonl").read_bytes() == before
    bank.follow(path)
    assert bank.emergency(name, "--stolen")[1]["steps"] == []


def test_a_certificate_that_no_server_showed_may_have_the_stolen_key(bank: Bank) -> None:
    """At 3 a.m., servers may be down. Clients that pin only the certificate accept its key."""
    _, certificate = pins_of(bank.a.certificate)
    question = f"whether {certificate} is the certificate of this key: then no server may use it"
    done = bank.run("rotate", "emergency", "a.key", "--stolen", "--offline")
    assert "1200 clients may accept the key" in done.out
    assert (done.code, done.out.count(f"Not known: {question}")) == (0, 1)
    again = bank("emergency", "a.key", "--stolen")  # with the file of the certificate
    assert "is the certificate of this key" not in again.out
    assert marked() == set(pins_of(bank.a.certificate))


def test_a_named_certificate_is_recorded_although_no_server_presents_it(bank: Bank) -> None:
    bank.install(bank.n)
    bank("emergency", "a.pem", "--stolen")
    assert marked() == set(pins_of(bank.a.certificate))


def test_a_stolen_certificate_is_recorded_with_its_key(bank: Bank) -> None:
    key, certificate = pins_of(bank.a.certificate)
    assert bank("emergency", str(certificate), "--stolen").code == 0
    assert recorded() == {(HOST, key), (HOST, certificate)}
    renewed = bank.issuer.issue(HOST, key=bank.a.key)
    Path("renewed.pem").write_bytes(renewed.chain_pem)
    refused = bank("switch", "renewed.pem")
    assert (refused.code, f"{key} is COMPROMISED" in refused.err) == (1, True)


def test_servers_may_not_go_back_to_the_certificate(bank: Bank) -> None:
    _, certificate = pins_of(bank.a.certificate)
    bank("emergency", "a.key", "--stolen")
    bank.install(bank.b)  # no server shows that the certificate is of the stolen key
    for key in (str(certificate), "a.pem"):
        assert bank("switch", key).code == 1
        forced = bank("switch", key, "--force", "--reason", "x")
        assert (forced.code, "also not with --force" in forced.err) == (2, True)


def test_a_chain_with_a_stolen_certificate_is_not_forced(bank: Bank) -> None:
    """Its key is unknown: no server presented it when the theft was recorded."""
    _, certificate = pins_of(bank.a.certificate)
    bank.run("rotate", "emergency", str(certificate), "--stolen", "--offline")
    bank.install(bank.b)
    forced = bank("switch", "a.pem", "--force", "--reason", "x")
    assert (forced.code, f"{certificate} is COMPROMISED" in forced.err) == (2, True)


@pytest.mark.parametrize("by", ["certificate", "issuer"])
def test_a_theft_is_recorded_at_another_host_too(bank: Bank, by: str) -> None:
    """The other host uses the same key, and pins its certificate or its issuer."""
    other = bank.issuer.issue(OTHER, key=bank.a.key)
    key, certificate = pins_of(other.certificate)
    first = (
        HostPin(certificate, "leaf", "active")
        if by == "certificate"
        else HostPin(bank.issuer.pin, "intermediate", "active")
    )
    _publish(bank, [HostPin(key, "leaf", "active"), *_backups(bank)], [first, *_backups(bank)])
    assert bank("emergency", str(key), "--stolen").code == 0
    assert recorded() == {(HOST, key)}
    bank.install(other)
    refused = bank("shipped", next_number())
    fix = f"certpin rotate emergency {key} --stolen --host {OTHER}"
    assert (refused.code, fix in refused.err) == (1, True)
    assert bank("emergency", str(key), "--stolen", "--host", OTHER).code == 0
    pins = {key, certificate} if by == "certificate" else {key}
    assert recorded() == {(HOST, key)} | {(OTHER, pin) for pin in pins}
    assert marked(1) == pins


# A real server showed the certificate before, and the journal has it. No server answers now.


@pytest.mark.peer("nginx")
def test_a_step_records_the_certificate_of_its_server(seen: Bank) -> None:
    (event,) = (each for each in all_events() if each.step == "observe")
    assert (event.pin, event.certificate) == pins_of(seen.a.certificate)


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("fact", ["stolen", "lost"])
@pytest.mark.parametrize("named", ["key", "certificate"])
def test_a_certificate_that_a_server_showed_once_is_of_the_stolen_or_lost_key(
    seen: Bank, fact: str, named: str
) -> None:
    key, certificate = pins_of(seen.a.certificate)
    name = "a.key" if named == "key" else str(certificate)
    done = offline(seen, "emergency", name, f"--{fact}")
    state = "COMPROMISED" if fact == "stolen" else "LOST"
    other = certificate if named == "key" else key
    assert f"The same key has {other}: recorded, too." in done.out
    assert (done.code, "is the certificate of this key" in done.out) == (0, False)
    assert "IS IT THE RIGHT KEY?" not in done.out
    (policy,) = PinSet.load("pins.toml").policies
    assert {each.state for each in policy.pins if each.pin == certificate} == {state.lower()}
    for command, *words in (("switch", str(certificate)), ("switch", "a.pem")):
        refused = offline(seen, command, *words)
        assert (refused.code, f"is {state}" in refused.err) == (1, True)
        forced = offline(seen, command, *words, "--force", "--reason", "x")
        assert (forced.code, "also not with --force" in forced.err) == (2, True)
    again = seen.run("rotate", "start", str(certificate))
    assert (again.code, f"is {state}" in again.err) == (2, True)
    (host,) = offline(seen, "status", "--json").json["hosts"]
    states = {each["pin"]: each["state"] for each in host["pins"]}
    assert states[str(certificate)] == state.lower()
    before = Path("pins.journal.jsonl").read_bytes()
    assert offline(seen, "emergency", name, f"--{fact}").code == 0
    assert Path("pins.journal.jsonl").read_bytes() == before


def test_a_theft_is_recorded_at_each_host_that_pins_the_certificate(bank: Bank) -> None:
    """The certificate has two names. Only the server of one host showed it."""
    key, certificate = pins_of(bank.a.certificate)
    entry = HostPin(certificate, "leaf", "active")
    by_issuer = HostPin(bank.issuer.pin, "intermediate", "active")
    hosts = [entry, *_backups(bank)], [by_issuer, *_backups(bank)]
    _publish(bank, *hosts[::-1])
    at = all_events()[0].time
    line = Event(at, "ada", "observe", HOST, key, server="192.0.2.9:443", certificate=certificate)
    with Path("pins.journal.jsonl").open("a", encoding="utf-8") as file:
        file.write(format_journal([line]))
    assert offline(bank, "emergency", "a.key", "--stolen").code == 0
    assert recorded() == {(HOST, key), (OTHER, key), (OTHER, certificate)}
    assert marked(1) == {key, certificate}


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("fact", ["stolen", "lost"])
def test_the_path_that_is_printed_offline_leads_to_the_only_backup(bank: Bank, fact: str) -> None:
    """The pin file has two pins, so the mark of the certificate follows with the next backup."""
    _, certificate = pins_of(bank.a.certificate)
    pins = [HostPin(certificate, "leaf", "active"), *_backups(bank)[:1]]
    with nginx({HOST: bank.a}) as server:
        _publish(bank, pins, port=server.port)
    (path,) = offline(bank, "emergency", "a.key", f"--{fact}", "--json").json["hosts"]
    bank.follow(path)
    assert bank.emergency("a.key", f"--{fact}")[1]["steps"] == []
    assert certificate not in PinSet.load("pins.toml").policies[0].live_pins


@pytest.mark.peer("nginx")
def test_only_clients_that_pin_the_certificate_accept_the_stolen_key(seen: Bank) -> None:
    """A version without the pin of the certificate refuses the key."""
    days_pass(1)
    write(kit.policy(HOST, seen.b.pin, seen.n.pin), trust=Path("root.pem"))
    shipped = offline(seen, "shipped", next_number(), "--force", "--reason", "x")
    assert shipped.code == 0, shipped.err
    done = offline(seen, "emergency", "a.key", "--stolen", "--json")
    (host,) = done.json["hosts"]
    assert [each["versions"] for each in host["exposure"]["stages"]] == [[3]]


@pytest.mark.peer("nginx")
def test_the_journal_of_an_older_certpin_has_no_certificates(seen: Bank) -> None:
    _, certificate = pins_of(seen.a.certificate)
    events = [replace(each, certificate=None) for each in all_events()]
    Path("pins.journal.jsonl").write_text(format_journal(events), encoding="utf-8")
    done = offline(seen, "emergency", "a.key", "--stolen")
    assert f"Not known: whether {certificate} is the certificate of this key" in done.out
    assert marked() == {seen.a.pin}


def test_an_observation_of_another_person_shows_whose_certificate_it_is(bank: Bank) -> None:
    """The theft was recorded first. A merge brings the observation, of a server that is gone."""
    key, certificate = pins_of(bank.a.certificate)
    assert offline(bank, "emergency", "a.key", "--stolen").code == 0
    assert marked() == {key}
    at = all_events()[0].time
    server = "192.0.2.9:443"
    merged = Event(at, "ben", "observe", HOST, key, server=server, problem="certificate expired")
    gone = Event(at + timedelta(hours=1), "ben", "gone", HOST, server=server, reason="moved")
    lines = format_journal([replace(merged, certificate=certificate), gone])
    with Path("pins.journal.jsonl").open("a", encoding="utf-8") as file:
        file.write(lines)
    refused = offline(bank, "switch", str(certificate))
    assert (refused.code, f"{certificate} is COMPROMISED" in refused.err) == (1, True)
    assert offline(bank, "switch", "b.key").code == 0
    assert marked() == {key, certificate}


@pytest.mark.peer("nginx")
def test_another_certificate_is_still_accepted_after_a_theft(bank: Bank) -> None:
    """Servers with two certificates: the journal knows the keys of both, and one is stolen."""
    (_, first), (_, second) = (pins_of(each.certificate) for each in (bank.a, bank.b))
    pins = [HostPin(each, "leaf", "active") for each in (first, second)]
    with nginx({HOST: bank.a}) as server:
        _publish(bank, [*pins, HostPin(bank.n.pin, "backup", "published")], port=server.port)
        server.use(HOST, bank.b)
        assert bank.run("rotate", "switch", "n.key").code == 0
    shown = {each.certificate for each in all_events() if each.step == "observe"}
    assert shown == {first, second}
    assert offline(bank, "emergency", "a.key", "--stolen").code == 0
    assert marked() == set(pins_of(bank.a.certificate))
    assert offline(bank, "switch", str(first)).code == 1
    for name in (str(second), "b.pem"):
        done = offline(bank, "switch", name)
        assert done.code == 0, done.err


def test_servers_go_back_to_a_certificate_without_a_new_one(bank: Bank) -> None:
    """A new certificate for its key is another one, which no client accepts for that pin."""
    _, certificate = pins_of(bank.a.certificate)
    _publish(bank, [HostPin(certificate, "leaf", "active"), *_backups(bank)[:1]])
    assert bank("start", "--new", "next.key").code == 0
    assert bank("switch", "b.key").code == 0
    bank.install(bank.b)
    done, host = bank.emergency("b.key", "--stolen")
    assert done.code == 0
    acts = [(step["act"], step["pin"]) for step in host["steps"][:2]]
    assert acts == [("switch", str(certificate)), ("install", str(certificate))]
    assert f"Let servers use the replaced certificate {certificate}." in host["steps"][0]["text"]
