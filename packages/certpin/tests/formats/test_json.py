"""The format JSON, with an export that omits nothing, and its strict reader."""

from __future__ import annotations

import copy
import json as library
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from certpin.errors import CertpinError, FormatError
from certpin.formats import FORMATS, FormatWarning, Source
from certpin.formats.flutter.published import published
from certpin.formats.json import JSON
from certpin.pins import HostPin
from tests.formats._sets import anchors, logs, pin_sets
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.pins import PinSet

PLAIN = library.loads(JSON.export(pin_set(policy("api.bank.example"))).files[0].text)


def load(document: Any) -> PinSet:
    text = document if isinstance(document, str) else library.dumps(document)
    return JSON.load(Source(text.encode(), lambda path: path.encode()))


@pytest.mark.slow
@given(pins=pin_sets())
def test_json_preserves_roles_states_and_notes(pins: PinSet) -> None:
    export = JSON.export(pins)
    assert export.omissions == ()
    found = load(export.files[0].text)
    assert [each.pins for each in found.policies] == [each.pins for each in pins.policies]


def test_providers_are_exported_only_to_json() -> None:
    roots = tuple(
        HostPin(pin, "root", "active", "Root", ("one", "cdn"), date(2036, 6, 22))
        for pin in (NOBODY, NOBODY_ELSE)
    )
    whole = policy("api.bank.example", match="ca", trust=anchors()[0])
    whole = replace(whole, pins=roots, provider_edition=date(2026, 11, 28))
    [found] = load(JSON.export(pin_set(whole)).files[0].text).policies
    assert (found.pins, found.provider_edition) == (roots, date(2026, 11, 28))
    # The Dart reader of signed sets refuses fields that it doesn't know.
    leaves = tuple(replace(each, role="leaf") for each in roots)
    published_json, _ = published(pin_set(replace(whole, match="leaf", pins=leaves)))
    assert b"provider" not in published_json
    assert b"notAfter" not in published_json


@pytest.mark.parametrize("strict", [True, False, None])
def test_strict_x509_is_exported_only_to_json(strict: bool | None) -> None:
    trust = replace(anchors()[0], strict=strict)
    pins = pin_set(policy("api.bank.example", trust=trust))
    assert load(JSON.export(pins).files[0].text).policies[0].trust == trust
    [there] = FORMATS["go"].export(pins).pins.policies
    assert there.trust == anchors()[0]


def test_the_list_of_logs_is_exported_once_for_all_hosts() -> None:
    hosts = (policy("a.example", ct_logs=logs()), policy("b.example", ct_logs=logs()))
    text = JSON.export(pin_set(*hosts, policy("c.example"))).files[0].text
    assert text.count('"log_list_timestamp"') == 1
    assert [each.ct_logs for each in load(text).policies] == [logs(), logs(), None]


def test_a_required_list_of_logs_must_be_there() -> None:
    text = JSON.export(pin_set(policy("a.example", ct_logs=logs()))).files[0].text
    document = library.loads(text)
    wrong = {**document, "ctLogs": {"operators": []}}
    with pytest.raises(FormatError, match="ctLogs is no list of logs: it has no log"):
        load(wrong)
    del document["ctLogs"]
    with pytest.raises(FormatError, match=r"hosts\[0\].requireCt needs ctLogs"):
        load(document)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": "certpin-pins/2"}, "the schema is not certpin-pins/1"),
        ({"schema": 1}, "schema must be a text"),
        ({"version": True}, "version must be a whole number"),
        ({"version": "1"}, "version must be a whole number"),
        ({"hosts": {}}, "hosts must be a list"),
        ({"hosts": [1]}, r"hosts\[0\] must be a mapping"),
        ({"hosts": [{"pattern": "a.example"}]}, r"hosts\[0\].pins is missing"),
        ({"hosts": [{"pins": [{"pin": 1}]}]}, r"hosts\[0\].pins\[0\].pin must be a text"),
        ({"hosts": []}, "the file contains no pins"),
        ({"debug": {}}, "debug.trust is missing"),
        (
            {"hosts": [{"pins": [], "providerEdition": "soon"}]},
            r"hosts\[0\].providerEdition is not a date",
        ),
    ],
)
def test_invalid_values_are_reported_with_their_place(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        load({**PLAIN, **change})


HOSTS = [
    policy("api.bank.example", trust=anchors()[0], ct_logs=logs()),
    policy("pay.example", report_to=("https://pins.bank.example/",)),
]
FULL = library.loads(JSON.export(pin_set(*HOSTS, debug=anchors()[0])).files[0].text)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each key of an object, except those in the list of logs."""
    for step in value if isinstance(value, dict) else range(len(value)):
        if isinstance(step, str):
            yield (*path, step)
        if isinstance(value[step], (dict, list)) and step != "ctLogs":
            yield from places(value[step], (*path, step))


@pytest.mark.parametrize("path", list(places(FULL)), ids=str)
@pytest.mark.parametrize("misspelt", [str.upper, str.title, "{}s".format])
def test_a_misspelt_key_is_refused(path: tuple[Any, ...], misspelt: Callable[[str], str]) -> None:
    """Without its state, a compromised pin would be accepted."""
    assert load(FULL).debug == anchors()[0]
    changed = copy.deepcopy(FULL)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[misspelt(path[-1])] = holder.pop(path[-1])
    missing = "is missing|is not a pin|needs ctLogs"
    with pytest.raises(CertpinError, match=f"{missing}|and looks like '{path[-1]}'"):
        load(changed)


@pytest.mark.parametrize("path", list(places(FULL)), ids=str)
def test_half_a_character_is_refused_or_read(path: tuple[Any, ...]) -> None:
    """JSON can contain a lone surrogate, which no encoding can write. Only a name can have it."""
    changed = copy.deepcopy(FULL)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = "\ud800"
    if path == ("name",):
        assert load(library.dumps(changed)).name == "\ud800"
        return
    with pytest.raises(CertpinError):
        load(library.dumps(changed))


@pytest.mark.parametrize("name", ["compromised", "mode", "trust"])
def test_a_key_of_another_object_is_refused(name: str) -> None:
    changed = copy.deepcopy(PLAIN)
    changed["hosts"][0]["pins"][0][name] = []
    with pytest.raises(FormatError, match=rf"hosts\[0\].pins\[0\].{name} is not a key of this"):
        load(changed)


def test_other_unknown_keys_are_reported() -> None:
    changed = copy.deepcopy(PLAIN)
    changed["hosts"][0]["future"] = {"a": 1}
    changed["$schema"] = "https://bank.example/pins.schema.json"
    with pytest.warns(FormatWarning) as caught:
        assert load(changed) == load(PLAIN)
    said = [str(each.message) for each in caught]
    assert said == ["not imported: hosts[0].future", "not imported: $schema"]


@pytest.mark.parametrize("old", ['"mode": "enforce"', '"state": "active"'])
def test_a_repeated_key_is_refused(old: str) -> None:
    text = library.dumps(PLAIN)
    assert old in text
    with pytest.raises(FormatError, match=r"an object has the key '(mode|state)' twice"):
        load(text.replace(old, f"{old}, {old}"))


def test_a_document_without_a_field_is_refused() -> None:
    for name in PLAIN:
        with pytest.raises(FormatError, match=f"{name} is missing"):
            load({key: value for key, value in PLAIN.items() if key != name})


@pytest.mark.parametrize(
    "text", ["", "nothing", "[" * 100_000, '{"a": 1' + "0" * 5000 + "}", "\ufeff\ufeff{}", "[]"]
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(CertpinError):
        load(text)
