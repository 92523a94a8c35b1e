"""Wultra's fingerprint list."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin.formats import FORMATS
from certpin.pins import Pin
from tests.formats._files import DAY, digests, load, refusal, text_of
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

if TYPE_CHECKING:
    from certpin.pins import HostPolicy

# What is passed over is the subject of tests/formats/test_passed_over.py.
pytestmark = pytest.mark.filterwarnings("ignore:not imported")

NAME = "wultra"
WHOLE = tuple(Pin("cert-sha256", bytes(range(n, n + 32))) for n in range(2))
F0, F1 = (base64.b64encode(pin.digest).decode() for pin in WHOLE)
SECONDS = int(DAY.timestamp())


def certificates(host: str, **fields: Any) -> HostPolicy:
    return policy(host, *WHOLE, **({"expires": DAY} | fields))


def entry(fingerprint: str, expires: Any = SECONDS, name: str = "bank.example") -> dict[str, Any]:
    return {"name": name, "fingerprint": fingerprint, "expires": expires}


def listing(*entries: dict[str, Any]) -> str:
    return json.dumps({"fingerprints": entries})


def test_fields_are_those_that_the_sdks_read() -> None:
    document = json.loads(text_of(NAME, certificates("bank.example")))
    assert document["fingerprints"] == [entry(F0), entry(F1)]
    assert document.keys() == {"comment", "fingerprints"}


def test_a_host_without_a_date_is_refused_and_no_date_is_made_up() -> None:
    with pytest.raises(ConfigError, match="it has no date; each entry must say when it ends") as e:
        text_of(NAME, certificates("bank.example", expires=None))
    assert e.value.key == "expires"


@pytest.mark.parametrize("on_expiry", ["fail-open", "report"])
def test_the_sdks_refuse_after_the_date_and_that_is_told(on_expiry: str) -> None:
    pins = pin_set(certificates("bank.example", on_expiry=on_expiry))
    export = FORMATS[NAME].export(pins)
    assert export.pins.policies[0].on_expiry == "fail-closed"
    assert f'on_expiry = "{on_expiry}" becomes "fail-closed"' in str(export.losses[0])


def test_a_fraction_of_a_second_is_told() -> None:
    moment = DAY + timedelta(microseconds=5)
    export = FORMATS[NAME].export(pin_set(certificates("bank.example", expires=moment)))
    assert [loss.aspect for loss in export.losses if loss.aspect == "expires"] == ["expires"]
    assert export.pins.policies[0].expires == DAY


def test_pins_of_keys_and_names_of_any_depth_are_refused() -> None:
    with pytest.raises(ConfigError, match="right kind"):
        text_of(NAME, policy("bank.example", NOBODY, NOBODY_ELSE, expires=DAY))
    with pytest.raises(ConfigError, match="names of any depth"):
        text_of(NAME, certificates("**.bank.example"))


def test_a_signed_list_is_read_and_ends_with_its_last_certificate() -> None:
    signed = entry(F0, SECONDS - 86_400) | {"signature": "MEUCIQ=="}
    text = listing(
        signed, entry(F1), entry(F0, name="*.pay.example"), entry(F1, 1, "*.pay.example")
    )
    pins = load(NAME, text)
    assert digests(pins) == {"bank.example": set(WHOLE), "*.pay.example": set(WHOLE)}
    assert {(each.expires, each.on_expiry, each.match) for each in pins.policies} == {
        (DAY, "fail-closed", "leaf")
    }


@pytest.mark.parametrize("seconds", [10**400, -(10**400), 10**15, -(10**15)])
def test_a_date_beyond_all_dates_is_refused(seconds: int) -> None:
    assert "is not a time" in str(refusal(NAME, listing(entry(F0, seconds), entry(F1))))


def test_the_last_moment_that_python_knows_comes_back() -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    text = text_of(NAME, certificates("bank.example", expires=end))
    assert load(NAME, text).policies[0].expires == end.replace(microsecond=0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "fingerprints is missing"),
        (listing(), "no pin in it"),
        (listing(entry(F0, name="")), "no name"),
        (listing(entry(F0, "soon")), "must be a whole number"),
        (listing(entry(F0, 1.5)), "must be a whole number"),
        (listing(entry(F0, expires=True)), "must be a whole number"),
        (listing(entry("AAAA")), "is not the base64 of a SHA-256"),
        (listing(entry("ä")), "is not the base64 of a SHA-256"),
        (listing({"name": "a.example"}), "missing"),
        ('{"comment": "x", "fingerprints": []}', "must be a list"),
    ],
)
def test_what_is_no_such_list_is_refused(text: str, words: str) -> None:
    assert words in str(refusal(NAME, text))
