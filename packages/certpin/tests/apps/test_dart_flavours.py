"""Pins of development builds: a question lists each, and no import makes it a production backup."""

from __future__ import annotations

import pytest

from tests.apps._dart import KEY, KEY_2, NEEDS_PARSER, questions, read

pytestmark = NEEDS_PARSER

A, B = f"'sha256/{KEY}'", f"'sha256/{KEY_2}'"


@pytest.mark.parametrize(
    "code",
    [
        f"const apiPins = {{'prod': [{A}], 'dev': [{B}]}};",
        f"final apiPins = {{Flavor.prod: [{A}], Flavor.staging: [{B}]}};",
        f"const apiPins = [{A}]; const devPins = [{B}];",
        f"final pins = flavor == 'prod' ? [{A}] : [{B}];",
        f"final pins = flavor != 'prod' ? [{B}] : [{A}];",
        f"final pins = isDev ? [{B}] : [{A}];",
        f"final pins = flavor! == 'dev' ? [{B}] : [{A}];",
        f"class Pins {{ static const stagingPin = {B}; static const pin = {A}; }}",
        f"class StagingPins {{ static const values = [{B}]; }} const pins = [{A}];",
        f"const a = {A}, b = {B}; const pins = [a]; const uatPins = [b];",
        f"const pins = [{A}]; const stgPins = [{B}];",
        f"const pins = [{A}]; const sandboxPins = [{B}];",
        f"enum Server {{ prod(pins: [{A}]), qa(pins: [{B}]); }}",
        f"final x = Config.test(pins: [{B}]), y = Config(pins: [{A}]);",
        f"List<String> devPins() => [{B}]; List<String> pins() => [{A}];",
        f"pins(f) => switch (f) {{ 'dev' => [{B}], _ => [{A}] }};",
        f"pins(f) {{ switch (f) {{ case Flavor.dev: return [{B}]; }} return [{A}]; }}",
        f"pins() {{ if (env == 'production') {{ return [{A}]; }} else {{ return [{B}]; }} }}",
    ],
)
def test_a_pin_of_a_flavour_is_a_question(code: str) -> None:
    found = read(f"\n{code}")
    assert [str(each.pin) for each in found.pins] == [A.strip("'")]
    asked = [each for each in found.unknown if "is a pin of a flavour" in each.question]
    assert [B in each.question and str(each.place) for each in asked] == ["lib/a.dart:2"]


@pytest.mark.parametrize(
    "code",
    [
        f"const pins = {{'api.dev.bank.example': [{A}]}};",
        f"pins(host) {{ if (host == 'api.dev.bank.example') return [{A}]; }}",
        f"bool testConnection() => check([{A}]);",
        f"const pins = [{A}]; void f() {{ debugPrint('pins'); g(pins); debugPrint('$pins'); }}",
        f"const pins = [{A}]; final debugInfo = Info(pins);",
        f"const pins = [{A}]; const devPins = pins; const productionPins = pins;",
        f"final pins = kDebugMode ? [{B}] : [{A}];",
    ],
)
def test_a_pin_without_a_flavour_is_read(code: str) -> None:
    assert A.strip("'") in [str(each.pin) for each in read(code).pins]
    assert not [each for each in questions(code) if "flavour" in each]
