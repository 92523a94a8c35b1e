"""Incidents of keys: stolen, lost, in the wrong place, or of the wrong type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certpin.cli.named_key import resolve_key
from certpin.lab import Identity
from tests.incidents._crowd import Crowd
from tests.incidents._incident import incident
from tests.incidents._keys import two_leaf_pins

if TYPE_CHECKING:
    from tests.incidents._book import Book

pytestmark = pytest.mark.slow


@incident(5, "A backup that clients never compare", end="The new authority's pin goes out first.")
def test_a_leaf_backup_under_ca(book: Book) -> None:
    """With `match = "ca"`, clients compare only authorities, so the server key `b.key` is no
    backup. The operator leaves the authority, and gets a certificate for `b.key` from another
    one.
    """
    used, other = book.authority("i1"), book.authority("other", book.other_root)
    served, backup = book.key("api", used), book.key("b", other)
    book.install(served)
    book.crowd = Crowd(12_000, seed="leaf backup")
    book.pin_file((used.pin, "intermediate"), (backup.pin, "backup"), match="ca")
    book.certpin("certpin rotate shipped 1 --clients 12000")
    book.fetched()
    book.days(100)
    said = book.certpin("certpin rotate start b.key", show=True)
    assert "no backup there" in said.text
    refused = book.certpin("certpin rotate switch b.pem", code=1, show=True)
    with book.instead():
        book.install(backup)
        book.damage("it is installed", refused.at_risk)
    started = book.follow(refused, "rotate start sha256/")
    book.follow(started, "rotate shipped")
    book.fetched()
    book.days(33)
    book.certpin("certpin rotate switch b.pem")
    book.install(backup)
    book.all_connect()


@incident(
    6,
    "A key is stolen, and there are two pins",
    end="The server gets the backup before that version goes out.",
)
def test_a_stolen_key(book: Book) -> None:
    """The server's key is stolen; the only other pin is the backup. A version that refuses
    the stolen key is tempting, but the server still presents it.
    """
    _, stolen, backup = two_leaf_pins(book, 12_000)
    told = book.certpin("certpin rotate emergency api.key --stolen", show=True)
    book.exposure("clients that accept the attacker at the theft", told.accepting, stolen)
    book.follow(told, "rotate csr")
    book.follow(told, "rotate switch")
    book.follow(told, "rotate start")
    refused = book.follow(told, "rotate shipped", code=1, show=True)
    with book.instead():
        book.certpin(f"{told.printed('rotate shipped')} --force --reason 'it is urgent'")
        book.fetched()
        book.days(33)
        book.damage("that version goes out first, with `--force`", refused.at_risk)
    book.install(backup)
    book.follow(told, "rotate shipped")
    book.fetched()
    book.all_connect()
    book.days(33)
    book.all_connect()
    book.exposure("clients that accept the attacker after the printed date", 0, stolen)


@incident(
    7,
    "The backup is lost",
    end="The loss is recorded, and clients have a new backup when the server's key is stolen.",
)
def test_a_lost_backup(book: Book) -> None:
    """The file of the backup is gone. If that is not recorded, the theft of the server's key leaves
    only a key that clients don't know.
    """
    issuer, _, _ = two_leaf_pins(book, 12_000)
    Path("b.key").unlink()
    lost = f"certpin rotate emergency {resolve_key('b.pem').pin} --lost"
    with book.instead():
        book.certpin(lost)
        theft = book.certpin("certpin rotate emergency api.key --stolen", code=1, show=True)
        book.follow(theft, "rotate start")
        book.follow(theft, "rotate csr")
        book.follow(theft, "rotate switch")
        book.install(book.certificate(issuer, "next.pem", key="next.key"))
        book.damage("the loss is noticed at the theft", theft.at_risk)
    told = book.certpin(lost, show=True)
    book.follow(told, "rotate start")
    book.follow(told, "rotate finish")
    book.follow(told, "rotate shipped")
    book.fetched()
    book.days(33)
    theft = book.certpin("certpin rotate emergency api.key --stolen")
    book.follow(theft, "rotate switch")
    book.install(book.certificate(issuer, "saved.pem", key="next-backup.key"))
    book.all_connect()


@incident(
    8,
    "A backup that no public authority signs",
    end="A backup of the default type can serve.",
)
def test_a_wrong_algorithm(book: Book) -> None:
    """An Ed25519 key is no backup for a public site, and neither is P-521. `certpin rotate
    start` refuses both. A pin file that was written by hand hides it until the backup is
    needed.
    """
    issuer, used, _ = two_leaf_pins(book, 12_000)
    for file, key in (
        ("ed.key", ed25519.Ed25519PrivateKey.generate()),
        ("p521.key", ec.generate_private_key(ec.SECP521R1())),
    ):
        Path(file).write_bytes(Identity(key, ()).key_pem)
        book.certpin(f"certpin rotate start {file}", code=2, show=True)
    with book.instead():
        Path("pins.journal.jsonl").unlink()
        book.pin_file((used.pin, "leaf"), (resolve_key("ed.key").pin, "backup"))
        book.certpin("certpin rotate shipped 1 --clients 12000")
        book.crowd = Crowd(12_000, seed="by hand")
        book.fetched()
        book.days(100)
        theft = book.certpin("certpin rotate emergency api.key --stolen")
        useless = book.follow(theft, "rotate csr", code=2, show=True)
        book.follow(useless, "rotate emergency", code=1)
        theft = book.certpin("certpin rotate emergency api.key --stolen", code=1, show=True)
        book.follow(theft, "rotate start")
        book.follow(theft, "rotate switch")
        book.install(book.certificate(issuer, "next.pem", key="next.key"))
        book.damage("its pin is written by hand", theft.at_risk)
    started = book.certpin("certpin rotate start --new good.key")
    book.follow(started, "rotate shipped")
    book.fetched()
    book.days(33)
    book.follow(started, "rotate switch")
    book.install(book.certificate(issuer, "good.pem", key="good.key"))
    book.all_connect()
