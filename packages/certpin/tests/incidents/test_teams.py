"""Incidents of several people, rotations and regions."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.incidents._incident import incident
from tests.incidents._keys import two_leaf_pins

if TYPE_CHECKING:
    from tests.incidents._book import Book

pytestmark = pytest.mark.slow


@incident(12, "Two rotations in flight", end="Each key serves from its own date on.")
def test_two_rotations(book: Book) -> None:
    """A second key was started ten days after the first. On the safe date of the first, the
    operator installs the wrong one of the two.
    """
    issuer, _, _ = two_leaf_pins(book, 20_000)
    first = book.certpin("certpin rotate start --new first.key", show=True)
    book.follow(first, "rotate shipped")
    book.fetched()
    book.days(10)
    second = book.certpin("certpin rotate start --new second.key", show=True)
    book.follow(second, "rotate shipped")
    book.fetched()
    book.days(23)
    new = book.certificate(issuer, "second.pem", key="second.key")
    refused = book.certpin("certpin rotate switch second.pem", code=1, show=True)
    with book.instead():
        book.install(new)
        book.damage("the second key is installed", refused.at_risk, sampled=True)
    book.follow(first, "rotate switch")
    book.install(book.certificate(issuer, "first.pem", key="first.key"))
    book.all_connect()
    book.days(10)
    switched = book.follow(second, "rotate switch")
    book.install(new)
    book.all_connect()
    finished = book.follow(switched, "rotate finish")
    book.follow(finished, "rotate shipped")
    book.fetched()
    book.days(33)
    book.all_connect()


@incident(14, "Two people act at once", end="One more version has both pins.")
def test_two_people(book: Book) -> None:
    """Anna and Bob each start a key in a clone of the repository, and each gives out version
    2. Bob's file takes the place of Anna's five days later. Bob merges Anna's commit, and
    installs his key when the date that certpin had printed is there.
    """
    issuer, _, _ = two_leaf_pins(book, 20_000)
    Path(".gitattributes").write_text("*.journal.jsonl merge=union\n", encoding="utf-8")
    _git("init", "--quiet", "--initial-branch=main")
    _commit("pins")
    _git("clone", "--quiet", ".", "../bob")
    anna = book.certpin("certpin rotate start --new anna.key")
    book.follow(anna, "rotate shipped")
    book.fetched()
    _commit("Anna's key")
    book.days(5)
    book.who = "bob"
    with book.elsewhere("../bob"):
        bob = book.certpin("certpin rotate start --new bob.key")
        book.follow(bob, "rotate shipped")
        book.fetched()
        _commit("Bob's key")
        book.days(33)
        new = book.certificate(issuer, "bob.pem", key="bob.key")
        assert "pins.toml" in _git("pull", "--quiet", "--no-rebase", code=1)
        _git("checkout", "--quiet", "--theirs", "pins.toml")
        _commit("merge Anna's key")
        refused = book.certpin("certpin rotate switch bob.pem", code=1, show=True)
        with book.instead():
            book.install(new)
            book.damage("Bob's key is installed", refused.at_risk, sampled=True)
        started = book.follow(refused, "rotate start sha256/", show=True)
        book.follow(started, "rotate shipped")
        book.fetched()
        book.days(33)
        book.certpin("certpin rotate switch bob.pem")
        book.install(new)
        book.all_connect()


def _git(*words: str, code: int = 0) -> str:
    who = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    done = subprocess.run(
        ["git", *who, *words], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def _commit(message: str) -> None:
    _git("add", "--all")
    _git("commit", "--quiet", f"--message={message}")
