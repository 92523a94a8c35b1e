"""Parts of the text of ``rotate status``: the keys at each server, and the next safe step."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from certpin.cli.named_key import (
    AUTHORITY_FILE,
    authority_file,
    names_authority,
    resolve_key,
)
from certpin.cli.options import file_option, unused_name
from certpin.cli.rotate.recording import (
    needs_number,
    publish_commands,
    push_commands,
    push_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.cli.rotate.files import RotationFiles
    from certpin.cli.servers import ProbeOptions
    from certpin.pins import HostPin, HostPolicy, Pin, State
    from certpin.rotation import ServerStatus, Situation, Violation
    from certpin.rotation.next_step import NextStep

OUTDATED = "this clone is outdated"  # of each step; the details are printed once
_MAX_COLUMNS = 6  # servers beside each other on 80 columns; more are a list
_SHORT = 19  # characters of a pin in the table: "sha256/" and 12 of the digest


@dataclass(frozen=True)
class ServerTable:
    """A table of the servers of a host and of the keys that each presents.

    Attributes:
        situation: the facts about the host, with the chains that servers present now.
        servers: the servers that the pin file lists, in its order, then the others by name.
        keys: the pin of each key, with its role and state. The state is ``None`` if a server
            presents the key, and the host has no pin for it.
    """

    situation: Situation
    servers: tuple[ServerStatus, ...]
    keys: tuple[tuple[Pin, str, State | None], ...]

    def presents(self, server: ServerStatus, pin: Pin) -> bool:
        """Return True if a server presents a key now, or presented it when it was last contacted.

        If the server was contacted in this run, the keys of the authorities in its chain count too.
        """
        name = server.server
        paths = [s.pins for s in self.situation.sightings if name in {s.server, s.vantage}]
        return pin == server.leaf or any(pin in path for path in paths)

    def lines(self) -> Iterator[str]:
        """Yield a line for each server, then a table that marks the keys that each presents.

        If there are too many servers for a table, each line shows the key of the leaf instead.
        """
        from certpin.support.text import printable

        for number, server in enumerate(self.servers, 1):
            region = f"{printable(server.region)}: " if server.region else ""
            leaf = self._leaf(server) if self.is_list else ""
            yield f"server {number}  {region}{printable(server.server)}{leaf}{_seen(server)}"
        if not self.servers or self.is_list:
            return
        numbers = "".join(f"{number:>3}" for number in range(1, len(self.servers) + 1))
        yield f"{'key':<20}  {'role':<12}  {'state':<11}  server{numbers}"
        for pin, role, state in self.keys:
            marks = "".join(f"{self._mark(server, pin):>3}" for server in self.servers)
            word = state.upper() if state else "UNKNOWN"
            short = f"{str(pin)[:_SHORT]}…"
            yield f"{short:<20}  {role:<12}  {word:<11}  {'':<6}{marks}".rstrip()

    @property
    def is_list(self) -> bool:
        """True if the servers are printed as a list, because a table would be too wide.

        Each line of the list has the key of the server's leaf.
        """
        return len(self.servers) > _MAX_COLUMNS

    def _leaf(self, server: ServerStatus) -> str:
        """Return the shortened pin of the leaf that a server presents, with the pin's state.

        Return an empty string if the leaf is unknown.
        """
        if server.leaf is None:
            return ""
        word = server.state.upper() if server.state else "UNKNOWN"
        return f"  {str(server.leaf)[:_SHORT]}… {word}"

    def _mark(self, server: ServerStatus, pin: Pin) -> str:
        if not self.presents(server, pin):
            return "."
        return "x" if server.current else "?"

    def json(self) -> list[dict[str, Any]]:
        """Return the servers, with the keys that each presents, as a list of JSON objects."""
        return [
            {
                "server": server.server,
                "region": server.region or None,
                "presents": [str(pin) for pin, _, _ in self.keys if self.presents(server, pin)],
                "leaf": str(server.leaf) if server.leaf else None,
                "state": server.state,
                "problem": server.problem or None,
                "time": server.time.isoformat() if server.time else None,
                "current": server.current,
                "listed": server.listed,
            }
            for server in self.servers
        ]


def server_table(
    situation: Situation, keys: Sequence[tuple[Pin, str, State | None]]
) -> ServerTable:
    """Return the table of a host's servers, including leaf keys that the host has no pin for.

    Args:
        situation: the facts about the host.
        keys: the pins of the host, each with its role and state.
    """
    from certpin.rotation import server_states

    servers = server_states(situation)
    known = {pin for pin, _, _ in keys}
    others = {server.leaf: None for server in servers if server.leaf and server.leaf not in known}
    return ServerTable(situation, servers, (*keys, *((pin, "leaf", None) for pin in others)))


def _seen(server: ServerStatus) -> str:
    """Return the text that ends a server's line in the status output.

    It gives the time of the server's last answer if that was in an earlier run, and the reason if
    the server's chain did not verify.
    """
    from certpin.support.text import printable

    problem = f", not verified: {printable(server.problem)}" if server.problem else ""
    if server.current:
        return problem
    if server.time is None:
        return "  (never seen)"
    return f"  (? = last seen {server.time:%Y-%m-%d %H:%M} UTC{problem})"


@dataclass(frozen=True)
class NextText:
    """The next step of a host's rotation in words, with its commands, and why it is not safe yet.

    Attributes:
        step: the next step, as the rules against lockouts determine it.
        situation: the facts about the host.
        files: the pin file and the journal.
        probes: the options of the user that the commands repeat.
        hosts: for ``emergency``, the policies of all hosts with the same next step: a version is
            for the whole pin file, so one path has to be for all of them. Empty for only this host.
    """

    step: NextStep
    situation: Situation
    files: RotationFiles
    probes: ProbeOptions
    hosts: tuple[HostPolicy, ...] = ()

    @property
    def text(self) -> str:
        """The next step as a sentence without its full stop."""
        step = self.step
        name = f"{step.pin}" if step.pin else ""
        version = self.files.next_version
        texts = {
            "emergency": f"{name} is {self._fact()}, and is not dealt with: see the way out",
            "clock": "set the clock of this machine; or, if it is right, correct the journal, "
            f"because {self._clock_problem()}",
            "journal": f"{self.files.journal} seems to be missing or outdated, because "
            f"{self.files.journal_doubt}: {self.files.journal_fix}",
            "push": push_text(self.files) if step.act == "push" else "",
            "publish": self._publish_text(version),
            "install": f"install the certificate of {name} at {', '.join(step.servers)}",
            "repair": f"let {', '.join(step.servers)} present {self._accepted_chain(name)}",
            "extend": f"write a later `expires` and version = {version} into the pin file, and "
            "give it to the clients",
            "finish": f"take {name} out of the pin file",
            "start": "make a new backup: besides the keys in use and the old ones, the pin file "
            "has none",
            "switch": self._switch_text(name),
            "none": "nothing: start a key when the next rotation is due",
        }
        return texts[step.act]

    def _publish_text(self, version: int) -> str:
        if needs_number(self.files):
            return f"write version = {version} into the pin file, and give it to the clients"
        return f"give version {version} to the clients"

    def _accepted_chain(self, name: str) -> str:
        """Return words for the chain that servers should present instead of the current one.

        They are for servers with a chain that clients refuse.

        ``name`` is the pin of a key that every client accepts, or empty if none is known.
        """
        if name:
            return f"a chain that verifies, with {name}, which every version has"
        situation = self.situation
        if not situation.compromised & {*situation.policy.compromised, *situation.served}:
            return (
                "a chain that clients accept: the previous one, or one with a key or an authority "
                "that every version has"
            )
        return (
            "a chain with a key or an authority that every version has, and without a stolen key. "
            "If there is none, clients stay locked out until their version has ended"
        )

    def _clock_problem(self) -> str:
        from certpin.rotation.gate import behind_journal

        evidence = self.situation.evidence
        return behind_journal(evidence, self.situation.now) if evidence else ""

    def _switch_text(self, name: str) -> str:
        from certpin.rotation.remedies import CHAIN_FILE

        if self.step.pin in self.situation.served:
            text = f"servers present {name}, and `switch` was not run for it: record that"
            return f"{text}, with the file of its chain" if self._names(CHAIN_FILE) else text
        if self._names(CHAIN_FILE):
            return f"servers may switch to {name}: name the file of the new chain"
        is_unknown = self._names(AUTHORITY_FILE)
        file = f" ({AUTHORITY_FILE} is the file of its certificate)" if is_unknown else ""
        return f"servers may switch to {name}{file}"

    @property
    def commands(self) -> list[str]:
        """The commands that take the step, ready to paste; empty if certpin has none for it."""
        from certpin.rotation.remedies import file_of_hosts, new_backup_command

        step, pins, path = self.step, self.files.pins, self.files.path
        if step.act == "push":
            return push_commands(self.files)
        if step.act == "clock":
            return [f"certpin rotate clock{file_option(path)}"]
        if step.act in {"publish", "extend"}:
            return publish_commands(self.files, self.probes, self.files.next_version)
        key_file = unused_name(file_of_hosts("next.key", pins, [self.situation.policy]))
        commands = {
            "emergency": f"certpin rotate emergency {step.pin} --{self._fact()}",
            "finish": f"certpin rotate finish {step.pin}",
            "start": new_backup_command(self.situation.policy.match, key_file),
            "switch": f"certpin rotate switch {self._switched}",
        }
        if step.act not in commands:
            return []
        connects = step.act != "start"
        policies = self.hosts or [self.situation.policy]
        return [
            self.probes.next_command(commands[step.act], path, pins, policies, connects=connects)
        ]

    def lines(self) -> Iterator[str]:
        """Yield lines: the next step, its date, its commands, and why it is not safe yet."""
        from certpin.rotation import in_utc

        step = self.step
        when = f"not before {in_utc(step.not_before)}" if step.not_before else "now"
        when = "not safe yet" if self.violations else when
        yield f"NEXT, {when}: {self.text}" if step.act != "none" else f"NEXT: {self.text}"
        for command in self.commands:
            yield f"    {command}"
        for violation in self.violations:
            risk = f"{violation.at_risk} at risk"
            why = f"{violation.problem}; {risk}. {violation.fix}"
            yield f"  refused: {OUTDATED if violation.invariant == 'outdated' else why}"

    def json(self, host: str) -> dict[str, Any]:
        """Return the next step of a host as a JSON object."""
        from certpin.cli.rotate.steps import violation_json

        step = self.step
        return {
            "act": step.act,
            "text": self.text,
            "pin": str(step.pin) if step.pin else None,
            "not_before": step.not_before.isoformat() if step.not_before else None,
            "servers": list(step.servers),
            "commands": self.commands,
            "breaches": [violation_json(host, violation) for violation in self.violations],
        }

    @cached_property
    def _switched(self) -> str:
        """The argument for the command ``rotate switch``: the step's pin, or a certificate file.

        The file of the chain is used if the safety rules can't decide by the pin.
        The certificate file is used if the pin is an authority's, because a pin doesn't show that:
        ``switch`` refuses it if clients compare only authorities, and otherwise takes the key for a
        server's.
        """
        from certpin.rotation.remedies import CHAIN_FILE

        pin = self.step.pin
        entry = self.situation.entry(pin) if pin else None
        if entry is not None and self._is_authority(entry):
            return authority_file(entry.note)
        return CHAIN_FILE if self.step.needs_chain else str(pin)

    def _is_authority(self, entry: HostPin) -> bool:
        """Return True if a pin is known to be an authority's, by ``match`` or by its note."""
        return self.situation.policy.match == "ca" or names_authority(entry.note)

    @cached_property
    def violations(self) -> tuple[Violation, ...]:
        """The rules that the step's command would violate now; empty if none is known.

        The step has been checked by its pin. The pin may not show if clients will accept the new
        chain. If the command then has a file with an authority's certificate, this certificate is
        checked instead. If the user has to name the file of the new chain, the rule about this
        question is left out, because the command will check the file.
        """
        from certpin.rotation.remedies import CHAIN_FILE

        found = self.step.violations
        if self._names(CHAIN_FILE):
            return tuple(each for each in found if each.invariant != "open-chain")
        is_open = any(each.invariant == "open-chain" for each in found)
        if not is_open or self._switched in {AUTHORITY_FILE, str(self.step.pin)}:
            return found
        from certpin.cli.rotate.new_chain import NewChain

        (file,) = shlex.split(self._switched)
        chain = NewChain(resolve_key(file), [self.situation.policy])
        outdated = (each for each in found if each.invariant == "outdated")
        return (*outdated, *chain.violations(self.situation))

    def _names(self, file: str) -> bool:
        return self.step.act == "switch" and self._switched == file

    def _fact(self) -> str:
        return "lost" if self.step.pin in self.situation.lost else "stolen"
