"""Check texts of the web pages (reasons, durations, percentages, plurals) and the static files."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from importlib.resources import files
from typing import get_args

import pytest

from certpin.pins import Pin
from certpin.pins.verdict import Reason
from certpin.reports.codecs import CODECS
from certpin.reports.model import UNVERIFIED
from certpin.tls.failures import Unverified
from certpin_watch.html import environment, fingerprint, number, percent, reason, span
from scripts import htmx

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_every_known_reason_has_an_explanation() -> None:
    known = {*get_args(Reason), *get_args(Unverified)}.union(
        *(codec.reasons for codec in CODECS.values())
    )
    unexplained = {name for name in known - {"match"} if reason(name) == name}
    assert not unexplained, "fix: explain it in _REASONS of certpin_watch/html/__init__.py"
    assert reason("<b>") == "<b>"
    assert reason("") == ""


def test_reasons_of_platforms_have_the_same_names_everywhere() -> None:
    assert set(get_args(Unverified)) == UNVERIFIED == CODECS["nel"].reasons - {"mismatch"}
    assert "untrusted" in CODECS["trustkit"].reasons


@pytest.mark.parametrize(
    ("length", "text"),
    [(HOUR, "an hour"), (26 * HOUR, "26 hours"), (45 * DAY, "45 days"), (-3 * DAY, "3 days"),
     (timedelta(seconds=4), "less than a minute"), (800 * DAY, "2 years")],
)  # fmt: skip
def test_a_duration_has_one_unit(length: timedelta, text: str) -> None:
    assert span(length) == text


def test_some_is_never_0_percent_and_almost_all_is_never_100_percent() -> None:
    assert [percent(part, 1000) for part in (0, 1, 500, 999, 1000)] == [
        "0 %", "< 1 %", "50 %", "> 99 %", "100 %",
    ]  # fmt: skip


def test_a_noun_agrees_with_its_number() -> None:
    tile = environment().from_string('{{ count }} {{ count | noun_for("failure") }} in 24 hours')
    assert [tile.render(count=count) for count in (0, 1, 2)] == [
        "0 failures in 24 hours", "1 failure in 24 hours", "2 failures in 24 hours",
    ]  # fmt: skip
    assert [number(count, "host") for count in (0, 1, 1204)] == ["0 hosts", "1 host", "1,204 hosts"]


def test_a_digest_has_the_form_of_a_pin_of_a_certificate() -> None:
    digest = bytes(range(160, 192))
    assert f"cert-sha256/{fingerprint(digest.hex())}" == str(Pin("cert-sha256", digest))


def test_parts_between_backticks_are_code_and_html_is_escaped() -> None:
    line = environment().from_string("<p>{{ text | code }}</p>")
    assert line.render(text="set `a < 1`, <b> \u202e") == (
        "<p>set <code>a &lt; 1</code>, &lt;b&gt; \\u202e</p>"
    )
    assert line.render(text="an open `one") == "<p>an open <code>one</code></p>"


def test_the_shipped_htmx_is_the_reviewed_one() -> None:
    script = files("certpin_watch.html").joinpath("static", "htmx.min.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() == htmx.SHA256
    assert f'version:"{htmx.VERSION}"'.encode() in script
