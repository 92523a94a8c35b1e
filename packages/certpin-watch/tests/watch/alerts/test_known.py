"""What silences and services may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from certpin.errors import InputError
from certpin.rotation import History
from certpin_watch.alerts.known import check_rule, doubt, doubts, rule_names
from certpin_watch.alerts.settings import Settings as AlertSettings
from certpin_watch.alerts.settings import Tell
from certpin_watch.monitor.settings import HostSettings
from certpin_watch.monitor.settings import Settings as MonitorSettings
from certpin_watch.secret import Secret
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import Snapshot, WatchedSet
from tests import kit

SNAPSHOT = Snapshot(
    (
        WatchedSet(
            Path("pins.toml"),
            kit.pin_set(kit.policy("api.bank.example"), kit.policy("*.cdn.example")),
            History(),
        ),
    )
)


def test_a_rule_of_either_kind_is_known_and_the_nearest_is_named() -> None:
    for rule in ("pin-mismatch", "strange-chain"):
        check_rule(rule)
    assert list(rule_names()) == sorted(set(rule_names()))
    with pytest.raises(InputError, match=r"there is no rule strange\\x1b") as refused:
        check_rule("strange\x1bchain")
    assert refused.value.fix.startswith("did you mean strange-chain? There are ")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("api.bank.example", ""),
        ("*.cdn.example", ""),
        ("a.cdn.example", "what the monitor finds is told of *.cdn.example: a.cdn.example is"),
        ("api.bank.exmple", "no pin file that is watched has api.bank.exmple: did you mean api."),
        ("nonsense..", "no pin file that is watched has nonsense.."),
    ],
)
def test_a_host_that_may_never_match_is_doubted(host: str, why: str) -> None:
    said = doubt(host, SNAPSHOT)
    assert said.startswith(why) if why else not said
    assert doubt(host, Snapshot()) == ""  # nobody knows yet


def test_the_hosts_of_settings_are_doubted_by_where_they_stand() -> None:
    url = Secret("json://127.0.0.1")
    right = Tell("right", url, hosts=("api.bank.example", "**.bank.example", "b.cdn.example"))
    wrong = Tell("wrong", url, hosts=("api.bnk.example",))
    ways = (HostSettings("a.cdn.example"), HostSettings("ape.bank.example"))
    settings = ServiceSettings(
        alerts=AlertSettings(tell=(right, wrong)), monitor=MonitorSettings(hosts=ways)
    )
    assert [each.partition(": no")[0] for each in doubts(settings, SNAPSHOT)] == [
        "monitor.host ape.bank.example",
        "alerts.tell wrong",
    ]
