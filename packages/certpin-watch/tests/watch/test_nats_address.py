"""Which addresses of a NATS server are taken, and that none of them is shown."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError
from certpin_watch.collector.settings import nats_address
from certpin_watch.secret import Secret

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
def test_an_address_is_taken_where_the_way_is_protected_or_trusted(
    written: str, taken: str
) -> None:
    assert nats_address(Secret(written.format(PASSWORD))) == taken.format(PASSWORD)


@pytest.mark.parametrize(
    "written",
    [
        "nats://watch:{}@nats.bank.example:4222",
        "nats://watch:{}@10.0.0.5",
        "nats://watch:{}@127.0.0.1.bank.example",
        "nats://watch:{}@nats.localhost",  # a resolver may ask the network for it
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
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="not the address of a NATS server") as refused:
        nats_address(Secret(written.format(PASSWORD)))
    assert PASSWORD not in str(refused.value)
