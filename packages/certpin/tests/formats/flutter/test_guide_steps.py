"""Single commands of the pages about Flutter, run in their order in a new folder.

``test_guide_scripts`` runs the whole pages as scripts.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from certpin.apps.model import SourceFile
from certpin.apps.pubspec import read_pubspec
from certpin.cli.main import cli
from certpin.pins import Pin
from tests.apps._dart import NEEDS_PARSER
from tests.formats.flutter import test_guide

PAGES = test_guide.PAGES
KEY = Pin("sha256", bytes(range(32)))
OLD = bytes(range(32)).hex()  # the fingerprint that the app of these tests compares
APP = f"""
final dio = Dio(BaseOptions(baseUrl: 'https://api.bank.example'))
  ..interceptors.add(CertificatePinningInterceptor(allowedSHAFingerprints: ['{OLD}']));
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CERTPIN_PASSPHRASE", raising=False)
    (tmp_path / "lib").mkdir()
    return tmp_path


def _run(command: str) -> int:
    return CliRunner().invoke(cli, shlex.split(command)[1:]).exit_code


def _offline(command: str) -> str:
    """Return a variant of a page's command that needs no server.

    ``certpin add`` gets a pin, and any other command loses ``--live``.
    """
    return f"{command} --pin {KEY}" if " add " in command else command.replace(" --live", "")


def _steps(page: str, *words: str) -> list[str]:
    """Return the certpin commands in a page's shell blocks with one of these subcommands."""
    found = test_guide.in_shell_blocks(page)
    return [command for command in found if command.split()[1] in words]


def _host() -> dict[str, Any]:
    [host] = tomllib.loads(Path("pins.toml").read_text(encoding="utf-8"))["host"]
    found: dict[str, Any] = host
    return found


def test_the_quick_start_adds_each_host_with_a_backup() -> None:
    commands = _steps("flutter", "add")
    assert len(commands) == 2
    assert [_run(_offline(each)) for each in commands] == [0, 0]


@NEEDS_PARSER
def test_the_old_pins_are_listed_before_the_new_ones_are_added(folder: Path) -> None:
    """``certpin import`` lists the app's single pin; ``certpin add`` then writes ``pins.toml``."""
    (folder / "lib/api.dart").write_text(APP, encoding="utf-8")
    commands = _steps("flutter-moving", "import", "add")
    assert [each.split()[1] for each in commands] == ["import", "import", "add"]
    assert commands[1].endswith(" --live")
    # 1: a mistake was found; the file is written.
    assert [_run(_offline(each)) for each in commands] == [1, 1, 0]
    assert "CertificatePinningInterceptor" in (folder / "pins.imported.toml").read_text("utf-8")
    assert _host()["mode"] == "enforce"
    assert _run("certpin import dart .") == 2


def test_a_trial_as_on_the_page_has_no_finding(folder: Path) -> None:
    """``certpin lint`` reports nothing if a policy in report mode expires within 90 days.

    The year that ``certpin add`` writes is too long for such a trial.
    """
    trial = PAGES["flutter-moving"].partition("**3. ")[2].partition("**4. ")[0]
    assert "`expires` to a day at most 90 days from now" in " ".join(trial.split())
    assert _run(_offline(_steps("flutter-moving", "add")[0])) == 0
    text = (folder / "pins.toml").read_text("utf-8")
    report = 'mode = "report"\nreport_to = ["https://reports.other.example/"]'
    text = text.replace('mode = "enforce"', report)
    (folder / "pins.toml").write_text(text, encoding="utf-8")
    assert "report-only-too-long" in CliRunner().invoke(cli, ["lint"]).output
    last = (datetime.now(UTC) + timedelta(days=89)).date()
    text = re.sub(r"(?m)^expires = .*$", f"expires = {last}", text)
    (folder / "pins.toml").write_text(text, encoding="utf-8")
    assert "0 errors, 0 warnings, 0 notes" in CliRunner().invoke(cli, ["lint"]).output


def test_the_override_of_the_page_passes_its_own_checks(folder: Path) -> None:
    """The page's commands export anchors for debugging with a proxy, and its checks pass.

    The proxy's authority is never in ``pins.toml``, which ``--release`` would refuse.
    """
    assert _run(f"certpin add api.bank.example --match leaf --backup-key k --pin {KEY}") == 0
    assert _run("certpin export flutter --out lib/pinning/") == 0
    words = "req -x509 -newkey rsa:2048 -nodes -subj /CN=proxy -keyout /dev/null -out"
    subprocess.run(["openssl", *words.split(), "charles-ca.pem"], check=True, capture_output=True)
    page = PAGES["flutter-debugging"].partition("## Debugging with a proxy")[2]
    [copying] = re.findall(r"^(\(cat .*)$", page, re.MULTILINE)
    subprocess.run(["sh", "-c", copying], check=True)
    commands = re.findall(r"^(certpin .*)$", page, re.MULTILINE)
    assert len(commands) == 3
    assert [_run(each) for each in commands] == [0, 0, 0]
    assert "debugAnchors" in (folder / "lib/pinning/pins_debug.dart").read_text("utf-8")
    assert "debugAnchors" not in (folder / "lib/pinning/pins.dart").read_text("utf-8")
    (folder / "pins.toml").write_bytes((folder / "pins.debug.toml").read_bytes())
    assert _run("certpin export flutter --out lib/pinning/ --release --check") == 2


def test_the_page_lists_what_an_import_of_an_export_loses(folder: Path) -> None:
    command = (
        f"certpin add api.bank.example:8443 --match any --backup-key k --pin {KEY} "
        "--connect 127.0.0.1:8443"
    )
    assert _run(command) == 0
    removed = f'\n[[host.pin]]\npin = "{Pin("sha256", bytes(range(32, 64)))}"\n'
    with (folder / "pins.toml").open("a", encoding="utf-8") as file:
        file.write(f'{removed}state = "removed"\n')
    before = _host()
    assert _run("certpin export flutter --out lib/pinning/") == 0
    (folder / "pins.toml").unlink()
    assert _run("certpin import flutter lib/pinning/pins.dart") == 0
    after = _host()
    assert before.keys() - after.keys() == {"server"}
    assert (before["match"], after["match"]) == ("any", "leaf")
    assert [each["state"] for each in before["pin"]] == ["active", "staged", "removed"]
    assert [each["state"] for each in after["pin"]] == ["active", "published"]
    assert [each.keys() & {"note"} for each in after["pin"]] == [set(), set()]
    section = PAGES["flutter-moving"].partition("If the pin file is lost")[2].partition("\n\n")[0]
    for part in ("staged", "removed pins", "notes", "`[[host.server]]`", '`match = "any"`'):
        assert part in section, part


def _reported(name: str) -> bool:
    text = f"dependencies:\n  {name}: ^1.0.0\n"
    found = read_pubspec(SourceFile("pubspec.yaml", text.encode(), text))
    return bool(found.findings.mistakes)


def test_the_page_names_the_packages_that_an_import_reports() -> None:
    section = PAGES["flutter-moving"].partition("## Other packages")[2]
    table = section.partition("| package |")[2].partition("\n\n")[0]
    names = re.findall(r"^\| \[?`?(\w+)", table, re.MULTILINE)
    assert {"public_key_pinning", "trustpin_sdk", "dio_certificate_pinning"} <= set(names)
    sentence = section.partition("one of these packages, except")[2].partition(". ")[0]
    exceptions = set(re.findall(r"`(\w+)`", sentence))
    assert len(exceptions) == 3
    assert {name for name in names if not _reported(name)} == exceptions
