"""docs/guides/private-ca.md, followed by copy and paste, with servers on all of its ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.pinfile import PinSet
from tests import kit
from tests.documentation._blocks import blocks, shell_script
from tests.documentation._played import Served
from tests.documentation._reader import play

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE = "private-ca.pem"
SERVERS = (
    Served(("intranet.bank.example", "old.bank.example"), 443, _PRIVATE),
    Served(("api.bank.example", "eu.bank.example"), 8443),
    Served(("mail.bank.example",), 587, _PRIVATE, "smtp"),
)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.peer("unshare", "ip")
def test_each_server_is_pinned_and_checked_where_it_is(tmp_path: Path) -> None:
    reader = play(tmp_path, SERVERS, shell_script("guides/private-ca.md"))
    policies = {
        str(each.pattern): each for each in PinSet.load(reader.folder / "pins.toml").policies
    }
    assert set(policies) == {name for server in SERVERS for name in server.names}
    strict = {name: each.trust.strict for name, each in policies.items() if each.trust}
    assert strict == {
        "intranet.bank.example": None,
        "old.bank.example": False,
        "mail.bank.example": None,
    }
    ports = {name: [each.port for each in policy.servers] for name, policy in policies.items()}
    assert ports["api.bank.example"] == ports["eu.bank.example"] == [8443]
    assert "hello" in reader.output.splitlines()  # of certpin get


def test_the_servers_of_the_page_are_valid() -> None:
    (block,) = (each.text for each in blocks("guides/private-ca.md") if each.language == "toml")
    pins = f'[[host.pin]]\npin = "{kit.NOBODY}"\n[[host.pin]]\npin = "{kit.NOBODY_ELSE}"\n'
    parsed = PinSet.parse(f'schema = 1\nname = "bank"\nversion = 1\n{block}{pins}')
    assert [(each.port, each.region) for each in parsed.policies[0].servers] == [
        (8443, "eu"),
        (8443, "us"),
    ]
