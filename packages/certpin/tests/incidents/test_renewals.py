"""Incidents of renewals, releases and dates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.incidents._crowd import USUAL_CURVE, Crowd
from tests.incidents._incident import incident
from tests.incidents._keys import two_leaf_pins

if TYPE_CHECKING:
    from certpin.pins import Pin
    from tests.incidents._book import Book

pytestmark = pytest.mark.slow


@incident(
    4,
    "An ACME client makes a new key",
    end="Until the safe date the ACME client renews with the key in use, which the hook accepts.",
)
def test_a_new_key_at_a_renewal(book: Book) -> None:
    """An ACME client renews, and makes a new key, as most do by default. The gate is its
    deploy hook. Clients with leaf pins would refuse the key. If they pin the authority, the
    same renewal is harmless.
    """
    issuer, _, _ = two_leaf_pins(book, 12_000)
    renewed = book.certificate(issuer, "fullchain.pem")
    refused = book.certpin("certpin rotate switch fullchain.pem", code=1, show=True)
    with book.instead():
        book.install(renewed)
        book.damage("it is installed, without the hook", refused.at_risk)
    reused = book.certificate(issuer, "reused.pem", key="api.key")
    book.certpin("certpin rotate switch reused.pem", show=True)
    book.install(reused)
    book.all_connect()
    started = book.follow(refused, "rotate start sha256/")
    book.follow(started, "rotate shipped")
    book.fetched()
    book.days(33)
    book.certpin("certpin rotate switch fullchain.pem")
    book.install(renewed)
    book.all_connect()

    with book.instead():
        _pin_the_authority(book, issuer.pin)
        again = book.certificate(issuer, "again.pem")
        book.certpin("certpin rotate switch again.pem", show=True)
        book.install(again)
        book.all_connect()


def _pin_the_authority(book: Book, pin: Pin) -> None:
    """Replace the clients with 12,000 others that have had two pinned authorities for 100 days."""
    Path("pins.journal.jsonl").unlink()
    book.crowd = Crowd(12_000, seed="authority")
    spare = book.authority("i2")
    book.pin_file((pin, "intermediate"), (spare.pin, "intermediate"), match="ca")
    book.certpin("certpin rotate shipped 1 --clients 12000")
    book.fetched()
    book.days(100)


@incident(
    9,
    "18 months without an update of the app",
    end="Every binary has the backup, which servers use at once; release 5.0 has the new one.",
)
def test_an_old_app(book: Book) -> None:
    """The pins are in the app's binary, and its last release is 18 months old. The operator
    makes a new key and a certificate for it.
    """
    issuer = book.authority("i1")
    used, spare = book.key("api", issuer), book.key("b", issuer)
    book.install(used)
    book.crowd = Crowd(users=20_000, seed="old")
    book.pin_file((used.pin, "leaf"), (spare.pin, "backup"))
    app = "--app com.bank.app --release"
    book.certpin(f"certpin rotate shipped 1 {app} 4.0 --clients 20000")
    book.released(USUAL_CURVE)
    book.days(548)
    started = book.certpin("certpin rotate start --new next.key", show=True)
    refused = book.certpin("certpin rotate switch next.key", code=1, show=True)
    with book.instead():
        book.install(book.certificate(issuer, "next.pem", key="next.key"))
        book.damage("the new key is installed", refused.at_risk)
    adopted = book.certpin("certpin rotate start b.key", show=True)
    book.follow(adopted, "rotate switch", show=True)
    book.install(spare)
    book.all_connect()
    book.follow(started, "rotate shipped", end=" 5.0")
    book.released(USUAL_CURVE)
    book.days(200)
    book.all_connect()


@incident(13, "The pins are about to expire", end="A later `expires` goes out before the deadline.")
def test_expiring_pins(book: Book) -> None:
    """The pins expire on 2027-08-01, fail-closed. `certpin rotate status` printed the
    deadline two months before. The operator reacts ten days before the expiry, or never.
    """
    issuer = book.authority("i1")
    used, spare = book.key("api", issuer), book.key("b", issuer)
    book.install(used)
    book.crowd = Crowd(20_000, seed="expiry")
    book.pin_file((used.pin, "leaf"), (spare.pin, "backup"), extra="expires = 2027-08-01")
    book.certpin("certpin rotate shipped 1 --clients 20000")
    book.fetched()
    book.days(60)
    status = book.certpin("certpin rotate status", show=True)
    assert "publish the next version by 2027-06-29 22:00 UTC" in status.text
    extended = (("expires = 2027-08-01", "expires = 2028-08-01"), ("version = 1", "version = 2"))
    expired = datetime(2027, 8, 1, 0, 1, tzinfo=UTC)
    with book.instead():
        book.days(83)
        never = book.certpin("certpin rotate status", code=1, show=True)
        assert "NEXT, now: write a later `expires` and version = 2" in never.text
        with book.instead():
            book.now = expired
            book.damage("no version goes out", never.at_risk)
        book.edit(*extended)
        book.certpin("certpin rotate shipped 2")
        book.fetched()
        late = book.certpin("certpin rotate status", code=1)
        book.now = expired
        book.damage("a version goes out ten days before", late.at_risk, sampled=True)
    book.edit(*extended)
    book.follow(never, "rotate shipped")
    book.fetched()
    book.now = expired
    book.all_connect()
