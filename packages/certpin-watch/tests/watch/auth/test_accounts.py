"""Accounts and passwords: how they are stored, and how guessing is slowed down."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY
from sqlalchemy import func, select

from certpin.errors import InputError
from certpin_watch.addresses import Origin, parse_address
from certpin_watch.auth import credentials, throttle
from certpin_watch.auth.identity import Identity, auth_state
from certpin_watch.auth.login import (
    MAX_ATTEMPTS,
    MAX_OF_NETWORK,
    MAX_OF_PROVIDER,
    RESERVED,
    PasswordLogin,
    log_in,
)
from certpin_watch.auth.throttle import (
    AuditLimit,
    LoginDecision,
    LoginThrottle,
    TokenThrottle,
)
from certpin_watch.settings import AuthSettings
from certpin_watch.store.accounts import remove_account
from certpin_watch.store.sessions import FAILURES_KEPT, FailureCount
from certpin_watch.store.tables.service import ACCOUNTS, GUESSES
from tests.watch.auth._kit import PASSWORD, Service, post, sign_in

if TYPE_CHECKING:
    from certpin_watch.auth.login import LoginResult
    from certpin_watch.store import Store

WRONG = "five words of a guesser"


def _stored_password(service: Service) -> str:
    with service.store.read() as connection:
        return str(connection.execute(select(ACCOUNTS.c.password)).scalar())


@pytest.mark.medium
def test_passwords_are_hashed_as_rfc_9106_recommends() -> None:
    real = credentials.Hasher(credentials.PASSWORD_PARAMETERS)
    assert extract_parameters(real.hash(PASSWORD)) == RFC_9106_LOW_MEMORY
    assert (
        extract_parameters(credentials.Hasher(credentials.TOKEN_PARAMETERS).hash("x")).memory_cost
        == 8192
    )


@pytest.mark.medium
def test_login_rehashes_a_password_with_other_parameters(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add("anna")
    before = _stored_password(service)
    sign_in(service.browser(), "anna")
    assert _stored_password(service) == before
    monkeypatch.setattr(
        credentials, "PASSWORD_HASHER", credentials.Hasher(credentials.TOKEN_PARAMETERS)
    )
    sign_in(service.browser(), "anna", WRONG)
    assert _stored_password(service) == before
    assert sign_in(service.browser(), "anna").status_code == 303
    assert extract_parameters(_stored_password(service)) == credentials.TOKEN_PARAMETERS
    assert sign_in(service.browser(), "anna").status_code == 303


@pytest.mark.medium
def test_unknown_name_costs_as_much_as_a_wrong_password(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add("anna")
    compared: list[str] = []
    real = credentials.Hasher.matches

    def matches(self: credentials.Hasher, hashed: str, secret: str) -> bool:
        compared.append(secret)
        return real(self, hashed, secret)

    monkeypatch.setattr(credentials.Hasher, "matches", matches)
    answers = [sign_in(service.browser(), name, WRONG) for name in ("anna", "bert")]
    assert compared == [WRONG, WRONG]
    texts = {answer.text.replace("anna", "bert") for answer in answers}
    assert len({len(text) for text in texts}) == 1


@pytest.mark.parametrize(
    "password",
    [
        *("short", "a" * 40, "anna-anna-anna-1", "x" * 200 + "ab" * 99, "a" * 300),
        *("passwordpassword", "Passw0rdPassw0rd", "qwertyuiopasdfgh", "1234567890123456"),
        *("certpincertpincertpin", "certpin-certpin-1", "anna-anna-anna2026"),
        *("pins.bank.examplepins", "letmein letmein letmein"),
    ],
)
def test_weak_password_is_refused_and_not_in_the_error(password: str) -> None:
    with pytest.raises(InputError) as caught:
        credentials.hash_new_password(password, "anna-anna-anna", "https://pins.bank.example/")
    assert password not in str(caught.value)


def test_password_is_compared_in_normal_form(service: Service) -> None:
    service.add("anna", password="f\u00fcnf W\u00f6rter im Test")
    assert sign_in(service.browser(), "anna", "fu\u0308nf Wo\u0308rter im Test").status_code == 303


@pytest.mark.parametrize("name", ["", "Anna", "openid:anna", "a b", "a" * 65, "anna\n"])
def test_invalid_account_name_is_refused(service: Service, name: str) -> None:
    with pytest.raises(InputError):
        service.add(name)


def test_account_names_are_unique(service: Service) -> None:
    service.add("anna")
    with pytest.raises(InputError, match="already"):
        service.add("anna", "admin")
    with service.store.write() as connection, pytest.raises(InputError, match="no account"):
        remove_account(connection, "bert")


@pytest.mark.medium
def test_only_the_guessing_source_has_to_wait(service: Service) -> None:
    service.add("anna")
    for _ in range(throttle.FREE_PER_SOURCE):
        assert sign_in(service.browser(), "anna", WRONG).status_code == 403
    assert sign_in(service.browser(), "anna").status_code == 429
    assert int(sign_in(service.browser(), "anna").headers["retry-after"]) >= 1
    elsewhere = service.with_settings(public_url="https://watch.example", listen=("0.0.0.0", 8460))
    assert (
        sign_in(elsewhere.browser("https://watch.example", address="192.0.2.9"), "anna").status_code
        == 303
    )
    service.clock.move(seconds=throttle.MAX_WAIT)
    assert sign_in(service.browser(), "anna").status_code == 303


@pytest.mark.medium
@pytest.mark.parametrize(("behind_proxy", "last"), [(False, 429), (True, 403)])
def test_a_forwarded_address_is_a_source_of_guesses_only_behind_a_proxy(
    service: Service, behind_proxy: bool, last: int
) -> None:
    service.add("anna")
    access = AuthSettings(behind_proxy=behind_proxy)
    reachable = service.with_settings(listen=("0.0.0.0", 8460), access=access)
    statuses = []
    for number in range(throttle.FREE_PER_SOURCE + 1):
        browser = reachable.browser(**{"x-forwarded-for": f"203.0.113.{number}"})
        statuses.append(sign_in(browser, "anna", WRONG).status_code)
    assert statuses == [*([403] * throttle.FREE_PER_SOURCE), last]


def test_guesses_delay_new_sources_and_lock_no_account(service: Service) -> None:
    now, logins = service.clock(), LoginThrottle(service.store)
    logins.succeeded("192.0.2.1/32", "anna", LoginDecision())
    for number in range(throttle.FREE_PER_ACCOUNT):
        logins.begin(f"203.0.113.{number}/32", "anna", now)
    assert logins.begin("198.51.100.1/32", "anna", now).delay == throttle.ACCOUNT_DELAY
    assert logins.begin("198.51.100.1/32", "anna", now).refused_for == 0
    assert logins.begin("192.0.2.1/32", "anna", now) == LoginDecision()
    assert logins.begin("198.51.100.1/32", "bert", now) == LoginDecision()


@pytest.mark.medium
def test_a_login_withdraws_no_failures_at_another_account(service: Service) -> None:
    for name in ("anna", "bert"):
        service.add(name)
    browser = service.signed_in("bert")
    for _ in range(throttle.FREE_PER_SOURCE - 1):
        assert sign_in(service.browser(), "anna", WRONG).status_code == 403
        assert sign_in(service.browser(), "bert").status_code == 303
        fields = {"current": PASSWORD, "new": WRONG, "again": "another"}
        assert post(browser, "/account/password", **fields).status_code == 400
    assert sign_in(service.browser(), "anna", WRONG).status_code == 403
    assert sign_in(service.browser(), "anna", WRONG).status_code == 429


def test_a_login_withdraws_all_failures_at_its_account(service: Service) -> None:
    now, logins, source = service.clock(), LoginThrottle(service.store), "203.0.113.1/32"
    for name in ("anna", "anna", "bert", "bert"):
        logins.begin(source, name, now)
    logins.succeeded(source, "bert", logins.begin(source, "bert", now))
    waits = [logins.begin(source, "anna", now).refused_for for _ in range(4)]
    assert list(map(bool, waits)) == [False, False, False, True]


def test_logins_do_not_keep_the_failures_of_their_source(service: Service) -> None:
    """In an office with one address, a user signs in every few minutes."""
    logins, source = LoginThrottle(service.store), "203.0.113.1/32"
    for _ in range(throttle.FREE_PER_SOURCE):
        logins.begin(source, "anan", service.clock())
    assert logins.begin(source, "bert", service.clock()).refused_for
    for _ in range(4):
        service.clock.move(seconds=FAILURES_KEPT / 4 + 1)
        logins.succeeded(source, "bert", logins.begin(source, "bert", service.clock()))
    waits = [
        logins.begin(source, "anna", service.clock()).refused_for
        for _ in range(throttle.FREE_PER_SOURCE + 1)
    ]
    assert list(map(bool, waits)) == [False] * throttle.FREE_PER_SOURCE + [True]


def test_a_known_user_does_not_wait_for_the_failures_of_others_at_the_source(
    service: Service,
) -> None:
    now, logins, source = service.clock(), LoginThrottle(service.store), "203.0.113.1/32"
    logins.succeeded(source, "anna", logins.begin(source, "anna", now))
    for _ in range(throttle.FREE_PER_SOURCE):
        logins.begin(source, "robot", now)
    assert logins.begin(source, "bert", now).refused_for
    waits = [logins.begin(source, "anna", now).refused_for for _ in range(6)]
    assert list(map(bool, waits)) == [False] * throttle.FREE_PER_SOURCE + [True]
    logins.failed(source, "anna", now)
    assert not logins.knows(source, "anna")


def test_no_source_waits_for_failures_of_the_future() -> None:
    at, failed = 1_800_000_000.0, FailureCount(2 * throttle.FREE_PER_SOURCE, 1_800_000_000.0)
    now, soon, later = (throttle.wait_after(failed, at - back) for back in (0, 600, 1200))
    assert now == soon == 2.0**throttle.FREE_PER_SOURCE
    assert later == 0


def test_several_processes_allow_no_more_guesses_than_one(store: Store) -> None:
    now, processes = datetime.now(UTC), [LoginThrottle(store), LoginThrottle(store)]
    with ThreadPoolExecutor(8) as pool:
        attempts = [
            pool.submit(processes[number % 2].begin, "203.0.113.1/32", "anna", now)
            for number in range(20)
        ]
    decisions = [attempt.result() for attempt in attempts]
    assert sum(not decision.refused_for for decision in decisions) == throttle.FREE_PER_SOURCE
    later = now + timedelta(seconds=throttle.MAX_WAIT)
    decisions = [process.begin("203.0.113.1/32", "anna", later) for process in processes]
    assert [bool(decision.refused_for) for decision in decisions] == [False, True]
    processes[0].succeeded("203.0.113.1/32", "anna", decisions[0])
    assert not processes[1].begin("203.0.113.1/32", "anna", later).refused_for


@pytest.mark.medium
def test_counters_are_bounded_and_expire(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_SOURCES", 10)
    monkeypatch.setattr(throttle, "MAX_SIGNED_IN", 10)
    logins, programs = LoginThrottle(service.store), TokenThrottle()
    for number in range(30):
        programs.failed(str(number), service.clock())
        logins.begin(str(number), str(number), service.clock())
        logins.succeeded(f"other {number}", str(number), LoginDecision())
    assert len(programs._sources) == len(logins._signed_in) == 10
    service.clock.move(seconds=FAILURES_KEPT + 1)
    for _ in range(2):
        logins.begin("1", "anna", service.clock())
    with service.store.read() as connection:
        assert connection.execute(select(func.count()).select_from(GUESSES)).scalar() == 3


def test_audited_failures_are_limited_per_minute(service: Service) -> None:
    limit = AuditLimit()
    written = [limit.allows(service.clock()) for _ in range(100)]
    assert sum(written) == throttle.AUDITED_PER_MINUTE
    service.clock.move(minutes=1)
    assert limit.allows(service.clock())


def test_delayed_logins_are_bounded(service: Service) -> None:
    state, slept = auth_state(service.watch), []
    origin = Origin("http", "127.0.0.1", None, forwarded=False)
    for number in range(throttle.FREE_PER_ACCOUNT):
        state.logins.begin(str(number), "anna", service.clock())

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def attempt() -> LoginResult:
        login = PasswordLogin("anna", WRONG, origin, "")
        return asyncio.run(log_in(state, login, Identity(), service.clock(), sleep))

    assert (attempt().wait, slept) == (0, [throttle.ACCOUNT_DELAY])
    assert not state.attempts
    state.attempts.update(dict.fromkeys(map(str, range(32)), 1))
    assert attempt().wait > 0
    assert "guesser" not in repr(PasswordLogin("anna", WRONG, origin, ""))


@pytest.mark.medium
def test_a_known_source_logs_in_while_all_places_are_taken(service: Service) -> None:
    for name in ("anna", "bert"):
        service.add(name)
    state = auth_state(service.watch)

    def attempt(name: str, address: str) -> bool:
        origin = Origin("http", "127.0.0.1", parse_address(address), forwarded=False)
        login = PasswordLogin(name, PASSWORD, origin, "")
        return bool(asyncio.run(log_in(state, login, Identity(), service.clock())).cookie)

    assert attempt("anna", "192.0.2.9")
    state.attempts["2001:db8:1::/48"] = MAX_OF_NETWORK
    assert not attempt("bert", "2001:db8:1:2::1")
    assert attempt("bert", "2001:db8:2::1")
    state.attempts["2001:db8:3::/48"] = MAX_OF_PROVIDER - MAX_OF_NETWORK
    assert not attempt("bert", "2001:db8:2:3::1")
    assert attempt("bert", "2001:db9::1")
    others = MAX_ATTEMPTS - MAX_OF_PROVIDER
    state.attempts.update({f"203.{number}.0.0/16": 1 for number in range(others)})
    assert not attempt("bert", "198.51.100.1")
    assert not attempt("bert", "192.0.2.9")
    assert attempt("anna", "192.0.2.9")
    state.attempts["2001:db8:1::/48"] += RESERVED
    assert not attempt("anna", "192.0.2.9")


@pytest.mark.medium
def test_parallel_logins_count_separately(service: Service) -> None:
    service.add("anna")
    state = auth_state(service.watch)
    origin = Origin("http", "127.0.0.1", None, forwarded=False)
    login = PasswordLogin("anna", WRONG, origin, "")

    async def many() -> list[LoginResult]:
        attempts = (log_in(state, login, Identity(), service.clock()) for _ in range(30))
        return await asyncio.gather(*attempts)

    assert sum(not result.wait for result in asyncio.run(many())) == throttle.FREE_PER_SOURCE
    service.clock.move(seconds=throttle.MAX_WAIT)
    assert sum(not result.wait for result in asyncio.run(many())) == 1
    assert not state.attempts


@pytest.mark.medium
def test_audit_log_has_the_name_and_not_the_password(service: Service) -> None:
    service.add("anna")
    sign_in(service.browser(), "anna\u202e", WRONG)
    sign_in(service.browser(), "anna")
    assert service.audit_log() == [
        ("", "login", "anna\\u202e", "wrong name or password"),
        ("anna", "login", "password", "done"),
    ]
