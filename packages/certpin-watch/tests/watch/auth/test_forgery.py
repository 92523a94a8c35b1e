"""Requests that another site makes a browser send, and a name that leads to the loopback."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from certpin_watch.auth import middleware, sessions
from tests.watch.auth._kit import House, csrf_of

if TYPE_CHECKING:
    from starlette.types import Message

FORM = {"why": "quiet, please"}


@pytest.fixture
def anna(house: House) -> House:
    house.add("anna", "operator")
    return house


def test_a_form_of_the_watch_is_taken_with_all_that_is_in_it(anna: House) -> None:
    browser = anna.signed_in("anna")
    token = csrf_of(browser.get("/account"))
    assert browser.post("/silences", data={**FORM, "csrf": token}).json()["why"] == FORM["why"]
    assert browser.post("/silences", data=FORM, headers={"x-csrf-token": token}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8460"},
    ],
)
def test_a_request_of_another_site_changes_nothing_though_the_token_is_right(
    anna: House, headers: dict[str, str]
) -> None:
    browser = anna.signed_in("anna")
    data = {**FORM, "csrf": csrf_of(browser.get("/account"))}
    assert browser.post("/silences", data=data, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8460", 200),
        ("https://127.0.0.1:8460", 403),
        ("http://127.0.0.1:9000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_browser_without_fetch_metadata_says_its_origin(
    anna: House, origin: str, status: int
) -> None:
    browser = anna.signed_in("anna")
    data = {**FORM, "csrf": csrf_of(browser.get("/account"))}
    del browser.headers["sec-fetch-site"]
    assert browser.post("/silences", data=data, headers={"origin": origin}).status_code == status


def test_without_the_right_token_nothing_is_changed(anna: House) -> None:
    browser, other = anna.signed_in("anna"), anna.signed_in("anna")
    theirs = csrf_of(other.get("/account"))
    of_login = csrf_of(anna.browser().get("/login"))
    right = csrf_of(browser.get("/account"))
    for wrong in ("", theirs, of_login, right[:-1], right.upper(), right + "0"):
        assert browser.post("/silences", data={**FORM, "csrf": wrong}).status_code == 403
        headers = {"x-csrf-token": wrong}
        assert browser.post("/silences", data=FORM, headers=headers).status_code == 403
    assert browser.post("/silences", data=FORM).status_code == 403
    assert browser.post("/silences", data={"csrf": [right, theirs]}).status_code == 403
    assert browser.post("/silences", json={"csrf": right}).status_code == 415
    assert browser.post(f"/silences?csrf={right}").status_code == 403


def test_signing_in_needs_the_token_of_this_browser(anna: House) -> None:
    stranger = csrf_of(anna.browser().get("/login"))
    for browser in (anna.browser(), anna.browser()):
        data = {"csrf": stranger, "name": "anna", "password": "four words of a test"}
        assert browser.post("/login", data=data).status_code == 403
    assert not sessions.is_csrf_token("", "")


def test_a_program_with_a_token_is_no_browser_that_can_be_made_to(anna: House) -> None:
    headers = {"authorization": f"Bearer {anna.token('silence')}", "sec-fetch-site": "cross-site"}
    assert anna.browser().post("/silences", data=FORM, headers=headers).status_code == 200


def test_a_wrong_token_is_not_made_up_for_by_a_cookie(anna: House) -> None:
    browser = anna.signed_in("anna")
    for header in ("Bearer certpin_x", "Basic YTpi", "", "Bearer"):
        assert browser.get("/", headers={"authorization": header}).status_code == 401


def test_a_form_that_is_too_long_is_not_read(anna: House) -> None:
    browser = anna.signed_in("anna")
    body = b"why=" + b"x" * middleware.MAX_BODY
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert browser.post("/silences", content=body, headers=kind).status_code == 413
    many = "&".join(f"a{number}=1" for number in range(200))
    assert browser.post("/silences", content=many, headers=kind).status_code == 403
    assert browser.post("/silences", content=b"csrf=\xff", headers=kind).status_code == 403


@pytest.mark.parametrize("charset", ["unicode_escape", "idna", "utf-7"])
def test_a_form_chooses_no_character_set(anna: House, charset: str) -> None:
    """Python knows some that fail, and some whose characters no database takes."""
    browser = anna.browser()
    csrf = csrf_of(browser.get("/login"))
    part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = part.format("name", r"\ud800") + part.format("password", "x") + "--x--\r\n"
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    headers = {"x-csrf-token": csrf, "content-type": kind}
    assert browser.post("/login", content=body, headers=headers).status_code == 415


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", ""])
def test_no_body_is_read_without_an_end_whatever_it_calls_itself(anna: House, kind: str) -> None:
    """The token in a header and a body of parts: starlette writes those to the disk."""
    browser = anna.browser()
    headers = {"x-csrf-token": csrf_of(browser.get("/login")), "content-type": kind}
    long = b"-" * (middleware.MAX_BODY + 1)
    assert browser.post("/login", content=long, headers=headers).status_code == 413
    token = {"authorization": f"Bearer {anna.token('silence')}", "content-type": kind}
    assert browser.post("/silences", content=long, headers=token).status_code == 413


def test_a_body_that_does_not_come_holds_a_connection_for_a_while_only() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    found, _ = asyncio.run(middleware.read_body(never, seconds=0.01))
    assert found is HTTPStatus.REQUEST_TIMEOUT


def test_a_method_that_no_page_has_is_refused(anna: House) -> None:
    assert anna.signed_in("anna").request("TRACE", "/").status_code == 405


# ── a watch on the loopback without accounts ──


def test_on_the_loopback_without_accounts_nobody_has_to_sign_in(house: House) -> None:
    for host in ("127.0.0.1:8460", "localhost", "[::1]:8460", "watch.localhost", "127.8.8.8"):
        answer = house.browser().get("/", headers={"host": host})
        assert (answer.status_code, "local" in answer.text) == (200, True)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.0.2.1:8460", "0"])
def test_a_name_that_leads_here_from_elsewhere_opens_nothing(house: House, host: str) -> None:
    for path in ("/", "/health", "/login", "/tokens"):
        answer = house.browser(f"http://{host}").get(path)
        assert answer.status_code == 421
        assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("host", ["", "a@127.0.0.1", "127.0.0.1/x", "[", "127.0.0.1 x", "::::"])
def test_a_host_that_is_none_opens_nothing(house: House, host: str) -> None:
    assert house.browser().get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "name",
    ["x-forwarded-for", "x-forwarded-proto", "forwarded", "via", "x-real-ip", "cf-connecting-ip"],
)
def test_what_a_proxy_passed_on_is_not_from_this_machine(house: House, name: str) -> None:
    assert house.browser().get("/", headers={name: "127.0.0.1"}).status_code == 421


def test_another_machine_is_not_this_one(house: House) -> None:
    assert house.browser(address="192.0.2.9").get("/").status_code == 421
    assert house.browser(address="nowhere").get("/").status_code == 421


def test_the_first_account_ends_it_at_once(house: House) -> None:
    browser = house.browser()
    assert browser.get("/").status_code == 200
    house.add("anna")
    assert browser.get("/").status_code == 303
    named = house.browser("http://watch.home.arpa:8460")  # now that a password is asked for
    assert named.get("/").status_code == 303


@pytest.mark.parametrize(
    "settings", [{"listen": ("0.0.0.0", 8460)}, {"public_url": "https://watch.example"}]
)
def test_where_others_can_come_in_nobody_is_let_in_for_being_near(
    house: House, settings: dict[str, object]
) -> None:
    assert house.like(**settings).browser().get("/").status_code == 303


def test_the_only_user_is_not_made_to_change_anything_either(house: House) -> None:
    browser = house.browser()
    token = csrf_of(browser.get("/tokens"))
    assert token
    assert browser.post("/silences", data=FORM).status_code == 403
    data = {**FORM, "csrf": token}
    cross = {"sec-fetch-site": "cross-site"}
    assert browser.post("/silences", data=data, headers=cross).status_code == 403
    assert browser.post("/silences", data=data).json()["who"] == "local"
