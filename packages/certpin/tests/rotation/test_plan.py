"""The plan of a key rotation: its steps, their order and dates, and when no plan is possible."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin.pins import HostPattern, State
from certpin.rotation import NEXT_BACKUP, PinHistory, Plan, Sighting, Situation, Version, plan
from certpin.rotation.prospect import stand_in
from certpin.x509 import Chain
from tests.rotation._situations import (
    DAY,
    NOW,
    TIMING,
    bundled,
    chain,
    entries,
    pin,
    pin_set,
    root_set,
    sighting,
    situation,
    version,
    with_leaves,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from certpin.pins import PinSet

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
OUT = version(1, AB, ago=40 * DAY, clients=7)


def acts(made: Plan) -> list[tuple[str, Any]]:
    return [(step.act, step.pin or step.version) for step in made.steps]


def to(name: str, states: dict[str, State] = AB, **fields: Any) -> Plan:
    seen = fields.pop("seen", (sighting("a"),))
    versions = fields.pop("versions", (OUT,))
    number = max((each.number for each in versions), default=1)
    pins = {name: fields.pop(name) for name in ("expires", "match") if name in fields}
    known = situation(pin_set(states, number, **pins), *versions, seen=seen, **fields)
    return plan(known, pin(name))


def test_an_adopted_backup_is_served_now_and_the_next_one_is_made() -> None:
    made = to("b")
    assert acts(made) == [
        ("generate", NEXT_BACKUP),
        ("stage", NEXT_BACKUP),
        ("publish", 2),
        ("activate", pin("b")),
        ("serve", pin("b")),
        ("retire", pin("a")),
        ("remove", pin("a")),
        ("publish", 3),
    ]
    assert made.possible
    assert [step.act for step in made.steps if step.not_before] == ["retire"]
    assert [step.act for step in made.steps if step.waits] == ["retire", "remove"]


def test_the_old_key_goes_when_every_client_accepts_the_next_backup() -> None:
    retire = to("b").steps[5]
    assert (retire.not_before, retire.counts_from) == (NOW + TIMING.adopt, 2)
    seen = (sighting("b"),)
    retiring = to("b", {"a": "retiring", "b": "active", "c": "staged"}, seen=seen)
    remove = next(step for step in retiring.steps if step.act == "remove")
    assert (remove.not_before, remove.counts_from) == (NOW + TIMING.adopt, 2)


def test_of_two_old_keys_the_last_one_waits_for_the_next_backup() -> None:
    """One command retires a key and removes it, so both steps of it come before those of a2."""
    states: dict[str, State] = {"a": "active", "a2": "active", "c": "published", "d": "published"}
    draft = with_leaves(states, "a", "a2")
    first = version(1, {"a": "active", "a2": "active", "c": "published"}, ago=40 * DAY)
    young = version(2, states, ago=DAY)
    known = situation(replace(draft, version=2), first, young, seen=(sighting("a"),))
    made = plan(known, pin("c"))
    assert [step.pin for step in made.steps if step.act in {"retire", "remove"}] == [
        *[pin("a")] * 2,
        *[pin("a2")] * 2,
    ]
    late = [(step.act, step.pin, step.not_before) for step in made.steps if step.not_before]
    assert late == [("retire", pin("a2"), NOW - DAY + TIMING.adopt)]
    assert made.possible


def test_a_binary_that_never_ends_leaves_the_removal_of_the_old_key_without_a_date() -> None:
    made = to("b", versions=(bundled(1, AB, ago=40 * DAY, clients=3), version(2, AB, ago=DAY)))
    assert made.possible
    assert [step.not_before for step in made.steps] == [None] * 8
    waits = {step.waits for step in made.steps if step.act in {"retire", "remove"}}
    assert waits == {"no server uses it any more, and every client accepts a backup"}


def test_a_staged_backup_is_published_before_the_old_key_goes() -> None:
    made = to("b", {**AB, "c": "staged"})
    assert acts(made) == [
        ("publish", 2),
        ("activate", pin("b")),
        ("serve", pin("b")),
        ("retire", pin("a")),
        ("remove", pin("a")),
        ("publish", 3),
    ]
    assert made.possible


def test_a_staged_backup_waits_for_the_servers_if_the_draft_drops_their_key() -> None:
    """The stolen a must not go before its servers use b, and x not before clients accept c."""
    before: dict[str, State] = {"a": "active", "x": "active", "b": "published"}
    states: dict[str, State] = {**before, "a": "compromised", "c": "staged"}
    draft, out = with_leaves(states, "a", "x"), version(1, before, ago=40 * DAY)
    made = plan(situation(draft, out, seen=(sighting("a"),)), pin("b"))
    assert made.possible
    assert acts(made) == [
        ("activate", pin("b")),
        ("serve", pin("b")),
        ("publish", 2),
        ("retire", pin("x")),
        ("remove", pin("x")),
        ("publish", 3),
    ]


def test_a_new_key_is_published_and_served_after_its_adoption() -> None:
    made = to("new")
    assert acts(made)[:4] == [
        ("stage", pin("new")),
        ("publish", 2),
        ("activate", pin("new")),
        ("serve", pin("new")),
    ]
    activate = made.steps[2]
    assert (activate.not_before, activate.counts_from) == (NOW + TIMING.adopt, 2)


def expiring(after: timedelta, vantage: str = "192.0.2.7:443") -> Sighting:
    """Return the observation of a server with the key ``a``.

    Args:
        after: the time from NOW until the server's certificate expires.
        vantage: the server's address.
    """
    leaf = stand_in(pin("a"))
    vars(leaf)["not_after"] = NOW + after
    return Sighting(vantage, Chain((leaf, *chain("authority").certificates)))


@pytest.mark.parametrize(
    ("lifetimes", "renew_by"),
    [
        ([DAY * 11], None),  # T_adopt is ten days
        ([DAY * 10], NOW + DAY * 10),
        ([DAY * 3], NOW + DAY * 3),
        ([DAY * 20, DAY * 4], NOW + DAY * 4),
    ],
)
def test_a_certificate_that_expires_before_the_new_key_is_usable_has_to_be_renewed_before(
    lifetimes: list[timedelta], renew_by: datetime | None
) -> None:
    seen = tuple(expiring(each, f"192.0.2.{at}:443") for at, each in enumerate(lifetimes))
    assert to("new", seen=seen).renew_by == renew_by
    assert to("b", seen=seen).renew_by is None  # it is usable now
    assert to("new", seen=(sighting("a"),)).renew_by is None  # an unreadable certificate


def test_no_backup_is_made_if_another_one_is_left() -> None:
    made = to("b", ABC, versions=(version(1, ABC, ago=40 * DAY),))
    assert [act for act, _ in acts(made)] == ["activate", "serve", "retire", "remove", "publish"]


def test_no_backup_is_made_for_a_root_set_that_stays_its_own() -> None:
    roots = root_set("x1", "x2")
    both = replace(roots.policies[0], pins=(*entries(AB), *roots.policies[0].pins), match="any")
    seen = (sighting("a", "x2", "x1"),)

    def makes_one(pins: PinSet, to: str) -> bool:
        out = Version(pins, fetched=NOW - 40 * DAY)
        return ("generate", NEXT_BACKUP) in acts(plan(situation(pins, out, seen=seen), pin(to)))

    assert not makes_one(replace(roots, policies=(both,)), "b")
    assert makes_one(roots, "x2")  # x1 goes


def test_a_date_without_a_publish_counts_from_no_version() -> None:
    made = to("c", ABC, versions=(OUT, version(2, ABC, ago=3 * DAY)))
    assert made.steps[0].act == "activate"
    assert made.steps[0].not_before == NOW - 3 * DAY + TIMING.adopt
    assert made.steps[0].counts_from is None


def test_a_pending_version_is_pushed_first_and_the_date_counts_from_it() -> None:
    waiting = version(2, ABC, ago=30 * DAY, pending=True)
    made = to("c", ABC, versions=(OUT, waiting))
    assert acts(made)[:3] == [("push", 2), ("activate", pin("c")), ("serve", pin("c"))]
    activate = made.steps[1]
    assert (activate.not_before, activate.counts_from) == (NOW + TIMING.adopt, 2)


def test_the_date_counts_from_a_publish_that_follows_the_push() -> None:
    made = to("new", ABC, versions=(OUT, version(2, ABC, ago=30 * DAY, pending=True)))
    assert acts(made)[:3] == [("push", 2), ("stage", pin("new")), ("publish", 3)]
    assert made.steps[3].counts_from == 3


def test_completed_steps_are_left_out() -> None:
    done: dict[str, State] = {"a": "retiring", "b": "active", "c": "published"}
    field = (version(1, ABC, ago=40 * DAY),)
    assert acts(to("b", done, versions=field, seen=(sighting("b"),))) == [
        ("remove", pin("a")),
        ("publish", 2),
    ]
    over: dict[str, State] = {"b": "active", "c": "published"}
    after = to("b", over, versions=(version(1, over, ago=DAY),), seen=(sighting("b"),))
    assert (after.steps, after.possible) == ((), True)


def test_pinned_authorities_stay() -> None:
    before = situation(pin_set(AB, 1), OUT, seen=(sighting("a"),))
    kept = plan(before, pin("b"))
    assert pin("b") not in {step.pin for step in kept.steps if step.act == "remove"}
    with_root: dict[str, State] = {"a": "active", "b": "published", "root": "published"}
    field = (version(1, with_root, ago=40 * DAY),)
    made = to("b", with_root, versions=field, seen=(sighting("a", "root"),))
    assert ("generate", NEXT_BACKUP) in acts(made)  # the root that is served is no backup
    assert pin("root") not in {step.pin for step in made.steps}


def test_a_plan_needs_no_served_chain() -> None:
    made = to("b", seen=())
    assert made.possible
    assert ("serve", pin("b")) in acts(made)


def test_a_served_compromised_key_is_replaced_before_publishing() -> None:
    hurt: dict[str, State] = {"a": "compromised", "b": "published", "c": "published"}
    made = to("b", hurt, versions=(version(1, ABC, ago=40 * DAY),))
    assert acts(made) == [("activate", pin("b")), ("serve", pin("b")), ("publish", 2)]
    assert made.possible


@pytest.mark.parametrize(
    ("fields", "invariant"),
    [
        ({"past": PinHistory(compromised=frozenset({pin("b")}))}, "compromised"),
        ({"states": {**ABC, "b": "removed"}}, "compromised"),
        ({"versions": ()}, "adopted"),
        ({"seen": (sighting("other"),)}, "served-chain"),
        ({"expires": NOW + TIMING.adopt}, "expiry"),
    ],
    ids=["compromised", "removed", "nothing is known", "locked out already", "pins end"],
)
def test_an_impossible_plan_has_its_reason(fields: Any, invariant: str) -> None:
    made = to("b", **fields)
    assert not made.possible
    assert made.violations[0].invariant == invariant
    assert made.violations[0].fix


def test_a_rule_that_is_broken_already_ends_no_plan() -> None:
    """The draft has a later `expires`, so the plan obeys the rule when it is published."""
    soon = replace(OUT, pins=pin_set(AB, 1, expires=NOW + DAY))
    made = to("b", versions=(soon,))
    assert [each.invariant for each in made.broken] == ["expiry"]
    assert made.possible
    assert "serve" in [step.act for step in made.steps]


def test_a_binary_that_never_ends_makes_a_new_key_impossible_after_it_is_published() -> None:
    made = to("new", versions=(bundled(1, AB, ago=40 * DAY, clients=3), version(2, AB, ago=DAY)))
    assert [act for act, _ in acts(made)] == ["stage", "publish"]
    assert made.violations[0].invariant == "adopted"
    assert "certpin rotate shipped 1 --ended" in made.violations[0].fix


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no policy with the name other\.example"):
        Situation(
            pin_set(AB),
            HostPattern.parse("other.example"),
            situation(pin_set(AB)).deployed,
            (),
            TIMING,
            NOW,
        )


def test_an_authority_is_replaced_if_only_authorities_may_match() -> None:
    made = to("b", match="ca", seen=(sighting("leaf", "a"),))
    assert made.possible
    assert ("serve", pin("b")) in acts(made)
