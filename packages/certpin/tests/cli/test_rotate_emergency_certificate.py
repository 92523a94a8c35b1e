"""``certpin rotate emergency`` for a key with a pinned certificate (cert-sha256)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from certpin.pinfile import PinSet
from certpin.pins import HostPin, Pin, pins_of
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import Bank, days_pass, journal, next_number
from tests.cli.conftest import HOST, Run

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


def _publish(bank: Bank, *hosts: list[HostPin]) -> None:
    """Record the pins of ``HOST`` and ``OTHER`` as the only version that clients have."""
    Path("pins.journal.jsonl").unlink()
    write(
        *(
            replace(kit.policy(name, bank.a.pin, bank.b.pin), pins=tuple(pins))
            for name, pins in zip((HOST, OTHER), hosts, strict=False)
        ),
        trust=Path("root.pem"),
    )
    shipped = bank.run("rotate", "shipped", next_number(), "--offline", "--clients", "1200")
    assert shipped.code == 0, shipped.err
    days_pass(100)


def recorded() -> set[tuple[str, Pin | None]]:
    """Return the host and pin of each theft in the journal."""
    return {(event.host, event.pin) for event in journal() if event.step == "compromise"}


def marked(host: int = 0) -> set[Pin]:
    return set(PinSet.load("pins.toml").policies[host].compromised)


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
