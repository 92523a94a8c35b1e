"""``certpin publish push``: what is signed goes to where clients fetch it; the journal notes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from certpin.cli.options import json_option, pin_file_option
from certpin.cli.rotate.context import who_option

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.cli.pushing import Report
    from certpin.cli.rotate.context import RotationFiles
    from certpin.updates.publish.push import Pushed
    from certpin.updates.publish.settings import Settings


@click.command()
@pin_file_option
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be uploaded, and do nothing.")
@who_option
@json_option
@click.pass_context
def push(ctx: click.Context, path: Path, dry: bool, who: str | None, as_json: bool) -> None:
    """Bring what is signed to where clients fetch it.

    Copies publish/site to the url of publish/publish.toml: a folder, or storage such as
    s3://BUCKET/PATH, with your own credentials. It looks first, as a client would, at what is
    signed and at what is there. Refused is what clients would not take, what is past its date, and
    what would undo somebody else's push. The timestamp goes last: whenever it is cut off, clients
    get the old set or the new one. Push again, and it goes on.

    The journal notes that the version is out, and T_adopt counts from there.

    Exit code 0: it is out. 1: refused, nothing was changed. 2: usage, or a bad file. 3: the storage
    could not be asked, or failed in the middle.
    """
    from certpin.cli.publishing import tuf_needed
    from certpin.cli.pushing import Report
    from certpin.cli.rotate.context import RotationFiles
    from certpin.errors import UpdateError
    from certpin.updates.publish.settings import load

    with tuf_needed():
        from certpin.updates.publish import folder

    here = path.parent / folder.FOLDER
    with folder.held(here):
        settings, ledger = load(here / folder.SETTINGS), RotationFiles(path)
        report = Report(ledger, _url(settings, here / folder.SETTINGS), dry)
        try:
            report.pushed = _pushed(ledger, report.where, settings, dry=dry)
            _record(ledger, report, who)
        except UpdateError as exc:
            report.failed = exc
    report.show(ctx, as_json=as_json)


def _url(settings: Settings, file: Path) -> str:
    from certpin.errors import PinFileError

    if settings.url is None:
        raise PinFileError(
            "it does not say where to push to",
            path=file,
            key="url",
            fix='write url = "FOLDER" or url = "s3://BUCKET/PATH" above [expires]: take the # off '
            "the line that says so",
        )
    return settings.url


def _pushed(ledger: RotationFiles, url: str, settings: Settings, *, dry: bool) -> Pushed:
    from certpin.cli.at_once import progress
    from certpin.cli.pushing import waits_for_push
    from certpin.pins import utc_now
    from certpin.updates.publish.folder import FOLDER
    from certpin.updates.publish.push import prepare, upload
    from certpin.updates.publish.storage import open_storage

    beside = ledger.path.parent
    storage = open_storage(url, beside, settings.storage)
    pushed = prepare(beside / FOLDER / "site", storage, name=ledger.pins.name, now=utc_now())
    waits_for_push(ledger.deployed, pushed)  # what it refuses is refused before anything is done
    if not dry:
        with progress(len(pushed.uploads), "push") as advance:
            upload(pushed, storage, advance)
    return pushed


def _record(ledger: RotationFiles, report: Report, who: str | None) -> None:
    """Write into the journal that a version is out. Nothing is new about one that was."""
    from certpin.cli.pushing import waits_for_push
    from certpin.cli.rotate.context import name_of
    from certpin.errors import JournalError
    from certpin.pins import utc_now
    from certpin.rotation import Event

    if report.pushed is None or report.dry or not waits_for_push(ledger.deployed, report.pushed):
        return
    version = report.pushed.here.signed.promise.version
    event = Event(utc_now(), name_of(who), "push", version=version)
    try:
        ledger.commit([event])
    except JournalError as exc:
        raise JournalError(
            f"version {version} IS out, and the journal does not say so: {exc.problem}",
            path=ledger.journal,
            fix="make it writable, then: certpin publish push. It uploads nothing again, and "
            "writes it down",
        ) from exc
    report.recorded = event.time
