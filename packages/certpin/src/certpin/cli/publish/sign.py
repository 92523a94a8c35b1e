"""``certpin publish sign``: sign metadata, and move metadata with enough signatures to ``site``.

When the folder ``publish/site`` has been uploaded, clients can fetch its files.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_files
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import (
    KEYS_PLACEHOLDER,
    KEYS_VARIABLE,
    file_option,
    json_option,
    pin_file_option,
    sign_command,
)
from certpin.cli.publish.context import (
    PublishContext,
    locked_context,
    open_context,
    open_signers,
    short,
    wait_json,
    wait_text,
)
from certpin.cli.reply import fold, print_json, say, with_file
from certpin.cli.rotate.recording import (
    RecordOptions,
    changed_under_its_number,
    check_version,
    needs_number,
    needs_record,
    record_options,
    require_marked,
    require_recordable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from certpin.cli.rotate.recording import CheckedVersion
    from certpin.pins import HostPattern, HostPolicy
    from certpin.pins.policy import TrustAnchors
    from certpin.publish.keys import KeySigner
    from certpin.publish.pending import PendingSignature
    from certpin.publish.sign import SigningResult
    from certpin.publish.signing_plan import SigningPlan, SigningPolicy


class _Places(click.types.StringParamType):
    """Click parameter type: files or URIs of keys, in the arguments or an environment variable.

    In the variable, they are separated and quoted as in a shell.
    """

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split the environment variable's value as a shell does: a path may contain spaces."""
        try:
            return shlex.split(rv)
        except ValueError as exc:
            raise click.UsageError(f"{KEYS_VARIABLE} is not a list of keys: {exc}") from exc


@click.command()
@click.argument(
    "places",
    metavar="KEY | URI…",
    nargs=-1,
    envvar=KEYS_VARIABLE,
    type=_Places(),
    shell_complete=complete_files,
)
@pin_file_option
@click.option(
    "--renew",
    "renewed",
    type=click.Choice(["root", "targets", "snapshot", "timestamp"]),
    multiple=True,
    help="Sign this role again, although it does not expire soon. May be repeated. For timestamp: "
    "also if the current one expires later.",
)
@click.option("--yes", is_flag=True, help="Do not ask on the terminal before root or targets.")
@record_options
@json_option
@click.pass_context
def sign(
    ctx: click.Context,
    places: tuple[str, ...],
    path: Path,
    renewed: tuple[str, ...],
    yes: bool,
    record: RecordOptions,
    as_json: bool,
) -> None:
    """Sign, with the given keys, all metadata that need their signatures now.

    Run it after certpin rotate start or finish, and each day with only the online key.

    KEY is the file of a private key; a key on a PKCS#11 token or in a key service (URI) signs
    there. Without KEY, the keys in CERTPIN_SIGNING_KEYS sign, separated by spaces. Give any of the
    keys, in any order, on as many machines as you like. Files with enough signatures go to
    publish/site, together with a new timestamp, if you give the online key. Pending signatures are
    printed.

    The first signer of a new version of the pin file checks it: it is refused if it would lock
    clients out of one of its hosts. The chain that each server presents has to match it, there has
    to be a backup outside these chains, and the pins must not expire before every client can have
    the next version. Then the journal records it, and the other signers sign the recorded version.

    \b
    A new version of the pin file     its number is higher than the recorded ones
    A new root                        certpin publish add-key
    Metadata with less than a third of their lifetime left
    The timestamp                     always: run it each day, with only the online key

    Before root or targets are signed, the changes are printed. An existing draft is signed only if
    it matches this pin file and this journal.

    \b
    certpin publish sign targets.key online.key
    certpin publish sign online.key                  each day, from cron

    Exit code 0: done. 1: the check refused the new version, and nothing was signed; or the pin file
    differs from the recorded version, its number is not higher, and only other metadata were
    signed. 2: wrong usage, or an invalid file. 3: a server did not answer, and nothing was signed.
    """  # noqa: D301  # click reads the \b itself
    if not places or KEYS_PLACEHOLDER in places:  # as the printed commands have it
        raise click.UsageError(
            f"give the keys that sign: certpin publish sign KEY…, or their files in {KEYS_VARIABLE}"
        )
    renew = frozenset(renewed)
    with locked_context(path) as context, open_signers(places) as keys:
        named = {keyid: signer.place for keyid, signer in keys.items()}
        checked, plan = planned(context, frozenset(keys), record, renew, named)
        if plan is None:
            _show_refusal(context, checked, as_json=as_json)
            ctx.exit(PROBLEM_FOUND)
        for key in plan.replaced:
            where = f"the key {named[key]} ({short(key)}) signs nothing any more"
            say("certpin: warning", f"{where}: the newest root has replaced it")
        confirm(plan, frozenset(keys), yes=yes)
        done = carry_out(context, checked, plan, keys, renew)
        unsigned = leaves_unsigned(context, frozenset(keys))
    _show(open_context(path), done, checked, unsigned=unsigned, as_json=as_json)
    ctx.exit(PROBLEM_FOUND if unsigned else SUCCESS)


def planned(
    context: PublishContext,
    keys: frozenset[str],
    record: RecordOptions,
    renew: frozenset[str] = frozenset(),
    places: Mapping[str, str] | None = None,
) -> tuple[CheckedVersion | None, SigningPlan | None]:
    """Check the pin file's version, and plan which metadata these keys sign.

    Args:
        context: the pin file and the folder ``publish``, locked.
        keys: the IDs of the keys.
        record: the options for the check of a new version and for its entry in the journal.
        renew: the TUF roles to sign again although their metadata has not expired.
        places: the files or URIs of keys by key ID, as the user named them, for errors.

    Returns:
        A tuple: the version with the result of its check, or ``None`` if the version needs no check
        now, for example because the journal already has it; and the plan, or ``None`` if the check
        refused the version by the rules against lockouts.

    Raises:
        ConfigError: a key is unknown, or metadata that these keys would sign must not be signed.
        ProbeError: a server did not answer.
    """
    from certpin.publish.signing_plan import prepare

    checked = _checked_version(context, keys, record)
    if checked and record.force.refuses(checked.violations):
        return checked, None
    policy = _with_checked(context, checked) if checked else context.policy
    return checked, prepare(policy, keys, renew, places)


def leaves_unsigned(context: PublishContext, keys: frozenset[str]) -> bool:
    """Return True if the pin file can't be signed before the user raises its version number.

    That is so if the file was changed, and its number is not higher than that of the latest
    recorded version. ``publish sign`` and ``publish propose`` then end with exit code 1. If none of
    the keys signs pin sets, such as only the online key, return False.

    Args:
        context: the pin file and the folder ``publish``.
        keys: the IDs of the keys that sign now.
    """
    from certpin.publish.signing_plan import may_sign_targets

    return may_sign_targets(context.policy, keys) and needs_number(context.files)


def carry_out(
    context: PublishContext,
    checked: CheckedVersion | None,
    plan: SigningPlan,
    keys: Mapping[str, KeySigner],
    renew: frozenset[str] = frozenset(),
) -> SigningResult:
    """Record a new version in the journal, sign the metadata, and write the folder ``publish``.

    Args:
        context: the pin file and the folder ``publish``, locked.
        checked: the version to record, which was checked; None to record no version.
        plan: the metadata to sign.
        keys: the signers, by key ID.
        renew: the TUF roles to sign again although their metadata has not expired.

    Raises:
        ConfigError: clients would refuse the signed files; nothing was written or recorded.
        JournalError: the journal can't be written; nothing else was written.
    """
    from certpin.publish import folder
    from certpin.publish.sign import sign as signed_with

    done = signed_with(plan, keys, renew)  # first: the journal's entries can't be removed
    if checked:  # before anything is written, so that no signed version lacks its record
        context.files.commit([checked.event])
    folder.write(context.folder, done)
    return done


def _checked_version(
    context: PublishContext, keys: frozenset[str], record: RecordOptions
) -> CheckedVersion | None:
    """Check the version of the pin file before it is signed, and return the result.

    ``context`` has the pin file and the folder ``publish``, and ``keys`` the IDs of the keys that
    sign. Return None if these keys don't sign pin sets, or if the journal needs no record of the
    version (``needs_record``). Print a warning if the pin file differs from the latest recorded
    version, and has no higher number.

    Raises:
        ConfigError: the pin file lacks the mark of a stolen or lost key; or the journal lacks a
            lower version that is signed.
    """
    from certpin.publish.signing_plan import may_sign_targets

    if not may_sign_targets(context.policy, keys):
        return None
    require_marked(context.files)
    needed = needs_record(context.files)
    if needed:
        require_recordable(context.files, context.files.pins.version)
    if changed := changed_under_its_number(context.files):
        say("certpin: warning", changed)
    return check_version(context.files, record) if needed else None


def _with_checked(context: PublishContext, checked: CheckedVersion) -> SigningPolicy:
    """Return a copy of the signing policy that has a new pin set as the content to sign.

    Args:
        context: the pin file and the folder ``publish``.
        checked: the version of the pin set, which was checked and may be signed.
    """
    from certpin.publish import content
    from certpin.publish.signing_plan import with_version

    flutter, text = context.policy.settings.flutter, context.files.editor.text
    offer = content.read(context.path, flutter=flutter, text=text)
    return with_version(context.policy, checked.pins, offer)


def _show_refusal(
    context: PublishContext, checked: CheckedVersion | None, *, as_json: bool
) -> None:
    from certpin.publish.sign import SigningResult

    if as_json:
        pending = context.pending
        print_json(_json(context, SigningResult(), pending, [], None, checked, recorded=False))
        return
    click.echo("Nothing was signed.")
    for unknown in checked.unknown if checked else ():
        click.echo(fold(f"Not known: {unknown}.", sys.stdout))


def confirm(plan: SigningPlan, keys: frozenset[str], *, yes: bool) -> None:
    """Print on standard error the changes that these keys would sign; on a terminal, ask to go on.

    Args:
        plan: the metadata to sign.
        keys: the IDs of the keys.
        yes: True not to ask.

    Raises:
        click.Abort: the user declines.
    """
    drafts = [
        draft
        for draft in (plan.root, plan.targets)
        if draft and keys & plan.may_sign(draft.signed.type)
    ]
    for draft in drafts:
        role = draft.signed.type
        until = f"valid until {draft.signed.expires:%Y-%m-%d}"
        click.echo(fold(f"To sign: {role} {draft.signed.version}, {until}", sys.stderr), err=True)
        for line in _change_lines(plan, role):
            click.echo(fold(f"  {line}", sys.stderr), err=True)
    if drafts and not yes and sys.stdin.isatty():
        click.confirm("Sign this?", err=True, abort=True)


def _change_lines(plan: SigningPlan, role: str) -> Iterator[str]:
    """Yield the changes that a signature of a TUF role approves, for the signer to read.

    ``plan`` has the metadata to sign. For ``root`` they are the changed keys; otherwise the changes
    of the pin set.
    """
    from certpin.pins.changes import changes
    from certpin.publish.content import Content
    from certpin.publish.roots import changes as changed_keys

    state, content = plan.policy.state, plan.content
    if role == "root" and plan.root is not None:
        yield from [*changed_keys(state.root, plan.root.signed)] or ["the same keys, a later date"]
    elif content is not None and state.current is None:
        yield f"{content.pins.name} version {content.pins.version}, the first signed version"
        yield from _hosts(content.pins.policies, {})
        yield from (f"Flutter apps: {omission}" for omission in content.omissions)
    elif content is not None and state.current is not None:
        before, after = state.current.pins, content.pins
        yield f"{after.name} version {after.version}; version {before.version} is signed"
        found = changes(before, after, plan.policy.now)
        yield from (f"{change.weight:<8} {change.host}: {change.text}" for change in found)
        yield from _hosts(after.policies, {policy.pattern: policy for policy in before.policies})
        known = {*Content.of(state.current).omissions}
        new = [omission for omission in content.omissions if omission not in known]
        yield from (f"Flutter apps: {omission}" for omission in new)


def _hosts(
    policies: Iterable[HostPolicy], known: Mapping[HostPattern, HostPolicy]
) -> Iterator[str]:
    """Yield lines about the policies of hosts, which a person reads before signing them.

    For a host that was not signed before, the lines have its pins, mode, expiry and trust anchors.
    For any other host, they have its trust anchors if these changed, and nothing else.

    Args:
        policies: the policies to be signed.
        known: the policies that were signed before, by host pattern.
    """
    for policy in policies:
        before = known.get(policy.pattern)
        if before is None:
            yield f"{policy.pattern}: {', '.join(str(pin) for pin in policy.live_pins)}"
            yield from (f"{policy.pattern}: {term}" for term in _terms(policy))
        if policy.trust and (before is None or before.trust != policy.trust):
            yield from (f"{policy.pattern}: {anchor}" for anchor in _anchors(policy.trust))


def _terms(policy: HostPolicy) -> Iterator[str]:
    weak = " (no connection is refused)" if policy.mode == "report" else ""
    yield f"mode {policy.mode}{weak}, match {policy.match}"
    if policy.expires is None:
        yield "its pins never expire"
    else:
        yield f"its pins expire on {policy.expires:%Y-%m-%d %H:%M} UTC, then {policy.on_expiry}"
    yield from (f"failures are reported to {address}" for address in policy.report_to)
    if policy.ct_logs:
        yield f"its certificate must be in {len(policy.ct_logs.logs)} known logs (require_ct)"


def _anchors(trust: TrustAnchors) -> Iterator[str]:
    """Yield a line with the subject and the fingerprint for each trust anchor of a host.

    The signer has to see the certificates, because a file name doesn't show the file's content.
    """
    from certpin.support.text import printable
    from certpin.x509 import Certificate

    for der in trust.der:
        anchor = Certificate.from_der(der)
        fingerprint = anchor.sha256.hex(":").upper()
        yield f"trust {printable(trust.source)}: {anchor.subject}, SHA-256 {fingerprint}"


def _warnings(context: PublishContext) -> Iterator[str]:
    """Yield warnings about the signed metadata: about its keys, and about hosts.

    ``context`` has the pin file and the folder ``publish``. The current root may have moved keys
    that an earlier release of certpin, or another TUF tool, accepted. A host gets a warning if its
    pins expire before the signed metadata. Clients that still use these metadata after the pins
    have expired refuse the host, or don't check its pins any more; ``on_expiry`` in the pin file
    decides which of the two.
    """
    from certpin.publish.roots import moved_keys

    state = context.policy.state
    for key in sorted(moved_keys(state.root, state.roots)) if state.root else ():
        yield f"root {state.roots[-1].version}: {key.problem}; {with_file(key.fix)}"
    if state.current is None or state.targets is None:
        return
    for policy in state.current.pins.policies:
        if policy.expires and policy.expires < state.targets.expires:
            yield (
                f"the pins of {policy.pattern} expire on {policy.expires:%Y-%m-%d}, before their "
                f"signatures ({state.targets.expires:%Y-%m-%d}): publish and push a later date "
                "before that"
            )


def _show(
    context: PublishContext,
    done: SigningResult,
    checked: CheckedVersion | None,
    *,
    unsigned: bool,
    as_json: bool,
) -> None:
    pending, warned = context.pending, list(_warnings(context))
    next_command = None if unsigned else _next_command(context, pending, done)
    if as_json:
        warned += [changed_under_its_number(context.files)] if unsigned else []
        recorded = checked is not None
        print_json(_json(context, done, pending, warned, next_command, checked, recorded=recorded))
        return
    for line in _checked_lines(context, checked) if checked else ():
        click.echo(fold(line, sys.stdout))
    for line in _signature_lines(context, done, unsigned=unsigned):
        click.echo(fold(line, sys.stdout))
    for line in warned:
        say("certpin: warning", line)
    for line in _state_lines(context, pending, written=bool(done.site)):
        click.echo(fold(line, sys.stdout))
    if next_command:
        click.echo(f"Next:  {next_command}")
    elif any(wait.role != "timestamp" and not wait.problem for wait in pending):
        click.echo(f"The other signers:  {sign_command(context.path)}")


def _next_command(
    context: PublishContext, pending: tuple[PendingSignature, ...], done: SigningResult
) -> str | None:
    """Return the command that the user should run after ``publish sign``: push, or sign again.

    Return None if another signer has to act next, or if nothing is left to do.

    Args:
        context: the pin file and the folder ``publish``.
        pending: the metadata files that still need signatures.
        done: the metadata that were signed and written.
    """
    from certpin.updates.settings import TIMESTAMP

    if TIMESTAMP in dict(done.site):  # the first root is written without one
        return f"certpin publish push{file_option(context.path)}"
    if pending and all(wait.role == "timestamp" for wait in pending):
        # Another key than those that signed now, which CERTPIN_SIGNING_KEYS may name.
        return f"certpin publish sign KEY{file_option(context.path)}"
    return None


def _state_lines(
    context: PublishContext, pending: tuple[PendingSignature, ...], *, written: bool
) -> Iterator[str]:
    current = context.policy.state.current
    if written and current:
        until = f"{current.verified.until:%Y-%m-%d %H:%M} UTC"
        version = f"{current.pins.name} version {current.pins.version}"
        yield f"{version} is in {context.folder / 'site'}, valid until {until}."
    yield from map(wait_text, pending)


def _signature_lines(
    context: PublishContext, done: SigningResult, *, unsigned: bool
) -> Iterator[str]:
    for signed in done.new_signatures:
        keys = ", ".join(short(key) for key in signed.keys)
        yield f"{signed.role} {signed.version}: signed by {keys}"
    if unsigned:
        yield "The pin file was NOT signed."
    elif not done.new_signatures:
        yield "Nothing needs a signature of these keys now."
        if needs_record(context.files):
            yield (
                f"Version {context.files.pins.version} of the pin file is not signed yet: a key of "
                f"targets has to sign it first: {sign_command(context.path)}"
            )


def _checked_lines(context: PublishContext, checked: CheckedVersion) -> Iterator[str]:
    yield from (f"Not known: {unknown}." for unknown in checked.unknown)
    yield f"Version {checked.pins.version} was checked, and {context.files.journal} records it."


def _json(
    context: PublishContext,
    done: SigningResult,
    pending: tuple[PendingSignature, ...],
    warned: list[str],
    next_command: str | None,
    checked: CheckedVersion | None,
    *,
    recorded: bool,
) -> dict[str, Any]:
    current = context.policy.state.current
    return {
        "file": str(context.path),
        "pin_set": context.files.pins.name,
        "version": current.pins.version if current else None,
        "until": current.verified.until.isoformat() if current else None,
        "signed": [
            {"role": signed.role, "version": signed.version, "keys": list(signed.keys)}
            for signed in done.new_signatures
        ],
        "written": [path for path, _ in done.site],
        "waits": [wait_json(wait) for wait in pending],
        "warnings": warned,
        "recorded": checked.pins.version if checked and recorded else None,
        "breaches": [found.json() for found in checked.violations] if checked else [],
        "unknown": checked.unknown if checked else [],
        "next": next_command,
    }
