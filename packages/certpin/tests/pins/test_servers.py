"""The servers of a policy: the name to send to each, and that clients never use them."""

from __future__ import annotations

from typing import get_args

import pytest

from certpin import PinnedSSLContext
from certpin.errors import ConfigError, HostError
from certpin.pins import HostPattern, HostServer, StartTLS, utc_now
from certpin.pins.changes import changes
from certpin.pins.policy import meaning
from certpin.probe import PROTOCOLS, Endpoint, endpoint_at, served_at
from certpin.updates.trust import require_following
from tests import kit

HERE = HostServer("192.0.2.7", 8443)
WITHOUT = kit.pin_set(kit.policy("api.bank.example"))
WITH = kit.pin_set(kit.policy("api.bank.example", servers=(HERE,)))


def test_every_protocol_of_starttls_has_its_name_in_the_model() -> None:
    named = set(get_args(StartTLS))
    assert named == set(PROTOCOLS), "fix: list the protocol in StartTLS of pins/hosts.py"


@pytest.mark.parametrize(
    ("pattern", "address", "name"),
    [
        ("api.bank.example", "", "api.bank.example"),
        ("api.bank.example", "192.0.2.7", "api.bank.example"),
        ("api.bank.example", "edge.cdn.example", "api.bank.example"),
        ("*.bank.example", "www.bank.example", "www.bank.example"),
        ("*.bank.example", "edge.cdn.example", None),
        ("*.bank.example", "a.b.bank.example", None),
        ("*.bank.example", "", None),
        ("**.bank.example", "a.b.bank.example", "a.b.bank.example"),
        ("**.bank.example", "192.0.2.7", "bank.example"),
        ("**.bank.example", "", "bank.example"),
    ],
)
def test_the_name_that_a_server_is_asked_for(pattern: str, address: str, name: str | None) -> None:
    assert HostServer(address).name_for(HostPattern.parse(pattern)) == name


@pytest.mark.parametrize(
    ("server", "endpoint"),
    [
        (HostServer(), Endpoint("a.example")),
        (HostServer(port=8443), Endpoint("a.example", 8443)),
        (HostServer("a.example", 8443), Endpoint("a.example", 8443)),
        (HERE, Endpoint("a.example", 8443, ("192.0.2.7", 8443))),
        (HostServer("::1"), Endpoint("a.example", 443, ("::1", 443))),
        (HostServer(starttls="smtp"), Endpoint("a.example", 25, starttls="smtp")),
        (HostServer(port=587, starttls="smtp"), Endpoint("a.example", 587, starttls="smtp")),
    ],
)
def test_how_a_server_is_dialled(server: HostServer, endpoint: Endpoint) -> None:
    assert endpoint_at("a.example", server) == endpoint


def test_a_host_without_servers_is_served_at_its_own_name() -> None:
    assert served_at(kit.policy("a.example")) == (("a.example", HostServer()),)
    assert served_at(kit.policy("**.a.example")) == (("a.example", HostServer()),)
    assert served_at(kit.policy("*.a.example")) == ()


@pytest.mark.parametrize(
    ("pattern", "servers", "key"),
    [
        ("*.bank.example", (HostServer(),), "server[0].address"),
        ("*.bank.example", (HostServer("w.bank.example"), HERE), "server[1].address"),
        ("a.example", (HERE, HostServer(), HERE), "server[2]"),
        ("a.example", (HostServer(region="e" * 65),), "server[0].region"),
        ("a.example", (HostServer(region="eu\x1b[2J"),), "server[0].region"),
    ],
)
def test_servers_that_cannot_be_contacted_are_refused(
    pattern: str, servers: tuple[HostServer, ...], key: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        kit.policy(pattern, servers=servers)
    assert (refused.value.key, bool(refused.value.fix)) == (key, True)


@pytest.mark.parametrize("text", ["", "a b", "https://a.example:8443", "a.example/x", "a:0", "a@b"])
def test_an_invalid_server_address_is_refused(text: str) -> None:
    with pytest.raises(HostError):
        HostServer.parse(text)


@pytest.mark.parametrize("text", ["a.example", "a.example:8443", "[::1]:8443", "192.0.2.7:443"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert HostServer.parse(text).address_text(HostPattern.parse("b.example")) == text


def test_sets_that_differ_in_servers_only_are_the_same_for_clients() -> None:
    assert (WITH, hash(WITH.policies)) == (WITHOUT, hash(WITHOUT.policies))
    assert meaning(WITH) == meaning(WITHOUT)
    assert changes(WITHOUT, WITH, utc_now()) == ()


def test_a_swap_and_an_update_accept_other_servers_under_the_same_version() -> None:
    context = PinnedSSLContext(WITHOUT)
    context.swap(WITH)
    require_following(WITHOUT, WITH)
    require_following(WITH, WITHOUT)
