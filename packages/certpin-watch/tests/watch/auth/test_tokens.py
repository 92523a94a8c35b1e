"""Check API tokens: their text, storage, scopes, expiry, revocation, and verification cost."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.errors import InputError
from certpin_watch import permissions
from certpin_watch.auth import credentials, throttle
from certpin_watch.auth.credentials import VerifiedTokens
from certpin_watch.auth.identity import Identity
from certpin_watch.permissions import SCOPES, WORKER, location_of
from certpin_watch.store import accounts
from certpin_watch.store.accounts import Token, all_tokens, revoke_token
from certpin_watch.store.engine import store_error
from tests.watch.auth._kit import Service, post

if TYPE_CHECKING:
    from typing import Any


def _hashed(secret: str) -> Token:
    hashed = credentials.TOKEN_HASHER.hash(secret)
    return Token("an id", "a name", hashed, frozenset(), "anna", 0)


def _scrape(service: Service, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return int(service.browser().get("/metrics", headers=headers).status_code)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every verification with Argon2 appends the secret that it verifies."""
    computations: list[str] = []
    real = credentials.Hasher.matches

    def matches(self: credentials.Hasher, hashed: str, secret: str) -> bool:
        computations.append(secret)
        return real(self, hashed, secret)

    monkeypatch.setattr(credentials.Hasher, "matches", matches)
    return computations


def test_token_text_has_a_prefix_and_a_checksum(service: Service) -> None:
    token = service.token("read")
    assert re.fullmatch(r"certpin_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", token)
    assert permissions.parse_token(token) is not None
    for at in range(len(token)):
        other = token[:at] + ("x" if token[at] != "x" else "y") + token[at + 1 :]
        assert permissions.parse_token(other) is None
    assert permissions.parse_token("") is permissions.parse_token(token + "\n") is None
    assert len({service.token("read") for _ in range(20)}) == 20


@pytest.mark.medium
def test_verified_token_is_cached(service: Service, computed: list[str]) -> None:
    token = service.token("metrics")
    assert [_scrape(service, token) for _ in range(5)] == [200] * 5
    assert len(computed) == 1
    service.clock.move(seconds=credentials.VERIFIED_SECONDS)
    assert _scrape(service, token) == 200
    assert len(computed) == 2


@pytest.mark.medium
def test_revoked_token_is_refused_despite_the_cache(service: Service) -> None:
    service.add("anna", "admin")
    token = service.token("metrics")
    assert _scrape(service, token) == 200
    parsed = permissions.parse_token(token)
    assert parsed
    assert post(service.signed_in("anna"), "/tokens/revoke", token=parsed[0]).status_code == 303
    assert _scrape(service, token) == 401
    with service.store.write() as connection, pytest.raises(InputError):
        revoke_token(connection, parsed[0], service.clock())


def test_token_expires(service: Service) -> None:
    token = service.token("metrics", until=service.clock() + timedelta(days=1))
    assert _scrape(service, token) == 200
    service.clock.move(days=1)
    assert _scrape(service, token) == 401


def test_wrong_secrets_are_refused_and_throttled(service: Service, computed: list[str]) -> None:
    right = service.token("metrics")
    start = right[: len("certpin_") + 13]
    wrong = permissions.token_text(start[len("certpin_") : -1], "0" * 43)
    for _ in range(throttle.FREE_PER_SOURCE):
        assert _scrape(service, wrong) == 401
    before = len(computed)
    assert _scrape(service, wrong) == 429
    assert len(computed) == before
    service.clock.move(seconds=throttle.MAX_WAIT)
    assert _scrape(service, right) == 200
    assert _scrape(service, permissions.token_text("0" * 12, "0" * 43)) == 401


def test_cache_of_tokens_is_bounded_and_has_no_secrets(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "MAX_VERIFIED", 3)
    memory, now = VerifiedTokens(), service.clock()
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


@pytest.mark.medium
def test_token_is_shown_once_and_audited(service: Service) -> None:
    service.add("anna", "admin")
    browser = service.signed_in("anna")
    page = post(browser, "/tokens", "/tokens", name="<i>prom</i>", scope=["metrics"], days="30")
    found = re.search(r"certpin_\w+", page.text)
    assert found
    assert page.headers["cache-control"] == "no-store"
    again = browser.get("/tokens").text
    assert found[0] not in again
    assert "&lt;i&gt;prom&lt;/i&gt;" in again
    for _ in range(3):
        _scrape(service, found[0])
        service.clock.move(minutes=2)
    whats = [what for _, what, *_ in service.audit_log()]
    assert whats == ["login", "token.made", "token.first-used"]
    assert not [row for row in service.audit_log() if found[0][-49:] in "".join(row)]
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
def test_invalid_token_is_not_created(service: Service, fields: dict[str, Any]) -> None:
    assert post(service.browser(), "/tokens", "/tokens", **fields).status_code == 400
    with service.store.read() as connection:
        assert all_tokens(connection) == []


@pytest.mark.medium
def test_pages_are_shown_if_the_store_is_read_only(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk is full or the database is a read-only standby, users still see the pages."""
    service.add("anna")
    browser, token = service.signed_in("anna"), service.token("read")
    service.clock.move(minutes=5)  # the uses of both are due to be stored

    def full() -> None:
        raise store_error("full")

    monkeypatch.setattr(service.store, "write", full)
    assert browser.get("/").status_code == 200
    headers = {"authorization": f"Bearer {token}"}
    assert service.browser().get("/", headers=headers).status_code == 200


def test_audit_log_has_pages(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "AUDIT_PAGE", 2)
    for name in ("anna", "bert", "carl"):
        with service.store.write() as connection:
            accounts.audit(connection, accounts.Actor(name), "something", at=service.clock())
    browser = service.browser()
    first = browser.get("/audit").text
    assert ("carl" in first, "anna" in first) == (True, False)
    older = re.search(r"/audit\?before=\d+", first)
    assert older
    assert "anna" in browser.get(older[0]).text
    assert browser.get("/audit?before=x").text.count('<tr role="row">') == 3


def test_worker_token_allows_only_its_location(service: Service) -> None:
    headers = {"authorization": f"Bearer {service.token('worker:fra1')}"}
    for path in ("/", "/metrics"):
        assert service.browser().get(path, headers=headers).status_code == 403
    silence = service.browser().post("/silences", data={"why": "x"}, headers=headers)
    assert silence.status_code == 403
    for scopes in (
        ["worker:fra1", "read"],
        ["worker:fra1", "worker:ams1"],
        ["worker"],
        ["worker:"],
    ):
        with pytest.raises(InputError):
            service.token(*scopes)
    with pytest.raises(InputError, match="not the name of a location"):
        service.token("worker:Frankfurt 1")


def test_worker_has_exactly_one_scope() -> None:
    assert location_of(frozenset({"worker:fra1"})) == "fra1"
    for scopes in ({"worker:fra1", "read"}, {"worker:fra1", "worker:ams1"}, {"read"}, set()):
        assert location_of(frozenset(scopes)) == ""
    everything = Identity("anna", kind="account", scopes=frozenset({*SCOPES, "worker:fra1"}))
    assert not everything.may(WORKER)
    assert Identity("token:x", kind="token", scopes=frozenset({"worker:fra1"})).may(WORKER)


@pytest.mark.medium
def test_admin_creates_a_worker_token_on_the_page(service: Service) -> None:
    service.add("anna", "admin")
    browser = service.signed_in("anna")
    answer = post(browser, "/tokens", name="fra1-a", location="fra1")
    assert answer.status_code == 200
    with service.store.read() as connection:
        (made,) = all_tokens(connection)
    assert (made.location, made.scopes) == ("fra1", frozenset({"worker:fra1"}))
    both = post(browser, "/tokens", name="fra1-b", location="fra1", scope="read")
    assert both.status_code == 400
