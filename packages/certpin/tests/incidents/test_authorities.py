"""Incidents of authorities: one moves, is left, or is distrusted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.incidents._crowd import USUAL_CURVE, Crowd
from tests.incidents._incident import incident

if TYPE_CHECKING:
    from tests.incidents._book import Book

pytestmark = pytest.mark.slow


@incident(
    1,
    "The CDN moves to another intermediate",
    end="The old certificate is valid long enough for the wait.",
)
def test_a_moved_intermediate(book: Book) -> None:
    """Clients pin the authority's intermediate and one more. The renewed certificate comes
    from a third, which the authority never announced.
    """
    used, spare, moved = (book.authority(name) for name in ("i1", "i2", "i3"))
    book.install(book.certificate(used, "old.pem"))
    book.crowd = Crowd(12_000, seed="moved")
    book.pin_file((used.pin, "intermediate"), (spare.pin, "intermediate"), match="ca")
    book.certpin("certpin rotate shipped 1 --clients 12000")
    book.fetched()
    book.days(100)
    renewed = book.certificate(moved, "fullchain.pem")
    refused = book.certpin("certpin rotate switch fullchain.pem", code=1, show=True)
    with book.instead():
        book.install(renewed)
        book.damage("the CDN installs it", refused.at_risk)
        status = book.certpin("certpin rotate status", code=1, show=True)
        assert status.at_risk == refused.at_risk
        assert "NEXT, now: let api.bank.example" in status.text
    started = book.follow(refused, "rotate start sha256/")
    book.follow(started, "rotate shipped")
    book.fetched()
    waiting = book.certpin("certpin rotate switch fullchain.pem", code=1)
    assert "safe from: 2027-07-11" in waiting.text
    book.days(33)
    book.certpin("certpin rotate switch fullchain.pem", show=True)
    book.install(renewed)
    book.all_connect()


@incident(
    2,
    "A planned move to another authority",
    end="Servers switch on the safe date, and then root A is taken out.",
)
def test_a_planned_move(book: Book) -> None:
    """Clients pin root A. Root B's pin went out six days ago, and the new certificate is
    here.
    """
    old, spare = book.authority("a1"), book.authority("a2")
    book.install(book.certificate(old, "old.pem"))
    book.crowd = Crowd(20_000, seed="planned")
    book.pin_file((book.root.pin, "root"), (spare.pin, "intermediate"), match="ca")
    book.certpin("certpin rotate shipped 1 --clients 20000")
    book.fetched()
    book.days(100)
    started = book.certpin("certpin rotate start root-b.pem", show=True)
    book.follow(started, "rotate shipped")
    book.fetched()
    book.days(6)
    new = book.certificate(book.authority("b1", book.other_root), "new.pem")
    refused = book.certpin("certpin rotate switch new.pem", code=1, show=True)
    with book.instead():
        book.install(new)
        book.damage("it is installed after six days", refused.at_risk, sampled=True)
    book.days(27)
    switched = book.follow(started, "rotate switch")
    book.certpin("certpin rotate switch new.pem")
    book.install(new)
    book.all_connect()
    finished = book.follow(switched, "rotate finish", show=True)
    book.follow(finished, "rotate shipped")
    book.fetched()
    book.days(33)
    book.all_connect()


@incident(
    3,
    "An authority is distrusted in 90 days",
    end="A forced update ends the old release, and servers switch after that day.",
)
def test_a_distrust(book: Book) -> None:
    """Browsers will distrust root A, which the app pins in its binary. Release 5.0 with root
    B is in the stores at once; some users never update.
    """
    old, spare = book.authority("a1"), book.authority("a2")
    book.install(book.certificate(old, "old.pem"))
    book.crowd = Crowd(users=20_000, seed="distrust")
    book.pin_file((book.root.pin, "root"), (spare.pin, "intermediate"), match="ca")
    app = "--app com.bank.app --release"
    book.certpin(f"certpin rotate shipped 1 {app} 4.0 --clients 20000")
    book.released(USUAL_CURVE)
    book.days(300)
    started = book.certpin("certpin rotate start root-b.pem", show=True)
    book.follow(started, "rotate shipped", end=" 5.0")
    book.released(USUAL_CURVE)
    book.days(60)
    new = book.certificate(book.authority("b1", book.other_root), "new.pem")
    refused = book.certpin("certpin rotate switch new.pem", code=1, show=True)
    with book.instead():
        book.install(new)
        book.damage("it is installed after 60 days", refused.at_risk)
    forced = f"certpin rotate shipped 2 {app} 5.0 --force-update 2028-03-15"
    book.certpin(forced, show=True)
    book.forced(datetime(2028, 3, 16, tzinfo=UTC))
    status = book.certpin("certpin rotate status", show=True)
    assert "NEXT, not before 2028-03-16 00:00 UTC" in status.text
    book.days(25)
    assert "certpin rotate switch root-b.pem" in status.text
    book.follow(status, "rotate switch")
    book.certpin("certpin rotate switch new.pem")
    book.install(new)
    book.all_connect()
