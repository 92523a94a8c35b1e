"""Reasons in reports of certpin, TrustKit and browsers have explanations."""

from __future__ import annotations

from typing import get_args

from certpin.pins.verdict import Reason
from certpin.reports.codecs import nel, trustkit
from certpin.reports.model import UNVERIFIED
from certpin.tls.failures import Unverified
from certpin_watch.html.words import reason


def test_every_known_reason_has_an_explanation() -> None:
    known = {*get_args(Reason), *get_args(Unverified), *nel.REASONS.values(), *trustkit.REASONS}
    assert {name for name in known - {"match"} if reason(name) == name} == set()
    assert reason("<b>") == "<b>"
    assert reason("") == ""


def test_reasons_of_platforms_have_the_same_names_everywhere() -> None:
    assert set(get_args(Unverified)) == UNVERIFIED == {*nel.REASONS.values()} - {"mismatch"}
    assert "untrusted" in trustkit.REASONS
