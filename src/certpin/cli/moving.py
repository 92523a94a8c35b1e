"""A step that moves one pin on: what the commands that do so share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.forcing import Forcing, forcing_options, of_host
from certpin.cli.measuring import Measuring
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.vantages import Looked, Vantages, vantage_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from certpin.cli.forcing import Found
    from certpin.cli.ledger import Ledger
    from certpin.cli.outcome import Outcome
    from certpin.pins import HostPolicy, Pin, State
    from certpin.rotation import Breach, Situation
    from certpin.rotation.journal import StepName

    Guard = Callable[[Situation, Pin], tuple[Breach, ...]]


@dataclass
class Move:
    """A step of one pin, at each host that has it: gathered first, then written at once."""

    step: StepName
    path: Path
    key: str
    vantages: Vantages
    forcing: Forcing
    who: str | None
    measuring: Measuring = field(default_factory=Measuring)
    ledger: Ledger = field(init=False)
    pin: Pin = field(init=False)
    now: datetime = field(init=False)
    looked: Looked = field(init=False)
    policies: list[HostPolicy] = field(init=False)

    def __post_init__(self) -> None:
        from certpin.cli.aim import aim, meant
        from certpin.cli.ledger import Ledger
        from certpin.pins import utc_now

        self.ledger = Ledger(self.path)
        self.ledger.need_a_version()
        wanted = aim(self.key)
        self.pin = wanted.pin
        pins = self.ledger.pins
        self.policies = meant(pins, self.vantages, wanted)
        self.looked = self.vantages.look(pins, self.policies)
        self.now = utc_now()
        self.measuring.apply(self.ledger, self.ledger.timing, self.now)

    @property
    def names(self) -> list[str]:
        """The hosts."""
        return [str(each.pattern) for each in self.policies]

    def situations(self) -> list[tuple[HostPolicy, Situation]]:
        """What is known of each host."""
        return [
            (each, self.ledger.situation(each, self.looked.of(each), self.now))
            for each in self.policies
        ]

    def need(self, following: State, *, already: State | None = None) -> None:
        """Raise ``ConfigError`` unless the pin may go there, or is there already, at each host."""
        from certpin.rotation import standing
        from certpin.rotation.states import require

        for _, situation in self.situations():
            state = standing(situation, self.pin)
            if state != already:
                require(self.pin, state, following)

    def breaches(self, guard: Guard, *, blind: bool = False) -> Found:
        """What the step would break. Raises ``ProbeError`` where a host could not be asked.

        ``blind`` is for a guard that does not look at what is served.
        """
        if not blind:
            self.forcing.look(self.looked)
        return [
            found
            for policy, situation in self.situations()
            for found in of_host(policy, guard(situation, self.pin))
        ]

    def change(self, **values: str) -> None:
        """Change the pin in the draft, where it is."""
        for policy in self.policies:
            if self.pin in {each.pin for each in policy.pins}:
                self.ledger.editor.change_pin(str(policy.pattern), self.pin, **values)

    def commit(self, breaches: Found) -> None:
        """Write the draft and the journal."""
        from certpin.cli.ledger import name_of
        from certpin.rotation import Event

        reason, who = self.forcing.recorded(breaches, self.looked), name_of(self.who)
        self.ledger.commit(
            [Event(self.now, who, self.step, name, self.pin, reason=reason) for name in self.names]
        )

    def next(self, command: str, *, whole_file: bool = False) -> str:
        """Return a command to run next, with the options that lead to the same servers."""
        pins = self.ledger.pins
        policies = pins.policies if whole_file else self.policies
        return self.vantages.again(command, self.path, pins, policies)

    def outcome(self, breaches: Found, *said: str, following: str = "") -> Outcome:
        """How it ended, where nothing has been written yet."""
        from certpin.cli.outcome import Outcome

        return Outcome(
            self.step,
            self.path,
            self.names,
            self.pin,
            forced=self.forcing.force,
            breaches=breaches,
            unknown=self.looked.unknown,
            said=list(said),
            following=following,
        )


def move_command(command: Any, also: Any = None) -> Any:
    """Give a command what all moves have, and one argument, ``move``; it returns the outcome.

    ``also`` gives it more options.
    """
    from certpin.cli.ledger import who_option

    @wraps(command)
    def run(
        ctx: click.Context,
        path: Path,
        key: str,
        as_json: bool,
        **options: Any,
    ) -> None:
        outcome: Outcome = command(Move(command.__name__, path, key, **options))
        outcome.show(ctx, as_json=as_json)

    wrapped: Any = click.pass_context(run)
    wrapped = also(wrapped) if also else wrapped
    for option in (json_option, who_option, forcing_options, vantage_options, pin_file_option):
        wrapped = option(wrapped)
    return click.command()(click.argument("key", metavar="KEY | CSR | CERT | PIN | URI")(wrapped))
