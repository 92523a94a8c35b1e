"""``certpin rotate activate``, ``retire``, ``remove`` and ``compromise``: a pin moves on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.cli.measuring import measuring_options
from certpin.cli.moving import Move, move_command

if TYPE_CHECKING:
    from certpin.cli.outcome import Outcome
    from certpin.pins import Role, State


@partial(move_command, also=measuring_options)
def activate(move: Move) -> Outcome:
    """Allow the servers to use a key. Run it before you install its certificate.

    Refused until the key is ADOPTED: until every version that a client may hold accepts it. In a
    deployment, let it stand before the step that installs the certificate, and name the
    certificate: then every host of the pin file that it is for is looked at. Where the key is
    ACTIVE already, as at each renewal that keeps it, nothing is written.
    """
    from certpin.rotation import guards, standing
    from certpin.rotation.states import require

    breaches = move.breaches(guards.to_activate, blind=True)
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
    from certpin.rotation import guards

    move.need("retiring", already="retiring")
    breaches = move.breaches(guards.to_retire)
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
    from certpin.rotation import guards, standing

    if all(standing(each, move.pin) == "staged" for _, each in move.situations()):
        return _unstage(move)
    states = {standing(each, move.pin) for _, each in move.situations()}
    if states != {"active"}:  # the guard has better words for that one, and it may be forced
        move.need("removed")
    breaches = move.breaches(guards.to_remove)
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
    """Record that an attacker may have a key. It never comes back.

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
