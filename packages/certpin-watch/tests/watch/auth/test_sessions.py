"""Sessions: their cookies, when they end, and who can end them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from certpin_watch.addresses import local_path
from certpin_watch.store import accounts
from certpin_watch.store import sessions as session_store
from certpin_watch.store.sessions import Session, SessionOwner
from certpin_watch.store.tables.service import SESSIONS
from tests.watch.auth._kit import PASSWORD, Service, csrf_of, post, sign_in

if TYPE_CHECKING:
    from typing import Any

ANOTHER = "another four words here"
PLANTED = "planted-by-an-attacker-with-43-characters--"


def _secret(browser: Any) -> str:
    return str(browser.cookies.get("certpin") or browser.cookies.get("__Host-certpin") or "")


def _status(browser: Any) -> int:
    return int(browser.get("/").status_code)


def test_session_cookie_has_protective_attributes(service: Service) -> None:
    service.add("anna")
    plain = sign_in(service.browser(), "anna").headers["set-cookie"]
    assert "HttpOnly; SameSite=Lax" in plain
    assert "Path=/" in plain
    assert "__Host-" not in plain  # no browser would accept it over http
    secure = sign_in(service.browser("https://localhost:8460"), "anna").headers["set-cookie"]
    assert secure.startswith("__Host-certpin=")
    assert secure.endswith("; Secure")
    assert "Domain" not in secure


def test_cookie_without_the_prefix_is_ignored_over_tls(service: Service) -> None:
    service.add("anna")
    browser = service.signed_in("anna")
    other = service.browser("https://localhost:8460", cookie=f"certpin={_secret(browser)}")
    assert _status(other) == 303
    other = service.browser("https://localhost:8460", cookie=f"__Host-certpin={_secret(browser)}")
    assert _status(other) == 200


def test_database_contains_no_secret(service: Service) -> None:
    service.add("anna")
    browser = service.signed_in("anna")
    token = service.token("read")
    with service.store.read() as connection:
        dump = "\n".join(connection.connection.iterdump())
    for secret in (_secret(browser), PASSWORD, token, token.rpartition("_")[2][:43]):
        assert secret
        assert secret not in dump


def test_login_does_not_adopt_a_planted_cookie(service: Service) -> None:
    service.add("anna")
    browser = service.browser()
    browser.cookies.set("certpin", PLANTED, domain="127.0.0.1")
    sign_in(browser, "anna")
    secrets = [cookie.value for cookie in browser.cookies.jar if cookie.name == "certpin"]
    assert _status(service.browser(cookie=f"certpin={PLANTED}")) == 303
    assert any(_status(service.browser(cookie=f"certpin={value}")) == 200 for value in secrets)


@pytest.mark.medium
def test_second_login_ends_the_previous_session(service: Service) -> None:
    service.add("anna")
    browser = service.signed_in("anna")
    old, csrf = _secret(browser), csrf_of(browser.get("/account"))
    browser.post("/login", data={"csrf": csrf, "name": "anna", "password": PASSWORD})
    assert _secret(browser) != old
    assert _status(service.browser(cookie=f"certpin={old}")) == 303


@pytest.mark.medium
def test_session_ends_when_idle_and_at_its_maximum_age(service: Service) -> None:
    service.add("anna")
    browser = service.signed_in("anna")
    for _ in range(11):
        service.clock.move(minutes=119)
        assert _status(browser) == 200
    idle = service.signed_in("anna")
    service.clock.move(minutes=121)
    assert _status(idle) == 303
    busy = service.signed_in("anna")
    for _ in range(13):
        service.clock.move(minutes=110)
        assert _status(busy) == 200
    service.clock.move(minutes=11)
    assert _status(busy) == 303


def test_session_from_the_future_is_invalid(
    service: Service,
) -> None:
    service.add("anna")
    service.clock.move(days=3650)
    browser = service.signed_in("anna")
    service.clock.move(days=-3650)
    assert _status(browser) == 303


@pytest.mark.medium
def test_logout_ends_the_session_in_the_database(service: Service) -> None:
    service.add("anna")
    browser = service.signed_in("anna")
    secret = _secret(browser)
    answer = post(browser, "/logout")
    assert "You are signed out" in answer.text
    assert 'aria-label="Main"' not in answer.text
    assert _secret(browser) == ""
    assert _status(service.browser(cookie=f"certpin={secret}")) == 303


@pytest.mark.medium
def test_new_password_ends_all_other_sessions(service: Service) -> None:
    service.add("anna")
    here, there = service.signed_in("anna"), service.signed_in("anna")
    old = _secret(here)
    fields = {"current": PASSWORD, "new": ANOTHER, "again": ANOTHER}
    assert post(here, "/account/password", **{**fields, "current": ANOTHER}).status_code == 400
    assert post(here, "/account/password", **{**fields, "again": PASSWORD}).status_code == 400
    short = {**fields, "new": "x", "again": "x"}
    assert post(here, "/account/password", **short).status_code == 400
    assert _status(there) == 200
    assert post(here, "/account/password", **fields).status_code == 303
    assert (_status(here), _status(there)) == (200, 303)
    assert _secret(here) != old
    assert sign_in(service.browser(), "anna").status_code == 403
    assert sign_in(service.browser(), "anna", ANOTHER).status_code == 303


@pytest.mark.medium
@pytest.mark.parametrize("change", ["role", "removal", "loss"])
def test_changes_of_an_account_end_its_sessions(service: Service, change: str) -> None:
    service.add("anna", "admin")
    browser = service.signed_in("anna")
    with service.store.write() as connection:
        if change == "role":
            accounts.set_role(connection, "anna", "viewer")
        elif change == "loss":
            connection.exec_driver_sql("DELETE FROM accounts")
        else:
            accounts.remove_account(connection, "anna")
    service.add("bert")
    assert _status(browser) == 303


def test_role_applies_from_the_next_request(service: Service) -> None:
    service.add("anna", "admin")
    browser = service.signed_in("anna")
    with service.store.write() as connection:
        connection.exec_driver_sql("UPDATE accounts SET role = 'viewer'")
    assert browser.get("/tokens").status_code == 403


@pytest.mark.medium
def test_only_the_owner_can_end_a_session(service: Service) -> None:
    service.add("anna")
    service.add("bert")
    here = service.signed_in("anna")
    there = service.signed_in("anna", **{"user-agent": "<b>a phone</b>"})
    bert = service.signed_in("bert")
    page = here.get("/account").text
    assert "&lt;b&gt;a phone&lt;/b&gt;" in page
    with service.store.read() as connection:
        rows = connection.execute(select(SESSIONS)).all()
    shown = {row.agent: _shown(service, row.id) for row in rows}
    post(bert, "/account/sessions/end", session=shown["<b>a phone</b>"])
    assert _status(there) == 200
    post(here, "/account/sessions/end", session=shown["<b>a phone</b>"])
    assert (_status(here), _status(there), _status(bert)) == (200, 303, 200)
    post(here, "/account/sessions/end-all")
    assert (_status(here), _status(bert)) == (303, 200)


def _shown(service: Service, digest: bytes) -> str:
    owner = SessionOwner(None, "", "")
    return Session(digest, owner, "", "", 0, 0, 0).public_id


@pytest.mark.medium
def test_sessions_of_one_user_are_bounded(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_store, "MAX_SESSIONS", 3)
    service.add("anna")
    browsers = []
    for _ in range(5):
        browsers.append(service.signed_in("anna"))
        service.clock.move(seconds=1)
    assert [_status(browser) for browser in browsers] == [303, 303, 200, 200, 200]


@pytest.mark.medium
@pytest.mark.parametrize(
    "there",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/a\\..\\b",
        "javascript:alert(1)",
        "evil",
        "",
        "/\u2028",
    ],
)
def test_login_redirects_only_to_this_service(service: Service, there: str) -> None:
    service.add("anna")
    assert sign_in(service.browser(), "anna", next=there).headers["location"] == "/"
    assert (
        service.signed_in("anna").get("/login", params={"next": there}).headers["location"] == "/"
    )
    assert local_path("/hosts/a.example?day=1") == "/hosts/a.example?day=1"
