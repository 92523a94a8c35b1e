"""``certpin rotate start``: choose or make the next key, and pin it in the next version."""

from __future__ import annotations

import shlex
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.candidates import complete_files
from certpin.cli.keys import (
    Backup,
    ask_passphrase_option,
    dart_unknown,
    key_type_option,
    new_passphrase,
    require_certifiable,
    require_matchable,
    require_usable_in_dart,
    signer_of,
)
from certpin.cli.named_key import (
    AUTHORITY_FILE,
    KeyReference,
    authority_file,
    policies_for_step,
    resolve_key,
    serving_note,
)
from certpin.cli.options import (
    is_on_token,
    json_option,
    key_place,
    makes_on_token,
    pin_file_option,
    unused_name,
)
from certpin.cli.rotate.files import RotationFiles, person_name, who_option
from certpin.cli.rotate.keys import certificate_name, given_names, request_pem, write_new_file
from certpin.cli.rotate.recording import question_about_unpinned, way_out_command
from certpin.cli.rotate.steps import (
    ForceOptions,
    HostViolation,
    StepOutcome,
    force_options,
    of_host,
)
from certpin.cli.servers import ProbeOptions, host_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.rotation import Event, Situation
    from certpin.rotation.journal import StepName
    from certpin.rotation.renewal import SwitchDate
    from certpin.x509.keys import KeyAlgorithm

_NEW = "the new key"
_STARTED = {"staged", "published", "adopted", "active", "retiring"}


@click.command()
@click.argument(
    "key", required=False, metavar="[KEY | CSR | CERT | PIN | URI]", shell_complete=complete_files
)
@click.option(
    "--new",
    metavar="FILE|URI",
    shell_complete=complete_files,
    help="Make the key: in this file (mode 600), or on a PKCS#11 token "
    "(pkcs11:token=NAME;object=NAME). Nothing is overwritten.",
)
@key_type_option
@ask_passphrase_option
@click.option(
    "--csr",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the request (CSR) for the key's certificate into this new file.",
)
@pin_file_option
@host_option
@force_options
@who_option
@json_option
@click.pass_context
def start(
    ctx: click.Context,
    key: str | None,
    new: str | None,
    key_type: KeyAlgorithm,
    ask_passphrase: bool,
    csr: Path | None,
    path: Path,
    hosts: tuple[str, ...],
    force: ForceOptions,
    who: str | None,
    as_json: bool,
) -> None:
    """Begin a rotation: put a key's pin into the pin file, under the next version.

    Run it for the key that servers will use next, or for a new backup.

    Give a key that you have, or let --new make it. Keys that can't serve are refused: those that no
    public authority certifies, and those that were compromised or removed. It is for the hosts of a
    certificate, the hosts that have this key already, or all hosts of the file if servers use the
    same keys at each; otherwise name them with --host. If the pin file has the key already, nothing
    is changed. It prints the next command, and the date from which servers may switch to the key.

    \b
    certpin rotate start --new next.key --csr next.csr
    certpin rotate start backup.key                        the backup comes next

    Exit code 0: done. 1: refused, nothing was changed. 2: wrong usage, or an invalid file.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pinfile.file import changing

    if (key is None) == (new is None):
        raise click.UsageError("give a key that you have, or --new FILE to make one")
    on_token = new is not None and makes_on_token(new)
    if ask_passphrase and (new is None or on_token):
        raise click.UsageError("--ask-passphrase is for the file that --new makes")
    files = RotationFiles(path)
    files.require_version()
    with ExitStack() as stack:
        next_key = NextKey(new or key or "")
        if new is not None and not _is_started(files.pins, new, hosts):
            secret = None if on_token else new_passphrase(_NEW, ask=ask_passphrase)
            made = Backup(
                new, key_type, secret, None, what=_NEW, option="--new", until="servers switch to it"
            )
            next_key.made = stack.enter_context(closing(made))
        else:
            _ = next_key.named  # may ask the user, or a key service: not while the files are locked
        stack.enter_context(changing(path))
        outcome = _Start(files.latest(), next_key, hosts, force, person_name(who), csr).run()
    outcome.show(ctx, as_json=as_json)


def _is_started(pins: PinSet, place: str, hosts: tuple[str, ...]) -> bool:
    """Return True if ``--new`` names an existing key file whose pin is STAGED at the same hosts.

    The command then uses this key and makes no new one, as after an interrupted run.

    Args:
        pins: the pin set of the pin file.
        place: the value of ``--new``.
        hosts: the values of ``--host``.

    Raises:
        ConfigError: the pin file has the key in a different state than STAGED, or at other hosts.
            It is no new backup then.
    """
    from certpin.errors import ConfigError

    if is_on_token(place) or not Path(place).is_file():
        return False
    pin = resolve_key(place).pin
    states = {
        policy: entry.state for policy in pins.policies for entry in policy.pins if entry.pin == pin
    }
    if not states:
        return False
    # Two hosts that share a key by accident would lose their backup at the same time.
    is_elsewhere = any(policy not in states for policy in _policies(pins, hosts, None))
    if is_elsewhere or {*states.values()} != {"staged"}:
        raise ConfigError(
            f"{place} has a key that is in the pin file already: none was made",
            key="--new",
            fix=f"name a new file: --new {unused_name(place)}; for the key in {place}, leave out "
            "--new",
        )
    return True


def _policies(pins: PinSet, hosts: tuple[str, ...], named: KeyReference | None) -> list[HostPolicy]:
    """Return the policies of the hosts at which servers will use a key.

    The hosts are those of ``--host``, or those that the key's certificate names, or those that have
    the key already. If there are none, return all policies of the pin file, provided that servers
    use the same keys at each host; otherwise raise ``click.UsageError``.

    Args:
        pins: the pin set of the pin file.
        hosts: the values of ``--host``.
        named: the key that the user named; None for a new key.
    """
    probes = ProbeOptions.without_probe(hosts)
    used = {_used_pins(policy) for policy in pins.policies}
    known = {entry.pin for policy in pins.policies for entry in policy.pins}
    is_unknown = named is None or (named.pin not in known and not named.names)
    if not hosts and is_unknown and len(used) == 1:
        return list(pins.policies)
    return policies_for_step(pins, probes, named)


@dataclass
class NextKey:
    """The key to which a rotation leads: an existing key of the user, or a new key.

    Attributes:
        text: the key as the user named it: a file, a pin, or the URI of a key in an HSM or KMS.
        made: makes the new key; None for an existing key.
    """

    text: str
    made: Backup | None = None

    @cached_property
    def named(self) -> KeyReference:
        """The key's pin and the facts about it. If the key is new, the first read makes it."""
        if self.made is None:
            return resolve_key(self.text)
        pin = self.made.pin
        assert pin is not None  # noqa: S101  # it has a place
        return KeyReference(pin, self.made.note, key_type=self.made.key_type)

    @property
    def key_type(self) -> str:
        """The type of the key, such as ``EC P-256``; empty if the user gave only its pin."""
        return self.made.key_type if self.made else self.named.key_type

    @property
    def is_authority(self) -> bool:
        """True if the user named the certificate of an authority."""
        return not self.made and self.named.is_authority

    def written(self) -> AbstractContextManager[None]:
        """Return a context manager that writes the file of a new key.

        If the ``with`` block fails, the file is deleted. For an existing key, nothing is written.
        """
        return self.made.written() if self.made else nullcontext()

    def request(self, names: list[str]) -> str:
        """Return a certificate request (CSR) for host names as PEM, signed with this key."""
        from certpin.x509.signing import new_request

        if self.made:
            return request_pem(new_request(self.made.signer(), names))
        with signer_of(self.text) as signer:
            return request_pem(new_request(signer, names))

    def advice(self) -> Iterator[str]:
        """Yield sentences for the user about the key.

        They say where a new key is, how to keep it safe, and which servers can use the key.
        """
        if self.made:
            yield from self.made.advice()
        if note := serving_note(key_place(self.text)):
            yield note


@dataclass
class _Start:
    """One run of ``rotate start``: it adds the pin of a key to the pin file, if that is safe.

    Attributes:
        files: the pin file and the journal.
        key: the key to pin.
        hosts: the values of ``--host``.
        force: the options ``--force`` and ``--reason``, which add the pin although that violates a
            rule against lockouts.
        who: the person to name in the journal.
        csr: the file for the certificate request; None for no request.
        now: the time of the run.
    """

    files: RotationFiles
    key: NextKey
    hosts: tuple[str, ...]
    force: ForceOptions
    who: str
    csr: Path | None
    now: datetime = field(init=False)

    def run(self) -> StepOutcome:
        """Add the pin, if that violates no rule against lockouts or if the user forces it.

        This writes a new key, the certificate request, the pin file and the journal. If the step is
        refused, nothing is written, and the returned outcome has the violated rules.
        """
        from certpin.pins import utc_now
        from certpin.rotation import check_step, step_time

        self.now = step_time(self.files.newest, utc_now())
        named = None if self.key.made else self.key.named
        policies = _policies(self.files.pins, self.hosts, named)
        for policy in policies:
            require_certifiable(self.key.key_type, policy.pattern, policy.trust, policy.match)
            if self.files.flutter and self._is_compared(policy):
                signs = self.key.is_authority
                require_usable_in_dart(self.key.key_type, policy.pattern, signs=signs)
            self._refuse_uncompared(policy)
        pin = self.key.named.pin
        violations: list[HostViolation] = []
        added: list[str] = []
        unrecorded: list[str] = []
        for policy in policies:
            situation = self.files.situation(policy, (), self.now)
            violations += of_host(policy, check_step(situation, "stage", pin))
            if self._is_missing(situation, pin):
                added.append(str(policy.pattern))
            elif self._is_unrecorded(situation, pin):
                unrecorded.append(str(policy.pattern))
        outcome = StepOutcome(
            "start",
            self.files.path,
            [str(policy.pattern) for policy in policies],
            pin,
            forced=self.force.force,
            violations=violations,
        )
        if not self.force.refuses(violations):
            outcome.events = self._write(added, unrecorded, violations, policies)
            outcome.done = True
            outcome.version = self.files.pins.version
            self._describe(outcome, added, policies, recorded=bool(unrecorded))
        return outcome

    def _refuse_uncompared(self, policy: HostPolicy) -> None:
        """Raise an error if the pin of the key would have no effect at a host.

        Clients with ``match = ca`` never compare the pin of a server's key.
        """
        from certpin.errors import ConfigError

        if policy.match == "ca" and self.key.made:
            raise ConfigError(
                f"the clients of {policy.pattern} compare only authorities (match = ca): they "
                "would never accept a server's key for its pin",
                key="match",
                fix="a new key under a pinned authority needs no pin: certpin rotate switch "
                "checks its chain; to change the authority, name its certificate",
            )
        certificates = () if self.key.made else self.key.named.certificates
        require_matchable(certificates, policy.pattern, policy.trust, policy.match)

    def _is_compared(self, policy: HostPolicy) -> bool:
        """Return True if clients of a host may compare the key with their pins.

        Only then must Flutter apps be able to use the key. With ``match = "ca"``, clients compare
        only the keys of authorities.
        """
        return self.key.is_authority or policy.match != "ca"

    def _is_missing(self, situation: Situation, pin: Pin) -> bool:
        """Return True if the host's policy lacks the pin, so that it must be added.

        The result is also True if a git merge has removed a published pin from the pin file by
        mistake.

        Raises:
            ConfigError: the key was removed or lost at this host, and must not be used again.
        """
        from certpin.rotation.journal import pin_state, require_transition

        state = pin_state(situation, pin)
        if situation.entry(pin) and state in _STARTED:
            return False
        if _is_lost_in_merge(situation, pin):
            return True
        if situation.entry(pin) or pin not in situation.compromised:
            require_transition(pin, state, "staged")
        return True

    def _is_unrecorded(self, situation: Situation, pin: Pin) -> bool:
        """Return True if the pin file has the pin, and the journal has no ``stage`` step for it.

        The cause is a crash of an earlier command. The missing step is then written into the
        journal. ``situation`` has the facts about the host.
        """
        return "stage" in self.files.history.missing_steps(situation.policy).get(pin, ())

    def _write(
        self,
        added: list[str],
        unrecorded: list[str],
        violations: list[HostViolation],
        policies: list[HostPolicy],
    ) -> list[Event]:
        """Write key, certificate request, pin file and journal: all, or none on failure.

        Args:
            added: the patterns of the hosts that get the pin.
            unrecorded: the patterns of the hosts that have the pin already, although the journal
                has no step that added it.
            violations: the rotation invariants that the step violates; if there are any, the events
                record that the step was forced.
            policies: all policies that the step is for; the request names their hosts.

        Returns:
            The events that were appended to the journal.
        """
        from certpin.pins import HostPin
        from certpin.rotation import Event

        named, reason = self.key.named, self.force.recorded_reason(violations)
        steps: list[StepName] = ["generate", "stage"] if self.key.made else ["stage"]
        events = [
            Event(self.now, self.who, step, name, named.pin, note=named.note, reason=reason)
            for step in steps
            for name in [*added, *unrecorded]
            if not self._was_published(name)
        ]
        if added:
            self.files.editor.set_version(self.files.next_version)
        for name in added:
            self.files.editor.add_pin(name, HostPin(named.pin, "backup", "staged", named.note))
        request = self.key.request(self._names(policies)) if self.csr else ""
        with self.key.written(), self._request_written(request):
            if added or unrecorded:
                self.files.commit(events)
        return events

    def _was_published(self, pattern: str) -> bool:
        """Return True if the journal has the new key in the state PUBLISHED at this host.

        No ``stage`` step is then recorded, because it would set the state back. ``pattern`` is the
        host of the pin file.
        """
        from certpin.pins import HostPattern

        past = self.files.history.past(HostPattern.parse(pattern))
        return past.states.get(self.key.named.pin) == "published"

    def _names(self, policies: list[HostPolicy]) -> list[str]:
        from certpin.pins.hosts import split_address

        if self.hosts:
            named = [host if "*" in host else split_address(host, 0)[0] for host in self.hosts]
            return given_names(tuple(named))
        return [certificate_name(policy.pattern) for policy in policies]

    @contextmanager
    def _request_written(self, request: str) -> Iterator[None]:
        if self.csr is None:
            yield
            return
        write_new_file(self.csr, request, option="--csr")
        try:
            yield
        except BaseException:
            with suppress(OSError):
                self.csr.unlink()
            raise

    def _describe(
        self, outcome: StepOutcome, added: list[str], policies: list[HostPolicy], *, recorded: bool
    ) -> None:
        """Add to the outcome the sentences for the user, and the next commands with their dates.

        Args:
            outcome: the result of the run.
            added: the patterns of the hosts that got the pin.
            policies: all policies that the step is for.
            recorded: True if the journal lacked the step at a host, and now has it.
        """
        from certpin.rotation.renewal import latest_of, switch_date
        from certpin.support.text import printable

        files, pin = self.files, self.key.named.pin
        patterns = {policy.pattern for policy in policies}
        changed = [policy for policy in files.pins.policies if policy.pattern in patterns]
        situations = [files.situation(policy, (), self.now) for policy in changed]
        version = f"version {files.pins.version} of {files.path}"
        if added:
            outcome.messages.append(f"{pin} is in {version}, for {', '.join(added)}.")
        else:
            change = "the journal now has this step, too" if recorded else "nothing was changed"
            outcome.messages.append(f"{pin} is in {version} already: {change}.")
        outcome.messages += self.key.advice()
        note = dart_unknown(self.key.key_type, signs=self.key.is_authority)
        if note and any(map(self._is_compared, changed)):
            outcome.unknown.append(note)
        if self.csr:
            outcome.messages.append(
                f"The request for its certificate is in {printable(str(self.csr))}."
            )
        entries = [situation.entry(pin) for situation in situations]
        # A backup that the user wrote without a state is ACTIVE, and no server uses it.
        if all(each and each.role != "backup" and each.state == "active" for each in entries):
            outcome.messages.append("It is ACTIVE: servers may use it already.")
            outcome.next_command = self._command("certpin rotate status", changed)
            return
        date = latest_of(switch_date(situation, pin) for situation in situations)
        unpinned = [str(each.pattern) for each in situations if each.is_unpinned]
        if date.now and unpinned:
            outcome.messages.append("No recorded pins refuse it.")
            outcome.unknown.append(question_about_unpinned(files, unpinned))
        else:
            outcome.messages.append(date_text(date, files))
        outcome.messages += self._limits(situations)
        switch = self._command(f"certpin rotate switch {self._switched(situations)}", changed)
        if date.now and not unpinned:
            outcome.next_command = switch
            return
        outcome.next_command = way_out_command(files)
        if date.now or date.moment:
            outcome.later_command, outcome.later = switch, date.moment

    def _limits(self, situations: list[Situation]) -> Iterator[str]:
        """Yield sentences for the user about the limits of the new pin as a backup.

        For example, no other backup is left when servers use its key. ``situations`` has the facts
        about each host.
        """
        from certpin.rotation.renewal import is_last_spare

        if self._is_uncertified_authority(situations):
            yield (
                "Clients compare only authorities (match = ca): they accept this pin as that of an "
                "authority. The key of a server is no backup there. To switch to it, name its "
                f"certificate ({AUTHORITY_FILE})."
            )
        if any(is_last_spare(situation, self.key.named.pin) for situation in situations):
            yield "No backup is left when servers have switched to it: start another key first."

    def _is_uncertified_authority(self, situations: list[Situation]) -> bool:
        """Return True if the pin counts as an authority's, and its certificate was not named.

        ``rotate switch`` refuses such a pin, because it doesn't show that its key belongs to an
        authority. ``situations`` has the facts about each host.
        """
        authorities = any(situation.policy.match == "ca" for situation in situations)
        return authorities and not self.key.named.certificates

    def _switched(self, situations: list[Situation]) -> str:
        """Return the argument for the command ``rotate switch``: the key, or its certificate.

        The certificate is needed if the pin counts as an authority's and the user did not name it.
        If its file is unknown, the result is a placeholder. ``situations`` has the facts about each
        host.
        """
        if self._is_uncertified_authority(situations):
            return authority_file(self.key.named.note)
        return shlex.quote(self.key.text)

    def _command(self, command: str, policies: list[HostPolicy]) -> str:
        pins, probes = self.files.pins, ProbeOptions.without_probe(self.hosts)
        hosts = policies if self.hosts else pins.policies
        return probes.next_command(command, self.files.path, pins, hosts)


def _is_lost_in_merge(situation: Situation, pin: Pin) -> bool:
    """Return True if the pin file lacks a pin that the journal has as STAGED or PUBLISHED.

    ``rotate start`` adds such a pin again. A git merge can remove it from the pin file by mistake;
    and a crash of ``rotate finish KEY`` can leave its removal unrecorded.
    """
    recorded = situation.past.states.get(pin)
    return situation.entry(pin) is None and recorded in {"staged", "published"}


def _used_pins(policy: HostPolicy) -> frozenset[Pin]:
    return frozenset(
        entry.pin for entry in policy.pins if entry.role != "backup" and entry.in_service
    )


def date_text(date: SwitchDate, files: RotationFiles) -> str:
    """Return a sentence that gives the date from which servers may switch to a key.

    If there is no such date, the sentence names the versions that refuse the key and have no known
    end.

    Args:
        date: the date, with the versions that refuse the key.
        files: the pin file and the journal.
    """
    from certpin.rotation import format_duration, in_utc
    from certpin.rotation.rules import version_list

    if date.now:
        return "Every client accepts it: servers may switch to it now."
    if date.moment is None:
        versions = version_list(date.refusing) if date.refusing else "a version"
        several = len(date.refusing) > 1
        refuse = "refuse it, and their ends are" if several else "refuses it, and its end is"
        return (
            "No date is known from which servers may switch to it: "
            f"{versions} {refuse} not recorded."
        )
    moment = in_utc(date.moment)
    if not date.counts_from_now:
        return f"Servers may switch to it from {moment} on."
    adopt = format_duration(files.timing.adopt)
    return (
        f"If version {files.pins.version} goes out now, servers may switch to it from {moment} on "
        f"(T_adopt {adopt})."
    )
