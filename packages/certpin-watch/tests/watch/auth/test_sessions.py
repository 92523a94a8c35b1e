"""Sessions: what a cookie is worth, for how long, and who can end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from certpin_watch.origin import local_path
from certpin_watch.store import accounts
from certpin_watch.store.accounts import Owner, Session
from certpin_watch.store.tables.service import SESSIONS
from tests.watch.auth._kit import PASSWORD, House, csrf_of, post, sign_in

if TYPE_CHECKING:
    from typing import Any

ANOTHER = "another four words here"
PLANTED = "planted-by-somebody-else-with-43-characters"


def _secret(browser: Any) -> str:
    return str(browser.cookies.get("certpin") or browser.cookies.get("__Host-certpin") or "")


def _status(browser: Any) -> int:
    return int(browser.get("/").status_code)


def test_the_cookie_can_be_had_by_nothing_but_the_browser(house: House) -> None:
    house.add("anna")
    plain = sign_in(house.browser(), "anna").headers["set-cookie"]
    assert "HttpOnly; SameSite=Lax" in plain
    assert "Path=/" in plain
    assert "__Host-" not in plain  # no browser would take it by http
    secure = sign_in(house.browser("https://localhost:8460"), "anna").headers["set-cookie"]
    assert secure.startswith("__Host-certpin=")
    assert secure.endswith("; Secure")
    assert "Domain" not in secure


def test_by_tls_a_cookie_without_the_prefix_is_nothing(house: House) -> None:
    house.add("anna")
    browser = house.signed_in("anna")
    other = house.browser("https://localhost:8460", cookie=f"certpin={_secret(browser)}")
    assert _status(other) == 303
    other = house.browser("https://localhost:8460", cookie=f"__Host-certpin={_secret(browser)}")
    assert _status(other) == 200


def test_the_database_knows_no_cookie_and_no_password(house: House) -> None:
    house.add("anna")
    browser = house.signed_in("anna")
    token = house.token("read")
    with house.store.read() as connection:
        dump = "\n".join(connection.connection.iterdump())
    for secret in (_secret(browser), PASSWORD, token, token.rpartition("_")[2][:43]):
        assert secret
        assert secret not in dump


def test_a_session_that_was_planted_before_is_not_the_one_after(house: House) -> None:
    house.add("anna")
    browser = house.browser()
    browser.cookies.set("certpin", PLANTED, domain="127.0.0.1")
    sign_in(browser, "anna")
    secrets = [each.value for each in browser.cookies.jar if each.name == "certpin"]
    assert _status(house.browser(cookie=f"certpin={PLANTED}")) == 303
    assert any(_status(house.browser(cookie=f"certpin={each}")) == 200 for each in secrets)


def test_signing_in_again_ends_the_session_of_before(house: House) -> None:
    house.add("anna")
    browser = house.signed_in("anna")
    old, csrf = _secret(browser), csrf_of(browser.get("/account"))
    browser.post("/login", data={"csrf": csrf, "name": "anna", "password": PASSWORD})
    assert _secret(browser) != old
    assert _status(house.browser(cookie=f"certpin={old}")) == 303


def test_a_session_ends_when_nobody_uses_it_and_in_any_case(house: House) -> None:
    house.add("anna")
    browser = house.signed_in("anna")
    for _ in range(11):
        house.clock.move(minutes=119)
        assert _status(browser) == 200
    idle = house.signed_in("anna")
    house.clock.move(minutes=121)
    assert _status(idle) == 303
    busy = house.signed_in("anna")
    for _ in range(13):
        house.clock.move(minutes=110)
        assert _status(busy) == 200
    house.clock.move(minutes=11)
    assert _status(busy) == 303


def test_a_session_that_began_while_the_clock_ran_ahead_does_not_last_until_then(
    house: House,
) -> None:
    house.add("anna")
    house.clock.move(days=3650)
    browser = house.signed_in("anna")
    house.clock.move(days=-3650)
    assert _status(browser) == 303


def test_signing_out_ends_the_session_itself(house: House) -> None:
    house.add("anna")
    browser = house.signed_in("anna")
    secret = _secret(browser)
    answer = post(browser, "/logout")
    assert "You are signed out" in answer.text
    assert 'aria-label="Main"' not in answer.text
    assert _secret(browser) == ""
    assert _status(house.browser(cookie=f"certpin={secret}")) == 303


def test_another_password_ends_every_session_but_a_new_one(house: House) -> None:
    house.add("anna")
    here, there = house.signed_in("anna"), house.signed_in("anna")
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
    assert sign_in(house.browser(), "anna").status_code == 403
    assert sign_in(house.browser(), "anna", ANOTHER).status_code == 303


@pytest.mark.parametrize("change", ["role", "removal", "loss"])
def test_what_changes_for_an_account_signs_it_out(house: House, change: str) -> None:
    house.add("anna", "admin")
    browser = house.signed_in("anna")
    with house.store.write() as connection:
        if change == "role":
            accounts.set_role(connection, "anna", "viewer")
        elif change == "loss":
            connection.exec_driver_sql("DELETE FROM accounts")
        else:
            accounts.remove_account(connection, "anna")
    house.add("bert")
    assert _status(browser) == 303


def test_a_role_holds_from_the_next_request_on(house: House) -> None:
    house.add("anna", "admin")
    browser = house.signed_in("anna")
    with house.store.write() as connection:
        connection.exec_driver_sql("UPDATE accounts SET role = 'viewer'")
    assert browser.get("/tokens").status_code == 403


def test_sessions_are_listed_and_ended_by_their_owner_alone(house: House) -> None:
    house.add("anna")
    house.add("bert")
    here = house.signed_in("anna")
    there = house.signed_in("anna", **{"user-agent": "<b>a phone</b>"})
    bert = house.signed_in("bert")
    page = here.get("/account").text
    assert "&lt;b&gt;a phone&lt;/b&gt;" in page
    with house.store.read() as connection:
        rows = connection.execute(select(SESSIONS)).all()
    shown = {row.agent: _shown(house, row.id) for row in rows}
    post(bert, "/account/sessions/end", session=shown["<b>a phone</b>"])
    assert _status(there) == 200
    post(here, "/account/sessions/end", session=shown["<b>a phone</b>"])
    assert (_status(here), _status(there), _status(bert)) == (200, 303, 200)
    post(here, "/account/sessions/end-all")
    assert (_status(here), _status(bert)) == (303, 200)


def _shown(house: House, digest: bytes) -> str:
    owner = Owner(None, "", "")
    return Session(digest, owner, "", "", 0, 0, 0).public_id


def test_one_person_has_so_many_sessions_and_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MAX_SESSIONS", 3)
    house.add("anna")
    browsers = []
    for _ in range(5):
        browsers.append(house.signed_in("anna"))
        house.clock.move(seconds=1)
    assert [_status(each) for each in browsers] == [303, 303, 200, 200, 200]


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
def test_nobody_is_sent_elsewhere_after_the_sign_in(house: House, there: str) -> None:
    house.add("anna")
    assert sign_in(house.browser(), "anna", next=there).headers["location"] == "/"
    assert house.signed_in("anna").get("/login", params={"next": there}).headers["location"] == "/"
    assert local_path("/hosts/a.example?day=1") == "/hosts/a.example?day=1"
