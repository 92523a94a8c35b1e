"""``certpin publish push``: upload a signed pin set, and record the push in the journal."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import PROBE_SECONDS
from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS, report_error
from certpin.cli.options import json_option, pin_file_option, sign_command
from certpin.cli.publish.context import open_context, tuf_needed, wait_json, wait_text
from certpin.cli.reply import fold, print_json, progress, say
from certpin.cli.rotate.files import RotationFiles, person_name, repository_dates, who_option

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from certpin.errors import UpdateError
    from certpin.pins import PinSet
    from certpin.publish.pending import PendingSignature
    from certpin.publish.push import Pushed
    from certpin.publish.settings import PublishSettings
    from certpin.rotation import DeployedVersions


@click.command()
@pin_file_option
@click.option(
    "--dry-run",
    "dry",
    is_flag=True,
    help="Print the files that would be uploaded, and upload nothing.",
)
@who_option
@json_option
@click.pass_context
def push(ctx: click.Context, path: Path, dry: bool, who: str | None, as_json: bool) -> None:
    """Upload the signed files to the place from which clients fetch them.

    Run it after certpin publish sign.

    Copies publish/site to the url of publish/publish.toml: a folder, or storage such as
    s3://BUCKET/PATH, with your own credentials. First it verifies the signed files and the uploaded
    ones as a client does. It refuses files that clients would not accept, that have expired, or
    that would undo another person's push. The timestamp is uploaded last: if the push is
    interrupted, clients get either the old set or the new one. Push again to continue.

    The journal records when the version was pushed. T_adopt, the time that the slowest client takes
    to get a version, begins then. It begins again if the signatures had expired before this push,
    and not every client had the version then.

    \b
    certpin publish push --dry-run
    certpin publish push

    Exit code 0: pushed. 1: refused, nothing was changed; or nothing was left to push, and the
    version in the journal lacks signatures. 2: wrong usage, or an invalid file. 3: the storage did
    not answer, or failed during the upload.
    """  # noqa: D301  # click reads the \b itself
    from certpin.errors import UpdateError
    from certpin.publish.settings import load

    with tuf_needed():
        from certpin.publish import folder

    here = folder.folder_of(path)
    with folder.held(here):
        settings, files = load(here / folder.SETTINGS), RotationFiles(path)
        folder.require_owner(here, path, files.pins.name)
        outcome = PushOutcome(files, _url(settings, here / folder.SETTINGS), dry)
        outcome.waits = _waits(files)
        try:
            outcome.pushed = _pushed(files, outcome, settings, person_name(who))
            _record(files, outcome, who)
            _require_signed(files, outcome.pushed)
        except UpdateError as exc:
            outcome.failed = exc
    outcome.show(ctx, as_json=as_json)


def _require_clock(files: RotationFiles, *, counts: bool) -> tuple[str, ...]:
    """Raise an error if this machine's clock is wrong, before a push.

    The clock is compared with the newest entry of the journal, and with the time of the server from
    which clients fetch. A wrong clock does harm in two ways. The journal records the time of the
    push, and certpin waits from then on until all clients have the version: if the clock is behind,
    this wait ends too early. And the signed metadata may have wrong expiry dates, because these
    were computed from the clock.

    Args:
        files: the pin file and the journal.
        counts: True if the journal will record the push, so that adoption counts from it.

    Returns:
        A text if that server gave no time over a verified connection, so that the clock was not
        compared with it; or if ``counts``, and ``publish.toml`` names no such server. Otherwise an
        empty tuple.

    Raises:
        JournalError: the newest entry of the journal is later than the clock.
        ConfigError: the server from which clients fetch reports a different time.
    """
    from certpin.errors import ConfigError
    from certpin.pins import utc_now
    from certpin.rotation import time_evidence
    from certpin.rotation.gate import clock_problem

    files.require_time(utc_now())
    dates = repository_dates(files, offline=False, timeout=PROBE_SECONDS)
    if problem := clock_problem(time_evidence(files.newest, (), dates)):
        raise ConfigError(problem, key="clock", fix="set the clock of this machine")
    if dates or not (files.fetch_host or counts):
        return ()
    silent = "publish.toml has no fetch_url, and so no host that confirms it"
    if files.fetch_host:
        silent = (
            f"{files.fetch_host}, the host of fetch_url, gave no time over a verified connection"
        )
    return (f"whether the clock of this machine is right ({silent})",)


def _waits(files: RotationFiles) -> tuple[PendingSignature, ...]:
    """Return the signatures that new metadata lack, so that the push does not upload them.

    ``files`` are the pin file and the journal. If the journal has a version that is not signed,
    these are all missing signatures. Otherwise it is the timestamp, if new metadata lack only the
    online key's signature of it. Errors in the files are ignored here, because ``certpin publish
    status`` reports them.
    """
    from certpin.errors import CertpinError
    from certpin.publish.pending import pending_publication

    with suppress(CertpinError):
        context = open_context(files.path, files)
        return context.pending if files.lacks_signature else pending_publication(context.plan)
    return ()


def _require_lifetimes(pushed: Pushed, settings: PublishSettings) -> None:
    """Raise ``ConfigError`` if timestamp or snapshot expire later than ``publish.toml`` allows.

    ``pushed`` has the signed files, and ``settings`` the lifetimes. The usual cause is a wrong
    clock: it was ahead when they were signed, or it is behind now. If it was ahead, an attacker who
    has these files could present them as the newest ones for too long.
    """
    from certpin.errors import ConfigError
    from certpin.pins import utc_now
    from certpin.rotation.situation import CLOCK_TOLERANCE
    from certpin.updates.trust import read_metadata

    for role in ("timestamp", "snapshot"):
        signed = read_metadata(role, getattr(pushed.local.newest.signed, role)).signed
        if signed.expires > utc_now() + settings.life(role) + CLOCK_TOLERANCE:
            raise ConfigError(
                f"{role} {signed.version} expires on {signed.expires:%Y-%m-%d %H:%M} UTC, in more "
                f"than the {settings.days[role]} days of publish.toml: the clock was ahead when it "
                "was signed, or is behind now",
                key="clock",
                fix="set the clock; if it is right, or if publish.toml had a longer lifetime for "
                f"{role}, sign again (certpin publish sign KEY --renew {role}), and push",
            )


def _require_signed(files: RotationFiles, pushed: Pushed) -> None:
    """Raise ``UpdateError`` if nothing was left to push because the newest version is not signed.

    ``files`` are the pin file and the journal. ``pushed`` is the completed push. If files were
    uploaded, such as a new timestamp each day, the push was successful.
    """
    from certpin.errors import UpdateError
    from certpin.publish.push import UNSIGNED

    latest = files.deployed.latest
    if latest is not None and files.lacks_signature and not pushed.uploads:
        raise UpdateError(
            f"nothing was pushed: the journal has version {latest.number}, which lacks signatures",
            reason=UNSIGNED,
            fix=f"sign it, then push: {sign_command(files.path)}",
        )


def _url(settings: PublishSettings, file: Path) -> str:
    from certpin.errors import PinFileError

    if settings.url is None:
        raise PinFileError(
            "it has no url to push to",
            path=file,
            key="url",
            fix='write url = "FOLDER" or url = "s3://BUCKET/PATH" above [expires], or remove the # '
            "from the line that has it",
        )
    return settings.url


def _pushed(
    files: RotationFiles, outcome: PushOutcome, settings: PublishSettings, who: str
) -> Pushed:
    from certpin.cli.rotate.recording import has_others_to_end
    from certpin.pins import utc_now
    from certpin.publish.folder import folder_of
    from certpin.publish.push import prepare, upload
    from certpin.publish.storage import open_storage

    here, dry = folder_of(files.path), outcome.dry
    storage = open_storage(outcome.where, here.parent, settings.storage)
    site, name = here / "site", files.pins.name
    with storage.held():
        pushed = prepare(site, storage, name=name, now=utc_now(), shipped=_shipped(files))
        is_first = waits_for_push(files.deployed, pushed)  # refuse before anything is done
        if is_first:
            _require_marks(files.deployed, pushed.local.signed.pins)
        if not dry and (is_first or pushed.uploads):
            number = pushed.local.signed.verified.version
            counts = is_first and has_others_to_end(files, number, utc_now())
            outcome.unknown = _require_clock(files, counts=counts)
            _require_lifetimes(pushed, settings)
        if not dry:
            outcome.again = _record_lapse(files, pushed, who)
            with progress(len(pushed.uploads), "push") as advance:
                upload(pushed, storage, advance)
    return pushed


def _require_marks(deployed: DeployedVersions, pins: PinSet) -> None:
    """Require that a version keeps each mark of a stolen key that clients have already.

    Signing requires that, too. But a clone can have signed the version before it got the mark from
    version control.

    Args:
        deployed: the published versions in the journal.
        pins: the version that clients could fetch after the push.

    Raises:
        ConfigError: a version that clients can have marks a key as compromised, and ``pins``
            doesn't.
    """
    from certpin.errors import ConfigError

    held = [version for version in deployed.versions if not version.pending]
    for policy in pins.policies:
        for version in held:
            known = filter(None, version.pins.policies_at(policy.pattern, pins))
            marked = frozenset(pin for each in known for pin in each.compromised)
            for pin in sorted(marked - policy.compromised, key=str):
                raise ConfigError(
                    f"{policy.pattern}: version {version.number} marks {pin} as COMPROMISED, and "
                    f"version {pins.version}, which is signed, does not",
                    key="state",
                    fix="sign the next version, with the mark: certpin rotate status prints the "
                    "commands",
                )


def _record_lapse(files: RotationFiles, pushed: Pushed, who: str) -> tuple[int, ...]:
    """Record in the journal that clients can fetch versions again, if the signatures had expired.

    ``files`` are the pin file and the journal. ``pushed`` is the planned push. While the signatures
    are expired, clients can fetch no version. So each version that some client did not have at the
    expiry is recorded as pushed now. Call this function before the upload: the upload replaces the
    expired files, and if recording failed after it, nothing would show the expiry any more.

    Returns:
        The numbers of the recorded versions.
    """
    from certpin.pinfile.file import changing
    from certpin.pins import utc_now
    from certpin.rotation import Event

    if pushed.lapsed is None:
        return ()
    with changing(files.path):
        files = files.latest()
        late = files.history.unadopted(pushed.lapsed)
        if not late:
            return ()
        note = f"the signatures had expired on {pushed.lapsed:%Y-%m-%d %H:%M} UTC"
        files.commit([Event(utc_now(), who, "push", version=each, note=note) for each in late])
    return late


def _shipped(files: RotationFiles) -> PinSet | None:
    """Return the newest pin set that an app was shipped with, or None if the journal has none.

    If new keys have replaced those that signed the uploaded pin set, a push is refused unless the
    version of the signed pin set is at least as high as that of this one. ``files`` are the pin
    file and the journal.
    """
    shipped = [each.pins for each in files.deployed.versions if each.bundled is not None]
    return max(shipped, key=lambda pins: pins.version, default=None)


def _record(files: RotationFiles, outcome: PushOutcome, who: str | None) -> None:
    """Record a push (an upload of the signed files) in the journal, the log of the rotation.

    Nothing is recorded if the push failed, is already recorded, or was only a dry run.

    Args:
        files: the pin file and the journal.
        outcome: the push; its attribute ``recorded`` is set to the time of the journal entry.
        who: the value of ``--who``, the name for the journal; None if it is not given.

    Raises:
        JournalError: the journal can't be written.
    """
    from certpin.errors import JournalError, PinFileError
    from certpin.pinfile.file import changing
    from certpin.pins import utc_now
    from certpin.rotation import Event

    if outcome.pushed is None or outcome.dry:
        return
    version = outcome.pushed.local.signed.verified.version
    try:
        with changing(files.path):
            files = files.latest()
            if not waits_for_push(files.deployed, outcome.pushed):
                return
            event = Event(utc_now(), person_name(who), "push", version=version)
            files.commit([event])
    except PinFileError as exc:  # also of the lock
        raise JournalError(
            f"version {version} WAS pushed, but the journal does not record it: {exc.problem}",
            path=files.journal,
            fix="make it writable, then run certpin publish push again: it records the push, and "
            "uploads nothing",
        ) from exc
    outcome.recorded = event.time


_UNCLEAR = {"storage", "unconfirmed"}  # reasons after which the result is unknown


@dataclass
class PushOutcome:
    """The outcome of ``certpin publish push``: the uploaded files, or the error.

    Attributes:
        where: the URL for the uploads.
        dry: True for a dry run, which only reports the files that would be uploaded.
        pushed: the upload; None if it failed, even if some files were uploaded.
        recorded: the time of the push, if this run recorded it in the journal; else None.
        again: the versions for which T_adopt (the time that the slowest client takes to get a
            version) begins again: their signatures had expired before every client had them.
        unknown: the facts that could not be checked.
        failed: the error; None if the push succeeded. If ``pushed`` is set, everything is uploaded
            that is signed, and the newest version is not.
        waits: the missing signatures of new metadata, which the push did not upload.
    """

    files: RotationFiles
    where: str
    dry: bool
    pushed: Pushed | None = None
    recorded: datetime | None = None
    again: tuple[int, ...] = ()
    unknown: tuple[str, ...] = ()
    failed: UpdateError | None = None
    waits: tuple[PendingSignature, ...] = ()

    def show(self, ctx: click.Context, *, as_json: bool) -> None:
        """Print the outcome of the push, and end the command with its exit code."""
        if self.pushed and self.pushed.damage:
            say(
                "certpin: warning",
                f"clients refuse the previously uploaded files: {self.pushed.damage}",
            )
        for wait in self.waits:
            say(
                "certpin: warning",
                f"this push does not have the newest metadata: {wait_text(wait)}",
            )
        if as_json:
            print_json(self.json())
        for line in () if as_json else self._lines():
            click.echo(fold(line, sys.stdout))
        if self.failed is None:
            ctx.exit(SUCCESS)
        report_error(self.failed)
        ctx.exit(INCONCLUSIVE if self.failed.reason in _UNCLEAR else PROBLEM_FOUND)

    def json(self) -> dict[str, Any]:
        """Return the outcome of the push as JSON."""
        here = self.pushed.local if self.pushed else None
        verified = here.signed.verified if here else None
        return {
            "file": str(self.files.path),
            "pin_set": self.files.pins.name,
            "url": self.where,
            "version": verified.version if verified else None,
            "root": verified.root if verified else None,
            "timestamp": here.newest.timestamp if here else None,
            "until": verified.until.isoformat() if verified else None,
            "uploads": list(self.pushed.uploads) if self.pushed else [],
            "damage": (self.pushed.damage or None) if self.pushed else None,
            "done": not self.dry and self.failed is None,
            "recorded": self.recorded is not None,
            "again": list(self.again),
            "unknown": list(self.unknown),
            "waits": [wait_json(wait) for wait in self.waits],
            "reason": self.failed.reason if self.failed else None,
            "problem": self.failed.problem if self.failed else None,
            "fix": self.failed.fix if self.failed else None,
        }

    def _lines(self) -> list[str]:
        from certpin.support.text import counted

        if self.pushed is None:
            return []
        verified, uploads = self.pushed.local.signed.verified, self.pushed.uploads
        files = counted(len(uploads), "file")
        if self.dry and uploads:
            order = [f"  {path}" for path in uploads]
            return [f"{files} would be uploaded to {self.where}, in this order:", *order]
        until = f"{verified.until:%Y-%m-%d %H:%M} UTC"
        out = f"Version {verified.version} of {verified.name} is at {self.where}"
        return [
            f"{out}: {files} uploaded." if uploads else f"{out}: it was already complete.",
            f"Sign and push again before {until}, when the first signature expires.",
            *(f"Not known: {unknown}." for unknown in self.unknown),
            *self._draft_lines(),
            *self._recorded_lines(),
        ]

    def _draft_lines(self) -> list[str]:
        """Return a line for the output if the pin file has pins that no version in the journal has.

        The push did not upload these pins. Otherwise the result is empty.
        """
        from certpin.cli.rotate.recording import differs_from_latest

        if not differs_from_latest(self.files):
            return []
        command = sign_command(self.files.path)
        return [f"{self.files.path} has other pins, which are not signed: {command}"]

    def _recorded_lines(self) -> list[str]:
        lines = []
        if self.again and self.pushed and self.pushed.lapsed:
            versions = ", ".join(map(str, self.again))
            since = f"{self.pushed.lapsed:%Y-%m-%d %H:%M} UTC"
            text = f"No client could fetch a version since {since}: T_adopt of {versions} begins "
            lines = [f"{text}again. {self.files.journal} records it: commit it, with publish/."]
        if self.recorded is None or self.pushed is None:
            return lines
        from certpin.cli.rotate.recording import arrival_text

        pins = self.pushed.local.signed.pins
        return [
            *lines,
            arrival_text(self.files, pins, self.recorded, self.files.timing),
            f"{self.files.journal} records the push: commit it, with publish/.",
        ]


def waits_for_push(deployed: DeployedVersions, pushed: Pushed) -> bool:
    """Return True if the journal records the signed version as published, but not yet as pushed.

    The push is then recorded in the journal. A push is the upload to the server from which clients
    fetch.

    Args:
        deployed: the published versions in the journal.
        pushed: the signed files, which contain the version.

    Raises:
        UpdateError: the journal does not have the version, or has it with different content.
    """
    from certpin.errors import UpdateError
    from certpin.pins.policy import meaning
    from certpin.publish.content import restore_fix

    pins = pushed.local.signed.pins
    for version in deployed.versions:
        if version.number == pins.version and meaning(version.pins) == meaning(pins):
            return version.pending
    raise UpdateError(
        f"version {pins.version} is signed, but the journal has no such version",
        reason="unpublished",
        fix=restore_fix(pushed.local.signed),
    )
