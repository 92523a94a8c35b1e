"""The steps to take after a key was stolen or lost, and their effect, as text and as JSON.

A version of the pin file is for all of its hosts. So if hosts have different steps, the steps of
each host are printed first, and the command that publishes the version is printed once, after them.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.cli.named_key import KEY_FILE, authority_file, names_authority, noted_place
from certpin.cli.options import file_option, unused_name
from certpin.cli.rotate.recording import (
    RELEASE,
    differs_from_latest,
    is_signed_by_default,
    publish_commands,
    push_commands,
    push_text,
    unsignable,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from certpin.cli.rotate.files import RotationFiles
    from certpin.cli.servers import ProbeOptions
    from certpin.pins import HostPin, HostPolicy, Pin
    from certpin.rotation import Situation, Violation
    from certpin.rotation.emergency import EmergencyPath, EmergencyStep


# A step as a sentence, its commands, and the step.
TextOfStep = tuple[str, list[str], "EmergencyStep"]

# The steps that are not about single hosts: a version of the pin file, and a certificate.
_OF_ALL_HOSTS = {"publish", "revoke"}

# The steps that change the pin file, so that its next version has another number.
_CHANGES = {"start", "finish"}

_MAX_FILE_NAME = 255  # bytes, on most file systems

_NEW_AUTHORITY = "new-authority.pem"  # the certificate of the next authority, in a command


@dataclass(frozen=True)
class PathCommands:
    """Builds the shell commands, ready to paste, of the steps after a key was stolen or lost.

    The commands repeat the options that the user gave to ``certpin rotate emergency``.
    """

    files: RotationFiles
    probes: ProbeOptions

    def new_file(self, name: str, hosts: Collection[str]) -> str:
        """Return the name of a file that does not exist yet, which a printed command makes.

        Args:
            name: the name of the file if the command is for all hosts of the pin file. For some
                hosts, the name of the first host is added to it.
            hosts: the host patterns that the command is for.
        """
        from certpin.rotation.remedies import file_of_hosts

        return unused_name(file_of_hosts(name, self.files.pins, self._policies(hosts)))

    def place(self, note: str) -> str:
        """Return the file or the URI that a pin's note names, quoted; empty if it isn't found.

        A file is looked for in the current folder, and in that of the pin file.
        """
        beside = self.files.path.parent / note.removeprefix(KEY_FILE)
        is_file = note.startswith(KEY_FILE) and os.path.isfile(beside)  # noqa: PTH113  # see there
        return noted_place(note) or (shlex.quote(str(beside)) if is_file else "")

    def of(self, command: str, hosts: Collection[str], *, starts: bool = False) -> str:
        """Return a certpin command with the options for the given hosts added.

        Args:
            command: the command without these options.
            hosts: the host patterns that the command is for (``--host``).
            starts: True for ``rotate start``. It contacts no servers, so that it gets no
                ``--connect`` and ``--starttls``, and it has to name its hosts.
        """
        files, policies = self.files, self._policies(hosts)
        return self.probes.next_command(
            command, files.path, files.pins, policies, connects=not starts, names_hosts=starts
        )

    def _policies(self, hosts: Collection[str]) -> list[HostPolicy]:
        return [each for each in self.files.pins.policies if str(each.pattern) in hosts]

    def whole_file(self, command: str) -> str:
        """Return a command for the whole pin file, with ``--file`` unless that is the default."""
        return command + file_option(self.files.path)

    @property
    def signed(self) -> bool:
        """True if clients fetch the next version of the pin file as a signed pin set.

        The commands then sign and push this version. Otherwise they record with ``rotate shipped``
        that it was given to clients in another way.
        """
        return is_signed_by_default(self.files)

    @property
    def version(self) -> int:
        """The version number under which the pin file goes out to clients next."""
        return self.files.next_version

    @property
    def recorded(self) -> int | None:
        """The recorded version of the pin file, if it lacks only signatures or a push.

        Otherwise None: the pin file goes out as a new version.
        """
        latest = self.files.deployed.latest
        is_pending = latest is not None and latest.pending and not differs_from_latest(self.files)
        return latest.number if latest is not None and is_pending else None

    def publish(self, version: int) -> list[str]:
        """Return the commands with which a version of the pin file gets to the clients."""
        return publish_commands(self.files, self.probes, version)


@dataclass(frozen=True)
class PathText:
    """The text and the commands for the steps to take after a key was stolen or lost.

    Hosts share one object if their facts, their steps and their ``match`` are equal, and if all of
    them, or none, have their own ``trust``.

    Attributes:
        path: the steps of one of these hosts.
        situation: the facts about that host.
        commands: builds the commands.
        hosts: the patterns of all these hosts.
        serving: the servers of all these hosts that presented the key.
    """

    path: EmergencyPath
    situation: Situation
    commands: PathCommands
    hosts: tuple[str, ...]
    serving: tuple[str, ...]

    def facts(self) -> Iterator[str]:
        """Yield the lines about the stolen or lost key, before its steps.

        They list the servers and clients that use or accept the key, and the reason if no safe path
        exists, or if no step is left.
        """
        yield from self._facts()
        if self.path.lockout is not None:
            lockout = self.path.lockout
            yield f"LOCKED OUT NOW: {lockout.at_risk}: {lockout.problem}."
        if self.path.is_only_time_left:
            yield self._until_another_version()
        elif self.path.harm is not None:
            yield from self._harm()
        yield from self._at_once()
        if self.refused is not None:
            yield f"{self.commands.files.path} CANNOT GO OUT AS IT IS: {self.refused.problem}."
            if self.refused.fix:
                yield f"Before the version goes out: {self.refused.fix}."
        if not self.path.steps:
            if not self.path.is_only_time_left:
                yield self._done()
            yield from self._backup()

    def _at_once(self) -> Iterator[str]:
        """Yield for each other key in the pin file a sentence about switching servers to it now.

        The sentence says how many clients this locks out. Nothing is yielded if no such switch
        locks clients out, or if the sentences about the path have said it already.
        """
        found = self.path.at_once
        is_said = self.path.harm is not None and len(found) == 1
        if is_said or all(violation is None for _, violation in found):
            return
        for pin, violation in found:
            switch = f"A switch at once to {self._name(pin)}"
            if violation is None:
                yield f"{switch} locks no client out."
            else:
                problem = violation.problem.replace(str(pin), "it")
                yield f"{switch} locks out {violation.at_risk}: {problem}."

    @cached_property
    def refused(self) -> Violation | None:
        """The violated rule if the pin file as it is can't go out as a version of the path.

        ``None`` if it can, or if the version is recorded already. That the pin file can be signed
        is not checked if a step changes its keys or anchors before.
        """
        acts = {step.act for step in self.path.steps}
        if "publish" not in acts or self.commands.recorded is not None:
            return None
        if self.path.refused is not None or not acts.isdisjoint({"start", "trust"}):
            return self.path.refused
        return next(iter(unsignable(self.commands.files)), None)

    def _until_another_version(self) -> str:
        """Return the sentence about locked-out clients that no step of the path lets in at once.

        It names the version with which they accept the servers, and by when they have it.
        """
        from certpin.rotation import in_utc

        lockout, latest = self.path.lockout, self.situation.deployed.latest
        assert lockout is not None  # noqa: S101  # the caller checked it
        end = f", at the latest on {in_utc(lockout.safe_from)}" if lockout.safe_from else ""
        number = self.commands.version if latest is None or self.path.steps else latest.number
        return (
            f"No step lets these clients in at once: they accept the servers when they have "
            f"version {number}{end}."
        )

    def _done(self) -> str:
        """Return the sentence that is printed if no step is left to take.

        For a stolen key, it also asks the user to have the certificate revoked, or the root removed
        from other trust stores.
        """
        latest = self.situation.deployed.latest
        out = f"version {latest.number} is out, and " if latest else ""
        unused = f"no server is known to use the {self.path.fact} key"
        text = f"Nothing is left to do, because {out}{unused}."
        if self.path.fact == "lost":
            return text
        if self._is_root:
            return f"{text} Take the root out of each trust store that still has it."
        return f"{text} If its certificate is not revoked yet, let its authority revoke it."

    def json(self, path: EmergencyPath) -> dict[str, Any]:
        """Return ``path``, the steps after a theft or loss at one of the hosts, as JSON."""
        from certpin.rotation import NEXT_BACKUP

        problem = path.harm.problem if path.harm is not None else ""
        return {
            "host": path.host,
            "in_use": path.in_use,
            "served_by": list(path.serving),
            "exposure": path.exposure.json() if path.exposure else None,
            "safe": path.is_safe,
            "authority": path.authority,
            "locked_out_now": path.lockout.clients if path.lockout is not None else 0,
            "locked_out": path.harm.clients if path.harm is not None else 0,
            "problem": problem.replace(str(NEXT_BACKUP), "a new key") or None,
            "refused": self.refused.problem if self.refused is not None else None,
            "steps": [_step_json(*found) for found in self.steps],
            "chain_end": path.chain_end.isoformat() if path.chain_end else None,
            "lacks_backup": path.lacks_backup,
            "backup_from": path.spare_from.isoformat() if path.spare_from else None,
        }

    def _use(self) -> Iterator[str]:
        """Yield the lines about the use of the stolen or lost key.

        They name the servers that use it, say if it is an authority's, and name other stolen or
        lost keys that servers use or may use.
        """
        path = self.path
        if self.serving:
            yield f"Servers use it now: {', '.join(self.serving)}."
        elif path.in_use:
            yield "It is unknown whether servers use it: the path assumes that they do."
            if not self.situation.is_pinned(path.pin) and not path.authority and not self._is_root:
                yield "If it is the key of an authority, the certificate has to be of another one."
        else:
            yield "No server is known to use it."
        if path.authority and path.fact == "stolen":
            yield "It is the key of an authority: its owner can issue certificates for your hosts."
        elif path.authority:
            yield "It is the key of an authority, which can issue no more certificates."
        for other in path.others:
            word = "stolen" if other in self.situation.compromised else "lost"
            yield f"Servers use, or may use, {other}, which is {word}: the path replaces it, too."

    def _facts(self) -> Iterator[str]:
        from certpin.rotation import in_utc
        from certpin.rotation.deadlines import exposure_text
        from certpin.support.text import sentence

        path = self.path
        yield from self._use()
        if path.root_first and path.exposure is not None:
            yield (
                "Clients trust no other root. An attacker needs a pinned key, too, so there is "
                "time: the path gives clients another root first."
            )
        elif path.root_first:
            yield "Clients trust no other root: the path gives them one first."
        if path.chain_end and path.steps:
            yield (
                f"Servers can keep their chain until {in_utc(path.chain_end)}, when its first "
                "certificate expires: finish the path before."
            )
        if path.exposure is None:
            return
        if not self.situation.alive:
            yield "No published version is recorded: it is unknown which clients accept it."
            return
        for text in exposure_text(path.exposure):
            yield f"{sentence(text)}{self._if_followed(text)}."

    def _if_followed(self, text: str) -> str:
        is_dated = " until " in text and any(step.act == "publish" for step in self.path.steps)
        return f", if version {self._first_version} goes out at once" if is_dated else ""

    @property
    def _first_version(self) -> int:
        """The number of the first version that the steps publish.

        This version can be recorded already, unless an earlier step changes the pin file.
        """
        acts = [step.act for step in self.path.steps]
        before = acts[: acts.index("publish")] if "publish" in acts else acts
        recorded = self.commands.recorded
        if recorded is None or not _CHANGES.isdisjoint(before):
            return self.commands.version
        return recorded

    def _harm(self) -> Iterator[str]:
        from certpin.rotation import NEXT_BACKUP
        from certpin.rotation.trust import has_common_trust

        harm = self.path.harm
        assert harm is not None  # noqa: S101  # the caller checked it
        problem = harm.problem.replace(str(NEXT_BACKUP), "a new key")
        if not self.situation.alive:
            yield f"NO SAFE PATH IS KNOWN: {problem}."
            yield self._first_record()
            return
        where = f" AT {', '.join(self.hosts)}" if len(self.commands.files.pins.policies) > 1 else ""
        yield f"NO PATH WITHOUT A LOCK-OUT{where}: {harm.at_risk} would be locked out: {problem}."
        if not has_common_trust(self.situation) or harm.invariant == "certificate":
            yield f"Mend that first: {harm.fix}."
        elif self.path.exposure and self.path.exposure.stages:
            yield from self._trade_off()

    def _trade_off(self) -> Iterator[str]:
        """Yield two sentences about the orders of switch and new version: each locks clients out.

        Clients with a version that is published before the switch refuse the stolen key, which the
        servers still use.
        """
        from certpin.rotation import format_duration

        number, adopt = self.commands.version, format_duration(self.situation.timing.adopt)
        yield (
            "Weigh two orders. Switch first, as below: these clients are locked out until they "
            f"have version {number} ({adopt} after it is out, if they fetch it), and servers stop "
            "to use the stolen key now."
        )
        yield (
            f"Version {number} first (with --force), and the switch later: until the switch, "
            f"clients with version {number} are locked out, and an attacker with the key is "
            "accepted by all others; after it, these others are locked out."
        )

    def _first_record(self) -> str:
        """Return the sentence that asks the user to record the version that clients have.

        It contains the command. If the journal seems to be missing, it first asks the user to
        restore the journal.
        """
        files, pins = self.commands.files, self.situation.pins
        doubt = files.journal_doubt
        number = "VERSION" if doubt else pins.version  # the pin file may be a draft
        command = self.commands.whole_file(
            f"certpin rotate shipped {number} --force --reason 'clients have it already'"
        )
        if not doubt:
            return f"Record the version that clients have now, and run this again: {command}"
        return (
            f"The journal seems to be missing, because {doubt}: git checkout {files.journal}, or "
            "git pull, and run this command again. If there never was one, record the version "
            f"that clients have, from its own pin file: {command}"
        )

    @cached_property
    def steps(self) -> list[TextOfStep]:
        """Each step after the theft or loss: a sentence, its commands and the step itself."""
        is_made = any(step.act == "start" and step.pin for step in self.path.steps)
        key_file = self.commands.new_file("next.key", self.hosts) if is_made else "next.key"
        version, found = self._first_version, []
        for step in self.path.steps:
            if step.act == "publish":
                text, commands = self._publish(step, version)
                version += 1
            else:
                text, commands = self._step(step, key_file)
            found.append((text, commands, step))
        return found

    def _step(self, step: EmergencyStep, key_file: str) -> tuple[str, list[str]]:
        if step.act == "gone":
            return self._gone(step.server)
        makers = {"start": self._start, "request": self._request, "switch": self._checked_switch}
        if step.act in makers:
            return makers[step.act](step, key_file)
        if step.act in {"trust", "end", "mark"}:
            return self._change_root(step)
        if step.act == "finish":
            when = "When every server presents it, take" if step.after_install else "Take"
            command = self.commands.of(f"certpin rotate finish {step.pin}", self.hosts)
            return f"{when} the lost key out of the pin file.", [command]
        if step.act == "install":
            return "Install that certificate and its key on every server.", []
        revoke = "Let your authority revoke the certificate of the stolen key."
        if self._is_root:
            revoke = (
                "Let the owner of the stolen root's key know, and take the root out of each trust "
                "store that has it."
            )
        elif self.path.authority:
            revoke = "Let the owner of the stolen authority's key know: its certificates end now."
        return revoke, []

    @cached_property
    def _is_root(self) -> bool:
        """True if the key is that of a root in a file of ``trust``, now or in an older version."""
        return self.path.pin in self.commands.files.known_roots

    def _gone(self, server: str) -> tuple[str, list[str]]:
        from certpin.support.text import printable

        text = (
            f"{printable(server)} served this host, and {self.commands.files.path} does not list "
            "it: list it ([[host.server]]); or if it is switched off, record that, with the reason."
        )
        command = f"certpin rotate gone {shlex.quote(server)} --reason TEXT"
        return text, [self.commands.whole_file(command)]

    def _change_root(self, step: EmergencyStep) -> tuple[str, list[str]]:
        """Return a sentence, and the commands, of a step by which clients get another root."""
        files = self.commands.files
        if step.act == "trust":
            text = (
                "Put another root into the file of `trust`, beside the present one, and write "
                f"version = {self.commands.version} into {files.path}."
            )
            return text, []
        if step.act == "end":
            command = f"certpin rotate shipped {step.version} --ended"
            text = f"When no client has version {step.version} any more, record that."
            return text, [self.commands.whole_file(command)]
        command = self.commands.whole_file(f"certpin rotate emergency {step.pin} --stolen")
        text = (
            "When every server presents it, take the stolen root out of the file of `trust`, and "
            f"let {files.path} refuse it."
        )
        return text, [command]

    def _start(self, step: EmergencyStep, key_file: str) -> tuple[str, list[str]]:
        from certpin.rotation.remedies import OTHER_AUTHORITY

        if self.situation.policy.match == "ca":
            what = "the new backup" if step.pin is None else "the next issuer"
            text = f"Choose another authority as {what}, and name its certificate{self._in_trust()}"
            file = OTHER_AUTHORITY if step.pin is None else _NEW_AUTHORITY
            command = f"certpin rotate start {file}"
            return f"{text}.", [self.commands.of(command, self.hosts, starts=True)]
        if step.pin is None:
            file = self.commands.new_file("next-backup.key", self.hosts)
            text = "Make a new backup, off the servers."
        else:
            file, text = key_file, "Make a new key."
        command = f"certpin rotate start --new {file}"
        return text, [self.commands.of(command, self.hosts, starts=True)]

    @property
    def _drop_root(self) -> str:
        """Words that ask the user to take a stolen root out of the file of ``trust``.

        They are a part of the sentence of the next publish step. They are empty if ``trust`` has no
        stolen root or no valid other one, or if another step asks for it.
        """
        from certpin.rotation.trust import anchor_pins, is_below

        policy, stolen = self.situation.policy, self.situation.compromised
        if self._awaits_root or not anchor_pins(policy) & stolen:
            return ""
        if is_below(self.situation, policy, stolen):
            return ""
        return "take the stolen root out of the file of `trust`, and "

    @property
    def _awaits_root(self) -> bool:
        """True if a step marks a stolen root in the pin file after clients have another root.

        Until then the pin file accepts the stolen root, because clients trust no other.
        """
        return any(step.act == "mark" for step in self.path.steps)

    def _in_trust(self) -> str:
        """Return a reminder that ``trust`` of the policy has to contain the new authority.

        Return an empty text if the policy has no ``trust``.
        """
        trust = self.situation.policy.trust
        return "; clients have to trust it (`trust` in the pin file)" if trust else ""

    def _request(self, step: EmergencyStep, key_file: str) -> tuple[str, list[str]]:
        """Return a sentence, and the commands, to get a certificate for the servers' next key.

        ``step`` is the step to take. ``key_file`` is the name of the file for a key that doesn't
        exist yet. If certpin doesn't know the place of the key, the command has a placeholder for
        it, and the sentence says so.
        """
        pin, name = _known(step.pin), self._name(step.pin)
        note = self._note(pin) if pin else ""
        if names_authority(note):
            return f"Get a certificate for a new key from the pinned authority ({name}).", []
        place, missing = key_file if pin is None else self.commands.place(note), ""
        if not place:
            place, missing = _placeholder(note)
        other = self._other_authority(step) + _below(step)
        text = f"Get a certificate for {name}{other}."
        if missing:
            is_used = pin is not None and self.situation.serving(pin)
            words = f"For {name}, get" if is_used else f"Fetch {name}. For it get"
            text = f"{words} a certificate{other} ({missing})."
        out = self.commands.new_file("emergency.csr", self.hosts)
        hosts = (name for host in self.hosts for name in _certificate_names(host))
        names = " ".join(f"--host {shlex.quote(name)}" for name in hosts)
        command = f"certpin rotate csr {place} {names} --out {out}"
        return text, [self.commands.whole_file(command)]

    def _other_authority(self, step: EmergencyStep) -> str:
        """Return words for the request of a certificate: that another authority has to issue it.

        They are empty if the stolen or lost key is not an authority's, or if ``_below`` names the
        root.
        """
        if self.path.root_first:
            return "" if step.anchors else " below the other root"
        if not self.path.authority:
            return ""
        if self.path.fact == "lost":
            return " from another authority"
        words = " from another authority: clients refuse each path with the stolen key"
        is_known = self.path.harm is None or step.anchors or step.issuers
        return words if is_known else f"{words}. Put its root into the trust file"

    def _checked_switch(self, step: EmergencyStep, key_file: str) -> tuple[str, list[str]]:
        """Return the sentences and the commands of a step that switches servers to another key.

        If the safety rules (the gate) will refuse the step, the text has the reason. ``key_file``
        is the name of the file for a key that doesn't exist yet.
        """
        text, commands = self._switch(step, key_file)
        if step.unconfirmed is None:
            return text, commands
        reason, fix = step.unconfirmed.problem, step.unconfirmed.fix
        return f"{text} It will be refused: {reason}. To take it, {fix}.", commands

    def _switch(self, step: EmergencyStep, key_file: str) -> tuple[str, list[str]]:
        from certpin.rotation import NEXT_BACKUP, in_utc

        pin, name = _known(step.pin), self._name(step.pin)
        force = f" --force --reason 'the key was {self.path.fact}'" if step.forced else ""
        command = f"certpin rotate switch {'fullchain.pem' if step.chain else pin or key_file}"
        command = self.commands.of(command + force, self.hosts)
        if self._is_authority(step.pin or NEXT_BACKUP):
            return self._switch_authority(step, force)
        if step.not_before:
            return f"Not before {in_utc(step.not_before)}: let servers use {name}.", [command]
        if step.chain:
            return f"Let servers use {name}: name the file of the new chain.", [command]
        return f"Let servers use {name}.", [command]

    def _is_authority(self, pin: Pin) -> bool:
        """Return True if a pin is known to be an authority's: by its role, or by its note."""
        return self.situation.role_of(pin) != "leaf" or names_authority(self._note(pin))

    def _note(self, pin: Pin) -> str:
        entry = self.situation.entry(pin)
        return entry.note if entry else ""

    def _switch_authority(self, step: EmergencyStep, force: str) -> tuple[str, list[str]]:
        """Return a sentence, and the commands, of a switch to a certificate of another authority.

        ``step`` is the step to take. ``force`` are the options to force it; empty for none.
        """
        from certpin.rotation import in_utc
        from certpin.support.text import sentence

        pin = _known(step.pin)
        source = f"the pinned authority ({self._name(pin)})" if pin else "the new authority"
        file = authority_file(self._note(pin)) if pin else _NEW_AUTHORITY
        # `switch` refuses the pin of an authority: it doesn't show which root certified it.
        commands = [
            self.commands.of(f"certpin rotate switch {each}{force}", self.hosts)
            for each in ("fullchain.pem", file)
        ]
        is_requested = any(each.act == "request" for each in self.path.steps)
        is_above = pin is not None and self.path.authority and self.path.fact == "lost"
        source += ", in a chain without the lost key" if is_above else ""
        text = "" if is_requested else f"make a new key, get its certificate from {source}, "
        text += "check the chain, and record the authority with its certificate."
        if step.not_before:
            return f"Not before {in_utc(step.not_before)}: {text}", commands
        return sentence(text), commands

    def _name(self, pin: Pin | None) -> str:
        """Return words for the key of ``pin``: its pin and note, or "the new key".

        A key that does not exist yet is "the new key".
        """
        from certpin.support.text import printable

        known = _known(pin)
        if known is None:
            return "the new key"
        entry = self.situation.entry(known)
        note = f" ({printable(entry.note)})" if entry and entry.note else ""
        kind = "the backup " if entry and entry.role == "backup" else ""
        what = "key" if known.kind == "sha256" else "certificate"
        kind = f"the replaced {what} " if entry and self._is_replaced(entry) else kind
        return f"{kind}{known}{note}"

    def _is_replaced(self, entry: HostPin) -> bool:
        """Return True if servers used the key of a pin before the stolen or lost key.

        The text then calls it "the replaced key".
        """
        activated = self.commands.files.history.activated(self.situation.pattern)
        since, until = activated.get(entry.pin), activated.get(self.path.pin)
        is_before = until is not None and (since is None or since < until)
        return entry.in_service and is_before and not self.situation.serving(entry.pin)

    def _publish(self, step: EmergencyStep, version: int) -> tuple[str, list[str]]:
        """Return a sentence, and the commands, by which a version gets to the clients.

        ``step`` is the step to take, and ``version`` the number of the version. If the latest
        version is recorded, it only has to be signed by the others, or pushed.
        """
        from certpin.support.text import sentence

        when = f"When every server presents it, {self._drop_root}give"
        when = when if step.after_install else "Give"
        if version == self.commands.recorded:
            files = self.commands.files
            return f"{sentence(push_text(files))}.", push_commands(files)
        commands = self.commands.publish(version)
        if self.commands.signed:
            return f"{when} version {version} to the clients.", commands
        is_app = commands[-1].endswith(f" {RELEASE}")
        name = f" ({RELEASE} is the name of the app's release)" if is_app else ""
        text = f"{when} the pin file to the clients as version {version}, and record that it is out"
        return f"{text}{name}.", commands

    def afterwards(self) -> Iterator[str]:
        """Yield notes for the time after the steps.

        They say which renewals the gate refuses, until when clients accept the stolen key, and how
        long no backup can be used.
        """
        from certpin.rotation import in_utc

        path = self.path
        if self._awaits_root:
            yield (
                "Until servers leave the stolen root, renew their certificates below it: clients "
                "accept no other one, and the gate needs --force for that."
            )
        if path.exposure and path.exposure.stages and self.situation.alive:
            end = path.exposure.until
            if end:
                yield f"Over on {in_utc(end)}: from then on no client accepts the stolen key."
            else:
                yield (
                    "No end is known: versions in binaries accept the stolen key until you record "
                    "that they have ended (certpin rotate shipped VERSION --ended)."
                )
        yield from self._backup()

    def _backup(self) -> Iterator[str]:
        """Yield the sentence about the time without a backup that every client accepts.

        Nothing is yielded if every client accepts a backup.
        """
        from certpin.rotation import in_utc

        path = self.path
        if path.lacks_backup:
            date = in_utc(path.spare_from) if path.spare_from else "every client accepts one"
            yield f"No backup can be used until {date}: take care of the key in use."


def _certificate_names(host: str) -> tuple[str, ...]:
    """Return the names in the certificate of a host pattern.

    No name covers names of any depth. For such a pattern (``**.``), the result is its own name and
    a wildcard for one label below it.
    """
    name = host.removeprefix("**.")
    return (host,) if name == host else (name, f"*.{name}")


def _placeholder(note: str) -> tuple[str, str]:
    """Return a placeholder for the file of a key, for a command, and a clause that explains it.

    The placeholder is ``FOLDER/NAME``, or ``KEY`` if the note names no file.

    Args:
        note: the note of the pin. It can name the file, but not its folder.
    """
    name = Path(note.removeprefix(KEY_FILE)).name if note.startswith(KEY_FILE) else ""
    if not 0 < len(name) <= _MAX_FILE_NAME:
        return "KEY", "KEY is the file of the key, or its URI"
    return shlex.quote(f"FOLDER/{name}"), "FOLDER is the folder of the file"


def _below(step: EmergencyStep) -> str:
    """Return words that name the authorities, one of which has to issue a new certificate.

    The result is empty if no authority has to be named. ``step`` is the step in which the user
    requests the certificate.
    """
    from certpin.support.text import printable

    if step.anchors:
        return f", below {' or '.join(map(printable, step.anchors))}, which all versions trust"
    if step.issuers:
        names = " or ".join(map(printable, step.issuers))
        return f", from {names} as now, and send the authorities above it that servers send now"
    return ""


def path_lines(texts: Sequence[PathText]) -> Iterator[str]:
    """Yield the lines to print after a theft or loss: the facts, the numbered steps, and notes.

    Args:
        texts: a text for each group of hosts with equal steps.
    """
    several = len(texts) > 1
    for text in texts:
        if several:
            yield f"{', '.join(text.hosts)}:"
        yield from text.facts()
        if several:
            yield ""
    if found := [text for text in texts if text.path.steps]:
        yield _heading(found)
        yield from _step_lines(found, several=several)
        signed = any(text.commands.signed for text in found)
        what = (
            "the pin file, its journal and publish/" if signed else "the pin file and its journal"
        )
        yield f"Commit {what}, and push them."
        yield from _notes(found)


def ordered_steps(texts: Sequence[PathText]) -> Iterator[dict[str, Any]]:
    """Yield the steps of all hosts as JSON, each once, in the order in which the gate accepts them.

    Args:
        texts: a text for each group of hosts with equal steps.
    """
    found = [text for text in texts if text.path.steps]
    every = [host for text in found for host in text.hosts]
    for hosts, steps in _in_order(found) if found else ():
        for each in steps:
            yield {"hosts": list(hosts) or every, **_step_json(*each)}


def _step_json(text: str, commands: list[str], step: EmergencyStep) -> dict[str, Any]:
    pin = _known(step.pin)
    return {
        "act": step.act,
        "pin": str(pin) if pin else None,
        "text": text,
        "not_before": step.not_before.isoformat() if step.not_before else None,
        "after_install": step.after_install,
        "forced": step.forced,
        "unconfirmed": step.unconfirmed.problem if step.unconfirmed is not None else None,
        "commands": commands,
    }


def _step_lines(texts: Sequence[PathText], *, several: bool) -> Iterator[str]:
    number = 0
    for hosts, steps in _in_order(texts):
        if several:
            yield f"{', '.join(hosts) or 'All hosts'}:"
        for text, commands, _ in steps:
            number += 1
            yield f"{number:>3}. {text}"
            yield from (f"       {command}" for command in commands)


def _notes(texts: Sequence[PathText]) -> Iterator[str]:
    """Yield the notes for the time after the steps.

    ``texts`` has a text for each group of hosts with equal steps. If hosts have different notes,
    each note begins with its hosts.
    """
    notes = {text.hosts: tuple(text.afterwards()) for text in texts}
    is_equal = len(set(notes.values())) == 1
    for hosts, lines in [*notes.items()][: 1 if is_equal else None]:
        yield from (line if is_equal else f"{', '.join(hosts)}: {line}" for line in lines)


def _heading(texts: Sequence[PathText]) -> str:
    if all(text.path.is_safe or text.path.is_only_time_left for text in texts):
        return "Do now, in this order:"
    is_known = all(text.situation.alive for text in texts)
    return "The least harmful path:" if is_known else "If that can't be done:"


def _in_order(texts: Sequence[PathText]) -> Iterator[tuple[tuple[str, ...], list[TextOfStep]]]:
    """Yield the steps of all hosts in the order in which the gate accepts them, with their hosts.

    ``texts`` has a text for each group of hosts with equal steps. The gate is the check of the
    rules against lockouts. It refuses to publish a version while a host accepts a stolen key or has
    no backup. So each host takes its steps before the version is published. A step for all hosts,
    such as publishing, comes once, without hosts.
    """
    parts = [_parts(text.steps) for text in texts]
    for index in range(max(map(len, parts))):
        common: list[TextOfStep] = []
        for text, of_text in zip(texts, parts, strict=True):
            steps = of_text[index] if index < len(of_text) else []
            own = [each for each in steps if each[2].act not in _OF_ALL_HOSTS]
            common += [each for each in steps if each[2].act in _OF_ALL_HOSTS]
            if own:
                yield text.hosts, own
        # The sentence of a version that waits for the servers of a host is the one to print.
        common.sort(key=lambda each: (each[2].act != "publish", not each[2].after_install))
        once: dict[str, TextOfStep] = {}
        for each in common:
            once.setdefault("" if each[2].act == "publish" else each[0], each)
        if once:
            yield (), [*once.values()]


def _parts(steps: list[TextOfStep]) -> list[list[TextOfStep]]:
    """Split the steps into parts, each of which ends when a version is published, and return them.

    Only the last part can end without a published version.
    """
    parts: list[list[TextOfStep]] = [[]]
    for step in steps:
        if parts[-1] and parts[-1][-1][2].act == "publish" and step[2].act not in _OF_ALL_HOSTS:
            parts.append([])
        parts[-1].append(step)
    return parts


def _known(pin: Pin | None) -> Pin | None:
    """Return ``pin``, or None if it is the placeholder ``NEXT_BACKUP``.

    The placeholder stands for a key that is still to be made.
    """
    from certpin.rotation import NEXT_BACKUP

    return None if pin == NEXT_BACKUP else pin
