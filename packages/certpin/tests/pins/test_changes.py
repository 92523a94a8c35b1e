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

    from certpin.pins import Mode, State

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


def test_another_name_needs_a_new_version() -> None:
    found = changes(_set(), replace(_set(), name="other"), NOW)
    assert [each.weight for each in found] == ["careful", "breaks"]
    assert "the version is still 1" in found[1].text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HostPin(TWO, "backup", "staged"), HostPin(TWO, "backup", "published")),
        (HostPin(TWO, "backup", "published"), HostPin(TWO, "leaf", "active")),
        (HostPin(TWO, "backup", "staged"), HostPin(TWO, "backup", "staged", note="in the safe")),
    ],
    ids=["published", "used", "noted"],
)
def test_a_change_that_clients_do_not_notice_needs_no_new_version(
    before: HostPin, after: HostPin
) -> None:
    old, new = (_set(_policy(HOST, HostPin(ONE), entry)) for entry in (before, after))
    assert all(each.weight == "safe" for each in changes(old, new, NOW))


@pytest.mark.parametrize("state", ["removed", "compromised"])
def test_a_state_that_clients_refuse_needs_a_new_version(state: State) -> None:
    old, new = (
        _set(_policy(HOST, HostPin(ONE), HostPin(THREE), HostPin(TWO, "backup", each)))
        for each in ("staged", state)
    )
    first, *_ = changes(old, new, NOW)
    assert (first.weight, first.host) == ("breaks", "")
    assert "the version is still 1" in first.text


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


APEX = _policy("bank.example")
SUB = _policy("*.bank.example")
SUB_OTHER = _policy("*.bank.example", HostPin(THREE), HostPin(FOUR))
DEEP = _policy("**.api.bank.example")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        # A wildcard is compared at the hosts below it: the apex is none of them.
        ((APEX, SUB), (APEX,), [("breaks", "*.bank.example", "strict clients refuse it")]),
        ((APEX,), (APEX, SUB_OTHER), [("safe", "*.bank.example", "it is new")]),
        # A pattern takes the place of another one.
        (
            (WIDE,),
            (SUB,),
            [
                ("breaks", "**.bank.example", "no policy covers some of its hosts now"),
                ("careful", "**.bank.example", "*.bank.example covers some of its hosts now"),
            ],
        ),
        (
            (SUB,),
            (WIDE,),
            [
                ("safe", "**.bank.example", "it is new"),
                ("careful", "*.bank.example", "**.bank.example covers it now"),
            ],
        ),
        (
            (SUB_OTHER,),
            (WIDE,),
            [
                ("safe", "**.bank.example", "it is new"),
                ("breaks", "*.bank.example", "**.bank.example, which covers it now, has none"),
            ],
        ),
        # Two patterns have only some hosts in common.
        (
            (SUB,),
            (SUB, DEEP),
            [
                ("safe", "**.api.bank.example", "it is new"),
                ("careful", "**.api.bank.example", "*.bank.example covered some of its hosts"),
            ],
        ),
        (
            (SUB_OTHER,),
            (SUB_OTHER, DEEP),
            [
                ("safe", "**.api.bank.example", "it is new"),
                ("breaks", "**.api.bank.example", "which covered some of its hosts"),
            ],
        ),
    ],
)
def test_patterns_are_compared_at_the_hosts_that_they_cover(
    old: Sequence[HostPolicy],
    new: Sequence[HostPolicy],
    found: Sequence[tuple[str, str, str]],
) -> None:
    other = _policy("api.shop.example")
    every = changes(_set(other, *old), _set(other, *new, version=2), NOW)
    assert [(each.weight, each.host) for each in every] == [each[:2] for each in found]
    assert all(words in each.text for each, (_, _, words) in zip(every, found, strict=True))


def test_a_host_with_another_policy_is_compared_as_a_whole() -> None:
    own = _policy("www.bank.example", HostPin(TWO), HostPin(THREE), expires=PAST)
    assert [weight for weight, _ in _found(_set(WIDE), _set(WIDE, own))] == [
        "careful",  # it has its own policy
        "safe",  # the pin that is active in both
        "careful",  # a new pin
        "breaks",  # its active pin is gone
        "breaks",  # it is expired
    ]


@pytest.mark.parametrize("other", [HostPin(ONE), HostPin(THREE)])
def test_a_policy_that_only_reports_locks_no_client_out_under_a_wider_one(other: HostPin) -> None:
    wide = _policy("**.bank.example", HostPin(ONE), mode="report")
    own = _policy("www.bank.example", other, mode="report")
    for old, new in (((wide,), (wide, own)), ((wide, own), (wide,))):
        assert {weight for weight, _ in _found(_set(*old), _set(*new))} == {"safe"}


def _pins(*pins: tuple[Pin, str]) -> HostPolicy:
    return _policy(HOST, *(HostPin(pin, state=state) for pin, state in pins))  # type: ignore[arg-type]  # states


BOTH = ((ONE, "active"), (TWO, "published"))
EMERGENCY = ["safe", "safe", "breaks"]  # the backup is used, a new backup, the stolen key


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
        (BOTH, ((ONE, "active"), (TWO, "active")), ["safe"]),
        (BOTH, ((ONE, "compromised"), (TWO, "active"), (THREE, "published")), EMERGENCY),
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


def test_a_removed_pin_counts_in_the_mode_of_the_new_set() -> None:
    enforced = _policy(HOST, HostPin(TWO, "backup", "published"), HostPin(THREE))
    reported = replace(_policy(), mode="report")
    found = _found(_set(reported), _set(enforced))
    assert ("breaks", f"{ONE} was removed while it was active: {_REFUSED}") in found
    back = _found(_set(enforced), _set(reported))
    text = f"{THREE} was removed; clients with the new set only report failures of the host"
    assert ("safe", text) in back
    assert "breaks" not in {weight for weight, _ in back}


ROOT, BACKUP = HostPin(ONE, "root"), HostPin(TWO, "backup", "published")


@pytest.mark.parametrize(
    ("stolen", "live", "fields", "weight"),
    [
        ("leaf", ROOT, {}, "breaks"),
        ("leaf", ROOT, {"match": "ca"}, "breaks"),
        ("intermediate", HostPin(ONE), {"match": "leaf"}, "breaks"),
        ("leaf", HostPin(ONE), {"match": "leaf"}, "careful"),
        ("leaf", ROOT, {"match": "leaf"}, "careful"),  # no root can match
        ("leaf", HostPin(ONE), {}, "careful"),
        ("leaf", ROOT, {"mode": "report"}, "careful"),
    ],
)
@pytest.mark.parametrize("left", [(), (HostPin(THREE, state="removed"),)])
def test_a_stolen_key_without_its_mark_is_accepted_again(
    stolen: Any, live: HostPin, fields: dict[str, Any], weight: str, left: tuple[HostPin, ...]
) -> None:
    """If another key on a path of the stolen key can match a pin."""
    marked = _policy(HOST, live, BACKUP, HostPin(THREE, stolen, "compromised"), **fields)
    found = _found(_set(marked), _set(_policy(HOST, live, BACKUP, *left, **fields)))
    text = f"{THREE} is no longer marked compromised: a path that contains it is accepted again"
    assert found == [(weight, f"{text} if another pin matches")]


def test_a_new_pin_of_an_authority_protects_less() -> None:
    """Unless clients don't compare it, or nothing is enforced."""
    added = HostPin(THREE, "root", "published")
    text = f"{THREE} is new (root, published)"
    weaker = f"{text}: clients accept every certificate that it issues (weaker)"
    for fields, found in (
        ({}, ("careful", weaker)),
        ({"match": "leaf"}, ("safe", text)),
        ({"mode": "report"}, ("safe", text)),
    ):
        old, new = (_policy(HOST, HostPin(ONE), BACKUP, *more, **fields) for more in ((), (added,)))
        assert _found(_set(old), _set(new)) == [found]


@pytest.mark.parametrize(
    ("match", "role", "found"),
    [
        ("leaf", "root", ("careful", "(weaker)")),
        ("leaf", "leaf", ("safe", "(wider)")),
        ("ca", "leaf", ("careful", "(weaker)")),
        ("ca", "root", ("safe", "(wider)")),
    ],
)
def test_a_wider_match_protects_less_if_more_pins_can_match(
    match: Any, role: Any, found: tuple[str, str]
) -> None:
    pins = (HostPin(ONE, "leaf" if match == "leaf" else "root"), BACKUP, HostPin(THREE, role))
    [(weight, text)] = _found(
        _set(_policy(HOST, *pins, match=match)), _set(_policy(HOST, *pins, match="any"))
    )
    assert (weight, text.rpartition(" ")[2]) == found


def test_a_wider_match_of_a_host_that_only_reports_protects_no_less() -> None:
    pins = (HostPin(ONE, "leaf"), BACKUP, HostPin(THREE, "root"))
    old, new = (_policy(HOST, *pins, match=match, mode="report") for match in ("leaf", "any"))
    assert _weights(old, new) == ["safe"]


def test_no_common_pin_locks_no_client_out_if_the_new_set_only_reports() -> None:
    new = _policy(HOST, HostPin(THREE), HostPin(FOUR, "backup", "published"), mode="report")
    assert "breaks" not in _weights(_policy(), new)


_REFUSED = "new clients refuse a server that still uses it"


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
        (
            {"expires": SOON},
            {"expires": SOON, "on_expiry": "fail-open"},
            "careful",
            "no server is refused (fail-open: weaker)",
        ),
        (
            {"expires": SOON, "on_expiry": "report"},
            {"expires": SOON},
            "careful",
            "clients refuse the host",
        ),
        (
            {"mode": "report", "expires": SOON, "on_expiry": "fail-open"},
            {"mode": "report", "expires": SOON},
            "safe",
            "clients only report",
        ),
        (
            {"expires": PAST, "on_expiry": "fail-open"},
            {"expires": PAST},
            "breaks",
            "2027-01-01, which is past: clients refuse it at once",
        ),
        (
            {"expires": PAST},
            {"expires": PAST, "on_expiry": "fail-open"},
            "careful",
            "no server is refused",
        ),
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
        (
            {"trust": TrustAnchors((b"a",))},
            {"trust": TrustAnchors((b"a",), strict=True)},
            "careful",
            "strict_x509 is true now",
        ),
        (
            {"trust": TrustAnchors((b"a", b"b"))},
            {"trust": TrustAnchors((b"b", b"a"), strict=False)},
            "careful",
            "(weaker)",
        ),
        (
            {"trust": TrustAnchors((b"a",), strict=True)},
            {"trust": TrustAnchors((b"a",))},
            "careful",
            "strict_x509 is no longer set",
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


@pytest.mark.parametrize(
    ("leaf", "weight"), [("generated", "breaks"), ("retiring", "breaks"), ("active", "careful")]
)
@pytest.mark.parametrize("state", ["active", "retiring"])
def test_a_narrower_match_breaks_if_it_leaves_out_every_pin_in_use(
    leaf: State, weight: str, state: State
) -> None:
    old = _policy(
        HOST,
        HostPin(ONE, "root", state),
        HostPin(TWO, "leaf", leaf),
        HostPin(THREE, "backup", "active"),
    )
    ((found, text),) = _found(_set(old), _set(replace(old, match="leaf")))
    assert found == weight
    assert (f"leaves out {ONE}, and" in text) is (weight == "breaks")


def test_a_narrower_match_of_keys_that_no_server_uses_does_not_break() -> None:
    old = _policy(HOST, HostPin(ONE, "root", "staged"), HostPin(TWO, "leaf", "staged"))
    assert _weights(old, replace(old, match="leaf")) == ["careful"]


@pytest.mark.parametrize("mode", ["enforce", "report"])
def test_a_narrower_match_locks_no_client_out_if_the_new_set_only_reports(mode: Mode) -> None:
    old = _policy(HOST, HostPin(ONE, "root"), HostPin(TWO, "root"), mode=mode)
    found = _found(_set(old), _set(replace(old, match="leaf", mode="report")))
    assert ("safe" in found[-1][0], "only report failures" in found[-1][1]) == (True, True)
    assert "breaks" not in {weight for weight, _ in found}
    enforced = replace(old, match="leaf", mode="enforce")
    assert "breaks" in _weights(replace(old, mode="report"), enforced)


def test_on_expiry_without_an_expiry_and_the_order_of_anchors_change_nothing() -> None:
    assert _weights(_policy(), _policy(on_expiry="fail-open")) == []
    one, two = (_policy(trust=TrustAnchors(der)) for der in ((b"a", b"b"), (b"b", b"a")))
    assert _weights(one, two) == []


def test_expired_pins_that_are_enforced_now_break() -> None:
    old, new = _policy(mode="report", expires=PAST), _policy(expires=PAST)
    assert _found(_set(old), _set(new)) == [
        ("careful", "it is enforced now: failures that were reported are refused (stronger)"),
        ("breaks", "the pins expire on 2027-01-01, which is past: clients refuse it at once"),
    ]
    assert _weights(new, replace(new, report_to=("https://a.example",))) == ["safe"]


def test_a_new_host_with_expired_pins_breaks() -> None:
    other, expired = _policy("api.shop.example"), _policy(expires=PAST)
    assert [weight for weight, _ in _found(_set(other), _set(other, expired))] == ["safe", "breaks"]
    opened = replace(expired, on_expiry="fail-open")
    assert [weight for weight, _ in _found(_set(other), _set(other, opened))] == ["safe"]


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
