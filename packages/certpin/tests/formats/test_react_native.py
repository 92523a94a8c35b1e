"""The format for the options of react-native-ssl-public-key-pinning: exports and imports."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from certpin.errors import ConfigError
from certpin.formats import FORMATS
from tests.formats._files import DAY, PINS, A, B, C, D, digests, load, refusal, text_of, two
from tests.kit import pin_set, policy

NAME = "react-native"
OPEN = {"expires": DAY, "on_expiry": "fail-open"}


def options(inside: str) -> str:
    return f"await initializeSslPinning({{ {inside} }});"


def test_the_exported_options() -> None:
    text = text_of(NAME, two("**.bank.example", **OPEN), two("pay.example"))
    body = text.partition("PinningOptions = ")[2].replace("'", '"').rstrip(";\n")
    for name in ("includeSubdomains", "publicKeyHashes", "expirationDate"):
        body = body.replace(f"{name}:", f'"{name}":')
    assert json.loads("".join(body.split()).replace(",]", "]").replace(",}", "}")) == {
        "bank.example": {
            "includeSubdomains": True,
            "publicKeyHashes": [A, B],
            "expirationDate": "2027-06-01",
        },
        "pay.example": {"includeSubdomains": False, "publicKeyHashes": [A, B]},
    }


def test_the_call_of_the_documentation_is_read() -> None:
    text = f"""import {{ initializeSslPinning }} from 'react-native-ssl-public-key-pinning';
    useEffect(() => {{
      async function setup() {{
        await initializeSslPinning({{
          'bank.example': {{
            includeSubdomains: true, // the API too
            publicKeyHashes: [
              '{A}', /* backup */ "{B}",
            ],
            expirationDate: '2027-06-01',
          }},
          localhost: {{ publicKeyHashes: [`{A}`, `{B}`] }},
        }});
      }}
    }});"""
    pins = load(NAME, text)
    assert digests(pins) == {"**.bank.example": set(PINS[:2]), "localhost": set(PINS[:2])}
    assert [(each.expires, each.on_expiry) for each in pins.policies] == [
        (DAY, "fail-open"),
        (None, "fail-closed"),
    ]


def test_options_in_json_are_read() -> None:
    entry = {"publicKeyHashes": [A, B], "includeSubdomains": False}
    assert digests(load(NAME, json.dumps({"bank.example": entry}))) == {
        "bank.example": set(PINS[:2])
    }


def test_pins_of_broader_patterns_are_united() -> None:
    pins = pin_set(two("**.bank.example"), policy("api.bank.example", *PINS[2:4]))
    export = FORMATS[NAME].export(pins)
    assert digests(export.pins)["api.bank.example"] == set(PINS[:4])
    assert "it also accepts the pins of **.bank.example" in str(export.omissions[-1])


def test_different_expiry_dates_for_a_host_are_refused() -> None:
    later = OPEN | {"expires": DAY + timedelta(days=1)}
    with pytest.raises(
        ConfigError, match="expire on different days: Android applies all unexpired patterns"
    ):
        text_of(NAME, two("**.bank.example", **OPEN), two("api.bank.example", **later))
    with pytest.raises(ConfigError, match="different days"):
        text_of(NAME, two("**.bank.example", **OPEN), two("api.bank.example"))
    assert text_of(NAME, two("**.bank.example", **OPEN), two("api.bank.example", **OPEN))
    assert text_of(NAME, two("bank.example", **OPEN), two("pay.example", **later))


@pytest.mark.parametrize("ends", ["", "expirationDate: '2027-06-02',"])
def test_overlapping_pins_with_different_dates_are_not_imported(ends: str) -> None:
    """The union of their pins would have one date, and keep pins of the other policy in force."""
    broad = f"includeSubdomains: true, publicKeyHashes: ['{A}', '{B}']"
    narrow = f"'api.bank.example': {{ publicKeyHashes: ['{C}', '{D}'], {ends} }}"
    inside = f"'bank.example': {{ {broad}, expirationDate: '2027-06-01' }}, {narrow}"
    error = refusal(NAME, options(inside))
    words = "api.bank.example and **.bank.example expire on different days: Android applies all"
    assert words in str(error)
    assert error.fix == "let both expire on the same day, or neither"


def test_overlapping_pins_with_one_date_are_united() -> None:
    fields = "includeSubdomains: true, expirationDate: '2027-06-01'"
    broad = f"'bank.example': {{ {fields}, publicKeyHashes: ['{A}', '{B}'] }}"
    narrow = f"'api.bank.example': {{ {fields}, publicKeyHashes: ['{C}', '{D}'] }}"
    pins = load(NAME, options(f"{broad}, {narrow}"))
    assert digests(pins)["**.api.bank.example"] == set(PINS[:4])
    assert {each.expires for each in pins.policies} == {DAY}


@pytest.mark.parametrize(
    "inside",
    [
        f"[API_HOST]: {{ publicKeyHashes: ['{A}', '{B}'] }}",
        f"[`${{env}}.bank.example`]: {{ publicKeyHashes: ['{A}', '{B}'] }}",
        f"'bank.example': {{ 'a.example': x ? 'b' : {{ publicKeyHashes: ['{A}'] }} }}",
        f"a: 1 }}, x ? 'bank.example' : {{ publicKeyHashes: ['{A}', '{B}'] }}, {{",
        f"a: 1 }}); f(x, y: {{ publicKeyHashes: ['{A}', '{B}'] }}",
        f"...prod }}); const api = {{ publicKeyHashes: ['{A}', '{B}'] }}; ({{",
    ],
)
def test_an_entry_without_the_name_of_its_host_is_refused(inside: str) -> None:
    error = refusal(NAME, f"\n{options(inside)}")
    assert "line 2: the name of the host is computed" in str(error)
    assert str(error.fix).startswith("write it literally, before its options: 'api.bank.example'")


ENTRY = f"'bank.example': {{ publicKeyHashes: ['{A}', '{B}'] }}"


@pytest.mark.parametrize(
    "inside",
    [
        f"...others, {ENTRY}",
        f"{ENTRY}, ...others,",
        f"{ENTRY}, 'other.example': options",
        f"'other.example': {{ ...common }}, {ENTRY}",
        f"{ENTRY}, ...(debug ? {{}} : others)",
        ENTRY.replace("{ ", "{ ...common, "),
        ENTRY.replace(" }", ", ...common }"),
        ENTRY.replace("]", ", ...hashes]"),
        f"{ENTRY} as Options, ...others",
        f"{ENTRY} as Options && others",
        f"{ENTRY} as Options['a'] ?? others, 'other.example': options",
        f"{ENTRY}, 'bank.example': {{ publicKeyHashes: ['{B}'], meta: {{ owner: 'x' }} }}",
        f"{ENTRY}, 'bank.example': {{ meta: {{ owner: 'x' }}, publicKeyHashes: ['{B}'] }}",
        f"{ENTRY}, 'bank.example': {{ publicKeyHashes: ['{B}'], includeSubdomains: [] }}",
        f"{ENTRY}, 'bank.example': {{ publicKeyHashes: '{B}' }}",
    ],
)
def test_computed_entries_and_options_are_refused(inside: str) -> None:
    """Their pins would be lost."""
    assert "computed" in str(refusal(NAME, options(inside)))


@pytest.mark.parametrize("end", ["", "}", "} as Options", "} satisfies Options, {", "}, x"])
def test_a_list_that_is_not_closed_is_refused(end: str) -> None:
    """The rest of the file is missing, and with it pins."""
    before = f"\ninitializeSslPinning({{ {ENTRY.removesuffix('}')}"
    assert "line 2: the bracket is not closed" in str(refusal(NAME, before + end))


@pytest.mark.parametrize(
    "type_",
    [
        *("as PinningOptions[string]", "as any,", "as const", "satisfies ns.Options"),
        *("as unknown as Partial<Record<string, Options['a']>>", "satisfies Map<string, number>,"),
    ],
)
def test_the_type_of_options_has_no_effect(type_: str) -> None:
    other = ENTRY.replace("bank", "other")
    for inside in (f"{ENTRY} {type_}", f"{ENTRY} {type_.rstrip(',')}, {other} {type_}"):
        found = digests(load(NAME, options(inside)))
        assert list(found) == ["bank.example", "other.example"][: inside.count("Hashes")]


@pytest.mark.parametrize(
    "code",
    [
        "const pins = {0} && {};",
        "const pins = {0}.debug;",
        "const pins = {0}\n.debug",
        "const pins = {0} as Options && {};",
        "const pins = {0} in others;",
        "const pins = !{0};",
        "const pins = others ?? {0};",
        "const pins = debug ? {} : {0};",
        "const pins = debug ? a : {0};",
        "pins ??= {0};",
        "const pins = ({0}) && {};",
        "const pins = others || ({0});",
        "const pins = ({0}, {});",
        "const pins = [{0}][1];",
        "export default Object.assign({0}, others);",
        "export default Object.assign({}, {0});",
    ],
)
def test_an_object_that_is_an_operand_is_refused(code: str) -> None:
    error = refusal(NAME, code.replace("{0}", f"{{ {ENTRY} }}"))
    assert "line 1: the object with the options is part of an expression" in str(error)


@pytest.mark.parametrize(
    "code",
    [
        "export const pins: PinningOptions = {0}",
        "export const pins = {0} as const\nexport const other = 1",
        "export const pins = {0} as Map<\nstring, number>\nsetup()",
        "const load = () => ({0}) as Options;",
        "function load() { return {0} }",
        "function load() { return (\n{0}\n) }",
        "class A { static pins = {0} }",
        "export default Object.freeze({0});",
        "initializeSslPinning({0},).then(start, stop)",
        "const first = {0}, second = 1;",
        "const config = { pins: {0}, debug: false };",
        '{"a": 1, "pins": {0}}',
        "{0}",
    ],
)
def test_code_around_the_object_has_no_effect(code: str) -> None:
    assert list(digests(load(NAME, code.replace("{0}", f"{{ {ENTRY} }}")))) == ["bank.example"]


def test_options_without_hashes_are_refused() -> None:
    error = refusal(NAME, options(f"'a.example': {{ includeSubdomains: true }}, {ENTRY}"))
    assert "computed, or has no publicKeyHashes" in str(error)


@pytest.mark.parametrize(
    "line",
    ["const quotes = /['\"]/g;", "fetch(`${base}/v1`);", "const s = 'it\\'s';", "a.b(x / 2, '/');"],
)
def test_other_strings_and_regular_expressions_have_no_effect(line: str) -> None:
    inside = options(f"'bank.example': {{ publicKeyHashes: ['{A}', '{B}'] }}")
    assert digests(load(NAME, f"{line}\n{inside}\n{line}")) == {"bank.example": set(PINS[:2])}


def test_an_address_is_refused_because_ios_would_pin_nothing() -> None:
    with pytest.raises(ConfigError, match="on iOS the package pins nothing"):
        text_of(NAME, two("192.0.2.7"), two("bank.example"))


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (f"'a.example': {{ publicKeyHashes: ['{A}', hash] }}", "computed"),
        (f"'a.example': {{ publicKeyHashes: ['{A}', '${{b}}'] }}", "computed"),
        (f"'a.example': {{ publicKeyHashes: ['{A}', 'sha256/{B}'] }}", "a.example: 'sha256/"),
        pytest.param(
            f"'a.example': {{ includeSubdomains: isRelease, publicKeyHashes: ['{A}', '{B}'] }}",
            "computed",
            id="a flag",
        ),
        pytest.param("'a.example': { publicKeyHashes: hashes }", "computed", id="a list's name"),
        (
            f"'a.example': {{ expirationDate: x ? '1' : '2', publicKeyHashes: ['{A}', '{B}'] }}",
            "computed",
        ),
        (f"'a.example': {{ publicKeyHashes: ['{A}', '{B}'] && [] }}", "computed"),
        pytest.param(
            f"'a.example': {{ publicKeyHashes: ['{A}', '{B}'], publicKeyHashes: ['{A}', '{B}'] }}",
            "computed",
            id="repeated",
        ),
        (f"'a.example': {{ publicKeyHashes: ['{A}' && '{B}'] }}", "computed"),
        (f"'a.example': {{ publicKeyHashes: ['{A}' + '{B}', '{C}'] }}", "computed"),
        (f"'a.example': {{ publicKeyHashes: !['{A}', '{B}'] }}", "computed"),
        (f"'a.example': {{ publicKeyHashes: ['{A}',, '{B}'] }}", "computed"),
        (
            f"'a.example': {{ includeSubdomains: !true, publicKeyHashes: ['{A}', '{B}'] }}",
            "computed",
        ),
        (
            f"'a.example': {{ includeSubdomains: 'false', publicKeyHashes: ['{A}', '{B}'] }}",
            "computed",
        ),
        (
            f"'a.example': {{ expirationDate: !'2027-06-01', publicKeyHashes: ['{A}', '{B}'] }}",
            "computed",
        ),
        (f"'a.example': {{ expirationDate: 'x', publicKeyHashes: ['{A}', '{B}'] }}", "not a date"),
        (f"'*.a.example': {{ publicKeyHashes: ['{A}', '{B}'] }}", "which no host has"),
        ("'a.example': { publicKeyHashes: [] }", "no pin that could match"),
        ("'a.example': { includeSubdomains: true }", "contains no pins"),
    ],
)
def test_computed_options_are_refused(inside: str, words: str) -> None:
    assert words in str(refusal(NAME, options(inside)))
