"""The formats flutter and flutter-pins: supported settings, reported omissions, and imports."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS, Source
from certpin.formats.flutter import FLUTTER
from certpin.formats.flutter_pins import FLUTTER_PINS
from certpin.pins import HostPattern, HostPin, HostPolicy, PinSet, pins_of
from certpin.pins.policy import meaning
from tests.formats._sets import KEYS, WHOLE, anchors, authorities
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

LEAVES = (HostPin(KEYS[0], "leaf"), HostPin(KEYS[1], "backup"))
AUTHORITIES = (HostPin(KEYS[2], "intermediate"), HostPin(KEYS[3], "root"))
ONE, BOTH = anchors()
ROOTS = tuple(HostPin(pins_of(each.certificate)[0], "root") for each in authorities())


def host(*pins: HostPin, **fields: object) -> PinSet:
    """Return a pin set with one policy: ``a.example`` with these pins and fields."""
    made = HostPolicy(HostPattern.parse("a.example"), pins, **fields)  # type: ignore[arg-type]  # any field
    return pin_set(made)


def beside(path: str) -> bytes:
    raise FormatError(f"{path} is not there")


def test_leaf_pins_are_exported_with_all_settings() -> None:
    pins = host(*LEAVES, HostPin(WHOLE[0]), match="leaf", trust=ONE, mode="report")
    export = FLUTTER.export(pins)
    assert export.omissions == ()
    assert meaning(export.pins) == meaning(pins)


@pytest.mark.parametrize("match", ["ca", "any"])
def test_pinned_anchors_replace_the_pins(match: str) -> None:
    pins = host(*ROOTS, *LEAVES, match=match, trust=BOTH)
    assert FLUTTER.export(pins).omissions == ()


def test_an_unpinned_anchor_is_refused() -> None:
    with pytest.raises(ConfigError, match="no chain is exposed") as refused:
        FLUTTER.export(host(ROOTS[0], HostPin(NOBODY, "root"), match="ca", trust=BOTH))
    assert "set `trust` to a file" in refused.value.fix


def test_pins_of_authorities_without_their_certificates_are_refused() -> None:
    for match in ("ca", "any"):
        with pytest.raises(ConfigError, match="none of its pins can match a leaf"):
            FLUTTER.export(host(*AUTHORITIES, match=match))


def test_leaf_pins_are_kept_and_authorities_are_reported() -> None:
    [omission] = FLUTTER.export(host(*LEAVES, *AUTHORITIES)).omissions
    assert omission.aspect == "match"
    assert f"{KEYS[2]} (intermediate)" in omission.problem
    assert "no chain is exposed by dart:io" in omission.problem


def test_a_single_remaining_leaf_pin_is_refused() -> None:
    with pytest.raises(ConfigError, match="only one pin"):
        FLUTTER.export(host(LEAVES[0], *AUTHORITIES))


def test_report_urls_are_percent_encoded_for_uri_parse() -> None:
    loose = 'https://pins.example/r?a="{x}"\\'
    export = FLUTTER.export(host(*LEAVES, match="leaf", report_to=(loose,)))
    [omission] = export.omissions
    assert omission.aspect == "report_to"
    assert export.pins.policies[0].report_to == ("https://pins.example/r?a=%22%7Bx%7D%22%5C",)


def test_report_urls_with_quotes_and_dollars_are_read_back() -> None:
    address = "https://pins.example/$r?a='b'"
    export = FLUTTER.export(host(*LEAVES, match="leaf", report_to=(address,)))
    assert export.omissions == ()
    assert f'r"{address}"' in export.files[0].text
    read = FLUTTER.load(Source(export.files[0].text.encode(), beside))
    assert read.policies[0].report_to == (address,)


def test_both_flutter_formats_write_the_same_pins() -> None:
    pins = pin_set(policy("a.example", NOBODY, NOBODY_ELSE, match="leaf"), debug=ONE)
    [alone] = FLUTTER_PINS.export(pins).files
    whole = FLUTTER.export(pins).files[0]
    assert alone.text == whole.text.replace(
        "certpin export flutter.", "certpin export flutter-pins."
    )
    assert alone.path == whole.path == "pins.dart"


def test_notes_are_not_shipped() -> None:
    noted = (HostPin(KEYS[0], note="KMS key 7"), HostPin(KEYS[1], "backup", note="the safe"))
    text = "".join(file.text for file in FLUTTER.export(host(*noted, match="leaf")).files)
    assert "KMS" not in text
    assert "safe'" not in text


def test_debug_anchors_are_read_back_from_any_place() -> None:
    pins = pin_set(policy("a.example", match="leaf", trust=ONE), debug=BOTH)
    text = FLUTTER.export(pins).files[0].text
    read = FLUTTER.load(Source(text.encode(), beside))
    assert read.debug == BOTH
    assert read.policies[0].trust == ONE


def test_invalid_debug_anchors_are_refused() -> None:
    text = FLUTTER.export(pin_set(policy("a.example", match="leaf"))).files[0].text
    text = text.replace("  policies:", "  debugAnchors: debugOverride ? 'x' : null,\n  policies:")
    with pytest.raises(FormatError, match="trust anchors cannot be read"):
        FLUTTER.load(Source(text.encode(), beside))


def test_both_are_formats_and_only_one_writes_a_folder() -> None:
    assert FORMATS["flutter"].folder
    assert not FORMATS["flutter-pins"].folder
