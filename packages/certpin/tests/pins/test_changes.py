"""The effect of changes on installed clients: safe, careful, or breaking."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab.ct_log import LabLog, log_list
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet, TrustAnchors
from certpin.pins.changes import WEIGHTS, changes

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2027, 3, 1, tzinfo=UTC)
ONE, TWO, THREE, FOUR = (Pin("sha256", bytes(range(at, at + 32))) for at in range(4))
PAST, SOON, LATER = (datetime(year, 1, 1, tzinfo=UTC) for year in (2027, 2028, 2029))
HOST = "api.bank.example"


def _policy(host: str = HOST, *pins: HostPin, **fields: Any) -> HostPolicy:
    return HostPolicy(
        HostPattern.parse(host),
        pins or (HostPin(ONE), HostPin(TWO, "backup", "published")),
        **fields,
    )


def _set(*policies: HostPolicy, version: int = 1, **fields: Any) -> PinSet:
    return PinSet("bank", version, policies or (_policy(),), **fields)


def _found(old: PinSet, new: PinSet) -> list[tuple[str, str]]:
    found = changes(old, replace(new, version=old.version + 1), NOW)
    assert all(each.weight in WEIGHTS for each in found)
    return [(each.weight, each.text) for each in found]


def _weights(old: HostPolicy, new: HostPolicy) -> list[str]:
    return [weight for weight, _ in _found(_set(old), _set(new))]


def test_nothing_changes_nothing() -> None:
    assert changes(_set(), _set(), NOW) == ()
    assert changes(_set(), _set(version=2), NOW) == ()


@pytest.mark.parametrize(("old", "new"), [(2, 2), (2, 1)])
def test_a_version_that_does_not_rise_with_a_change_breaks(old: int, new: int) -> None:
    changed = _policy(mode="report")
    first, *_ = changes(_set(version=old), _set(changed, version=new), NOW)
    assert (first.weight, first.host) == ("breaks", "")
    assert "version" in first.text


def test_a_version_that_falls_without_a_change_breaks() -> None:
    (only,) = changes(_set(version=2), _set(version=1), NOW)
    assert only.weight == "breaks"


def test_a_new_debug_section_needs_a_new_version() -> None:
    debug = TrustAnchors((b"a",))
    found = changes(_set(), _set(debug=debug), NOW)
    assert [each.weight for each in found] == ["careful", "breaks"]
    assert _found(_set(), _set(debug=debug))[0][0] == "careful"
    assert "changed" in _found(_set(debug=debug), _set(debug=TrustAnchors((b"b",))))[0][1]
    assert _found(_set(debug=debug), _set()) == [("safe", "the debug section was removed")]


def test_another_name_is_a_change() -> None:
    (only,) = _found(_set(), replace(_set(), name="other"))
    assert only[0] == "careful"


WWW = _policy("www.bank.example")
WIDE = _policy("**.bank.example")
WIDE_OTHER = _policy("**.bank.example", HostPin(THREE), HostPin(FOUR))


@pytest.mark.parametrize(
    ("old", "new", "weight", "words"),
    [
        ((), (WWW,), "safe", "it is new"),
        ((WWW,), (), "breaks", "strict clients refuse it"),
        ((WIDE,), (WIDE, WWW), "careful", "was covered by **.bank.example"),
        ((WIDE, WWW), (WIDE,), "careful", "**.bank.example covers it now"),
        ((WIDE_OTHER,), (WIDE_OTHER, WWW), "breaks", "without any pin of **.bank.example"),
        ((WIDE_OTHER, WWW), (WIDE_OTHER,), "breaks", "has none of its pins"),
    ],
)
def test_hosts_come_and_go(
    old: Sequence[HostPolicy], new: Sequence[HostPolicy], weight: str, words: str
) -> None:
    other = _policy("api.shop.example")
    ((found, text),) = _found(_set(other, *old), _set(other, *new))
    assert found == weight
    assert words in text


def _pins(*pins: tuple[Pin, str]) -> HostPolicy:
    return _policy(HOST, *(HostPin(pin, state=state) for pin, state in pins))  # type: ignore[arg-type]  # states


BOTH = ((ONE, "active"), (TWO, "published"))


@pytest.mark.parametrize(
    ("old", "new", "weights"),
    [
        # Pins that come.
        (BOTH, (*BOTH, (THREE, "published")), ["safe"]),
        (BOTH, (*BOTH, (THREE, "active")), ["careful"]),
        (BOTH, (*BOTH, (THREE, "retiring")), ["careful"]),
        (BOTH, (*BOTH, (THREE, "removed")), []),
        ((*BOTH, (THREE, "removed")), (*BOTH, (THREE, "published")), ["careful"]),
        ((*BOTH, (THREE, "compromised")), (*BOTH, (THREE, "published")), ["breaks"]),
        # Pins that go.
        ((*BOTH, (THREE, "active")), BOTH, ["breaks"]),
        ((*BOTH, (THREE, "active")), (*BOTH, (THREE, "removed")), ["breaks"]),
        ((*BOTH, (THREE, "active")), (*BOTH, (THREE, "compromised")), ["breaks"]),
        ((*BOTH, (THREE, "retiring")), BOTH, ["careful"]),
        ((*BOTH, (THREE, "published")), BOTH, ["careful"]),
        ((*BOTH, (THREE, "removed")), BOTH, []),
        ((*BOTH, (THREE, "compromised")), BOTH, ["careful"]),
        ((*BOTH, (THREE, "compromised")), (*BOTH, (THREE, "removed")), ["careful"]),
        (BOTH, (*BOTH, (THREE, "compromised")), ["careful"]),
        ((*BOTH, (THREE, "removed")), (*BOTH, (THREE, "compromised")), ["careful"]),
        # Pins that move.
        (BOTH, ((ONE, "active"), (TWO, "active")), ["careful"]),
        (BOTH, ((ONE, "active"), (TWO, "adopted")), ["safe"]),
        (((ONE, "active"), (TWO, "adopted")), ((ONE, "active"), (TWO, "active")), ["safe"]),
        (BOTH, ((ONE, "retiring"), (TWO, "published")), ["safe"]),
        (BOTH, ((ONE, "active"), (TWO, "lost")), ["safe"]),
        (((ONE, "active"), (TWO, "lost")), BOTH, ["careful"]),
        # None in common.
        (
            BOTH,
            ((THREE, "active"), (FOUR, "published")),
            ["breaks", "careful", "safe", "breaks", "careful"],
        ),
    ],
)
def test_pins_come_go_and_move(
    old: Sequence[tuple[Pin, str]], new: Sequence[tuple[Pin, str]], weights: list[str]
) -> None:
    assert _weights(_pins(*old), _pins(*new)) == weights


def test_a_change_in_report_mode_locks_no_client_out() -> None:
    old = _policy(HOST, HostPin(ONE), mode="report")
    new = _policy(HOST, HostPin(THREE), mode="report")
    assert _weights(old, new) == ["safe", "safe"]
    assert "breaks" in _weights(
        old, replace(new, pins=(HostPin(THREE), HostPin(FOUR)), mode="enforce")
    )


@pytest.mark.parametrize(
    ("old", "new", "weight", "words"),
    [
        ({}, {"mode": "report"}, "careful", "weaker"),
        ({"mode": "report"}, {}, "careful", "stronger"),
        ({"match": "leaf"}, {"match": "any"}, "safe", "wider"),
        ({"match": "any"}, {"match": "leaf"}, "careful", "narrower"),
        ({"match": "any"}, {"match": "ca"}, "breaks", "leaves out every pin"),
        ({"match": "leaf"}, {"match": "ca"}, "breaks", "leaves out every pin"),
        ({}, {"expires": SOON}, "careful", "earlier"),
        ({"expires": LATER}, {"expires": SOON}, "careful", "earlier"),
        ({"expires": SOON}, {"expires": LATER}, "safe", "expire later, on 2029-01-01"),
        ({"expires": SOON}, {}, "careful", "no longer expire"),
        ({}, {"expires": PAST}, "breaks", "refuse it at once"),
        (
            {"on_expiry": "fail-open"},
            {"on_expiry": "fail-open", "expires": PAST},
            "careful",
            "no server is refused",
        ),
        (
            {"mode": "report"},
            {"mode": "report", "expires": PAST},
            "careful",
            "no server is refused",
        ),
        ({}, {"on_expiry": "fail-open"}, "careful", "weaker"),
        ({"on_expiry": "report"}, {}, "careful", "clients refuse the host"),
        ({}, {"trust": TrustAnchors((b"a",), "a.pem")}, "careful", "only a.pem"),
        ({"trust": TrustAnchors((b"a",))}, {}, "careful", "again (weaker)"),
        (
            {"trust": TrustAnchors((b"a",))},
            {"trust": TrustAnchors((b"b",), "b.pem")},
            "breaks",
            "b.pem has none",
        ),
        (
            {"trust": TrustAnchors((b"a",))},
            {"trust": TrustAnchors((b"a", b"b"), "b.pem")},
            "careful",
            "other anchors",
        ),
        ({}, {"report_to": ("https://a.example",)}, "safe", "reported to https://a.example"),
        ({"report_to": ("https://a.example",)}, {}, "careful", "no longer reported"),
    ],
)
def test_a_setting_changes(
    old: dict[str, Any], new: dict[str, Any], weight: str, words: str
) -> None:
    ((found, text),) = _found(_set(_policy(**old)), _set(_policy(**new)))
    assert found == weight
    assert words in text


def test_reports_that_go_elsewhere_are_safe() -> None:
    old, new = (_policy(report_to=(f"https://{name}.example",)) for name in "ab")
    assert _weights(old, new) == ["safe", "safe"]


def test_anchors_of_another_name_and_notes_change_nothing() -> None:
    old = _policy(trust=TrustAnchors((b"a",), "a.pem"))
    noted = tuple(replace(entry, note="a word", role="root") for entry in old.pins)
    assert _weights(old, replace(old, trust=TrustAnchors((b"a",), "b.pem"), pins=noted)) == []


def test_changes_are_in_the_order_of_the_new_hosts() -> None:
    hosts = [_policy(f"{name}.example") for name in "abc"]
    new = [replace(host, mode="report") for host in reversed(hosts[:2])]
    found = changes(_set(*hosts), _set(*new, version=2), NOW)
    assert [each.host for each in found] == ["b.example", "a.example", "c.example"]


def test_another_list_of_logs_is_a_change() -> None:
    a, b = (LabLog.make(name) for name in ("Log A", "Log B"))
    none, one, both = (
        _policy(ct_logs=log_list(logs, NOW) if logs else None) for logs in ([], [a], [a, b])
    )
    assert _found(_set(none), _set(one))[0][1].startswith("its certificate must be in")
    assert _found(_set(one), _set(none))[0][1].endswith("(weaker)")
    assert [_weights(none, one), _weights(one, none)] == [["careful"], ["careful"]]
    assert _weights(one, both) == ["safe"]
    assert _found(_set(both), _set(one)) == [
        ("careful", "the list of logs lacks 1 logs that the old one has")
    ]
