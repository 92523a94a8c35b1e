"""Accounts and passwords: how they are kept, and what a guesser learns and costs."""

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
from certpin_watch.auth import passwords, throttle
from certpin_watch.auth.identity import Identity
from certpin_watch.auth.login import PasswordLogin, log_in
from certpin_watch.auth.state import auth_state
from certpin_watch.auth.throttle import AuditLimit, LoginThrottle, TokenThrottle
from certpin_watch.origin import Origin
from certpin_watch.store.accounts import FAILURES_KEPT, Failures, remove_account
from certpin_watch.store.tables.service import ACCOUNTS, GUESSES
from tests.watch.auth._kit import PASSWORD, House, sign_in

if TYPE_CHECKING:
    from certpin_watch.auth.login import LoginResult
    from certpin_watch.store import Store

WRONG = "five words of a guesser"


def _kept(house: House) -> str:
    with house.store.read() as connection:
        return str(connection.execute(select(ACCOUNTS.c.password)).scalar())


def test_passwords_are_hashed_as_rfc_9106_recommends() -> None:
    real = passwords.Hasher(passwords.PASSWORD_PARAMETERS)
    assert extract_parameters(real.hash(PASSWORD)) == RFC_9106_LOW_MEMORY
    assert (
        extract_parameters(passwords.Hasher(passwords.TOKEN_PARAMETERS).hash("x")).memory_cost
        == 8192
    )


def test_a_password_of_other_parameters_is_hashed_anew_when_it_is_used(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add("anna")
    before = _kept(house)
    sign_in(house.browser(), "anna")
    assert _kept(house) == before
    monkeypatch.setattr(passwords, "PASSWORD_HASHER", passwords.Hasher(passwords.TOKEN_PARAMETERS))
    sign_in(house.browser(), "anna", WRONG)
    assert _kept(house) == before
    assert sign_in(house.browser(), "anna").status_code == 303
    assert extract_parameters(_kept(house)) == passwords.TOKEN_PARAMETERS
    assert sign_in(house.browser(), "anna").status_code == 303


def test_a_stranger_costs_as_much_as_somebody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add("anna")
    asked: list[str] = []
    real = passwords.Hasher.matches

    def matches(self: passwords.Hasher, kept: str, secret: str) -> bool:
        asked.append(secret)
        return real(self, kept, secret)

    monkeypatch.setattr(passwords.Hasher, "matches", matches)
    answers = [sign_in(house.browser(), name, WRONG) for name in ("anna", "nobody")]
    assert asked == [WRONG, WRONG]
    texts = {each.text.replace("anna", "nobody") for each in answers}
    assert len({len(each) for each in texts}) == 1


@pytest.mark.parametrize(
    "password",
    [
        *("short", "a" * 40, "anna-anna-anna-1", "x" * 200 + "ab" * 99, "a" * 300),
        *("passwordpassword", "Passw0rdPassw0rd", "qwertyuiopasdfgh", "1234567890123456"),
        *("certpincertpincertpin", "certpin-certpin-1", "anna-anna-anna2026"),
        *("pins.bank.examplepins", "letmein letmein letmein"),
    ],
)
def test_a_weak_password_is_refused_without_being_told(password: str) -> None:
    with pytest.raises(InputError) as caught:
        passwords.hash_new_password(password, "anna-anna-anna", "https://pins.bank.example/")
    assert password not in str(caught.value)


def test_one_letter_is_the_same_however_a_keyboard_writes_it(house: House) -> None:
    house.add("anna", password="f\u00fcnf W\u00f6rter im Test")
    assert sign_in(house.browser(), "anna", "fu\u0308nf Wo\u0308rter im Test").status_code == 303


@pytest.mark.parametrize("name", ["", "Anna", "openid:anna", "a b", "a" * 65, "anna\n"])
def test_a_name_that_could_be_taken_for_another_is_refused(house: House, name: str) -> None:
    with pytest.raises(InputError):
        house.add(name)


def test_a_name_is_taken_once(house: House) -> None:
    house.add("anna")
    with pytest.raises(InputError, match="already"):
        house.add("anna", "admin")
    with house.store.write() as connection, pytest.raises(InputError, match="no account"):
        remove_account(connection, "bert")


def test_a_source_that_guesses_waits_and_nobody_else_does(house: House) -> None:
    house.add("anna")
    for _ in range(throttle.FREE_PER_SOURCE):
        assert sign_in(house.browser(), "anna", WRONG).status_code == 403
    assert sign_in(house.browser(), "anna").status_code == 429
    assert int(sign_in(house.browser(), "anna").headers["retry-after"]) >= 1
    elsewhere = house.like(public_url="https://watch.example", listen=("0.0.0.0", 8460))
    assert (
        sign_in(elsewhere.browser("https://watch.example", address="192.0.2.9"), "anna").status_code
        == 303
    )
    house.clock.move(seconds=throttle.MAX_WAIT)
    assert sign_in(house.browser(), "anna").status_code == 303


def test_strangers_slow_an_account_down_and_lock_nobody_out(house: House) -> None:
    now, guessed = house.clock(), LoginThrottle(house.store)
    guessed.succeeded("192.0.2.1/32", "anna")
    for number in range(throttle.FREE_PER_ACCOUNT):
        guessed.begin(f"203.0.113.{number}/32", "anna", now)
    assert guessed.begin("198.51.100.1/32", "anna", now).delay == throttle.ACCOUNT_DELAY
    assert guessed.begin("198.51.100.1/32", "anna", now).refused_for == 0
    assert guessed.begin("192.0.2.1/32", "anna", now) == throttle.LoginDecision()
    assert guessed.begin("198.51.100.1/32", "bert", now) == throttle.LoginDecision()


def test_after_the_clock_was_set_back_nobody_waits_until_it_is_then_again() -> None:
    at, failed = 1_800_000_000.0, Failures(2 * throttle.FREE_PER_SOURCE, 1_800_000_000.0)
    now, soon, later = (throttle.wait_after(failed, at - back) for back in (0, 600, 1200))
    assert now == soon == 2.0**throttle.FREE_PER_SOURCE
    assert later == 0


def test_several_services_give_nobody_more_guesses_than_one(store: Store) -> None:
    now, services = datetime.now(UTC), [LoginThrottle(store), LoginThrottle(store)]
    with ThreadPoolExecutor(8) as pool:
        tries = [
            pool.submit(services[number % 2].begin, "203.0.113.1/32", "anna", now)
            for number in range(20)
        ]
    judged = [each.result() for each in tries]
    assert sum(not each.refused_for for each in judged) == throttle.FREE_PER_SOURCE
    later = now + timedelta(seconds=throttle.MAX_WAIT)
    judged = [each.begin("203.0.113.1/32", "anna", later) for each in services]
    assert [bool(each.refused_for) for each in judged] == [False, True]
    services[0].succeeded("203.0.113.1/32", "anna")
    assert not services[1].begin("203.0.113.1/32", "anna", later).refused_for


def test_guesses_are_bounded_and_forgotten(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_SOURCES", 10)
    monkeypatch.setattr(throttle, "MAX_SIGNED_IN", 10)
    guessed, programs = LoginThrottle(house.store), TokenThrottle()
    for number in range(30):
        programs.failed(str(number), house.clock())
        guessed.begin(str(number), str(number), house.clock())
        guessed.succeeded(f"other {number}", str(number))
    assert len(programs._sources) == len(guessed._signed_in) == 10
    house.clock.move(seconds=FAILURES_KEPT + 1)
    for _ in range(2):
        guessed.begin("1", "anna", house.clock())
    with house.store.read() as connection:
        assert connection.execute(select(func.count()).select_from(GUESSES)).scalar() == 2


def test_so_many_failures_are_written_down_in_a_minute_and_no_more(house: House) -> None:
    recorded = AuditLimit()
    written = [recorded.allows(house.clock()) for _ in range(100)]
    assert sum(written) == throttle.AUDITED_PER_MINUTE
    house.clock.move(minutes=1)
    assert recorded.allows(house.clock())


def test_tries_that_wait_are_bounded(house: House) -> None:
    state, slept = auth_state(house.watch), []
    origin = Origin("http", "127.0.0.1", None, forwarded=False)
    for number in range(throttle.FREE_PER_ACCOUNT):
        state.logins.begin(str(number), "anna", house.clock())

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def attempt() -> LoginResult:
        tried = PasswordLogin("anna", WRONG, origin, "")
        return asyncio.run(log_in(state, tried, Identity(), house.clock(), sleep))

    assert (attempt().wait, slept) == (0, [throttle.ACCOUNT_DELAY])
    state.attempts = 32
    assert attempt().wait > 0
    assert "guesser" not in repr(PasswordLogin("anna", WRONG, origin, ""))


def test_tries_that_are_begun_at_once_count_as_many(house: House) -> None:
    house.add("anna")
    state = auth_state(house.watch)
    origin = Origin("http", "127.0.0.1", None, forwarded=False)
    tried = PasswordLogin("anna", WRONG, origin, "")

    async def many() -> list[LoginResult]:
        tries = (log_in(state, tried, Identity(), house.clock()) for _ in range(30))
        return await asyncio.gather(*tries)

    assert sum(not each.wait for each in asyncio.run(many())) == throttle.FREE_PER_SOURCE
    house.clock.move(seconds=throttle.MAX_WAIT)
    assert sum(not each.wait for each in asyncio.run(many())) == 1
    assert not state.attempts


def test_the_record_names_who_failed_and_never_a_password(house: House) -> None:
    house.add("anna")
    sign_in(house.browser(), "anna\u202e", WRONG)
    sign_in(house.browser(), "anna")
    assert house.audited() == [
        ("", "login", "anna\\u202e", "wrong name or password"),
        ("anna", "login", "password", "done"),
    ]
