"""``certpin publish propose``: begin a signing event, a git branch on which each signer signs."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_files
from certpin.cli.main import PROBLEM_FOUND
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.publish.context import (
    locked_context,
    open_context,
    open_signers,
    short,
    wait_json,
    wait_text,
)
from certpin.cli.publish.sign import carry_out, confirm, leaves_unsigned, planned
from certpin.cli.reply import fold, print_json
from certpin.cli.rotate.recording import RecordOptions, record_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from certpin.cli.publish.context import PublishContext
    from certpin.cli.rotate.steps import HostViolation
    from certpin.publish.keys import KeySigner
    from certpin.publish.pending import PendingSignature
    from certpin.publish.signing_plan import SigningPlan


@click.command()
@click.argument("places", metavar="[KEY | URI]…", nargs=-1, shell_complete=complete_files)
@pin_file_option
@click.option(
    "--branch", metavar="NAME", help="The branch to make; by default sign/NAME-VERSION-NUMBER."
)
@click.option(
    "--remote",
    default="origin",
    show_default=True,
    help="The repository to push the branch to.",
)
@click.option("--no-push", is_flag=True, help="Make the branch here only.")
@click.option("--yes", is_flag=True, help="Do not ask on the terminal before root or targets.")
@record_options
@json_option
@click.pass_context
def propose(
    ctx: click.Context,
    places: tuple[str, ...],
    path: Path,
    branch: str | None,
    remote: str,
    no_push: bool,
    yes: bool,
    record: RecordOptions,
    as_json: bool,
) -> None:
    """Begin a signing event: a branch that each signer signs from a clone.

    Run it in a clone, on the main branch, after certpin rotate start or finish. It checks a new
    version as certpin publish sign does, and records it; drafts the metadata that have to be
    signed; signs them with your own KEY if you give one; and pushes them on a new branch, with the
    pin file and its journal. Open a pull request for it.

    \b
    Each other signer:   git fetch && git switch sign/bank-4-2
                         certpin publish sign targets.key
                         git add publish && git commit -m "Sign" && git push
    CI:                  certpin publish review origin/main

    If nothing has to be signed, no branch is made. So CI can run it each day, without a key: root
    and targets are proposed again when a third of their lifetime is left.

    \b
    certpin publish propose targets.key
    certpin publish propose --branch sign/renewal

    Exit code 0: done, or nothing has to be signed. 1: nothing was proposed, because the check
    refused the new version, or because the pin file differs from the recorded version and its
    number is not higher. 2: wrong usage, or an invalid file. 3: a server did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.publish.repository import Repository

    with locked_context(path) as context, open_signers(places) as keys:
        repository = Repository(path)
        to_sign = context.plan.may_sign("root") | context.plan.may_sign("targets")
        _require_drafting(context, keys, to_sign)
        checked, plan = planned(context, to_sign, record)
        if plan is None or leaves_unsigned(context, to_sign):
            found = checked.violations if checked else []
            Proposal(path, violations=tuple(found), is_refused=True).show(as_json=as_json)
            ctx.exit(PROBLEM_FOUND)
        if plan.root is None and plan.targets is None:
            Proposal(path).show(as_json=as_json)
            return
        name = branch or _branch(plan)
        if not branch and not no_push and repository.run("ls-remote", remote, f"refs/heads/{name}"):
            Proposal(path, name, remote, is_open=True).show(as_json=as_json)
            return
        repository.require_new(name)
        confirm(plan, frozenset(keys), yes=yes)
        carry_out(context, checked, plan, keys)
    from certpin.publish.content import named_files

    named = [path.parent / file for file in sorted(named_files(context.files.pins))]
    files = [path, context.files.journal, context.folder / "drafts", *named]
    repository.commit_on_branch(name, files, f"Propose {_what(plan)}")
    if not no_push:
        repository.run("push", "--quiet", "--set-upstream", remote, name)
    waits = tuple(wait for wait in open_context(path).pending if wait.role != "timestamp")
    Proposal(path, name, None if no_push else remote, waits).show(as_json=as_json)


def _require_drafting(
    context: PublishContext, keys: Mapping[str, KeySigner], to_sign: frozenset[str]
) -> None:
    """Require that signing writes drafts only, and no file that clients fetch.

    The files for clients are written on the main branch, after the review of a signing event.

    Args:
        context: the pin file and the folder ``publish``.
        keys: the signers, by key ID.
        to_sign: the IDs of the keys that sign root or targets.

    Raises:
        ConfigError: no root is signed yet, or a key signs neither root nor targets, such as the
            online key.
    """
    from certpin.errors import ConfigError

    if context.policy.state.root is None:
        raise ConfigError(
            "the first root is not signed yet, and clients begin with it",
            key=str(context.folder),
            fix="sign it with keys of the root, and commit the folder: certpin publish sign KEY…",
        )
    for keyid, signer in keys.items():
        if keyid not in to_sign:
            raise ConfigError(
                f"the key {signer.place} ({short(keyid)}) signs neither root nor targets",
                key="KEY",
                fix="leave it out: the online key signs after the branch was merged",
            )


@dataclass(frozen=True)
class Proposal:
    """The result of ``certpin publish propose``: a new signing event, or why there is none.

    Attributes:
        branch: the branch of the signing event; empty if nothing has to be signed, or if the
            version was refused.
        remote: the git remote that has the branch; None if the branch was not pushed.
        waits: the metadata files that need signatures, with the keys that must sign each.
        is_open: True if the remote already had a branch for this signing event, so that nothing was
            changed here.
        violations: the reasons for which certpin refused to propose the version, by the rules
            against lockouts; empty if it was not refused, or for another reason.
        is_refused: True if certpin refused to propose the pin file.
    """

    path: Path
    branch: str = ""
    remote: str | None = None
    waits: tuple[PendingSignature, ...] = ()
    violations: tuple[HostViolation, ...] = ()
    is_open: bool = False
    is_refused: bool = False

    def show(self, *, as_json: bool) -> None:
        """Print the result of the proposal as text or JSON."""
        if as_json:
            print_json(self._json())
        elif self.is_refused:
            click.echo("Nothing was proposed.")
        elif not self.branch:
            click.echo("Nothing has to be signed.")
        elif self.is_open:
            click.echo(f"The signing event is open already, on the branch {self.branch}.")
        else:
            where = f", pushed to {self.remote}" if self.remote else ""
            click.echo(
                fold(f"The signing event is on the branch {self.branch}{where}.", sys.stdout)
            )
            for wait in self.waits:
                click.echo(fold(f"  {wait_text(wait)}", sys.stdout))

    def _json(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "branch": self.branch or None,
            "remote": self.remote,
            "waits": [wait_json(wait) for wait in self.waits],
            "breaches": [found.json() for found in self.violations],
        }


def _branch(plan: SigningPlan) -> str:
    """Return a name for the branch of a signing event, such as ``sign/bank-4-2``.

    It contains the version of the pin set or of the root that is to be signed.
    """
    if plan.targets is not None and plan.content is not None:
        name = re.sub(r"[^A-Za-z0-9]+", "-", plan.content.pins.name).strip("-")
        return f"sign/{name or 'pins'}-{plan.content.pins.version}-{plan.targets.signed.version}"
    assert plan.root is not None  # noqa: S101  # the caller has one or the other
    return f"sign/root-{plan.root.signed.version}"


def _what(plan: SigningPlan) -> str:
    parts = [draft.signed for draft in (plan.root, plan.targets) if draft is not None]
    return " and ".join(f"{part.type} {part.version}" for part in parts)
