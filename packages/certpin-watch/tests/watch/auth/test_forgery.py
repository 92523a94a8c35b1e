"""Cross-site requests (CSRF), limits of bodies, and DNS rebinding."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from certpin_watch.auth import sessions
from tests.watch.auth._kit import Service, csrf_of

if TYPE_CHECKING:
    from starlette.types import Message

FORM = {"why": "quiet, please"}


@pytest.fixture
def anna(service: Service) -> Service:
    service.add("anna", "operator")
    return service


@pytest.mark.medium
def test_form_with_its_token_is_accepted(anna: Service) -> None:
    browser = anna.signed_in("anna")
    token = csrf_of(browser.get("/account"))
    assert browser.post("/silences", data={**FORM, "csrf": token}).json()["why"] == FORM["why"]
    assert browser.post("/silences", data=FORM, headers={"x-csrf-token": token}).status_code == 200


@pytest.mark.medium
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8460"},
    ],
)
def test_cross_site_request_is_refused_even_with_the_right_token(
    anna: Service, headers: dict[str, str]
) -> None:
    browser = anna.signed_in("anna")
    data = {**FORM, "csrf": csrf_of(browser.get("/account"))}
    assert browser.post("/silences", data=data, headers=headers).status_code == 403


@pytest.mark.medium
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
def test_origin_is_checked_without_fetch_metadata(anna: Service, origin: str, status: int) -> None:
    browser = anna.signed_in("anna")
    data = {**FORM, "csrf": csrf_of(browser.get("/account"))}
    del browser.headers["sec-fetch-site"]
    assert browser.post("/silences", data=data, headers={"origin": origin}).status_code == status


@pytest.mark.medium
def test_form_without_the_right_token_is_refused(anna: Service) -> None:
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


def test_login_form_needs_the_token_of_this_browser(anna: Service) -> None:
    foreign = csrf_of(anna.browser().get("/login"))
    for browser in (anna.browser(), anna.browser()):
        data = {"csrf": foreign, "name": "anna", "password": "four words of a test"}
        assert browser.post("/login", data=data).status_code == 403
    assert not sessions.is_csrf_token("", "")


def test_bearer_token_needs_no_csrf_token(anna: Service) -> None:
    headers = {"authorization": f"Bearer {anna.token('silence')}", "sec-fetch-site": "cross-site"}
    assert anna.browser().post("/silences", data=FORM, headers=headers).status_code == 200


def test_wrong_bearer_token_is_refused_despite_a_valid_cookie(anna: Service) -> None:
    browser = anna.signed_in("anna")
    for header in ("Bearer certpin_x", "Basic YTpi", "", "Bearer"):
        assert browser.get("/", headers={"authorization": header}).status_code == 401


@pytest.mark.medium
def test_oversized_forms_are_refused(anna: Service) -> None:
    browser = anna.signed_in("anna")
    body = b"why=" + b"x" * sessions.MAX_BODY
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert browser.post("/silences", content=body, headers=kind).status_code == 413
    many = "&".join(f"a{number}=1" for number in range(200))
    assert browser.post("/silences", content=many, headers=kind).status_code == 403
    assert browser.post("/silences", content=b"csrf=\xff", headers=kind).status_code == 403


@pytest.mark.parametrize("charset", ["unicode_escape", "idna", "utf-7"])
def test_multipart_form_with_a_character_set_is_refused(anna: Service, charset: str) -> None:
    """Some of Python's codecs fail, and some produce text that no database accepts."""
    browser = anna.browser()
    csrf = csrf_of(browser.get("/login"))
    part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = part.format("name", r"\ud800") + part.format("password", "x") + "--x--\r\n"
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    headers = {"x-csrf-token": csrf, "content-type": kind}
    assert browser.post("/login", content=body, headers=headers).status_code == 415


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", ""])
def test_every_body_is_limited_whatever_its_type(anna: Service, kind: str) -> None:
    """Starlette would write a multipart body to the disk."""
    browser = anna.browser()
    headers = {"x-csrf-token": csrf_of(browser.get("/login")), "content-type": kind}
    long = b"-" * (sessions.MAX_BODY + 1)
    assert browser.post("/login", content=long, headers=headers).status_code == 413
    token = {"authorization": f"Bearer {anna.token('silence')}", "content-type": kind}
    assert browser.post("/silences", content=long, headers=token).status_code == 413


def test_a_body_that_never_arrives_times_out() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    found, _ = asyncio.run(sessions.read_body(never, seconds=0.01))
    assert found is HTTPStatus.REQUEST_TIMEOUT


@pytest.mark.medium
@pytest.mark.parametrize("piece", [b"", b"why=quiet"])
def test_an_incomplete_body_changes_nothing(anna: Service, piece: bytes) -> None:
    """A program with a token has no CSRF field that would be missing."""
    pieces: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = [
        (b"host", b"127.0.0.1:8460"),
        (b"authorization", f"Bearer {anna.token('silence')}".encode()),
        (b"content-type", b"application/x-www-form-urlencoded"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/silences", "raw_path": b"/silences"}
    scope |= {"headers": headers, "client": ("127.0.0.1", 40000), "scheme": "http"}
    scope |= {"query_string": b"", "root_path": "", "http_version": "1.1"}
    sent: list[Message] = []

    async def receive() -> Message:
        return pieces.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(anna.app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert b"nothing was changed" in sent[1]["body"]


def test_unknown_methods_are_refused(anna: Service) -> None:
    assert anna.signed_in("anna").request("TRACE", "/").status_code == 405


def test_loopback_without_accounts_needs_no_login(service: Service) -> None:
    for host in ("127.0.0.1:8460", "localhost", "[::1]:8460", "watch.localhost", "127.8.8.8"):
        answer = service.browser().get("/", headers={"host": host})
        assert (answer.status_code, "local" in answer.text) == (200, True)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.0.2.1:8460", "0"])
def test_rebound_name_gets_no_access(service: Service, host: str) -> None:
    for path in ("/", "/health", "/login", "/tokens"):
        answer = service.browser(f"http://{host}").get(path)
        assert answer.status_code == 421
        assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("host", ["", "a@127.0.0.1", "127.0.0.1/x", "[", "127.0.0.1 x", "::::"])
def test_invalid_host_gets_no_access(service: Service, host: str) -> None:
    assert service.browser().get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "name",
    ["x-forwarded-for", "x-forwarded-proto", "forwarded", "via", "x-real-ip", "cf-connecting-ip"],
)
def test_forwarded_request_is_not_local(service: Service, name: str) -> None:
    assert service.browser().get("/", headers={name: "127.0.0.1"}).status_code == 421


def test_remote_address_is_not_local(service: Service) -> None:
    assert service.browser(address="192.0.2.9").get("/").status_code == 421
    assert service.browser(address="nowhere").get("/").status_code == 421


def test_first_account_requires_a_login_at_once(service: Service) -> None:
    browser = service.browser()
    assert browser.get("/").status_code == 200
    service.add("anna")
    assert browser.get("/").status_code == 303
    named = service.browser("http://watch.home.arpa:8460")  # a login is required now
    assert named.get("/").status_code == 303


@pytest.mark.parametrize(
    "settings", [{"listen": ("0.0.0.0", 8460)}, {"public_url": "https://watch.example"}]
)
def test_reachable_service_requires_a_login_from_the_loopback_too(
    service: Service, settings: dict[str, object]
) -> None:
    assert service.with_settings(**settings).browser().get("/").status_code == 303


def test_local_user_is_protected_from_forged_requests(service: Service) -> None:
    browser = service.browser()
    token = csrf_of(browser.get("/tokens"))
    assert token
    assert browser.post("/silences", data=FORM).status_code == 403
    data = {**FORM, "csrf": token}
    cross = {"sec-fetch-site": "cross-site"}
    assert browser.post("/silences", data=data, headers=cross).status_code == 403
    assert browser.post("/silences", data=data).json()["who"] == "local"
