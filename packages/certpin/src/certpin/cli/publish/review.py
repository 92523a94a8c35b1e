"""``certpin publish review``: check that a branch is a signing event, before CI merges it.

A signing event is a branch that proposes a version of the pin set, or signs metadata, and changes
nothing else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.publish.context import (
    open_context,
    short,
    tuf_needed,
    wait_json,
    wait_text,
)
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from certpin.cli.publish.context import PublishContext
    from certpin.errors import ConfigError
    from certpin.publish.event import SigningEvent
    from certpin.publish.pending import PendingSignature

_OFFLINE = {"root", "targets"}  # the roles that people sign


@click.command()
@click.argument("base")
@click.argument("branch", default="HEAD")
@pin_file_option
@click.option("--complete", is_flag=True, help="Exit with 1 while a signature is missing.")
@json_option
@click.pass_context
def review(
    ctx: click.Context, base: str, branch: str, path: Path, complete: bool, as_json: bool
) -> None:
    """Check that a branch is a signing event, and changes nothing else.

    Run it in CI, for each branch that certpin publish propose began, and with --complete before
    the branch is merged. BASE is the branch that it goes into.

    The branch must have one proposal, made by certpin publish propose: the pin file, its trust
    files, new lines of the journal, and drafts. After it, each commit must only add signatures of
    one key. Anything else is refused: a changed file elsewhere, in publish/site or in
    publish.toml, a changed line of the journal, a proposal that changes after the first
    signature, pins that no draft has, a merge, a link. Every signature must be valid, and the
    drafts must match the pin file. A signature of a key that a root has replaced since does not
    count.

    \b
    certpin publish review origin/main
    certpin publish review origin/main origin/sign/bank-4-2 --complete

    Exit code 0: a signing event. 1: it is not one, or signatures are missing (--complete).
    """  # noqa: D301  # click reads the \b itself
    outcome = _review(path, base, branch)
    if as_json:
        print_json(outcome.json())
    else:
        outcome.show()
    ready = outcome.refused is None and not (complete and outcome.missing)
    ctx.exit(SUCCESS if ready else PROBLEM_FOUND)


@dataclass(frozen=True)
class ReviewOutcome:
    """The result of ``certpin publish review``: the accepted signing event, or why it was refused.

    A signing event is a branch that proposes a version of the pin set, or signs metadata.

    Attributes:
        commit: the hash of the newest commit of the branch.
        event: the signing event; None if the branch was refused.
        missing: the root and targets metadata that need more signatures.
        refused: the error for which the branch was refused; None if it was accepted.
    """

    commit: str
    event: SigningEvent | None = None
    missing: tuple[PendingSignature, ...] = ()
    refused: ConfigError | None = None

    def show(self) -> None:
        """Print the result of the review as text."""
        if self.refused is not None or self.event is None:
            assert self.refused is not None  # noqa: S101  # one of the two is set
            click.echo(fold(f"Refused: {self.refused.problem}.", sys.stdout))
            if self.refused.fix:
                click.echo(fold(f"  fix: {self.refused.fix}", sys.stdout))
            return
        click.echo(fold(f"{self.commit[:12]} is a signing event.", sys.stdout))
        for name in self.event.files:
            click.echo(f"  proposed   {name}")
        for role, key in self.event.signatures:
            click.echo(f"  signed     {role}, by {short(key)}")
        for role, key in self.event.replaced:
            why = "which the newest root has replaced: it does not count"
            click.echo(fold(f"  signed     {role}, by {short(key)}, {why}", sys.stdout))
        for wait in self.missing:
            click.echo(fold(f"  {wait_text(wait)}", sys.stdout))
        if not self.missing:
            click.echo("Every signature of root and targets is there: it can be merged.")

    def json(self) -> dict[str, Any]:
        """Return the result of the review as JSON."""
        event = self.event
        return {
            "commit": self.commit,
            "accepted": self.refused is None,
            "complete": self.refused is None and not self.missing,
            "files": list(event.files) if event else [],
            "signed": [{"role": role, "key": key} for role, key in event.signatures]
            if event
            else [],
            "waits": [wait_json(wait) for wait in self.missing],
            "problem": self.refused.problem if self.refused else None,
            "fix": (self.refused.fix or None) if self.refused else None,
        }


def _review(path: Path, base: str, branch: str) -> ReviewOutcome:
    """Examine the commits of a branch, and the files that result if it is merged into its base.

    Args:
        path: the pin file.
        base: the branch into which ``branch`` would be merged.
        branch: the branch to examine.

    Returns:
        The accepted signing event; or the reason why the branch was refused, which is not raised.

    Raises:
        ConfigError: there is no repository, one of the two branches does not exist, or the base
            can't be checked out.
        PinFileError: the pin file on the base is invalid.
    """
    from certpin.cli.publish.repository import Repository
    from certpin.errors import ConfigError
    from certpin.pinfile import PinSet
    from certpin.rotation import journal_path

    with tuf_needed():
        from certpin.publish.content import named_files
        from certpin.publish.event import require_covered, require_event, require_valid

    repository, journal = Repository(path), journal_path(path).name
    start, end = repository.commit_of(base), repository.commit_of(branch)
    with repository.checked_out(start) as at_base:
        known = named_files(PinSet.load(at_base))
    try:
        commits = repository.commits(start, end)
        # Before anything of the branch is checked out.
        event = require_event(commits, path.name, journal, known)
        with repository.checked_out(start, end) as merged:
            after = open_context(merged)
            event = require_valid(event, after.policy.state)
            missing = _missing(after)
            require_covered(event, journal, after.plan)
    except ConfigError as exc:
        return ReviewOutcome(end, refused=exc)
    return ReviewOutcome(end, event, tuple(missing))


def _missing(context: PublishContext) -> Iterable[PendingSignature]:
    """Return the root and targets metadata files that need more signatures.

    ``context`` has the pin file and the folder ``publish``. Other metadata files are left out,
    because no person signs them: the online key does.

    Raises:
        ConfigError: a metadata file waits for signatures, but must not be signed in its present
            form.
    """
    from certpin.errors import ConfigError

    for wait in context.pending:
        if wait.problem:
            raise ConfigError(f"{wait.role} must not be signed: {wait.problem}", key="branch")
    return [wait for wait in context.pending if wait.role in _OFFLINE]
