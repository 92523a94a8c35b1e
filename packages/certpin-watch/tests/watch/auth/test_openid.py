"""Check logins through a real OpenID Connect provider on this machine: roles, sessions, answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from certpin.errors import InputError
from certpin_watch.auth.openid import CALLBACK, PendingLogin
from certpin_watch.store.tables.service import SESSIONS
from tests.servers.oidc import CLIENT_SECRET
from tests.watch.auth._kit import PASSWORD, Service, csrf_of
from tests.watch.auth._openid import (
    PUBLIC,
    at_provider,
    come_back,
    leave,
    log_in,
    refusal_of,
    set_claims,
)

if TYPE_CHECKING:
    from certpin.lab import Authority
    from tests.servers.oidc import Provider

pytestmark = pytest.mark.slow  # each test uses the provider


def test_login_gives_the_role_of_the_groups(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    provider.groups = ["staff", "oncall", "others"]
    browser, address = leave(openid_service)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert address.startswith(f"{provider.issuer}/authorize?")
    assert asked["redirect_uri"] == PUBLIC + CALLBACK
    assert asked["code_challenge_method"] == "S256"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    answer = come_back(browser, at_provider(address, provider, root))
    assert (answer.status_code, answer.headers["location"]) == (303, "/hosts/a.example")
    assert "openid:anna@bank.example" in browser.get("/").text
    account = browser.get("/account")
    assert browser.post("/silences", data={"csrf": csrf_of(account)}).status_code == 200
    assert browser.get("/tokens").status_code == 403
    assert provider.redeemed[-1]["authorization"].startswith("Basic ")
    who, what, subject, outcome = openid_service.audit_log()[-1]
    assert (who, what, outcome) == ("openid:anna@bank.example", "login", "done")
    assert subject == "openid 248289761001"
    out = browser.post("/logout", data={"csrf": csrf_of(account)})
    assert f"{provider.issuer}/logout?client_id=certpin" in out.text
    assert browser.get("/").status_code == 303


def test_unverified_email_is_not_used_as_a_name(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    provider.change = set_claims(email_verified=False)
    assert log_in(openid_service, provider, root)[1].status_code == 303
    assert openid_service.audit_log()[-1][0] == "openid:248289761001"


@pytest.mark.parametrize("groups", [[], ["others"], None, {"staff": 1}, [["staff"]], 7, "admin"])
def test_user_without_a_configured_group_is_refused(
    openid_service: Service, provider: Provider, root: Authority, groups: object
) -> None:
    provider.groups = groups
    assert refusal_of(openid_service, provider, root) == "no role"
    assert openid_service.audit_log()[-1][0] == "openid:anna@bank.example"


def test_logout_does_not_contact_the_provider(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    cookie = log_in(openid_service, provider, root)[0].cookies["__Host-certpin"]
    restarted = Service(
        openid_service.store, openid_service.clock, replace(openid_service.settings)
    )
    browser = restarted.browser(PUBLIC, "192.0.2.9", cookie=f"__Host-certpin={cookie}")
    csrf = csrf_of(browser.get("/account"))
    provider.asked.clear()
    assert browser.post("/logout", data={"csrf": csrf}).status_code == 200
    assert provider.asked == []
    assert browser.get("/").headers["location"] == "/login?next=/"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"state": "another"}, "not for this browser"),
        ({"state": ""}, "not for this browser"),
        ({"iss": "https://evil.example"}, "another provider"),
        ({"iss": ""}, "another provider"),
        ({"code": ""}, "no code"),
        ({"error": "access_denied"}, "the provider refused (access_denied)"),
        ({"error": "any text"}, "the provider refused"),
        ({"code": "guessed"}, "could not be redeemed (invalid_grant)"),
    ],
    ids=str,
)
def test_wrong_answer_of_the_provider_is_refused(
    openid_service: Service, provider: Provider, root: Authority, answer: dict[str, str], why: str
) -> None:
    provider.answer = answer
    redeemed = len(provider.redeemed)
    assert refusal_of(openid_service, provider, root).endswith(why)
    assert len(provider.redeemed) == redeemed + ("redeemed" in why)


def test_answer_is_valid_once_and_in_one_browser(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    browser, address = leave(openid_service)
    cookie = browser.cookies.get("__Host-certpin-login")
    back = at_provider(address, provider, root)
    assert come_back(openid_service.browser(PUBLIC, "192.0.2.9"), back).status_code == 403
    other, _ = leave(openid_service)
    assert come_back(other, back).status_code == 403
    assert come_back(browser, back).status_code == 303
    assert come_back(browser, back).status_code == 403
    thief = openid_service.browser(PUBLIC, "192.0.2.9", cookie=f"__Host-certpin-login={cookie}")
    assert come_back(thief, back).status_code == 403  # the provider accepts a code once
    openid_service.clock.move(minutes=11)
    assert "could not be redeemed" in openid_service.audit_log()[-1][3]


def test_login_that_takes_too_long_is_refused(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    browser, address = leave(openid_service)
    back = at_provider(address, provider, root)
    openid_service.clock.move(minutes=11)
    assert come_back(browser, back).status_code == 403
    assert openid_service.audit_log()[-1][3] == "the sign-in took too long"


def test_cookie_tolerates_clocks_that_differ_by_a_minute() -> None:
    now = datetime(2027, 3, 1, tzinfo=UTC)
    begun = PendingLogin.new("/hosts", now)
    assert PendingLogin.from_cookie(begun.cookie, now - timedelta(seconds=60)) == begun
    with pytest.raises(InputError, match="too long"):
        PendingLogin.from_cookie(begun.cookie, now - timedelta(seconds=61))


def _wait(openid_service: Service, provider: Provider, minutes: int) -> None:
    """Move the clocks of the service and of the provider."""
    openid_service.clock.move(minutes=minutes)
    provider.ahead += 60 * minutes


def _again(browser: Any, provider: Provider, root: Authority, path: str = "/account") -> Any:
    """Request ``path`` with a session that the provider has to confirm again.

    Check that the service redirects to the provider, follow the redirects, and return the service's
    response to the confirmation.
    """
    sent = browser.get(path)
    assert (sent.status_code, sent.headers["location"]) == (
        303,
        f"/login/openid?again=1&next={path}",
    )
    address = browser.get(sent.headers["location"]).headers["location"]
    return come_back(browser, at_provider(address, provider, root))


def test_provider_is_asked_again_after_the_clock_was_set_back(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    browser, _ = log_in(openid_service, provider, root)
    _wait(openid_service, provider, -1)
    assert (
        browser.get("/account").status_code == 200
    )  # the clock of another process may be so far behind
    _wait(openid_service, provider, -1)
    assert _again(browser, provider, root).status_code == 303
    assert browser.get("/account").status_code == 200


def test_provider_is_asked_again_without_a_prompt(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    provider.groups = ["oncall"]
    browser, _ = log_in(openid_service, provider, root)
    page = browser.get("/account")
    _wait(openid_service, provider, 60)
    ajax = browser.get(
        "/account", headers={"hx-request": "true", "hx-current-url": f"{PUBLIC}/live?host=a"}
    )
    assert ajax.headers["hx-redirect"] == "/login/openid?again=1&next=/live%3Fhost%3Da"
    refused = browser.post("/silences", data={"csrf": csrf_of(page)})
    assert refused.status_code == 401
    assert "Reload the page, and send the form again" in refused.text
    answer = _again(browser, provider, root)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert provider.prompts == ["", "none"]
    assert "openid:anna" in browser.get("/").text
    assert [what for _, what, *_ in openid_service.audit_log()] == ["login"]
    _wait(openid_service, provider, 71)
    assert browser.post("/silences", data={"csrf": csrf_of(page)}).status_code == 403
    provider.groups = ["staff"]
    assert _again(browser, provider, root).status_code == 303
    assert openid_service.audit_log()[-1][1:] == ("session.role", "operator then viewer", "done")
    assert (
        browser.post("/silences", data={"csrf": csrf_of(browser.get("/account"))}).status_code
        == 403
    )


@pytest.mark.parametrize("role", ["oncall", "security"])
def test_open_form_of_a_refused_user_changes_nothing(
    openid_service: Service, provider: Provider, root: Authority, role: str
) -> None:
    provider.groups = [role]
    browser, _ = log_in(openid_service, provider, root)
    csrf = csrf_of(browser.get("/account"))
    token = {"csrf": csrf, "name": "still", "scope": "admin"}
    _wait(openid_service, provider, 61)
    provider.groups = []
    assert browser.post("/silences", data={"csrf": csrf}).status_code == 401
    assert browser.post("/tokens", data=token).status_code == 401
    assert _again(browser, provider, root).status_code == 403
    assert browser.post("/tokens", data=token).status_code == 403
    assert not openid_service.audit_log()[1:-2]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"groups": []}, "no role"),
        ({"change": set_claims(sub="another")}, "the provider names another user now"),
        ({"answer": {"error": "access_denied"}}, "the provider refused (access_denied)"),
    ],
    ids=["group", "user", "refusal"],
)
def test_refused_session_ends(
    openid_service: Service, provider: Provider, root: Authority, change: dict[str, Any], why: str
) -> None:
    openid_service.add("berta")
    browser, _ = log_in(openid_service, provider, root)
    cookie = browser.cookies["__Host-certpin"]
    _wait(openid_service, provider, 61)
    normal = {name: getattr(provider, name) for name in change}
    vars(provider).update(change)
    refused = _again(browser, provider, root)
    assert refused.status_code == 403
    assert "__Host-certpin" not in browser.cookies
    vars(provider).update(normal)
    _wait(openid_service, provider, -61)
    kept = openid_service.browser(PUBLIC, "192.0.2.9", cookie=f"__Host-certpin={cookie}")
    assert kept.get("/").headers["location"] == "/login?next=/"
    (ended, failed) = openid_service.audit_log()[-2:]
    assert ended == ("openid:anna@bank.example", "session.ended", "not confirmed", "done")
    assert failed[1:] == ("login", "openid", why)
    # The form on the page works without the ended session.
    form = {"csrf": csrf_of(refused), "name": "berta", "password": PASSWORD}
    assert browser.post("/login", data=form).status_code == 303


@pytest.mark.parametrize("error", ["server_error", "temporarily_unavailable"])
def test_session_survives_a_failure_of_the_provider(
    openid_service: Service, provider: Provider, root: Authority, error: str
) -> None:
    browser, _ = log_in(openid_service, provider, root)
    _wait(openid_service, provider, 61)
    provider.answer = {"error": error}
    assert _again(browser, provider, root).status_code == 403
    provider.answer = {"code": "guessed"}
    assert _again(browser, provider, root).status_code == 403
    # Another site can't forge a refusal that ends the session.
    assert browser.get("/login/openid?again=1&next=/").status_code == 303
    forged = "https://evil.example/login/openid/callback?state=guessed&error=access_denied"
    assert come_back(browser, forged).status_code == 403
    provider.answer = {}
    assert _again(browser, provider, root).status_code == 303


def test_user_signs_out_of_a_session_that_must_be_confirmed(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    browser, _ = log_in(openid_service, provider, root)
    csrf = csrf_of(browser.get("/account"))
    _wait(openid_service, provider, 71)
    assert browser.post("/logout", data={"csrf": "0" * 64}).status_code == 403
    out = browser.post("/logout", data={"csrf": csrf})
    assert out.status_code == 200
    assert f"{provider.issuer}/logout?client_id=certpin" in out.text
    assert openid_service.audit_log()[-1][:2] == ("openid:anna@bank.example", "logout")
    assert browser.get("/").headers["location"] == "/login?next=/"


def test_ended_and_expired_sessions_are_not_continued(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    browser, _ = log_in(openid_service, provider, root)
    _wait(openid_service, provider, 61)
    address = browser.get("/login/openid?again=1&next=/").headers["location"]
    with openid_service.store.write() as connection:
        connection.execute(SESSIONS.delete())
    back = at_provider(address, provider, root)
    assert come_back(browser, back).status_code == 403
    assert openid_service.audit_log()[-1][3] == "the session has ended in the meantime"
    assert browser.get("/").headers["location"] == "/login?next=/"
    # Without a session, signing in takes a click.
    assert "prompt=none" not in browser.get("/login/openid?again=1").headers["location"]
    browser, _ = log_in(openid_service, provider, root)
    for _ in range(23):
        _wait(openid_service, provider, 61)
        assert _again(browser, provider, root).status_code == 303
    _wait(openid_service, provider, 61)
    assert browser.get("/").headers["location"] == "/login?next=/"


def test_session_is_not_continued_for_an_unknown_or_another_user(
    openid_service: Service, provider: Provider, root: Authority
) -> None:
    browser, _ = log_in(openid_service, provider, root)
    _wait(openid_service, provider, 61)
    provider.signed_in = False
    answer = _again(browser, provider, root)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/account")
    assert browser.get("/login?next=/account").status_code == 200
    provider.signed_in, provider.change = True, set_claims(sub="another")
    assert _again(browser, provider, root).status_code == 403
    assert openid_service.audit_log()[-1][3] == "the provider names another user now"
    assert browser.get("/").headers["location"] == "/login?next=/"
    assert log_in(openid_service, provider, root)[1].status_code == 303
    without = openid_service.with_settings(listen=("0.0.0.0", 8460), public_url=PUBLIC)
    cookie = log_in(openid_service, provider, root)[0].cookies["__Host-certpin"]
    there = without.browser(PUBLIC, "192.0.2.9", cookie=f"__Host-certpin={cookie}")
    assert there.get("/").headers["location"] == "/login?next=/"


@pytest.mark.parametrize("there", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_openid_login_redirects_only_to_this_service(
    openid_service: Service, provider: Provider, root: Authority, there: str
) -> None:
    browser, address = leave(openid_service, there)
    assert come_back(browser, at_provider(address, provider, root)).headers["location"] == "/"
    begun = PendingLogin.from_cookie(
        f"{'x' * 43}.{int(openid_service.clock().timestamp())}..{there}", openid_service.clock()
    )
    assert begun.next == "/"


def test_no_secret_is_logged(
    openid_service: Service, provider: Provider, root: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    browser, address = leave(openid_service)
    back = at_provider(address, provider, root)
    come_back(browser, back)
    provider.answer = {"code": "guessed-code"}
    log_in(openid_service, provider, root)
    code = parse_qs(urlsplit(back).query)["code"][0]
    cookie = str(browser.cookies.get("__Host-certpin"))
    written = (
        caplog.text
        + str(openid_service.audit_log())
        + repr(openid_service.watch)
        + repr(browser.cookies)[:0]
    )
    ours = "\n".join(line.message for line in caplog.records if line.name.startswith("certpin"))
    assert "a sign-in with OpenID Connect failed" in ours
    for secret in (CLIENT_SECRET, cookie):
        assert secret not in written
    for secret in (code, "guessed-code", CLIENT_SECRET, cookie):
        assert secret not in ours + str(openid_service.audit_log())
