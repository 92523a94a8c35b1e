"""The events of ``certpin calendar``: each kind, its date, and when it begins to be listed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin.calendar import list_events
from certpin.lab import Authority
from certpin.lab.ct_log import LabLog, log_list
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, pins_of, verify
from certpin.roots import Announcement, PublicRoot, RootData, ScheduledRemoval
from certpin.x509 import Chain
from certpin.x509.log_list import PLATFORM_LOGS
from tests import kit

if TYPE_CHECKING:
    from certpin.calendar import CalendarEvent

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TODAY = NOW.date()
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
ROOT = Authority("Root", now=NOW)
ISSUING = ROOT.intermediate("Issuing")
BANK = ISSUING.issue("a.example", days=30)
CHAIN = Chain((BANK.certificate, ISSUING.certificate, ROOT.certificate))
EMPTY = RootData({})
ROOT_PIN, ROOT_CERTIFICATE = pins_of(ROOT.certificate)
PUBLIC = PublicRoot(
    ROOT_PIN,
    "Public Root",
    {ROOT_CERTIFICATE: (date(2009, 1, 1), date(2035, 1, 1))},
    ((date(2014, 1, 1), None),),
    android=("8", "15"),
)


def _data(*announcements: Announcement, **fields: Any) -> RootData:
    return RootData({ROOT_PIN: replace(PUBLIC, **fields)}, announcements)


def _listed(
    policy: HostPolicy,
    *chains: Chain,
    data: RootData = EMPTY,
    now: datetime = NOW,
    key_types: dict[Pin, str] | None = None,
) -> dict[str, CalendarEvent]:
    """Return the calendar's events of one host by their kinds; of each kind, the last event."""
    pins = kit.pin_set(policy)
    served = {str(policy.pattern): chains}
    return {each.kind: each for each in list_events(pins, served, data, now, key_types=key_types)}


LOGS = log_list([LabLog.make("Alpha")], NOW - 10 * DAY)


def test_the_log_list_is_listed_with_the_day_from_which_clients_only_report() -> None:
    policy = kit.policy("a.example", BANK.pin, ct_logs=LOGS)
    event = _listed(policy)["log-list"]
    assert event.day == (NOW + 60 * DAY).date()
    assert event.text == (
        "the list of logs 'log_list.json' is 70 days old: clients then accept a certificate with "
        "too few SCTs, and only report it"
    )
    assert "download the log list again" in event.fix
    at = NOW + 60 * DAY
    [before, now] = [_listed(policy, now=each)["log-list"] for each in (at - SECOND, at)]
    assert (" is 70 days old" in before.text, " was 70 days old" in now.text) == (True, True)
    assert ("ship it before;" in before.fix, "ship it;" in now.fix) == (True, True)
    decisions = [verify(CHAIN, policy, each).decision for each in (at - SECOND, at)]
    assert decisions == ["refuse", "report"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ct_logs": PLATFORM_LOGS},
        {"ct_logs": LOGS, "mode": "report"},
        {"ct_logs": replace(LOGS, timestamp=datetime.max.replace(tzinfo=UTC))},
    ],
    ids=["not required", "platform", "report", "year 9999"],
)
def test_a_log_list_changes_nothing_for_some_hosts(fields: dict[str, Any]) -> None:
    assert "log-list" not in _listed(kit.policy("a.example", BANK.pin, **fields))


def test_a_new_log_list_replaces_the_event_of_the_old_one() -> None:
    new = replace(LOGS, timestamp=NOW)
    first, second = (
        _listed(kit.policy("a.example", BANK.pin, ct_logs=logs))["log-list"] for logs in (LOGS, new)
    )
    assert first.day != second.day
    assert first.uid("bank") == second.uid("bank")


def _announcement(**fields: Any) -> Announcement:
    plain = Announcement(
        "a", "issuance", TODAY + DAY, date(2026, 1, 1), "https://a.example/", "it changes"
    )
    return replace(plain, **fields)


def test_certificates_of_a_private_chain_are_listed_with_their_last_day() -> None:
    found = _listed(kit.policy("a.example", BANK.pin), CHAIN)
    assert found["certificate"].day == (NOW + 30 * DAY).date()
    assert found["certificate"].subject == BANK.certificate.sha256.hex()
    pinned = list_events(
        kit.pin_set(kit.policy("a.example", ISSUING.pin)), {"a.example": [CHAIN]}, EMPTY, NOW
    )
    authorities = {each.text for each in pinned if each.kind == "authority"}
    assert authorities == {
        "the pinned authority expires: CN=Issuing",
        "the authority expires: CN=Root",
    }


def test_a_certificate_of_two_servers_is_listed_once() -> None:
    events = list_events(
        kit.pin_set(kit.policy("a.example", BANK.pin)), {"a.example": [CHAIN, CHAIN]}, EMPTY, NOW
    )
    assert [each.kind for each in events] == ["certificate", "authority", "authority"]


def _crossed(days: int) -> Chain:
    """Return a chain that ends with a cross-certificate of the root, issued by an older root.

    ``days`` is the validity of the cross-certificate.
    """
    older = Authority("Older", now=NOW)
    crossed = Authority("Root", issuer=older, key=ROOT.key, days=days).certificate
    return Chain((BANK.certificate, ISSUING.certificate, crossed))


@pytest.mark.parametrize(("days", "verb"), [(20, "expires"), (-20, "expired")])
def test_a_cross_sign_that_a_server_sends_is_listed(days: int, verb: str) -> None:
    pins = kit.pin_set(kit.policy("a.example", BANK.pin))
    sent = _crossed(days)
    events = list_events(pins, {"a.example": [CHAIN]}, EMPTY, NOW, served={"a.example": [sent]})
    (event,) = (each for each in events if each.kind == "cross-sign")
    assert event.day == (NOW + days * DAY).date()
    assert event.text == f"a cross-sign that the server sends {verb}: CN=Root"


def test_other_certificates_that_a_server_sends_are_no_cross_signs() -> None:
    pins = kit.pin_set(kit.policy("a.example", BANK.pin))
    stranger = Authority("Stranger", now=NOW).certificate
    sent = Chain((*CHAIN.certificates, stranger))  # it sends the root, too
    events = list_events(pins, {"a.example": [CHAIN]}, EMPTY, NOW, served={"a.example": [sent]})
    assert "cross-sign" not in {each.kind for each in events}


def test_the_end_of_the_pins_says_what_clients_do() -> None:
    end = NOW + 10 * DAY
    found = _listed(kit.policy("a.example", BANK.pin, expires=end))["pins"]
    assert (found.day, found.text) == (
        end.date(),
        "the pins expire: clients then refuse every connection",
    )
    past = _listed(kit.policy("a.example", BANK.pin, expires=NOW, on_expiry="report"))["pins"]
    assert past.text == "the pins expired: clients then report mismatches, and refuse none"
    trial = _listed(kit.policy("a.example", BANK.pin, expires=end, mode="report"))["pins"]
    assert trial.text == "the pins expire: clients then report every connection, and refuse none"


def test_trust_anchors_are_listed() -> None:
    policy = kit.policy("a.example", BANK.pin, trust=kit.anchors(ROOT))
    event = _listed(policy)["anchor"]
    assert event.text == "the trust anchor expires: CN=Root"
    assert event.fix.endswith("and ship it before")
    event = _listed(policy, now=ROOT.certificate.not_after + SECOND)["anchor"]
    assert event.text == "the trust anchor expired: CN=Root"
    assert event.fix.endswith("and ship it")


@pytest.mark.parametrize("pinned", [True, False])
def test_an_anchor_on_the_path_is_listed_once_with_one_fix(pinned: bool) -> None:
    pin = ROOT.pin if pinned else BANK.pin
    policy = kit.policy("a.example", pin, trust=kit.anchors(ROOT, Authority("Next", now=NOW)))
    events = list_events(kit.pin_set(policy), {"a.example": [CHAIN]}, EMPTY, NOW)
    fixes = {each.text: each.fix for each in events if each.kind in {"authority", "anchor"}}
    add = "add the certificate of the next root to the trust file, "
    own = f"the {'pinned ' if pinned else ''}trust anchor expires: CN=Root"
    assert fixes == {
        "the authority expires: CN=Issuing": "nothing for pins: none depends on it. The server "
        "must send its successor",
        own: f"{add}{'pin that root beside this one, ' if pinned else ''}and ship it before",
        "the trust anchor expires: CN=Next": f"{add}and ship it before",
    }


@pytest.mark.parametrize(
    ("policy", "chains", "how"),
    [
        (kit.policy("a.example", ROOT_PIN), (), "the pinned root"),
        (kit.policy("a.example", ROOT_CERTIFICATE), (), "the pinned root"),
        (kit.policy("a.example", BANK.pin), (CHAIN,), "the root of the chain"),
        (kit.policy("a.example", BANK.pin, trust=kit.anchors(ROOT)), (), "the trusted root"),
    ],
)
def test_a_public_root_is_listed_if_the_host_depends_on_it(
    policy: HostPolicy, chains: tuple[Chain, ...], how: str
) -> None:
    step = ScheduledRemoval(date(2010, 1, 1), date(2027, 4, 15), date(2023, 1, 24), "https://b")
    events = list_events(
        kit.pin_set(policy), {"a.example": chains}, replace(_data(), schedule=(step,)), NOW
    )
    roots = [each for each in events if each.kind == "root"]
    assert [each.day for each in roots] == [date(2027, 4, 15), date(2035, 1, 1)]
    assert roots[0].text.startswith(f"{how} Public Root leaves Mozilla's root store on 2027-04-15")
    assert (roots[0].source, roots[0].published) == ("https://b", date(2023, 1, 24))


def test_a_root_that_left_stays_listed_and_hides_its_other_dates() -> None:
    gone = _data(periods=((date(2014, 1, 1), date(2026, 4, 22)),), removed_in="2026.4.22")
    policy = kit.policy("a.example", ROOT_PIN)
    events = list_events(kit.pin_set(policy), {}, gone, NOW)
    assert [(each.kind, each.day) for each in events] == [("root", date(2026, 4, 22))]
    assert events[0].is_due(TODAY)


def test_a_limit_for_everyone_is_listed_once_for_public_hosts() -> None:
    limit = _announcement(kind="lifetime")
    public, other = kit.policy("a.example", BANK.pin), kit.policy("b.example", BANK.pin)
    events = list_events(kit.pin_set(public, other), {}, _data(limit), NOW)
    assert [(each.kind, each.host, each.subject) for each in events] == [("announcement", "", "a")]
    private = kit.policy("a.example", BANK.pin, trust=kit.anchors(ROOT))
    assert "announcement" not in _listed(private, data=RootData({}, (limit,)))


@pytest.mark.parametrize(
    ("fields", "policy", "chains", "listed"),
    [
        ({"keys": frozenset({ROOT_PIN})}, kit.policy("a.example", ROOT_PIN), (), True),
        ({"keys": frozenset({ROOT_PIN})}, kit.policy("a.example", ROOT_CERTIFICATE), (), True),
        ({"keys": frozenset({ISSUING.pin})}, kit.policy("a.example", BANK.pin), (CHAIN,), True),
        ({"keys": frozenset({ISSUING.pin})}, kit.policy("a.example", BANK.pin), (), False),
        ({"hosts": (HostPattern.parse("**.example"),)}, kit.policy("a.example"), (), True),
        ({"hosts": (HostPattern.parse("b.example"),)}, kit.policy("a.example"), (), False),
    ],
)
def test_an_announcement_is_listed_for_its_keys_and_hosts(
    fields: dict[str, Any], policy: HostPolicy, chains: tuple[Chain, ...], listed: bool
) -> None:
    found = _listed(policy, *chains, data=_data(_announcement(**fields)))
    assert ("announcement" in found) == listed
    if listed:
        assert found["announcement"].host == "a.example"


@pytest.mark.parametrize(
    ("kind", "days", "listed"),
    [
        ("lifetime", 1, True),
        ("lifetime", 0, False),
        ("issuance", 0, True),
        ("issuance", -364, True),
        ("issuance", -365, False),
        ("distrust", 1, False),  # the facts about the root list it
    ],
)
def test_an_authority_moves_its_customers_for_a_year_after_the_day(
    kind: Any, days: int, listed: bool
) -> None:
    keys = frozenset({ISSUING.pin})
    change = _announcement(kind=kind, day=TODAY + days * DAY, published=date(2020, 1, 1), keys=keys)
    found = _listed(kit.policy("a.example", ISSUING.pin), data=RootData({}, (change,)))
    assert ("announcement" in found) == listed


@pytest.mark.parametrize("keys", [frozenset(), frozenset({BANK.pin})])
def test_an_announcement_is_not_listed_before_its_publication(keys: frozenset[Pin]) -> None:
    change = _announcement(published=TODAY + DAY, day=TODAY + 30 * DAY, keys=keys)
    policy = kit.policy("a.example", BANK.pin)
    assert _listed(policy, data=_data(change)) == {}
    assert "announcement" in _listed(policy, data=_data(change), now=NOW + DAY)


@pytest.mark.parametrize(
    ("android", "words"),
    [
        (("8", "15"), "Android 7 and older"),
        (("4.4", "13"), "Android 14 and newer"),
        (("8", "13"), "Android 7 and older, and of Android 14 and newer"),
        (None, "all Androids up to 15"),
        (("2.2", "15"), ""),
    ],
)
def test_androids_without_the_root_of_the_chain_have_no_date(
    android: tuple[str, str] | None, words: str
) -> None:
    found = _listed(kit.policy("a.example", BANK.pin), CHAIN, data=_data(android=android))
    assert ("android" in found) == bool(words)
    if words:
        assert found["android"].text == (
            f"the chain ends at Public Root, which is not in the store of {words}"
        )
        assert found["android"].day is None
        assert not found["android"].is_due(date.max)


def test_a_root_that_is_newer_than_the_tables_says_nothing_about_androids() -> None:
    newer = _data(android=None, periods=((date(2024, 1, 1), None),))
    assert "android" not in _listed(kit.policy("a.example", BANK.pin), CHAIN, data=newer)


def test_androids_don_t_matter_to_a_host_with_its_own_anchors() -> None:
    policy = kit.policy("a.example", BANK.pin, trust=kit.anchors(ROOT))
    assert "android" not in _listed(policy, CHAIN, data=_data())


@pytest.mark.parametrize(
    ("fields", "key_type", "listed"),
    [
        ({}, "Ed25519", True),
        ({}, "EC P-521", True),
        ({}, "EC P-256", False),
        ({"match": "ca"}, "Ed25519", False),
        ({"trust": kit.anchors(ROOT)}, "Ed25519", False),
    ],
)
def test_a_backup_that_no_authority_certifies_is_listed_if_its_type_is_known(
    fields: dict[str, Any], key_type: str, listed: bool
) -> None:
    policy = kit.policy("a.example", BANK.pin, **fields)
    assert "backup" not in _listed(policy)
    assert ("backup" in _listed(policy, key_types={kit.NOBODY: key_type})) == listed


def test_the_key_of_an_authority_is_not_yours_to_choose() -> None:
    entries = (HostPin(ROOT_PIN, "root"), HostPin(BANK.pin))
    policy = HostPolicy(HostPattern.parse("a.example"), entries)
    assert "backup" not in _listed(policy, key_types={ROOT_PIN: "Ed25519"})


def test_events_are_ordered_by_date_and_those_without_one_are_last() -> None:
    policy = kit.policy("a.example", BANK.pin, expires=NOW + 3 * DAY)
    events = list_events(kit.pin_set(policy), {"a.example": [CHAIN]}, _data(), NOW)
    kinds = [each.kind for each in events]
    assert [kind for kind in kinds if kind != "authority"] == [
        "pins",
        "certificate",
        "root",
        "android",
    ]
    dates = [each.day for each in events if each.day]
    assert dates == sorted(dates)
    assert len(dates) == len(events) - 1


def test_is_due_counts_days() -> None:
    event = _listed(kit.policy("a.example", BANK.pin, expires=NOW + 10 * DAY))["pins"]
    assert [event.is_due(TODAY, days) for days in (9, 10)] == [False, True]
