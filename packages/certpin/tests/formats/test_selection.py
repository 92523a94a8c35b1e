"""Which policies are exported, and which exported wildcards apply to the other hosts."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError
from certpin.formats import FORMATS, only
from certpin.pins import HostServer
from tests.formats._files import PINS, two
from tests.formats._sets import compromised
from tests.kit import pin_set, policy

WIDE = two("**.bank.example")
API = policy("api.bank.example", *PINS[2:4])
SILENT = policy("api.bank.example", *PINS[:2], mode="report")


def test_a_host_that_a_wildcard_covers_gets_a_copy_of_its_policy() -> None:
    served = two("**.bank.example", servers=(HostServer("eu.bank.example"),))
    pins = pin_set(API, served)
    [found] = only(pins, ["WWW.bank.example"]).policies
    assert (found, found.servers) == (two("www.bank.example"), ())
    for pattern in ("api.bank.example", "**.bank.example"):
        assert [str(each.pattern) for each in only(pins, [pattern]).policies] == [pattern]
    several = only(pins, ["b.bank.example", "**.bank.example", "api.bank.example", "bank.example"])
    assert [str(each.pattern) for each in several.policies] == [
        *("api.bank.example", "b.bank.example", "**.bank.example", "bank.example")
    ]
    assert only(pins, []) == pins


@pytest.mark.parametrize("pattern", ["pay.example", "*.bank.example"])
def test_a_pattern_without_a_policy_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="no policy has the pattern"):
        only(pin_set(WIDE), [pattern])


@pytest.mark.parametrize("name", ["android", "okhttp-java", "flutter", "json"])
def test_a_wildcard_without_a_report_only_host_below_it_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match='mode = "report" and is left out') as caught:
        FORMATS[name].export(pin_set(WIDE), left_out=[SILENT])
    assert str(caught.value.fix).startswith("also export it: --host api.bank.example, and")


@pytest.mark.parametrize("name", ["json", "node", "go", "dotnet"])
def test_a_report_only_host_is_compared_with_every_exported_wildcard(name: str) -> None:
    """The first one only reports, and has an omission. The second one would enforce its pins."""
    watched = two("**.bank.example", mode="report")
    enforced = policy("*.bank.example", *PINS[2:4])
    silent = policy("**.x.bank.example", *PINS[4:6], mode="report")
    with pytest.raises(ConfigError, match="but the pins of \\*\\.bank\\.example would apply"):
        FORMATS[name].export(pin_set(watched, enforced), left_out=[silent])


@pytest.mark.parametrize("name", ["okhttp-kotlin", "android", "react-native", "json"])
def test_a_wildcard_with_a_key_that_is_stolen_at_a_host_below_it_is_refused(name: str) -> None:
    below = compromised(policy("api.bank.example", *PINS[2:4]), PINS[0])
    with pytest.raises(ConfigError, match=f"{PINS[0]} is compromised for api.bank.example"):
        FORMATS[name].export(pin_set(WIDE), left_out=[below])
    # Without the wildcard, the key is accepted only at hosts at which it is not stolen.
    pins = pin_set(WIDE, below)
    hosts = only(pins, ["www.bank.example", "api.bank.example"])
    assert len(FORMATS[name].export(hosts, left_out=[WIDE]).pins.policies) == 2


def test_a_host_below_two_exported_wildcards_is_reported_once() -> None:
    wider = policy("*.bank.example", *PINS[4:6])
    below = policy("**.x.bank.example", *PINS[2:4])
    made = FORMATS["json"].export(pin_set(WIDE, wider), left_out=[below])
    assert [each.host for each in made.omissions if each.aspect == "overlap"] == [
        str(below.pattern)
    ]


# The platforms with one entry for each name, which has a flag for its subdomains.
_FLAGS = [
    name
    for name, each in FORMATS.items()
    if any(limit.aspect == "subdomains" for limit in each.limits)
]


@pytest.mark.parametrize("name", _FLAGS)
@pytest.mark.parametrize("silent", ["**.bank.example", "api.bank.example"])
def test_a_flag_for_subdomains_covers_no_report_only_hosts(name: str, silent: str) -> None:
    """The flag makes ``*.api.bank.example`` cover its apex, and more on some platforms."""
    deep = two("*.api.bank.example", match="leaf")
    watched = policy(silent, *PINS[2:4], mode="report", match="leaf")
    # TrustKit has one entry for a name and its subdomains, with one mode.
    words = 'has mode = "report", but|give both the same mode'
    with pytest.raises(ConfigError, match=words):
        FORMATS[name].export(pin_set(deep, watched))
    with pytest.raises(ConfigError, match='mode = "report" and is left out'):
        FORMATS[name].export(pin_set(deep), left_out=[watched])


@pytest.mark.parametrize("name", ["okhttp-java", "okhttp-kotlin", "ktor", "apple"])
@pytest.mark.parametrize(
    ("silent", "enforced"),
    [("x.y.bank.example", "*.bank.example"), ("**.bank.example", "api.bank.example")],
)
def test_a_report_only_host_that_no_exported_pattern_covers_is_left_out(
    name: str, silent: str, enforced: str
) -> None:
    watched = policy(silent, *PINS[2:4], mode="report")
    made = FORMATS[name].export(pin_set(two(enforced), watched))
    assert {pin for each in made.pins.policies for pin in each.live_pins} == set(PINS[:2])
    assert any((each.aspect, each.host) == ("mode", silent) for each in made.omissions)
    assert FORMATS[name].export(pin_set(two(enforced)), left_out=[watched]).files == made.files


@pytest.mark.parametrize("name", ["okhttp-java", "okhttp-kotlin", "ktor"])
def test_one_label_of_okhttp_excludes_the_apex(name: str) -> None:
    """OkHttp's ``*.api.bank.example`` doesn't match ``api.bank.example``."""
    made = FORMATS[name].export(pin_set(two("*.api.bank.example"), SILENT))
    assert [str(each.pattern) for each in made.pins.policies] == ["*.api.bank.example"]


@pytest.mark.parametrize("name", ["json", "flutter", "trustkit-ios"])
def test_an_exported_wildcard_in_report_mode_enforces_nothing(name: str) -> None:
    watched = two("**.bank.example", mode="report")
    made = FORMATS[name].export(pin_set(watched), left_out=[SILENT])
    assert [each for each in made.omissions if each.aspect == "overlap"] == []


@pytest.mark.parametrize("name", ["android", "okhttp-java", "flutter", "json"])
def test_a_host_with_other_pins_below_an_exported_wildcard_is_reported(name: str) -> None:
    made = FORMATS[name].export(pin_set(WIDE), left_out=[API, two("pay.bank.example")])
    [omission] = [each for each in made.omissions if each.aspect == "overlap"]
    assert omission.host == "api.bank.example"
    assert omission.problem == "it is left out, so the pins of **.bank.example apply to it"


@pytest.mark.parametrize(
    ("name", "exported", "left_out"),
    [
        ("apple", "*.bank.example", "bank.example"),  # the platform's flag covers the apex too
        ("json", "*.bank.example", "**.api.bank.example"),
        ("json", "**.bank.example", "*.api.bank.example"),
    ],
)
def test_a_wildcard_can_cover_only_a_part_of_the_other_hosts(
    name: str, exported: str, left_out: str
) -> None:
    other = policy(left_out, *PINS[2:4])
    made = FORMATS[name].export(pin_set(two(exported)), left_out=[other])
    assert [each.host for each in made.omissions if each.aspect == "overlap"] == [left_out]


def test_other_hosts_have_no_effect() -> None:
    for exported in (API, two("*.api.bank.example")):
        made = FORMATS["json"].export(pin_set(exported), left_out=[WIDE, two("pay.example")])
        assert not made.omissions
    # These settings are used for the connections to one host.
    assert (
        not FORMATS["wget"]
        .export(pin_set(two("*.bank.example", match="leaf")), left_out=[SILENT])
        .omissions
    )
