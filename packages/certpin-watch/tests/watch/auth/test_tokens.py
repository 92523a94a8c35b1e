"""Tokens: their form, what is kept of them, what a scrape costs, and their end."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.errors import InputError
from certpin_watch import permissions
from certpin_watch.auth import passwords, throttle, tokens
from certpin_watch.auth.identity import Identity
from certpin_watch.auth.tokens import VerifiedTokens
from certpin_watch.permissions import SCOPES, WORKER, location_of
from certpin_watch.store import audit
from certpin_watch.store.failures import store_error
from certpin_watch.store.tokens import Token, all_tokens, revoke_token
from tests.watch.auth._kit import House, post

if TYPE_CHECKING:
    from typing import Any


def _hashed(secret: str) -> Token:
    hashed = passwords.TOKEN_HASHER.hash(secret)
    return Token("an id", "a name", hashed, frozenset(), "anna", 0)


def _scrape(house: House, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return int(house.browser().get("/metrics", headers=headers).status_code)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time that Argon2 was asked."""
    asked: list[str] = []
    real = passwords.Hasher.matches

    def matches(self: passwords.Hasher, kept: str, secret: str) -> bool:
        asked.append(secret)
        return real(self, kept, secret)

    monkeypatch.setattr(passwords.Hasher, "matches", matches)
    return asked


def test_a_token_has_a_form_that_scanners_find_and_a_sum(house: House) -> None:
    token = house.token("read")
    assert re.fullmatch(r"certpin_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", token)
    assert permissions.parse_token(token) is not None
    for at in range(len(token)):
        other = token[:at] + ("x" if token[at] != "x" else "y") + token[at + 1 :]
        assert permissions.parse_token(other) is None
    assert permissions.parse_token("") is permissions.parse_token(token + "\n") is None
    assert len({house.token("read") for _ in range(20)}) == 20


def test_a_scrape_computes_argon2_once_in_a_while(house: House, computed: list[str]) -> None:
    token = house.token("metrics")
    assert [_scrape(house, token) for _ in range(5)] == [200] * 5
    assert len(computed) == 1
    house.clock.move(seconds=tokens.VERIFIED_SECONDS)
    assert _scrape(house, token) == 200
    assert len(computed) == 2


def test_a_revoked_token_ends_at_once_though_it_was_right_a_moment_ago(house: House) -> None:
    house.add("anna", "admin")
    token = house.token("metrics")
    assert _scrape(house, token) == 200
    parsed = permissions.parse_token(token)
    assert parsed
    assert post(house.signed_in("anna"), "/tokens/revoke", token=parsed[0]).status_code == 303
    assert _scrape(house, token) == 401
    with house.store.write() as connection, pytest.raises(InputError):
        revoke_token(connection, parsed[0], house.clock())


def test_a_token_ends_when_it_was_said_to(house: House) -> None:
    token = house.token("metrics", until=house.clock() + timedelta(days=1))
    assert _scrape(house, token) == 200
    house.clock.move(days=1)
    assert _scrape(house, token) == 401


def test_the_secret_decides_and_guessing_is_slowed_down(house: House, computed: list[str]) -> None:
    right = house.token("metrics")
    start = right[: len("certpin_") + 13]
    wrong = permissions.token_text(start[len("certpin_") : -1], "0" * 43)
    for _ in range(throttle.FREE_PER_SOURCE):
        assert _scrape(house, wrong) == 401
    asked = len(computed)
    assert _scrape(house, wrong) == 429
    assert len(computed) == asked
    house.clock.move(seconds=throttle.MAX_WAIT)
    assert _scrape(house, right) == 200
    assert _scrape(house, permissions.token_text("0" * 12, "0" * 43)) == 401


def test_what_is_remembered_is_bounded_and_no_secret(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_VERIFIED", 3)
    memory, now = VerifiedTokens(), house.clock()
    token = _hashed("a secret")
    assert not memory.verify(token, "another", now)
    assert not memory.is_known(token, "another", now)
    for number in range(5):
        memory.verify(_hashed(str(number)), str(number), now)
    assert memory.verify(token, "a secret", now)
    assert memory.is_known(token, "a secret", now)
    assert not memory.is_known(_hashed("a secret"), "a secret", now)
    assert len(memory._until) == 3
    assert b"a secret" not in b"".join(memory._until)


def test_a_token_is_shown_once_and_its_life_is_written_down(house: House) -> None:
    house.add("anna", "admin")
    browser = house.signed_in("anna")
    page = post(browser, "/tokens", "/tokens", name="<i>prom</i>", scope=["metrics"], days="30")
    found = re.search(r"certpin_\w+", page.text)
    assert found
    assert page.headers["cache-control"] == "no-store"
    again = browser.get("/tokens").text
    assert found[0] not in again
    assert "&lt;i&gt;prom&lt;/i&gt;" in again
    for _ in range(3):
        _scrape(house, found[0])
        house.clock.move(minutes=2)
    whats = [what for _, what, *_ in house.audited()]
    assert whats == ["login", "token.made", "token.first-used"]
    assert not [row for row in house.audited() if found[0][-49:] in "".join(row)]
    assert "token.first-used" in browser.get("/audit").text


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x"},
        {"name": "x", "scope": ["all"]},
        {"name": "", "scope": ["read"]},
        {"name": "x" * 81, "scope": ["read"]},
        {"name": "x", "scope": ["read"], "days": "0"},
        {"name": "x", "scope": ["read"], "days": "9999999"},
        {"name": "x", "scope": ["read"], "days": "\u0665"},
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(house: House, fields: dict[str, Any]) -> None:
    assert post(house.browser(), "/tokens", "/tokens", **fields).status_code == 400
    with house.store.read() as connection:
        assert all_tokens(connection) == []


def test_whoever_is_signed_in_sees_the_pages_where_nothing_can_be_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a standby that reads alone: that is when somebody has to look."""
    house.add("anna")
    browser, token = house.signed_in("anna"), house.token("read")
    house.clock.move(minutes=5)  # it is time to write down that both were seen

    def full() -> None:
        raise store_error("full")

    monkeypatch.setattr(house.store, "write", full)
    assert browser.get("/").status_code == 200
    headers = {"authorization": f"Bearer {token}"}
    assert house.browser().get("/", headers=headers).status_code == 200


def test_the_record_has_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 2)
    for name in ("anna", "bert", "carl"):
        with house.store.write() as connection:
            audit.audit(connection, audit.Actor(name), "something", at=house.clock())
    browser = house.browser()
    first = browser.get("/audit").text
    assert ("carl" in first, "anna" in first) == (True, False)
    older = re.search(r"/audit\?before=\d+", first)
    assert older
    assert "anna" in browser.get(older[0]).text
    assert browser.get("/audit?before=x").text.count('<tr role="row">') == 3


def test_the_token_of_a_worker_is_for_one_location_and_nothing_else(house: House) -> None:
    headers = {"authorization": f"Bearer {house.token('worker:fra1')}"}
    for path in ("/", "/metrics"):
        assert house.browser().get(path, headers=headers).status_code == 403
    silence = house.browser().post("/silences", data={"why": "x"}, headers=headers)
    assert silence.status_code == 403
    for scopes in (
        ["worker:fra1", "read"],
        ["worker:fra1", "worker:ams1"],
        ["worker"],
        ["worker:"],
    ):
        with pytest.raises(InputError):
            house.token(*scopes)
    with pytest.raises(InputError, match="not the name of a vantage"):
        house.token("worker:Frankfurt 1")


def test_only_a_single_scope_makes_a_worker() -> None:
    assert location_of(frozenset({"worker:fra1"})) == "fra1"
    for scopes in ({"worker:fra1", "read"}, {"worker:fra1", "worker:ams1"}, {"read"}, set()):
        assert location_of(frozenset(scopes)) == ""
    everything = Identity("anna", kind="account", scopes=frozenset({*SCOPES, "worker:fra1"}))
    assert not everything.may(WORKER)
    assert Identity("token:x", kind="token", scopes=frozenset({"worker:fra1"})).may(WORKER)


def test_an_admin_makes_the_token_of_a_worker_on_the_page(house: House) -> None:
    house.add("anna", "admin")
    browser = house.signed_in("anna")
    answer = post(browser, "/tokens", name="fra1-a", location="fra1")
    assert answer.status_code == 200
    with house.store.read() as connection:
        (made,) = all_tokens(connection)
    assert (made.location, made.scopes) == ("fra1", frozenset({"worker:fra1"}))
    both = post(browser, "/tokens", name="fra1-b", location="fra1", scope="read")
    assert both.status_code == 400
