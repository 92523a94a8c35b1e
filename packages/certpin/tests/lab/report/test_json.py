"""The JSON of a run follows the schema in docs/reference/reports.md."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.pki import Style
from certpin.lab.report import FORMATS
from certpin.lab.report.json import SHOWN
from certpin.lab.runner import Run
from tests.cli import _documented
from tests.lab.report import _runs

if TYPE_CHECKING:
    from collections.abc import Callable

MADE: dict[str, Callable[[], Run]] = {
    "every outcome": _runs.every_outcome,
    "hostile": _runs.hostile_run,
    "empty": lambda: Run(_runs.HOST, Style.LEAF, ()),
}


def _read(run: Run) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(FORMATS["json"](run))
    return read


@pytest.mark.parametrize("which", MADE)
def test_every_field_is_as_documented(which: str) -> None:
    _documented.check("run", _read(MADE[which]()))


def test_the_same_run_gives_the_same_text() -> None:
    run = _runs.every_outcome()
    assert FORMATS["json"](run) == FORMATS["json"](run)


def test_results_are_in_the_order_of_the_run() -> None:
    outcomes = [result["outcome"] for result in _read(_runs.every_outcome())["results"]]
    assert outcomes == [
        *("right", "right", "wrong", "warning", "told", "undecided", "not_run", "right"),
    ]


def test_a_finding_comes_with_its_evidence() -> None:
    found = _read(_runs.every_outcome())["results"][2]
    (seen,) = found["attempts"][0]["connections"]
    assert (found["verdict"], found["says"]) == (
        "ACCEPT",
        "the attack got through: the client accepted it",
    )
    assert _runs.CANARY in seen["data"]["text"]
    assert [certificate["subject"] for certificate in seen["chain"]] == [f"CN={_runs.HOST}"]
    assert [pin["role"] for pin in seen["pinned"]] == ["leaf", "backup"]
    assert (seen["tls_version"], seen["hostile"]) == ("TLSv1.3", True)
    assert found["advice"] == _runs.BY_NAME["rogue-ca-in-store"].fix


def test_reports_contain_no_private_key() -> None:
    run = _runs.every_outcome()
    for write in FORMATS.values():
        assert "PRIVATE KEY" not in write(run)


def test_what_leaked_is_bounded_and_exact() -> None:
    run = _runs.hostile_run()
    seen = _read(run)["results"][1]["attempts"][0]["connections"][0]
    data = run.results[1].attempts[0].connections[0].data
    assert base64.b64decode(seen["data"]["base64"]) == data[:SHOWN]
    assert (seen["data"]["bytes"], seen["data"]["cut"]) == (len(data), True)


def test_a_client_without_pins_has_none_pinned() -> None:
    made = _runs.attempt(CONTROL.scenario(_runs.pki()), _runs.seen(_runs.pki().honest))
    without = replace(made, pins=None)
    run = _runs.run((_runs.result(CONTROL, without),))
    assert _read(run)["results"][1]["attempts"][0]["connections"][0]["pinned"] == []


def test_resumed_session_has_no_chain() -> None:
    step = _runs.pki().honest
    made = _runs.attempt(CONTROL.scenario(_runs.pki()), _runs.seen(step, resumed=True))
    run = _runs.run((_runs.result(CONTROL, made),))
    assert _read(run)["results"][1]["attempts"][0]["connections"][0]["chain"] == []


def test_unreadable_certificate_has_only_its_digest() -> None:
    junk = _read(_runs.hostile_run())["results"][1]["attempts"][0]["connections"][1]["chain"][0]
    assert {name for name, value in junk.items() if value is not None} == {"sha256"}


def test_hostile_text_is_ascii_and_every_parser_can_read_it() -> None:
    text = FORMATS["json"](_runs.hostile_run())
    assert text.isascii()
    assert "\\ud800" not in text.replace("\\\\ud800", "")  # no lone surrogate, but its escape
    assert "hunter2" not in text
