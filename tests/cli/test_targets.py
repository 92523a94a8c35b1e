"""Whom ``certpin check`` would dial: read from the words alone, nobody is called."""

from __future__ import annotations

import click
from hypothesis import given
from hypothesis import strategies as st

from certpin.cli.targets import Ways
from certpin.errors import HostError
from certpin.probe import Endpoint
from tests import kit

PINS = kit.pin_set(kit.policy("a.example"), kit.policy("*.b.example"), kit.policy("**.c.example"))
A, B, C = PINS.policies


def targets(*hosts: str, connect: tuple[str, ...] = (), starttls: tuple[str, ...] = ()) -> object:
    return Ways(hosts, connect, starttls).targets(PINS)


def test_every_policy_is_dialled_at_its_own_host_where_it_has_one() -> None:
    assert targets() == [(A, Endpoint("a.example")), (B, None), (C, Endpoint("c.example"))]


def test_named_hosts_stand_at_the_place_of_their_policy() -> None:
    assert targets("x.c.example", "y.b.example:1", "a.example:2", "z.b.example") == [
        (A, Endpoint("a.example", 2)),
        (B, Endpoint("y.b.example", 1)),
        (B, Endpoint("z.b.example")),
        (C, Endpoint("x.c.example")),
    ]


def test_an_address_is_for_one_host_or_for_all_others() -> None:
    connect = ("192.0.2.1:1", "A.example=[2001:db8::1]")
    assert targets(connect=connect) == [
        (A, Endpoint("a.example", 443, ("2001:db8::1", 443))),
        (B, None),
        (C, Endpoint("c.example", 443, ("192.0.2.1", 1))),
    ]


def test_a_protocol_is_for_one_host_or_for_all_others_and_brings_its_port() -> None:
    starttls = ("smtp", "a.example=postgres")
    found = targets("c.example:26", starttls=starttls, connect=("192.0.2.1",))
    assert found == [
        (A, Endpoint("a.example", 5432, ("192.0.2.1", 5432), starttls="postgres")),
        (B, None),
        (C, Endpoint("c.example", 26, ("192.0.2.1", 26), starttls="smtp")),
    ]


@given(st.text() | st.from_regex(r"[a-c.]{1,10}(=[a-z0-9.:\[\]]{0,9}){0,2}", fullmatch=True))
def test_any_words_are_understood_or_refused(word: str) -> None:
    for words in ({"connect": (word,)}, {"starttls": (word,)}):
        try:
            targets(**words)
        except (HostError, click.UsageError):
            continue
