"""A violation: a safety rule that a step of a rotation would break."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from certpin.support.text import counted, numbered_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from certpin.pins import HostPolicy, Match, PinSet
    from certpin.rotation.situation import Situation

Invariant = Literal[
    "served-chain",
    "backup",
    "version",
    "expiry",
    "adopted",
    "open-chain",
    "active-pin",
    "last-backup",
    "still-served",
    "unseen",
    "compromised",
    "lost",
    "vantage",
    "certificate",
    "clock",
    "unlisted",
    "unrecorded",
]


def clients_text(count: int | None) -> str:
    """Return a number of clients as text, such as ``3 clients``.

    ``None`` gives ``an unknown number of clients``.
    """
    return "an unknown number of clients" if count is None else counted(count, "client")


_MAX_HOST = 200  # characters of a host in a file name, which file systems limit to 255
# The file with the certificate of a backup whose key is that of an authority.
OTHER_AUTHORITY = "other-authority.pem"
# The file of a new certificate with its chain, as ACME clients call it.
CHAIN_FILE = "fullchain.pem"


def file_of_hosts(name: str, pins: PinSet, policies: Sequence[HostPolicy]) -> str:
    """Return a name for the file that a printed command will make for some hosts of a pin file.

    If the command is for all hosts, the result is ``name``. Otherwise the name of the first host is
    added to it, so that a command for other hosts names another file.

    Args:
        name: the name of the file if it is for all hosts, such as ``next-backup.key``.
        pins: the pin set of the pin file.
        policies: the policies of the hosts that the command is for.
    """
    if len(policies) == len(pins.policies):
        return name
    host = str(policies[0].pattern).replace("*", "_").replace(":", "-")
    base, _, suffix = name.rpartition(".")
    return f"{base}-{host[:_MAX_HOST]}.{suffix}"


def new_backup_command(match: Match, key_file: str) -> str:
    """Return the command that starts a new backup, without the options for its hosts.

    Args:
        match: which certificates of a chain the host's clients compare. If they compare only
            authorities, the backup is another authority.
        key_file: the file for a new key.
    """
    return f"certpin rotate start {OTHER_AUTHORITY if match == 'ca' else f'--new {key_file}'}"


def backup_fix(situation: Situation, name: str = "next-backup.key") -> str:
    """Return the command that starts a new backup of one host, ready to paste.

    Args:
        situation: the facts about the host.
        name: the file for a new key. If a note of the pin file names it already, the command has
            another file, because ``rotate start`` doesn't make a key that exists.
    """
    policies, match = situation.pins.policies, situation.policy.match
    noted = {word for policy in policies for entry in policy.pins for word in entry.note.split()}
    name = file_of_hosts(name, situation.pins, [situation.policy])
    key_file = next(each for each in numbered_names(name) if each not in noted)
    return new_backup_command(match, key_file) + host_option(situation)


def host_option(situation: Situation) -> str:
    """Return the option `` --host HOST`` to append to a printed command ``rotate start``.

    The result is empty if the pin file has only one host. With several hosts, certpin refuses the
    command without this option if servers use other keys at the other hosts.
    """
    several = len(situation.pins.policies) > 1
    return f" --host {shlex.quote(str(situation.pattern))}" if several else ""


@dataclass(frozen=True)
class Violation:
    """A safety rule that a step of a rotation would break.

    Attributes:
        invariant: the name of the rule, such as ``backup`` or ``served-chain``.
        problem: the reason why the step is refused, as one sentence without its full stop.
        clients: how many clients would be locked out or unprotected; ``None`` if unknown.
        safe_from: the first time at which the step is safe; ``None`` if waiting does not help.
        fix: how the user can prevent the violation, as text.
    """

    invariant: Invariant
    problem: str
    clients: int | None
    safe_from: datetime | None = None
    fix: str = ""

    @property
    def at_risk(self) -> str:
        """The number of clients that would be locked out or unprotected, as text: ``3 clients``.

        It is ``an unknown number of clients`` if ``clients`` is ``None``.
        """
        return clients_text(self.clients)

    def __bool__(self) -> NoReturn:
        raise TypeError("a violation has no truth value: compare it with None")
