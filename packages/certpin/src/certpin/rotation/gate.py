"""The gate: decides whether a step of a rotation is safe.

``check_step`` applies the safety rules of a step to a situation (the facts about one host), before
the step is taken. It returns one violation for each rule that the step would break; an empty tuple
means that the step is safe. ``check_now`` applies the rules that must hold at every moment. The
rules themselves are in ``rules``, ``clock`` and ``servers``. The draft is the pin file that would
be published next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from certpin.rotation.adoption import Version
from certpin.rotation.clock import clock_violations, ends_confirmed, without_ends
from certpin.rotation.prospect import prospects_of_key
from certpin.rotation.rules import (
    backup,
    dropped_pins,
    expiry,
    is_accepted,
    not_active,
    not_compromised,
    not_from_one_vantage,
    not_last_backup,
    not_lost,
    not_served,
    served_chain,
    served_keys_known,
    version_list,
    version_rises,
)
from certpin.rotation.servers import no_unlisted_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.pins import Pin
    from certpin.rotation.adoption import Situation
    from certpin.rotation.prospect import Prospect
    from certpin.rotation.violation import Violation

GatedStep = Literal["stage", "publish", "activate", "serve", "retire", "remove"]


def check_step(
    situation: Situation,
    step: GatedStep,
    pin: Pin | None = None,
    prospects: Sequence[Prospect] = (),
) -> tuple[Violation, ...]:
    """Return the violations that a step of a rotation would cause, each once.

    Args:
        situation: the situation before the step. For ``publish``, its draft has the version number
            that it will be published under.
        step: ``activate`` comes before servers may use a key, ``serve`` before one does; ``retire``
            records that no server uses it.
        pin: the pin of the step; ``None`` for ``publish``.
        prospects: the chains that servers may present after ``activate`` or ``serve``, as far as
            they are known; by default, the pin's key is all that is known.

    Raises:
        TypeError: ``pin`` is missing.
    """
    found = [*clock_violations(situation), *_step_rules(situation, step, pin, prospects)]
    held = without_ends(situation)
    found += relies_on_ends(situation, found, tuple(_step_rules(held, step, pin, prospects)))
    return tuple(dict.fromkeys(found))


def relies_on_ends(
    situation: Situation, found: Sequence[Violation], if_held: Sequence[Violation]
) -> list[Violation]:
    """Return a violation if a step is safe only because versions ended by an unconfirmed clock.

    A version has ended when no client holds it any more. The clock is confirmed by a server's time.

    Args:
        situation: the situation, with its evidence about the time.
        found: the violations of the step in this situation.
        if_held: the violations if no version had ended (``without_ends``).
    """
    known = {violation.invariant for violation in found}
    if all(violation.invariant in known for violation in if_held):
        return []
    alive = {version.number for version in situation.alive}
    ended = [each for each in without_ends(situation).alive if each.number not in alive]
    violation = ends_confirmed(situation, version_list(ended)) if ended else None
    return [] if violation is None else [violation]


def _step_rules(
    situation: Situation, step: GatedStep, pin: Pin | None, prospects: Sequence[Prospect]
) -> Iterator[Violation]:
    """Yield the violations of one step of a rotation, except those of the rules about the clock."""
    found: tuple[Violation | None, ...]
    if step == "publish":
        found = _publish_rules(situation)
    elif pin is None:
        raise TypeError(f"{step} needs a pin")
    elif step == "stage":
        found = (not_compromised(situation, pin), not_lost(situation, pin))
    elif step in {"activate", "serve"}:
        prospects = prospects or prospects_of_key(situation, pin)
        found = (
            not_compromised(situation, pin),
            not_lost(situation, pin),
            is_accepted(situation, pin, prospects),
            no_unlisted_server(situation) if _becomes_active(situation, pin) else None,
        )
    elif step == "retire":
        found = (
            served_keys_known(situation, pin),
            not_served(situation, pin),
            no_unlisted_server(situation),
        )
    else:
        found = (
            not_active(situation, pin),
            served_keys_known(situation, pin),
            not_served(situation, pin),
            not_last_backup(situation, pin),
            no_unlisted_server(situation),
        )
    yield from (violation for violation in found if violation is not None)


def _becomes_active(situation: Situation, pin: Pin) -> bool:
    """Return True if the pin file has a pin for the key, and servers may not use the key yet.

    A renewal with a key that servers use already, or under a pinned authority, changes nothing:
    blocking it would only let a certificate expire.
    """
    entry = situation.entry(pin)
    return entry is not None and entry.state != "active"


def check_now(situation: Situation) -> tuple[Violation, ...]:
    """Return the violations of the rules that must hold at every moment, whatever step comes next.

    Every version that some client may hold has to accept the served chains, and its pins must not
    expire before its clients can have the next version.
    """
    alive = situation.alive
    found = (served_chain(situation, alive), expiry(situation, alive))
    return tuple(violation for violation in found if violation is not None)


def _publish_rules(situation: Situation) -> tuple[Violation | None, ...]:
    """Return, for each rule of publishing the draft, its violation or ``None``.

    The draft is the pin file that becomes the next version. The pins that it drops have rules, too.
    """
    new = Version(situation.pins, fetched=situation.now)
    live = tuple(situation.policy.live_pins)
    dropped = dropped_pins(situation)
    return (
        version_rises(situation),
        *(not_compromised(situation, pin) for pin in live),
        *(not_from_one_vantage(situation, pin) for pin in live),
        backup(situation),
        served_chain(situation, [new]),
        expiry(situation, [new]),
        *(not_active(situation, pin) for pin in dropped),
        *(served_keys_known(situation, pin) for pin in dropped),
        no_unlisted_server(situation),
    )
