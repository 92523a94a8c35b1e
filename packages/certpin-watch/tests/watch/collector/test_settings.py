"""Check how the table ``[collector]`` and the URL of the NATS server are read.

No error message contains the URL, because it may have a password.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin.pinfile.file import Table
from certpin_watch.secret import Secret
from certpin_watch.settings import CollectorSettings, nats_address, nats_authorities
from certpin_watch.settings.reader import known_keys, read_table

if TYPE_CHECKING:
    from pathlib import Path


def test_every_setting_has_a_default_and_a_name() -> None:
    assert read_table(CollectorSettings, Table({}, "collector")) == CollectorSettings()
    assert {field.name for field in fields(CollectorSettings)} == set(known_keys(CollectorSettings))


def test_table_is_read() -> None:
    data = {
        "rate": 5,
        "hosts": ["Pins.Bank.Example"],
        "stream": "BANK_REPORTS",
    }
    found = read_table(CollectorSettings, Table(data, "collector"))
    assert (found.rate, found.hosts, found.stream) == (5, ("pins.bank.example",), "BANK_REPORTS")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"rate": 0}, "collector.rate: 0 is out of range"),
        ({"ipv4_prefix": 33}, "collector.ipv4_prefix"),
        ({"rate": "5"}, "collector.rate"),
        ({"stream": "a.*"}, "collector.stream"),
    ],
)
def test_mistake_is_reported_with_its_key(data: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_table(CollectorSettings, Table(data, "collector"))


PASSWORD = "letters4and9digits"


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("tls://watch:{}@nats.bank.example:4222", "tls://watch:{}@nats.bank.example:4222"),
        ("nats://watch:{}@127.0.0.1:4222", "nats://watch:{}@127.0.0.1:4222"),
        ("nats://{}@[::1]", "nats://{}@[::1]"),
        ("nats://localhost", "nats://localhost"),
        ("nats://watch:{}@nats:4222?tls=disable", "nats://watch:{}@nats:4222"),
    ],
)
def test_address_is_accepted_if_the_connection_is_protected_or_trusted(
    written: str, taken: str
) -> None:
    assert nats_address(Secret(written.format(PASSWORD))) == taken.format(PASSWORD)


@pytest.mark.parametrize(
    "written",
    [
        "nats://watch:{}@nats.bank.example:4222",
        "nats://watch:{}@10.0.0.5",
        "nats://watch:{}@127.0.0.1.bank.example",
        "nats://watch:{}@nats.localhost",  # a resolver may look it up in the network
    ],
)
def test_clear_text_to_another_machine_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="is protected") as refused:
        nats_address(Secret(written.format(PASSWORD)))
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "nats.bank.example:4222",
        "nats://",
        "ws://watch:{}@nats.bank.example",
        "tls://watch:{}@nats.bank.example:port",
        "tls://watch:{}@[nats.bank.example",
        "nats://watch:{}@nats.bank.example?tls=off",
        "nats://watch:{}#@nats.bank.example",
    ],
)
def test_invalid_address_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="not the address of a NATS server") as refused:
        nats_address(Secret(written.format(PASSWORD)))
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_used_are_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"ca\.pem has no authorities that can be used") as caught:
        nats_authorities(path)
    assert caught.value.key == "nats_ca"
    assert nats_authorities(None) is None
