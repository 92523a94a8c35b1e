"""Check how the table ``[monitor]`` is read, and which targets its hosts and the pin files give."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certpin.errors import ConfigError
from certpin.pinfile.file import Table
from certpin.pins import HostPolicy, HostServer
from certpin.rotation import History
from certpin_watch.monitor.targets import Target, distinct_targets, monitored_policies
from certpin_watch.settings import MonitorSettings
from certpin_watch.settings.reader import read_table
from certpin_watch.snapshot import MonitoredPinSet
from tests import kit
from tests.watch.rules._probes import NOW


def read(**data: Any) -> MonitorSettings:
    return read_table(MonitorSettings, Table(data, "monitor"))


def targets(*patterns: str, trust: Any = None, **data: Any) -> list[Target]:
    return targets_for(*(kit.policy(pattern, trust=trust) for pattern in patterns), **data)


def targets_for(*policies: HostPolicy, **data: Any) -> list[Target]:
    pins = kit.pin_set(*policies)
    watched = MonitoredPinSet(Path("pins.toml"), pins, History())
    return list(distinct_targets(monitored_policies([watched], read(**data), NOW)))


def test_everything_has_a_default() -> None:
    assert read() == MonitorSettings()


def test_values_are_read() -> None:
    found = read(interval="1h", window=9, vantage="", vantages=["fra1"], certificate_warning="9d")
    assert (found.interval, found.window) == (timedelta(hours=1), 9)
    assert (found.location, found.locations) == ("", ("fra1",))


@pytest.mark.parametrize(
    "data",
    [
        {"interval": "soon"},
        {"interval": "1s"},
        {"window": 0},
        {"vantage": "Frankfurt 1"},
        {"vantages": ["a.b"]},
        {"host": [{"port": 443}]},
        {"host": [{"name": "a..b"}]},
        {"host": [{"name": "a.test", "port": 0}]},
        {"host": [{"name": "a.test", "starttls": "gopher"}]},
        {"host": [{"name": "a.test", "connect": "a..b"}]},
        {"host": [{"name": "a.test", "adress": "192.0.2.7"}]},
    ],
)
def test_an_invalid_setting_is_refused_with_its_key(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**data)
    assert refused.value.key.startswith("monitor.")
    assert refused.value.fix


def test_exact_hosts_and_the_apex_of_a_subtree_are_targets_and_a_wildcard_is_not() -> None:
    found = targets("api.bank.test", "**.bank.test", "*.bank.test")
    assert [(target.host, target.port) for target in found] == [
        ("api.bank.test", 443),
        ("bank.test", 443),
    ]


def test_hosts_of_the_settings_replace_the_host_itself() -> None:
    ways = [
        {"name": "WWW.bank.test", "connect": "192.0.2.7"},
        {"name": "www.bank.test", "connect": "192.0.2.8:8443", "vantages": ["fra1"]},
        {"name": "mail.bank.test", "starttls": "smtp"},
        {"name": "elsewhere.test"},
    ]
    found = targets("*.bank.test", host=ways)
    assert [(target.key, target.locations) for target in found] == [
        (("www.bank.test", 443, "at 192.0.2.7:443"), ("local",)),
        (("www.bank.test", 443, "at 192.0.2.8:8443"), ("fra1",)),
        (("mail.bank.test", 25, "starttls smtp"), ("local",)),
    ]


def test_the_servers_of_the_pin_file_are_targets() -> None:
    servers = (HostServer(port=8443), HostServer("192.0.2.7", 587, "smtp"))
    www = HostServer("www.shop.test", 9443)
    policies = (
        kit.policy("api.bank.test", servers=servers),
        kit.policy("*.shop.test", servers=(www,)),
    )
    assert [target.key for target in targets_for(*policies)] == [
        ("api.bank.test", 8443, ""),
        ("api.bank.test", 587, "at 192.0.2.7:587, starttls smtp"),
        ("www.shop.test", 9443, ""),
    ]


def test_an_entry_with_only_a_name_keeps_the_servers_and_one_with_a_port_replaces_them() -> None:
    policy = kit.policy("api.bank.test", servers=(HostServer(port=8443),))
    (kept,) = targets_for(policy, host=[{"name": "api.bank.test", "every_address": True}])
    assert (kept.key, kept.every_address) == (("api.bank.test", 8443, "each address"), True)
    (replaced,) = targets_for(policy, host=[{"name": "api.bank.test", "port": 9443}])
    assert replaced.key == ("api.bank.test", 9443, "")


def test_other_trust_anchors_make_another_target(root: Any) -> None:
    (found,) = targets("api.bank.test", trust=kit.anchors(root))
    assert found.way == f"trust {kit.anchors(root).digest.hex()[:16]}"


def test_an_address_is_not_resolved() -> None:
    found = targets("192.0.2.7", "api.bank.test", every_address=True)
    assert [target.every_address for target in found] == [False, True]


def test_a_host_of_two_pin_sets_is_one_target() -> None:
    assert len(targets("api.bank.test")) == 1
    pins = kit.pin_set(kit.policy("api.bank.test"))
    sets = [MonitoredPinSet(Path(name), pins, History()) for name in ("a.toml", "b.toml")]
    found = monitored_policies(sets, read(), NOW)
    assert len(found) == 2
    assert len(distinct_targets(found)) == 1


def test_the_locations_of_equal_targets_are_joined() -> None:
    hosts = [
        {"name": "api.bank.test", "vantages": ["fra1", "zrh1"]},
        {"name": "api.bank.test", "port": 443, "vantages": ["zrh1", "tyo1"]},
    ]
    (found,) = targets("api.bank.test", host=hosts)
    assert found.locations == ("fra1", "zrh1", "tyo1")
