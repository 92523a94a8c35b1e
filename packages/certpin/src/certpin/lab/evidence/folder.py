"""The evidence folder: the reports of a lab run, the list of their digests, and its signature.

The folder is written under a temporary name, and renamed when it is complete. So a folder with the
right name is never half-written.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin.lab.client import inherited_environment
from certpin.lab.evidence.facts import evidence_facts, file_sha256
from certpin.lab.report.html import to_html
from certpin.lab.report.json import to_json
from certpin.lab.report.junit import to_junit
from certpin.lab.report.masking import mask_run, secrets_in
from certpin.lab.report.words import LIMITS, headline
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from certpin.lab.evidence.facts import AttackedFiles
    from certpin.lab.evidence.minisign import MinisignKey
    from certpin.lab.runner import Run

FORMAT = "certpin-evidence/1"
SUMS, MANIFEST, PAGE, PDF = "SHA256SUMS", "manifest.json", "report.html", "report.pdf"
SIGNATURE = f"{SUMS}.minisig"
_KNOWN = {SUMS, MANIFEST, PAGE, PDF, SIGNATURE, "README.txt", "results.json", "junit.xml"}
_MAX_MANIFEST_BYTES = 4 << 20  # one of a full run has 60 kB
_BROWSERS = (
    "chromium",
    "chromium-browser",
    "chromium-headless-shell",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
_BROWSER_SECONDS = 60.0


def check_place(folder: Path) -> None:
    """Check, before a long run, that the evidence can be written to this folder.

    An empty folder, or one with older evidence of certpin, will be replaced.

    Raises:
        ConfigError: the folder has files that certpin did not write as evidence, it is a file or a
            link, or its parent is missing or not writable.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise _error(folder, "is not a folder", "name a new folder")
    if folder.is_dir() and not _is_ours(folder):
        raise _error(
            folder,
            "has files that certpin did not write as evidence",
            "name a new folder, or move the files away",
        )
    if not os.access(folder.absolute().parent, os.W_OK | os.X_OK):
        problem = "cannot be written: no such folder above it, or no permission"
        raise _error(folder, problem, "name a folder in one that you may write to")


def write_evidence(  # noqa: PLR0913  # keywords, each of which is a part of the evidence
    folder: Path,
    run: Run,
    *,
    attacked: AttackedFiles,
    key: MinisignKey | None = None,
    client_version: str = "",
    environment: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    """Write the evidence of a run to a folder. Older evidence in the folder is replaced.

    Hidden arguments of the client, and the values of secret environment variables, are replaced in
    all files (``certpin.lab.report.masking``).

    Args:
        folder: the evidence folder.
        run: the run with its results.
        attacked: the client's files as they were before the run.
        key: the key that signs the list of digests; None for no signature.
        client_version: the client's version as the user stated it; empty if the user didn't.
        environment: the environment of the client.
        now: the time of the signature.

    Returns:
        The manifest: the facts of the run, and the digest of each file.

    Raises:
        ConfigError: the folder is a file or a link, has files that certpin did not write as
            evidence, or can't be written; or a file of the client changed during the run.
    """
    files = attacked.facts()
    check_place(folder)
    place = folder.absolute()
    facts = evidence_facts(
        run,
        files=files,
        script_identified=attacked.script_identified,
        client_version=client_version,
        environment=environment,
    )
    secrets = secrets_in(run.about.command, environment, (run.host, *_harmless(run)))
    masked = mask_run(run, secrets)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as name:
            made = Path(name, "evidence")
            made.mkdir()
            for file, text in report_files(masked, facts).items():
                (made / file).write_text(text, encoding="utf-8")
            pdf = print_pdf(made / PAGE, made / PDF)
            manifest = _finish(made, masked, facts, pdf, key, int(now.timestamp()))
            _replace(made, place, Path(name))
    except OSError as exc:
        problem = f"cannot be written: {exc.strerror or exc}"
        raise _error(folder, problem, "name a folder that you may write to") from exc
    return manifest


def report_files(run: Run, facts: dict[str, Any]) -> dict[str, str]:
    """Return the text of each report in the evidence folder, by file name. Writes nothing.

    ``facts`` are the facts of the run, as ``evidence_facts`` returns them.
    """
    return {
        PAGE: to_html(run, facts),
        "results.json": to_json(run) + "\n",
        "junit.xml": to_junit(run) + "\n",
        "README.txt": _readme(run),
    }


def _harmless(run: Run) -> set[str]:
    """Return the texts of a run that must not be masked: canaries, tested hosts and IP addresses.

    A canary is a random text that the lab gives to the client, to find it in the data that the
    client sends. It is no secret of the user. The IP address of a host that is not under test is
    none either, but its name can be one, or contain one, such as the token of a webhook.
    """
    attempts = [attempt for result in run.results for attempt in result.attempts]
    hosts = {host for attempt in attempts for host in attempt.hosts}
    others = (other for attempt in attempts for other in attempt.others)
    addresses = {other.address for other in others if other.is_ip_address}
    return hosts | addresses | {attempt.canary for attempt in attempts if attempt.canary}


def _readme(run: Run) -> str:
    limits = "\n".join(f"- {line}" for line in LIMITS)
    return f"""{printable(headline(run))}.

This folder is the evidence of one run of `certpin prove` against one client.

report.html    the report for people; it needs no network (report.pdf: the same for paper, if a
               browser was installed)
results.json   every case, with each run of the client
junit.xml      the same for CI systems
manifest.json  the client, the machine, certpin, the times, the OWASP MASVS controls and MASTG tests
               of each case, and the SHA-256 of each file
SHA256SUMS     the SHA-256 of each file, manifest.json included

Check the files:      sha256sum -c SHA256SUMS
Check the signature:  minisign -V -p PUBLIC.key -m SHA256SUMS   (if there is SHA256SUMS.minisig)

Get the public key from its owner, not from this folder.

What this does not prove:

{limits}
"""


def _finish(
    made: Path,
    run: Run,
    facts: dict[str, Any],
    pdf: dict[str, Any],
    key: MinisignKey | None,
    timestamp: int,
) -> dict[str, Any]:
    """Write the manifest, the list of digests, and the signature, in this order.

    Args:
        made: the folder that contains the reports, and gets these files.
        run: the run with its results.
        facts: the facts of the run, for the manifest.
        pdf: the result of ``print_pdf``, for the manifest.
        key: the key that signs the list of digests; None for no signature.
        timestamp: the time of the signature, in seconds since 1970.

    Returns:
        The manifest.
    """
    digests = {path.name: file_sha256(path) for path in sorted(made.iterdir())}
    manifest = {
        "format": FORMAT,
        "result": headline(run),
        **facts,
        "pdf": pdf,
        "signed_by": key.public if key else None,
        "limits": list(LIMITS),
        "files": [
            {"name": name, "bytes": (made / name).stat().st_size, "sha256": digest}
            for name, digest in digests.items()
        ],
    }
    (made / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    digests[MANIFEST] = file_sha256(made / MANIFEST)
    sums = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    (made / SUMS).write_text(sums, encoding="ascii")
    if key:
        (made / SIGNATURE).write_text(key.sign(sums.encode(), SUMS, timestamp), encoding="ascii")
    return manifest


def _replace(made: Path, place: Path, spare: Path) -> None:
    """Rename the finished folder ``made`` to ``place``, so that it is readable by all users.

    Older evidence at ``place`` is first moved into ``spare``, and moved back if the renaming fails.

    Raises:
        OSError: a folder can't be renamed.
        ConfigError: ``place`` now has other files.
    """
    made.chmod(0o755)
    if not place.exists():
        made.rename(place)
        return
    check_place(place)  # the run took a while, and the user may have used the folder
    old = spare / "old"
    place.rename(old)
    try:
        made.rename(place)
    except OSError:
        old.rename(place)
        raise


def _is_ours(folder: Path) -> bool:
    """Return True if a folder is empty, or has only files of certpin's evidence.

    ``write_evidence`` replaces such a folder, and no other.
    """
    names = {path.name for path in folder.iterdir()}
    if not names:
        return True
    if not names <= _KNOWN or MANIFEST not in names:
        return False
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = json.loads(file.read(_MAX_MANIFEST_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def print_pdf(page: Path, pdf: Path) -> dict[str, Any]:
    """Print a page as PDF with an installed browser, without a network.

    A browser that fails is no error, because the page itself is the report.

    Args:
        page: the HTML file.
        pdf: the file to write.

    Returns:
        ``made_by``, the browser and its version; and ``missing``, the reason if there is no PDF.
        One of the two is None.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        return {"made_by": None, "missing": "no Chromium, Chrome or Edge is installed"}
    with tempfile.TemporaryDirectory(prefix="certpin-browser-") as profile:
        words = [
            browser,
            "--headless",
            "--disable-gpu",
            "--disable-extensions",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}",
            # Chromium's sandbox refuses to run as root. The page has no scripts.
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            "--no-pdf-header-footer",
            f"--print-to-pdf={pdf}",
            page.as_uri(),
        ]
        version = _output([browser, f"--user-data-dir={profile}", "--version"])
        _output(words)
    with suppress(OSError):
        if pdf.read_bytes()[:5] == b"%PDF-":
            return {"made_by": printable(version.strip()) or Path(browser).name, "missing": None}
        pdf.unlink()
    return {"made_by": None, "missing": f"{Path(browser).name} did not print the page"}


def _output(words: list[str]) -> str:
    """Run a command until it ends, and return its standard output.

    The result is empty if the command can't be started, fails, or runs for more than a minute.
    ``words`` are the program and its arguments.
    """
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_BROWSER_SECONDS,
            env=inherited_environment(),
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def _error(folder: Path, problem: str, fix: str) -> ConfigError:
    return ConfigError(f"{printable(str(folder))} {problem}", key="--evidence", fix=fix)
