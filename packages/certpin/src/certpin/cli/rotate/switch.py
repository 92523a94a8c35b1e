"""``certpin rotate switch``: check that clients accept a key or chain before servers use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import click

from certpin.cli.candidates import complete_files
from certpin.cli.named_key import policies_for_step, resolve_key
from certpin.cli.options import json_option, pin_file_option, unused_name
from certpin.cli.rotate.files import (
    RotationFiles,
    once,
    person_name,
    probe_for_step,
    repeat_if_changed,
    who_option,
)
from certpin.cli.rotate.new_chain import NewChain
from certpin.cli.rotate.steps import (
    ForceOptions,
    HostConclusion,
    HostViolation,
    StepOutcome,
    UsageOptions,
    accepted_stolen_key,
    compare_destination,
    force_options,
    of_host,
    usage_options,
)
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from certpin.pins import HostPolicy, Pin, Role
    from certpin.rotation import Event, Situation, Version, Violation


_INSTALL = " Install its certificate on every server."


@click.command()
@click.argument("key", metavar="KEY | CSR | CERT | PIN | URI", shell_complete=complete_files)
@pin_file_option
@probe_options
@force_options
@who_option
@json_option
@usage_options
@click.pass_context
@repeat_if_changed
def switch(
    ctx: click.Context,
    key: str,
    path: Path,
    probes: ProbeOptions,
    force: ForceOptions,
    who: str | None,
    as_json: bool,
    usage: UsageOptions,
) -> None:
    """Check a chain before servers use it. Run it before you install a certificate.

    Refused until every version that a client may hold accepts the chain. In a deployment, and in
    the hook of an ACME client, run it before the step that installs the certificate, and name the
    file of the chain, such as fullchain.pem: then the whole chain is verified, for every host of
    the pin file that the certificate is for. A certificate for another host is refused, and a chain
    with a certificate that is not valid now, or may not be used there, such as an intermediate
    without keyCertSign. Given only a certificate, a CSR, a key or a pin, the rest of the chain is
    unknown: each version accepts it, refuses it, or is open, and the step is refused if one is
    open. If servers may use the key already, nothing is written, so every renewal can run it.

    \b
    certpin rotate switch /etc/ssl/new/fullchain.pem           in a deployment
    certpin rotate switch next.key                             before you ask for the certificate

    Exit code 0: done, or nothing to do. 1: refused, nothing was changed. 2: wrong usage, or an
    invalid file. 3: the monitoring service (--watch) did not answer. A server that does not answer
    is listed as not known, and stops no renewal.
    """  # noqa: D301  # click reads the \b itself
    step = KeySwitch(path, key, probes, force, who, usage)
    step.chain.require_certifiable()
    if step.files.flutter:
        step.chain.require_usable_in_dart()
    violations = step.violations()
    if violations and force.force:
        _require_usable(step)
    changes = _changes(step)
    conclusions = _conclusions(step, violations)
    outcome = StepOutcome(
        "switch",
        path,
        step.names,
        step.pin,
        forced=force.force,
        violations=violations,
        unknown=step.unknown,
        messages=_messages(step, changes, violations, conclusions),
        conclusions=conclusions,
    )
    if changes:
        outcome.next_command = _next(step, violations)
    if not force.refuses(violations):
        for name, role in changes:
            step.files.editor.change_pin(name, step.pin, state="active", role=role)
        if changes or violations:
            outcome.events = step.commit(violations)
        outcome.done = True
    outcome.show(ctx, as_json=as_json)


@dataclass
class KeySwitch:
    """One run of ``rotate switch``: check and record that servers may use a key, at each host.

    The constructor reads the files and contacts the servers.

    Attributes:
        key: the key or chain as the user named it.
        usage: the options for reported usage: which versions clients report that they have.
        files: the pin file and the journal.
        chain: the key or chain that ``key`` names, as it was read, with the rules for it.
        pin: the pin of that key, or of the first certificate's key in that chain.
        now: the time for which the step is checked.
        results: the chains that servers of ``policies`` present now.
        newer: a violation if clients can fetch a newer version than the journal has.
        policies: the policies that the step is for.
        situations: for each of ``policies``, a pair of the policy and the facts about its host
            before the step.
    """

    path: Path
    key: str
    probes: ProbeOptions
    force: ForceOptions
    who: str | None
    usage: UsageOptions
    files: RotationFiles = field(init=False)
    chain: NewChain = field(init=False)
    pin: Pin = field(init=False)
    now: datetime = field(init=False)
    results: ProbeResults = field(init=False)
    newer: list[Violation] = field(init=False)
    policies: list[HostPolicy] = field(init=False)
    situations: list[tuple[HostPolicy, Situation]] = field(init=False)

    def __post_init__(self) -> None:
        self.files = RotationFiles(self.path)
        self.files.require_version()
        named, pins = once(("key", self.key), lambda: resolve_key(self.key)), self.files.pins
        self.pin = named.pin
        self.policies = policies_for_step(pins, self.probes, named)
        self.chain = NewChain(named, self.policies)
        self.results, self.now = probe_for_step(
            self.files, self.probes, pins, self.policies, self.who
        )
        self.newer, unknown = compare_destination(self.files, self.probes)
        self.results.unknown.extend(unknown)
        self.usage.apply(self.files, self.files.timing, self.now)
        self.situations = [
            (policy, self.files.situation(policy, self.results.of(policy), self.now))
            for policy in self.policies
        ]

    @property
    def names(self) -> list[str]:
        """The host patterns of the policies that the step is for."""
        return [str(policy.pattern) for policy in self.policies]

    @property
    def unpinned(self) -> list[str]:
        """The host patterns of the step that have no pins in any version that clients may hold.

        No recorded pins refuse the key there. Which keys installed apps accept is then an open
        question in the output.
        """
        return [str(policy.pattern) for policy, facts in self.situations if facts.is_unpinned]

    @property
    def unknown(self) -> list[str]:
        """The facts that could not be checked, as sentences without full stops."""
        unknown = [*self.results.unknown, *self.chain.dart_unknown]
        if not self.unpinned:
            return unknown
        from certpin.cli.rotate.recording import question_about_unpinned

        question = question_about_unpinned(self.files, self.unpinned, self.probes)
        return [*unknown, question]

    def violations(self) -> list[HostViolation]:
        """Return the rules against lockouts that the step would violate, each with its host."""
        found = [
            violation
            for policy, situation in self.situations
            for violation in of_host(policy, [*self.newer, *self.chain.violations(situation)])
        ]
        (_, situation), *_ = self.situations
        return found + self.chain.of_dropped_hosts(situation)

    def commit(self, violations: list[HostViolation]) -> list[Event]:
        """Write the pin file and the journal, and return the events that were recorded.

        Args:
            violations: the rotation invariants that the step violates; if there are any, the events
                record that the step was forced.
        """
        from certpin.rotation import Event

        reason, who = self.force.recorded_reason(violations, self.results), person_name(self.who)
        events = [
            Event(self.now, who, "activate", name, self.pin, reason=reason) for name in self.names
        ]
        self.files.commit(events)
        return events


def _require_usable(step: KeySwitch) -> None:
    """Refuse a step that the user forces if servers must not use the key in any case.

    If neither the pin file nor a version had the pin, the next version would lack it, too, and
    clients with that version would refuse the chain, even if they accept it now. ``step`` is the
    run of ``rotate switch``.

    Raises:
        ConfigError: at a host, the key or the new certificate is compromised, lost or removed; or
            the key is GENERATED: the pin file has no pin of it yet.
    """
    from certpin.errors import ConfigError
    from certpin.rotation.journal import pin_state
    from certpin.rotation.prospect import issued_pins
    from certpin.rotation.remedies import backup_fix, host_option
    from certpin.rotation.rules import was_removed

    for _, situation in step.situations:
        for pin in (step.pin, *issued_pins(step.chain.prospects)):
            state = "removed" if was_removed(situation, pin) else pin_state(situation, pin)
            if state in {"compromised", "lost", "removed"}:
                raise ConfigError(
                    f"{pin} is {state.upper()}: no server may use it, also not with --force",
                    key="state",
                    fix=f"start another: {backup_fix(situation, 'next.key')}",
                )
        if pin_state(situation, step.pin) == "generated":
            raise ConfigError(
                f"{step.pin} is GENERATED, and cannot become ACTIVE",
                key="state",
                fix=f"put it into the pin file first: certpin rotate start {step.pin}"
                + host_option(situation),
            )


def _next(step: KeySwitch, violations: list[HostViolation]) -> str:
    """Return the command to run when every server has the key.

    ``step`` is the run of ``rotate switch``, and ``violations`` are the rules that it violates: if
    there are any, the user forced it. The result is the first of these:

    - ``rotate status``, if the step was forced: ``finish`` could remove a key that clients need;
    - ``rotate emergency``, if clients accept a stolen key: it prints the remaining steps, and
      ``finish`` removes no stolen key;
    - ``rotate start``, if no backup is left without the replaced key, because ``finish`` keeps the
      last backup;
    - the command that records the next version, if no version has a host of the step: it comes
      before servers have the key, too;
    - ``rotate finish``.
    """
    from certpin.rotation.remedies import OTHER_AUTHORITY, file_of_hosts

    pins = step.files.pins
    if violations:
        return step.probes.next_command("certpin rotate status", step.path, pins, step.policies)
    for _, situation in step.situations:
        stolen = accepted_stolen_key(situation)
        if stolen is not None:
            command = f"certpin rotate emergency {stolen} --stolen"
            return step.probes.next_command(command, step.path, pins, step.policies)
    if found := _without_backup(step):
        new = f"--new {unused_name(file_of_hosts('next.key', pins, found))}"
        command = f"certpin rotate start {OTHER_AUTHORITY if found[0].match == 'ca' else new}"
        return step.probes.next_command(
            command, step.path, pins, found, connects=False, names_hosts=True
        )
    if step.unpinned:
        from certpin.cli.rotate.recording import way_out_command

        return way_out_command(step.files, step.probes)
    return step.probes.next_command("certpin rotate finish", step.path, pins, step.policies)


def _without_backup(step: KeySwitch) -> list[HostPolicy]:
    """Return the policies that have no backup left when servers use the key.

    The result goes into one command. So if these policies differ in ``match``, only those with the
    ``match`` of the first one are returned. ``step`` is the run of ``rotate switch``.
    """
    from certpin.rotation.rules import has_backup_without

    found = []
    for policy, situation in step.situations:
        role = situation.role_of(step.pin)
        used = {entry.pin for entry in policy.pins if entry.in_service and entry.role == role}
        if not has_backup_without(situation, {step.pin, *used, *situation.served}):
            found.append(policy)
    return [policy for policy in found if policy.match == found[0].match]


def _conclusions(step: KeySwitch, violations: list[HostViolation]) -> list[HostConclusion]:
    """Return for each host and version whether clients accept the chain, certificate or key.

    ``step`` is the run of ``rotate switch``. A version without a policy for the host has the
    conclusion ``unpinned``: the gate allows the step, because such clients compare no pins there,
    or refuse the host with every key. A version with expired pins that would accept the chain has
    the conclusion ``expired``: the gate allows the step, too, because no chain helps its clients.

    A host is left out if its clients refuse the certificate whatever is pinned, because of its
    names, dates or purposes. In ``violations``, such a host has the invariant ``certificate``.
    """
    from certpin.rotation.prospect import conclusions_by_version, prospects_of_key

    useless = {each.host for each in violations if each.violation.invariant == "certificate"}
    return [
        HostConclusion(
            str(policy.pattern),
            version.number,
            _without_pins(situation, version) if conclusion == "accepted" else conclusion,
        )
        for policy, situation in step.situations
        if str(policy.pattern) not in useless
        for version, conclusion in conclusions_by_version(
            situation, step.chain.prospects or prospects_of_key(situation, step.pin)
        )
    ]


def _without_pins(
    situation: Situation, version: Version
) -> Literal["accepted", "unpinned", "expired"]:
    """Return the conclusion for a version with pins that accept the chain, or with none.

    ``situation`` has the facts about the host. The conclusion is ``unpinned`` if the version has no
    policy for the host, and ``expired`` if its clients refuse every server, because the pins have
    expired (``on_expiry = "fail-closed"``).
    """
    policies = list(filter(None, situation.policies_of(version)))
    ends = filter(None, (policy.refuses_from for policy in policies))
    if any(end <= situation.now for end in ends):
        return "expired"
    return "accepted" if policies else "unpinned"


def _expired_pins(step: KeySwitch, conclusions: list[HostConclusion]) -> list[str]:
    """Return a sentence, with the fix, about clients that refuse every server: pins have expired.

    ``step`` is the run of ``rotate switch``. ``conclusions`` are the results for each host and
    version. The list is empty if no version has expired pins.
    """
    from certpin.rotation.rules import expiry, number_list
    from certpin.support.text import sentence

    expired = {(each.host, each.version) for each in conclusions if each.conclusion == "expired"}
    found = [
        expiry(situation, [version])
        for policy, situation in step.situations
        for version in situation.alive
        if (str(policy.pattern), version.number) in expired
    ]
    fixes = dict.fromkeys(sentence(each.fix) for each in found if each is not None)
    if not expired:
        return []
    numbers = number_list(number for _, number in expired)
    text = (
        f"Clients with {numbers} refuse every server, with each key, because the pins have expired."
    )
    return [" ".join((text, *(f"{fix}." for fix in fixes)))]


def _clock_notes(step: KeySwitch) -> list[str]:
    """Return sentences about clients with a wrong clock that refuse the chain by its dates.

    The delay ``skew`` says by how much clocks may differ. That is no violation: many authorities
    issue certificates that are valid from now on, and a hook that refused each renewal would let
    the present certificate expire. ``step`` is the run of ``rotate switch``, without violations.
    """
    from certpin.rotation import format_duration, in_utc
    from certpin.rotation.faults import chain_fault

    notes = []
    for policy, situation in step.situations:
        skew, now = situation.timing.skew, situation.now
        for prospect in step.chain.prospects:
            early = chain_fault(prospect, policy, now - skew)
            if early is not None and early.valid_from is not None:
                notes.append(
                    f"Clients with a clock that is up to {format_duration(skew)} behind refuse the "
                    f"chain until {in_utc(early.valid_from + skew)}: for them, {early.problem}. If "
                    "it can wait, install it then."
                )
            late = chain_fault(prospect, policy, now + skew)
            if late is not None and late.valid_from is None:
                notes.append(
                    f"Clients with a clock that is up to {format_duration(skew)} ahead refuse the "
                    f"chain: for them, {late.problem}. Get one that is valid for longer."
                )
    return list(dict.fromkeys(notes))


def _messages(
    step: KeySwitch,
    changes: list[tuple[str, Role]],
    violations: list[HostViolation],
    conclusions: list[HostConclusion],
) -> list[str]:
    """Return sentences for the user: the result, and open questions if only a key was given.

    Args:
        step: the run of ``rotate switch``.
        changes: the host patterns at which the pin becomes ACTIVE, each with the pin's role.
        violations: the rules that the step violates; if there are any, the user forced it.
        conclusions: whether the clients of each version accept the chain.
    """
    forced = f"Servers may use {step.pin} by force, although a rule against lock-outs refuses it."
    unchanged = _unchanged_lockout(step, conclusions)
    expired = _expired_pins(step, conclusions)
    lines = [forced if violations else unchanged or _result(step, changes, some=bool(expired))]
    lines += expired
    lines += [] if violations else _clock_notes(step)
    if not step.chain.prospects:
        scts = any(policy.ct_logs for policy in step.policies)
        lines.append(
            "Only the key is known. Open: which authorities certify it, and whether their "
            f"signatures{' and SCTs (require_ct)' if scts else ''} are valid. The file of the "
            "chain answers that."
        )
    return lines


def _unchanged_lockout(step: KeySwitch, conclusions: list[HostConclusion]) -> str:
    """Return a text about versions that refuse the chain although no rule forbids the step.

    Clients with these versions refuse the chain that servers present with this key, too, so that
    nothing changes for them. ``step`` is the run of ``rotate switch``. ``conclusions`` are the
    results for each host and version. The text is empty if there are no such versions.
    """
    from certpin.rotation.rules import number_list

    refusing = {each.version for each in conclusions if each.conclusion in {"refused", "open"}}
    if not refusing:
        return ""
    return (
        f"Clients with {number_list(refusing)} refuse the chain that servers present with "
        f"{step.pin}, and this one, too: nothing changes for them. No other client refuses it."
    )


def _result(step: KeySwitch, changes: list[tuple[str, Role]], *, some: bool) -> str:
    """Return the result of a step that no rule forbids, as sentences.

    Args:
        step: the run of ``rotate switch``.
        changes: the host patterns at which the pin becomes ACTIVE, each with the pin's role.
        some: True if some clients refuse every server, because their pins have expired.
    """
    pin = step.pin
    clients = "every client with pins that have not expired" if some else "every client"
    accepted = "no recorded pins refuse it" if step.unpinned else f"{clients} accepts it"
    if changes:
        is_authority = any(role not in {"leaf", "backup"} for _, role in changes)
        install = " Install the chain on every server." if is_authority else _INSTALL
        then = "" if step.unpinned else install
        return f"{pin} is ACTIVE: {accepted}.{then}"
    states = [{entry.pin: entry.state for entry in policy.pins} for policy in step.policies]
    if all(of_policy.get(pin) == "active" for of_policy in states):
        return f"{pin} is ACTIVE already: {accepted}. Nothing to do."
    from certpin.support.text import sentence

    refused = [situation for _, situation in step.situations if _lacks_pin(situation, step)]
    if any(situation.is_pinned(pin) for situation in refused):
        return (
            f"{sentence(clients)} accepts {pin}, but {step.path} has no pin of it: put that back "
            "(git checkout), because clients with the next version would refuse the key."
        )
    if refused:
        return (
            f"No recorded pins refuse {pin}, but {step.path} has no pin of it: start it first "
            "(certpin rotate start), because clients with the next version may refuse the key."
        )
    if step.unpinned:
        return (
            f"No recorded pins refuse {pin}, and clients with the next version accept the "
            "authorities above it, so it needs no pin."
        )
    return f"{sentence(clients)} accepts the authorities above {pin}, so it needs no pin."


def _lacks_pin(situation: Situation, step: KeySwitch) -> bool:
    """Return True if the pin file lacks a pin that clients need for the chain.

    The output of ``rotate switch`` then asks the user to add the pin. More exactly: the draft (the
    pin file) lacks the key's pin; clients with the draft may refuse the chain; and no version that
    clients hold pins an authority instead, because it pins the key, or has no pins for the host.
    ``step`` is the run of ``rotate switch``.
    """
    from certpin.rotation import Version
    from certpin.rotation.prospect import (
        conclusion_of_version,
        prospects_of_key,
        with_private_anchors,
    )

    if situation.entry(step.pin) is not None:
        return False
    if not (situation.is_pinned(step.pin) or situation.is_unpinned):
        return False
    prospects = step.chain.prospects or prospects_of_key(situation, step.pin)
    given = with_private_anchors(situation, prospects)
    return conclusion_of_version(situation, Version(situation.pins), given) != "accepted"


def _changes(step: KeySwitch) -> list[tuple[str, Role]]:
    """Return the host patterns at which the pin becomes ACTIVE, each with the pin's role.

    This includes a pin that is ACTIVE in the pin file, if the journal lacks its step after a crash.
    For a leaf's pin, policies that compare only authorities are left out: it has no effect there.
    ``step`` is the run of ``rotate switch``.
    """
    from certpin.rotation.prospect import role_in

    found = []
    is_leaf = any(prospect.leaf for prospect in step.chain.prospects)
    for policy, situation in step.situations:
        if is_leaf and policy.match == "ca":
            continue
        entry = situation.entry(step.pin)
        role = role_in(situation, step.pin, step.chain.prospects)
        is_missing = step.pin in step.files.history.missing_steps(policy)
        if entry and ((entry.state, entry.role) != ("active", role) or is_missing):
            found.append((str(policy.pattern), role))
    return found
