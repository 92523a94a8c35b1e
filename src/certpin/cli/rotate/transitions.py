"""``certpin rotate activate``, ``retire``, ``remove`` and ``compromise``: a pin moves on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.options import json_option, pin_file_option
from certpin.cli.rotate.context import (
    Forcing,
    Measuring,
    forcing_options,
    measuring_options,
    of_host,
)
from certpin.cli.servers import Looked, Vantages, vantage_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from certpin.cli.rotate.context import Found, Ledger, Outcome
    from certpin.pins import HostPolicy, Pin, State
    from certpin.rotation import Breach, Situation
    from certpin.rotation.journal import StepName

    Guard = Callable[[Situation, Pin], tuple[Breach, ...]]
    from certpin.pins import Role


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
        from certpin.cli.keyref import aim, meant
        from certpin.cli.rotate.context import Ledger
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
        from certpin.cli.rotate.context import name_of
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
        from certpin.cli.rotate.context import Outcome

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
    from certpin.cli.rotate.context import who_option

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


@partial(move_command, also=measuring_options)
def activate(move: Move) -> Outcome:
    """Allow the servers to use a key. Run it before you install its certificate.

    Refused until the key is ADOPTED: until every version that a client may hold accepts it. In a
    deployment, let it stand before the step that installs the certificate, and name the
    certificate: then every host of the pin file that it is for is looked at. Where the key is
    ACTIVE already, as at each renewal that keeps it, nothing is written.
    """
    from certpin.rotation import gate, standing
    from certpin.rotation.states import require

    breaches = move.breaches(gate.to_activate, blind=True)
    allowed: set[State] = {"staged", "published", "adopted", "active", "retiring"}
    if breaches and not move.forcing.force:  # of a new key, too, the refusal says who is at risk
        allowed.add("generated")
    for _, situation in move.situations():
        if standing(situation, move.pin) not in allowed:
            require(move.pin, standing(situation, move.pin), "active")
    before = [name for name, _ in _not_active(move)]
    word = "is ACTIVE" if before else "is ACTIVE already"
    outcome = move.outcome(
        breaches,
        f"{move.pin} {word}: every client accepts it. Install its certificate on every server.",
        following=f"{move.next('certpin rotate status')}, then "
        f"{move.next('certpin rotate retire OLD_KEY')}"
        if before
        else "",
    )
    if not move.forcing.refuses(breaches):
        for name, role in _not_active(move):
            move.ledger.editor.change_pin(name, move.pin, state="active", role=role)
        if before or breaches:
            move.commit(breaches)
        outcome.done = True
    return outcome


def _not_active(move: Move) -> list[tuple[str, Role]]:
    """The hosts whose draft does not have the key as an ACTIVE one, and the role it will have."""
    from certpin.rotation.plan import role_of

    roles = [(s, s.entry(move.pin), role_of(s, move.pin)) for _, s in move.situations()]
    return [
        (str(situation.pattern), role)
        for situation, entry, role in roles
        if entry and (entry.state, entry.role) != ("active", role)
    ]


@move_command
def retire(move: Move) -> Outcome:
    """Note that no server uses a key any more. Clients accept it until it is removed.

    Refused while one of the servers that were asked still serves it.
    """
    from certpin.rotation import gate

    move.need("retiring", already="retiring")
    breaches = move.breaches(gate.to_retire)
    outcome = move.outcome(
        breaches,
        f"{move.pin} is RETIRING: clients accept it still, and no server uses it.",
        following=move.next(f"certpin rotate remove {move.pin}"),
    )
    if not move.forcing.refuses(breaches):
        move.change(state="retiring")
        move.commit(breaches)
        outcome.done = True
    return outcome


@move_command
def remove(move: Move) -> Outcome:
    """Take a pin out of the draft. Clients hear of it when the file is published.

    It stays in the file as REMOVED, so that nobody adds it again; one that was only STAGED is
    taken out altogether. Refused for a key that is ACTIVE or served, and for the last backup.
    """
    from certpin.rotation import gate, standing

    if all(standing(each, move.pin) == "staged" for _, each in move.situations()):
        return _unstage(move)
    states = {standing(each, move.pin) for _, each in move.situations()}
    if states != {"active"}:  # the guard has better words for that one, and it may be forced
        move.need("removed")
    breaches = move.breaches(gate.to_remove)
    outcome = move.outcome(
        breaches,
        f"{move.pin} is REMOVED from the draft.",
        following=move.next("certpin rotate publish", whole_file=True),
    )
    if not move.forcing.refuses(breaches):
        move.change(state="removed")
        move.commit(breaches)
        outcome.done = True
    return outcome


@move_command
def compromise(move: Move) -> Outcome:
    """Note that somebody else may have a key. It never comes back.

    The draft accepts it no more; clients do, until they have the next version. If servers still
    use it, let them use the backup first (activate), then publish: publishing is refused until
    they do, since it would lock every client out.
    """
    move.need("compromised")
    _refuse_without_backup(move)
    serving = [each for _, s in move.situations() for each in s.serving(move.pin)]
    outcome = move.outcome(
        [],
        f"{move.pin} is COMPROMISED. Clients accept it until they have the next version.",
        *(
            f"It is still served by {each}: activate the backup, and install it."
            for each in serving
        ),
        following=move.next("certpin rotate activate BACKUP")
        if serving
        else move.next("certpin rotate publish", whole_file=True),
    )
    move.change(state="compromised")
    move.commit([])
    outcome.done = True
    return outcome


def _unstage(move: Move) -> Outcome:
    for name in move.names:
        move.ledger.editor.remove_pin(name, move.pin)
    move.step = "unstage"
    move.commit([])
    outcome = move.outcome([], f"{move.pin} is out of the draft; it was never published.")
    outcome.done = True
    return outcome


def _refuse_without_backup(move: Move) -> None:
    from certpin.errors import ConfigError

    for policy in move.policies:
        if policy.mode == "enforce" and len(set(policy.live_pins) - {move.pin}) < 2:
            raise ConfigError(
                f"without {move.pin}, {policy.pattern} has one pin alone",
                key="pin",
                fix="put another backup into the draft first: certpin rotate generate, "
                "then certpin rotate stage",
            )
