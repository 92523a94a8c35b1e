"""Incidents of clocks and of regions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.incidents._crowd import Crowd
from tests.incidents._incident import incident
from tests.incidents._keys import two_leaf_pins

if TYPE_CHECKING:
    from tests.incidents._book import Book

pytestmark = pytest.mark.slow


@incident(
    10,
    "A clock is behind, or ahead",
    end="A forced entry of a clock that was ahead is corrected by one command.",
)
def test_wrong_clocks(book: Book) -> None:
    """The clock of the machine that records a version is 40 days behind, so that the wait seems to
    be over. Or the clock of the machine that switches is 400 days ahead.
    """
    issuer, _, _ = two_leaf_pins(book, 12_000)
    started = book.certpin("certpin rotate start --new next.key")
    book.skew = timedelta(days=-40)
    behind = book.certpin(started.printed("rotate shipped"), code=1, show=True)
    with book.instead():
        book.certpin(f"{started.printed('rotate shipped')} --force --reason 'it is urgent'")
        book.fetched()
        book.skew = timedelta()
        book.certpin("certpin rotate switch next.key")
        book.install(book.certificate(issuer, "next.pem", key="next.key"))
        book.damage("behind at the publish: forced, then `switch`", behind.at_risk)
    with book.instead():
        book.skew = timedelta()
        book.certpin(started.printed("rotate shipped"))
        book.fetched()
        book.skew = timedelta(days=400)
        ahead = book.certpin("certpin rotate switch next.key", code=1, show=True)
        book.certpin("certpin rotate switch next.key --force --reason 'it is urgent'")
        book.install(book.certificate(issuer, "next.pem", key="next.key"))
        book.damage("ahead at the switch: forced", ahead.at_risk)
    book.skew = timedelta(days=400)
    book.certpin(f"{started.printed('rotate shipped')} --force --reason 'it is urgent'")
    book.fetched()
    book.skew = timedelta()
    blocked = book.certpin("certpin rotate switch next.key", code=1, show=True)
    repair = book.follow(blocked, "rotate clock", code=1, show=True)
    book.follow(repair, "rotate clock --reason", end=" 'the laptop was ahead'", show=True)
    early = book.certpin("certpin rotate switch next.key", code=1)
    assert "safe from" in early.text
    book.days(33)
    book.follow(started, "rotate switch")
    book.install(book.certificate(issuer, "next.pem", key="next.key"))
    book.all_connect()


@incident(
    11,
    "A forgotten region",
    end="The region gets the new certificate, and then the old key goes.",
)
def test_a_forgotten_region(book: Book) -> None:
    """Servers in two regions were in the pin file. One was taken out of it, but still answers: each
    client comes to it at times. The others have a new key, and the old key is to go.
    """
    issuer = book.authority("i1")
    used, spare = book.key("api", issuer), book.key("b", issuer)
    book.install(used, "eu", "ap")
    book.crowd = Crowd(12_000, seed="region")
    book.pin_file((used.pin, "leaf"), (spare.pin, "backup"))
    book.certpin("certpin rotate shipped 1 --clients 12000")
    book.fetched()
    book.days(100)
    book.edit(book.listed("ap")[::-1])
    started = book.certpin("certpin rotate start --new next.key")
    shipped = started.printed("rotate shipped")
    refused = book.certpin(shipped, code=1, show=True)
    new = book.certificate(issuer, "next.pem", key="next.key")
    forced = " --force --reason 'it is switched off'"
    with book.instead():
        book.certpin(shipped + forced)
        book.fetched()
        book.days(33)
        book.certpin(f"{started.printed('rotate switch')}{forced}")
        book.install(new, "eu")
        assert book.refusing() == 0
        finished = book.certpin(f"certpin rotate finish{forced}")
        assert finished.at_risk == refused.at_risk
        book.certpin(f"{finished.printed('rotate shipped')}{forced}")
        book.fetched()
        book.days(33)
        book.damage("each step is forced", refused.at_risk)
    listed = book.listed("ap")
    book.edit(listed)
    book.certpin(shipped)
    book.fetched()
    book.days(33)
    switched = book.follow(started, "rotate switch")
    book.install(new, "eu")
    served = book.follow(switched, "rotate finish", code=1, show=True)
    assert "192.0.2.8" in book.record.said[-1].text
    assert served.at_risk == refused.at_risk
    book.install(new, "ap")
    finished = book.follow(switched, "rotate finish")
    book.follow(finished, "rotate shipped")
    book.fetched()
    book.days(33)
    book.all_connect()
    book.edit(listed[::-1])
    book.stop("ap")
    blocked = book.certpin("certpin rotate start --new later.key")
    blocked = book.certpin(blocked.printed("rotate shipped"), code=1)
    book.follow(blocked, "rotate gone", end=" 'the region is closed'")
    book.certpin("certpin rotate shipped 4")
