"""The list of servers that ``certpin check`` would contact, computed without a connection."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.cli.servers import ServerOptions
from certpin.errors import HostError
from certpin.pins import HostServer
from certpin.probe import Endpoint
from tests import kit

PINS = kit.pin_set(kit.policy("a.example"), kit.policy("*.b.example"), kit.policy("**.c.example"))
A, B, C = PINS.policies


def targets(*hosts: str, connect: tuple[str, ...] = (), starttls: tuple[str, ...] = ()) -> object:
    return ServerOptions(hosts, connect, starttls).targets(PINS)


def test_every_policy_with_a_host_is_contacted_there() -> None:
    assert targets() == [(A, Endpoint("a.example")), (B, None), (C, Endpoint("c.example"))]


def test_only_named_hosts_are_contacted() -> None:
    assert targets("a.example:2") == [(A, Endpoint("a.example", 2))]
    assert targets("y.b.example") == [(B, Endpoint("y.b.example"))]
    assert targets("*.b.example", "**.C.example") == [(B, None), (C, Endpoint("c.example"))]


def test_an_option_for_a_host_that_is_left_out_is_accepted() -> None:
    ways = ("c.example=192.0.2.1", "a.example=192.0.2.2")
    assert targets("a.example", connect=ways) == [
        (A, Endpoint("a.example", 443, ("192.0.2.2", 443)))
    ]
    for host in ("d.example", "x.c.example"):
        with pytest.raises(click.UsageError, match="names a host that is not contacted"):
            targets("a.example", "c.example", connect=(f"{host}=192.0.2.1",))


@pytest.mark.parametrize("host", ["*.c.example", "**.example", "d.example"])
def test_a_name_that_is_not_in_the_file_is_refused(host: str) -> None:
    with pytest.raises(click.UsageError, match="no policy of the pin file covers it"):
        targets(host)


def test_the_servers_of_the_file_are_contacted_unless_others_are_named() -> None:
    servers = (HostServer(port=8443, region="eu"), HostServer("192.0.2.7", 9443, "smtp"))
    policy = kit.policy("a.example", servers=servers)
    pins = kit.pin_set(policy)
    here, there = Endpoint("a.example", 8443), Endpoint("a.example", 9443, ("192.0.2.7", 9443))

    def contacted(*hosts: str, connect: str = "", starttls: str = "") -> list[Endpoint | None]:
        ways = ServerOptions(hosts, (connect,) if connect else (), (starttls,) if starttls else ())
        return [endpoint for _, endpoint in ways.targets(pins)]

    assert contacted() == [here, replace(there, starttls="smtp")]
    assert contacted("a.example:9443") == [replace(there, starttls="smtp")]
    assert contacted("a.example:1") == [Endpoint("a.example", 1)]
    assert contacted(connect="192.0.2.9", starttls="ftp") == [
        Endpoint("a.example", 8443, ("192.0.2.9", 8443), starttls="ftp"),
        Endpoint("a.example", 9443, ("192.0.2.9", 9443), starttls="ftp"),
    ]


def test_a_wildcard_is_contacted_at_its_servers() -> None:
    servers = (HostServer("x.b.example", 8443), HostServer("y.b.example"))
    policy = kit.policy("*.b.example", servers=servers)
    found = ServerOptions((), (), ()).targets(kit.pin_set(policy))
    assert found == [(policy, Endpoint("x.b.example", 8443)), (policy, Endpoint("y.b.example"))]
    (named,) = ServerOptions(("x.b.example",), (), ()).targets(kit.pin_set(policy))
    assert named == (policy, Endpoint("x.b.example", 8443))


def test_a_server_is_contacted_for_the_policy_that_clients_use_for_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own, other = HostServer("y.b.example", 8443), HostServer("z.b.example", 8443)
    wild = kit.policy("*.b.example", servers=(own, other))
    exact = kit.policy("y.b.example", servers=(HostServer(port=8443),))
    deep, apex = kit.policy("**.c.example"), kit.policy("c.example")
    found = ServerOptions((), (), ()).targets(kit.pin_set(wild, exact, deep, apex))
    assert found == [
        (wild, Endpoint("z.b.example", 8443)),
        (exact, Endpoint("y.b.example", 8443)),
        (deep, None),
        (apex, Endpoint("c.example")),
    ]
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("certpin: warning: *.b.example lists y.b.example:8443, which is not ")
    assert "the pins of y.b.example there" in warning
    # At an address, the server of a wildcard has no other name than the wildcard's.
    at = kit.policy("**.c.example", servers=(HostServer("192.0.2.7"),))
    found = ServerOptions((), (), ()).targets(kit.pin_set(at, apex))
    assert found[0] == (at, Endpoint("c.example", 443, ("192.0.2.7", 443)))


def test_named_hosts_are_in_the_order_of_their_policies() -> None:
    assert targets("x.c.example", "y.b.example:1", "a.example:2", "z.b.example") == [
        (A, Endpoint("a.example", 2)),
        (B, Endpoint("y.b.example", 1)),
        (B, Endpoint("z.b.example")),
        (C, Endpoint("x.c.example")),
    ]


def test_an_address_is_for_one_host_or_for_all_others() -> None:
    connect = ("192.0.2.1:1", "A.example=[2001:db8::1]")
    assert targets(connect=connect) == [
        (A, Endpoint("a.example", 443, ("2001:db8::1", 443))),
        (B, None),
        (C, Endpoint("c.example", 443, ("192.0.2.1", 1))),
    ]


def test_a_protocol_is_for_one_host_or_for_all_others_and_brings_its_port() -> None:
    starttls = ("smtp", "a.example=postgres")
    found = targets(starttls=starttls, connect=("192.0.2.1",))
    assert found == [
        (A, Endpoint("a.example", 5432, ("192.0.2.1", 5432), starttls="postgres")),
        (B, None),
        (C, Endpoint("c.example", 25, ("192.0.2.1", 25), starttls="smtp")),
    ]


@given(st.text() | st.from_regex(r"[a-c.]{1,10}(=[a-z0-9.:\[\]]{0,9}){0,2}", fullmatch=True))
def test_any_option_is_read_or_refused(word: str) -> None:
    for words in ({"connect": (word,)}, {"starttls": (word,)}):
        try:
            targets(**words)
        except (HostError, click.UsageError):
            continue
