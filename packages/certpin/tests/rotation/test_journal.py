"""The journal file of rotations: events are read back, and the order of lines makes no difference.

Hostile lines raise only ``JournalError``.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError, JournalError
from certpin.formats.json import to_json
from certpin.lab import Authority
from certpin.pins import HostPattern, HostPolicy, Pin, PinSet
from certpin.rotation import AdoptionDelays, Event, format_journal, parse_journal
from certpin.rotation.journal import STATE_AFTER, StepName, format_event, parse_event
from tests import kit
from tests.rotation._situations import HOST, HOUR, NOW, entries, pin, pin_set, policy

if TYPE_CHECKING:
    import random

STEP = Event(NOW, "ada", "stage", HOST, pin("c"), note="key file new.key")
PUBLISH = Event(
    NOW + HOUR,
    "ben",
    "publish",
    version=2,
    clients=1200,
    timing=AdoptionDelays(cdn=HOUR),
    reason="an outage: the old key is lost",
    pins=pin_set({"a": "active", "b": "published", "old": "removed"}, 2),
)
ENDED = Event(NOW + 2 * HOUR, "ada", "ended", version=1)
CERTIFICATE = Pin("cert-sha256", pin("the certificate").digest)
OBSERVED = Event(
    NOW, "ada", "observe", HOST, pin("a"), server=f"{HOST}:443", certificate=CERTIFICATE
)
EVENTS = (STEP, PUBLISH, ENDED)
LINES = format_journal(EVENTS)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
PINS = st.sampled_from("abcd").map(pin)
STEPS = st.builds(
    Event,
    TIMES,
    TEXT,
    st.sampled_from(sorted(STATE_AFTER)),
    st.sampled_from([HOST, "*.bank.example"]),
    PINS,
    note=TEXT,
    reason=TEXT,
)
NUMBERS = st.integers(1, 9)
PUBLISHED = st.builds(
    lambda time, who, number, bundled, signed, clients: Event(
        time,
        who,
        "publish",
        version=number,
        bundled=bundled,
        signed=signed,
        clients=clients,
        timing=AdoptionDelays(),
        pins=pin_set({"a": "active", "b": "published"}, number),
    ),
    TIMES,
    TEXT,
    NUMBERS,
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(0, 10**9),
)
OF_VERSIONS = st.builds(
    lambda time, who, step, number: Event(time, who, step, version=number),
    TIMES,
    TEXT,
    st.sampled_from(["push", "ended"]),
    NUMBERS,
)
OF_SERVERS = st.builds(
    lambda time, who, key, server, problem, certificate: Event(
        time,
        who,
        "observe",
        HOST,
        key,
        server=server,
        problem=problem,
        certificate=certificate if key else None,
    ),
    TIMES,
    TEXT,
    st.none() | PINS,
    st.sampled_from([f"{HOST}:443", "[::1]:8443"]),
    TEXT,
    st.none() | PINS.map(lambda each: Pin("cert-sha256", each.digest)),
)
JOURNALS = st.lists(STEPS | PUBLISHED | OF_VERSIONS | OF_SERVERS, max_size=6)


def test_a_journal_is_read_back() -> None:
    assert parse_journal(LINES) == EVENTS


def test_every_line_is_json_with_its_schema() -> None:
    documents = [json.loads(line) for line in LINES.splitlines()]
    assert {each["schema"] for each in documents} == {"certpin-journal/1"}
    assert documents[0]["time"] == "2027-03-01T12:00:00Z"
    assert documents[1]["pins"]["schema"] == "certpin-pins/1"
    assert "reason" not in documents[0]


def test_a_whole_pin_set_survives_with_its_anchors(root: Authority) -> None:
    whole = policy(
        entries({"a": "active", "b": "published", "old": "compromised"}),
        trust=kit.anchors(root),
        expires=NOW,
        report_to=("https://pins.bank.example/",),
    )
    event = replace(PUBLISH, version=7, pins=PinSet("bank", 7, (whole,), kit.anchors(root)))
    assert parse_journal(format_journal([event])) == (event,)


def _with_one_trust_file(root: Authority, count: int) -> Event:
    """Return a publish of ``count`` hosts with the same anchors, and one host with others."""
    anchors = [*[kit.anchors(root)] * count, kit.anchors(Authority("Other"))]
    live = tuple(entries({"a": "active", "b": "published"}))
    hosts = [
        HostPolicy(HostPattern.parse(f"h{number}.bank.example"), live, trust=trust)
        for number, trust in enumerate(anchors)
    ]
    return replace(PUBLISH, version=7, pins=PinSet("bank", 7, tuple(hosts)))


def test_anchors_of_several_hosts_are_written_and_read_once(root: Authority) -> None:
    """With a file of 140 roots and 250 hosts, each version would else take 45 MB of the journal."""
    event = _with_one_trust_file(root, 20)
    line = format_event(event)
    assert line.count("BEGIN CERTIFICATE") == 2
    read = parse_event(line)
    assert read.pins == event.pins
    assert read.pins
    assert len({id(each.trust) for each in read.pins.policies}) == 2


def test_a_journal_of_an_older_certpin_has_the_anchors_in_each_host(root: Authority) -> None:
    event = _with_one_trust_file(root, 2)
    assert event.pins
    fields = json.loads(format_event(event))
    fields["pins"] = to_json(event.pins)
    assert parse_event(json.dumps(fields)).pins == event.pins


def test_anchors_with_half_a_character_are_an_error_with_their_line(root: Authority) -> None:
    """JSON can contain a lone surrogate, which no encoding can write."""
    fields = json.loads(format_event(_with_one_trust_file(root, 2)))
    fields["pins"]["trusts"] = dict.fromkeys(fields["pins"]["trusts"], "\ud800")
    with pytest.raises(JournalError, match="trust anchors cannot be read") as caught:
        parse_journal(LINES + json.dumps(fields) + "\n")
    assert caught.value.line == 4


@pytest.mark.parametrize("damage", ["missing", "renamed"])
def test_a_reference_to_anchors_that_are_not_there_is_an_error(
    root: Authority, damage: str
) -> None:
    """Otherwise the host's clients would seem to trust the platform's roots."""
    fields = json.loads(format_event(_with_one_trust_file(root, 2)))
    trusts = fields["pins"].pop("trusts")
    if damage == "renamed":
        fields["pins"]["trusts"] = {name[::-1]: text for name, text in trusts.items()}
    with pytest.raises(FormatError, match="which is not in trusts"):
        parse_event(json.dumps(fields))


@pytest.mark.slow
@given(JOURNALS)
def test_every_journal_is_read_back(events: list[Event]) -> None:
    read = parse_journal(format_journal(events))
    assert sorted(read, key=repr) == sorted(set(events), key=repr)
    assert [each.time for each in read] == sorted(each.time for each in read)


@pytest.mark.slow
@given(JOURNALS, JOURNALS, st.randoms(use_true_random=False))
def test_a_merge_of_two_branches_means_the_same_in_any_order(
    ours: list[Event], theirs: list[Event], shuffle: random.Random
) -> None:
    lines = format_journal([*ours, *theirs]).splitlines(keepends=True)
    shuffled = list(lines)
    shuffle.shuffle(shuffled)
    assert parse_journal("".join(shuffled + lines)) == parse_journal("".join(lines))


@pytest.mark.parametrize("text", ["", "\n\n", LINES.replace("\n", "\r\n"), LINES.rstrip("\n")])
def test_empty_lines_and_other_line_ends_are_harmless(text: str) -> None:
    assert parse_journal(text) in ((), EVENTS)


def test_the_certificate_of_an_observed_key_is_in_its_line() -> None:
    line = format_event(OBSERVED)
    assert json.loads(line)["certificate"] == str(CERTIFICATE)
    assert parse_event(line) == OBSERVED
    older = changed(OBSERVED, certificate=None)
    assert "certificate" not in older
    assert parse_journal(older) == (replace(OBSERVED, certificate=None),)


def test_fields_of_a_newer_certpin_are_ignored() -> None:
    line = json.dumps(json.loads(format_journal([STEP])) | {"weather": "fine"})
    assert parse_journal(line) == (STEP,)


def changed(event: Event, **fields: object) -> str:
    document = json.loads(format_journal([event])) | fields
    return json.dumps({name: value for name, value in document.items() if value is not None})


LONE = json.loads(changed(PUBLISH))["pins"]
LONE = LONE | {"hosts": [LONE["hosts"][0] | {"pins": LONE["hosts"][0]["pins"][:1]}]}

BROKEN = {
    "no JSON": "{",
    "no object": "[]",
    "a text": '"x"',
    "deep": "[" * 100_000,
    "a long number": "9" * 5000,
    "another schema": changed(STEP, schema="certpin-journal/2"),
    "no schema": changed(STEP, schema=None),
    "no time": changed(STEP, time=None),
    "a time without a zone": changed(STEP, time="2027-01-01T00:00:00"),
    "a time that is none": changed(STEP, time="yesterday"),
    "a time beyond all time": changed(STEP, time="9999-12-31T23:59:59Z"),
    "a time before all time": changed(STEP, time="0001-01-01T00:00:00+23:00"),
    "no name": changed(STEP, who=7),
    "an unknown step": changed(STEP, step="dance"),
    "a step without a pin": changed(STEP, pin=None),
    "a step without a host": changed(STEP, host=None),
    "a pin that is none": changed(STEP, pin="sha256/abc"),
    "a host that is none": changed(STEP, host="a..b"),
    "an end without a version": changed(ENDED, version=None),
    "a version below 1": changed(ENDED, version=0),
    "a version that is huge": changed(ENDED, version=2**63),
    "a version that is true": changed(ENDED, version=True),
    "a publish without its pins": changed(PUBLISH, pins=None),
    "a publish with two versions": changed(PUBLISH, version=3),
    "a pin set that must not be used": changed(PUBLISH, pins=LONE),
    "pins that are none": changed(PUBLISH, pins=[1]),
    "delays that are none": changed(PUBLISH, timing={"cdn": "soon"}),
    "delays that are negative": changed(PUBLISH, timing={"cdn": "-1h"}),
    "a negative number of clients": changed(PUBLISH, clients=-1),
    "a flag that is none": changed(PUBLISH, bundled="yes"),
    "a certificate that is none": changed(OBSERVED, certificate="cert-sha256/AA:BB"),
    "a certificate that is a list": changed(OBSERVED, certificate=[str(CERTIFICATE)]),
    "an empty certificate": changed(OBSERVED, certificate=""),
    "a certificate that is a key": changed(OBSERVED, certificate=str(pin("a"))),
    "a certificate without its key": changed(OBSERVED, pin=None),
    "a certificate of a certificate": changed(OBSERVED, pin=str(CERTIFICATE)),
    "a certificate in another step": changed(STEP, certificate=str(CERTIFICATE)),
    "a conflict": "<<<<<<< HEAD",
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_invalid_line_is_an_error_with_its_number(what: str) -> None:
    text = LINES + BROKEN[what] + "\n" + LINES
    with pytest.raises(JournalError) as caught:
        parse_journal(text, path="pins.journal.jsonl")
    assert (caught.value.line, caught.value.path) == (4, "pins.journal.jsonl")
    assert str(caught.value).startswith("pins.journal.jsonl:4: ")
    assert caught.value.fix


def test_a_number_that_is_too_large_is_refused_with_the_largest() -> None:
    with pytest.raises(JournalError, match="whole number from 1 to 9223372036854775807"):
        parse_journal(changed(ENDED, version=2**63))


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_hostile_text_raises_journal_errors_only(text: str) -> None:
    with suppress(JournalError):
        parse_journal(text)


@given(st.sampled_from(LINES.splitlines()), st.integers(0, 2000), st.text(max_size=3))
def test_a_damaged_line_raises_journal_errors_only(line: str, at: int, put: str) -> None:
    with suppress(JournalError):
        parse_journal(line[:at] + put + line[at + 1 :])


def test_every_step_makes_a_state_or_has_a_version() -> None:
    others = {"publish", "push", "ended", "observe", "gone", "clock"}
    assert set(get_args(StepName)) == {*STATE_AFTER, *others}


def test_the_order_of_a_merge_does_not_matter_for_steps_with_one_time() -> None:
    twins = [replace(STEP, who=who) for who in ("ada", "ben")]
    assert parse_journal(format_journal(twins)) == parse_journal(format_journal(twins[::-1]))
    assert len(parse_journal(format_journal([*twins, *twins]))) == 2
    assert timedelta(0) == twins[0].time - twins[1].time
