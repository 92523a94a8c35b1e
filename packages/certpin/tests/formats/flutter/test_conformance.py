"""The Dart update client follows the TUF specification in the cases of ``tests.updates``."""

from __future__ import annotations

import json

import pytest

from certpin.formats.flutter.published import published
from certpin.pinfile import PinSet
from tests import kit
from tests.formats.flutter._app import App, verdict
from tests.updates._publisher import CHANNEL, HOST, pin_file
from tests.updates.conformance import (  # noqa: F401  # they add their cases
    cases_files,
    cases_roots,
    cases_signatures,
    cases_versions,
)
from tests.updates.conformance._site import CASES, built

pytestmark = pytest.mark.peer("dart")

RUN = [name for name, case in CASES.items() if not case.dart]
BUNDLED, _ = published(PinSet.parse(pin_file(1, {CHANNEL: kit.NOBODY_ELSE, HOST: kit.NOBODY_ELSE})))


@pytest.mark.parametrize("name", RUN)
def test_dart_does_what_the_specification_says(name: str) -> None:
    site = built(name)
    app = App(BUNDLED, site.first_root)
    pins = 1
    for moment in site.moments:
        if not moment.reasons:
            pins = moment.pins
        reason, version = verdict(app, moment.files, moment.now)
        assert reason in (moment.reasons or ("",))
        assert version == pins
        app.start()
        assert app.version == pins


def test_few_cases_are_left_out_and_each_says_why() -> None:
    assert len(CASES) - len(RUN) <= 5
    assert all(len(case.dart) > 20 for case in CASES.values() if case.dart)
    assert json.loads(BUNDLED)["version"] == 1
