"""Every reason that a client of certpin, of TrustKit or a browser can give is put into words."""

from __future__ import annotations

from typing import get_args

from certpin.pins.verdict import Reason
from certpin.reports.codecs import nel, trustkit
from certpin.reports.model import UNVERIFIED
from certpin.tls.failures import Unverified
from certpin_watch.html.words import reason


def test_each_reason_has_its_words_and_any_other_is_shown_as_it_is() -> None:
    known = {*get_args(Reason), *get_args(Unverified), *nel.REASONS.values(), *trustkit.REASONS}
    assert {each for each in known - {"match"} if reason(each) == each} == set()
    assert reason("<b>") == "<b>"
    assert reason("") == ""


def test_what_the_platform_refuses_is_called_the_same_everywhere() -> None:
    assert set(get_args(Unverified)) == UNVERIFIED == {*nel.REASONS.values()} - {"mismatch"}
    assert "untrusted" in trustkit.REASONS
