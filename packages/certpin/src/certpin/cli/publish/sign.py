"""``certpin publish sign``: sign metadata, and move files with enough signatures to the site."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import fold, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from certpin.cli.publish.context import PublishContext
    from certpin.pins import HostPattern, HostPolicy
    from certpin.pins.policy import TrustAnchors
    from certpin.publish.sign import SigningResult
    from certpin.publish.signing_plan import SigningPlan


@click.command()
@click.argument("places", metavar="KEY | URI…", nargs=-1, required=True)
@pin_file_option
@click.option(
    "--renew",
    "renewed",
    type=click.Choice(["root", "targets", "snapshot"]),
    multiple=True,
    help="Sign this role again, although it does not expire soon. May be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask on the terminal before root or targets.")
@json_option
def sign(
    places: tuple[str, ...],
    path: Path,
    renewed: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Sign, with the given keys, all metadata that need their signatures now.

    KEY is the file of a private key; a key on a PKCS#11 token (URI) signs there. Give any of the
    keys, in any order, on as many machines as you like. Files with enough signatures go to
    publish/site, together with a new timestamp, if you give the online key. Pending signatures are
    printed.

    \b
    A new version of the pin file     as it was published: certpin rotate publish
    A new root                        certpin publish add-key
    Metadata with less than a third of their lifetime left
    The timestamp                     always: run it each day, with only the online key

    Before root or targets are signed, the changes are printed. An existing draft is signed only if
    it matches this pin file and this journal.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.publish.context import locked_context, open_context, tuf_needed
    from certpin.cli.publish.signing_keys import open_signers

    with tuf_needed():
        from certpin.publish import folder
        from certpin.publish.sign import sign as signed_with
        from certpin.publish.signing_plan import prepare

    renew = frozenset(renewed)
    with locked_context(path) as context, open_signers(places) as keys:
        plan = prepare(context.policy, frozenset(keys), renew)
        _confirm(plan, frozenset(keys), yes=yes)
        done = signed_with(plan, keys, renew)
        folder.write(context.folder, done)
    _show(open_context(path), plan, done, as_json=as_json)


def _confirm(plan: SigningPlan, keys: frozenset[str], *, yes: bool) -> None:
    """Print the changes that the keys would sign, on standard error; on a terminal, ask."""
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
    """Yield the changes that a signature approves: of a root's keys, or of the pins for clients."""
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
    """Yield a line for each term of a new policy, and for each changed trust anchor.

    The signer reads them before signing. For a host without a policy in ``known``: its pins, mode
    and expiry. For each host with new trust anchors: every anchor. ``changes`` yields the other
    changes of hosts in ``known``.
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


def _anchors(trust: TrustAnchors) -> Iterator[str]:
    """Yield a line with subject and fingerprint for each trust anchor that a host requires.

    The signer has to see the certificates, because a file name doesn't show the file's content.
    """
    from certpin.x509 import Certificate, printable

    for der in trust.der:
        anchor = Certificate.from_der(der)
        fingerprint = anchor.sha256.hex(":").upper()
        yield f"trust {printable(trust.source)}: {anchor.subject}, SHA-256 {fingerprint}"


def _warnings(context: PublishContext) -> Iterator[str]:
    """Yield a warning for each host if its pins expire before the metadata that contain them.

    Clients with these metadata would then refuse the host.
    """
    state = context.policy.state
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
    context: PublishContext, plan: SigningPlan, done: SigningResult, *, as_json: bool
) -> None:
    from certpin.cli.publish.context import short, wait_text

    current, pending = context.policy.state.current, context.pending
    warned = list(_warnings(context))
    next_command = "certpin publish push" if done.site else None
    if as_json:
        print_json(_json(context, done, warned, next_command))
        return
    for signed in done.new_signatures:
        keys = ", ".join(short(key) for key in signed.keys)
        click.echo(
            fold(
                f"{signed.role} {signed.version}: signed by {keys}",
                sys.stdout,
            )
        )
    if not done.new_signatures:
        click.echo("Nothing needs a signature of these keys now.")
    for line in warned:
        say("certpin: warning", line)
    if done.site and current:
        until = f"{current.verified.until:%Y-%m-%d %H:%M} UTC"
        version = f"{current.pins.name} version {current.pins.version}"
        click.echo(
            fold(f"{version} is in {context.folder / 'site'}, valid until {until}.", sys.stdout)
        )
    for wait in pending:
        click.echo(fold(wait_text(wait), sys.stdout))
    if next_command:
        click.echo(f"Next:  {next_command}")


def _json(
    context: PublishContext, done: SigningResult, warned: list[str], next_command: str | None
) -> dict[str, Any]:
    from certpin.cli.publish.context import wait_json

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
        "waits": [wait_json(wait) for wait in context.pending],
        "warnings": warned,
        "next": next_command,
    }
