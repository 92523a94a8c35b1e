"""The evidence folder: complete or absent, never in place of other files, and without secrets."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from certpin.errors import ConfigError
from certpin.lab.evidence import folder as evidence
from certpin.lab.evidence.facts import AttackedFiles
from certpin.lab.evidence.folder import check_place, report_files, write_evidence
from certpin.lab.evidence.minisign import load_key
from certpin.lab.verdict import OtherHost
from tests.lab.evidence import _minisign
from tests.lab.report import _runs

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
REPORTS = {"report.html", "results.json", "junit.xml", "README.txt"}
FILES = REPORTS | {"manifest.json", "SHA256SUMS"}


@pytest.fixture(autouse=True)
def _without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_BROWSERS", ("no-such-browser",))


def written(place: Path, **options: Any) -> dict[str, Any]:
    options = {"environment": {}, "now": NOW, "attacked": AttackedFiles(()), **options}
    return write_evidence(place, options.pop("run", _runs.every_outcome()), **options)


def sums_hold(place: Path) -> bool:
    """Return True if ``SHA256SUMS`` lists the files in the folder with the right digests.

    It must list all files but itself and its signature, and no others.
    """
    lines = (place / "SHA256SUMS").read_text().splitlines()
    pairs = (line.split("  ") for line in lines)
    listed = {name: digest for digest, name in pairs}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in place.iterdir()
        if not path.name.startswith("SHA256SUMS")
    }
    return listed == found


def test_the_folder_has_every_report_and_their_digests(tmp_path: Path) -> None:
    place = tmp_path / "pack"
    manifest = written(place, client_version="4.2.0 (build 17)")
    assert {path.name for path in place.iterdir()} == FILES
    assert sums_hold(place)
    assert json.loads((place / "manifest.json").read_text()) == manifest
    assert {file["name"] for file in manifest["files"]} == REPORTS
    for file in manifest["files"]:
        data = (place / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert manifest["client"]["version"] == "4.2.0 (build 17)"
    assert manifest["time"]["started"] == "2026-03-01T12:00:00+00:00"
    assert manifest["time"]["ended"] == "2026-03-01T12:00:12.500000+00:00"
    assert manifest["signed_by"] is None
    assert manifest["pdf"] == {
        "made_by": None,
        "missing": "no Chromium, Chrome or Edge is installed",
    }
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("name", sorted(REPORTS | {"manifest.json"}))
def test_a_changed_file_is_detected(tmp_path: Path, name: str) -> None:
    place = tmp_path / "pack"
    written(place)
    with (place / name).open("ab") as file:
        file.write(b" ")
    assert not sums_hold(place)


def test_the_signature_covers_the_list_of_digests(tmp_path: Path) -> None:
    key = load_key(_minisign.write_key(tmp_path / "key"), _minisign.no_passphrase)
    place = tmp_path / "pack"
    manifest = written(place, key=key)
    sums = (place / "SHA256SUMS").read_bytes()
    signature = (place / "SHA256SUMS.minisig").read_text()
    comment = _minisign.verify(signature, sums, manifest["signed_by"])
    assert comment == f"timestamp:{int(NOW.timestamp())}\tfile:SHA256SUMS\thashed"
    assert sums_hold(place)


@pytest.mark.medium
def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = _runs.every_outcome()
    for name in ("one", "two"):
        written(tmp_path / name, run=run)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.medium
def test_secrets_are_in_no_file(tmp_path: Path) -> None:
    secret = "hunter2hunter2"
    case = _runs.BY_NAME["untrusted-ca"]
    made = _runs.met(case, gives=True, output=f"sent {secret}")
    made.attempts[0].connections[0].data += f"X-Key: {secret}\r\n".encode()
    words = ("curl", "-H", f"X-Key: {secret}", "{url}")
    run = _runs.run((made,), command=words)
    assert secret in report_files(run, _facts(run))["results.json"]
    written(tmp_path / "pack", run=run, environment={"APP_TOKEN": "another-secret"})
    for path in (tmp_path / "pack").iterdir():
        assert secret not in path.read_text(), path.name
        assert "another-secret" not in path.read_text(), path.name


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("fe80::1%hunter2-token", "[fe80::1%…]"),
        ("login.internal.example", "…"),
        ("hunter2-token.hooks.example", "….hooks.example"),
        ("login.example", "login.example"),
    ],
)
def test_the_name_of_another_host_is_masked_like_other_texts(
    tmp_path: Path, host: str, shown: str
) -> None:
    """A name in the command may be a secret, as after a forgotten quote. An IP address is none."""
    other = OtherHost(host, 4443, relayed=False)
    made = _runs.met(_runs.BY_NAME["untrusted-ca"], gives=False, others=(other,))
    words = ("curl", "--login", "login.internal.example", "192.0.2.7:4443", "{url}")
    run = _runs.run((made,), command=words)
    written(tmp_path / "pack", run=run, environment={"APP_TOKEN": "hunter2-token"})
    note = f"the client also asked for {shown}:4443: refused, and not judged"
    for name in ("results.json", "report.html"):
        text = (tmp_path / "pack" / name).read_text("utf-8").replace(r"\u2026", "…")
        assert note in text
        assert host == shown or host not in text


def _facts(run: Any) -> dict[str, Any]:
    from certpin.lab.evidence.facts import evidence_facts

    return evidence_facts(run, files=(), client_version="", environment={})


@pytest.mark.medium
def test_evidence_of_certpin_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "pack"
    place.mkdir()
    written(place)
    first = (place / "manifest.json").read_bytes()
    written(place, client_version="2")
    assert (place / "manifest.json").read_bytes() != first
    assert sums_hold(place)
    assert list(tmp_path.iterdir()) == [place]


def _notes(place: Path) -> None:
    place.mkdir()
    (place / "notes.txt").write_text("mine")


def _page_only(place: Path) -> None:
    place.mkdir()
    (place / "report.html").write_text("mine")


def _manifest_of_another(place: Path) -> None:
    place.mkdir()
    (place / "manifest.json").write_text('{"format": "another/1"}')


def _notes_added(place: Path) -> None:
    written(place)
    (place / "notes.txt").write_text("mine")


def _a_file(place: Path) -> None:
    place.write_text("mine")


def _a_link(place: Path) -> None:
    target = place.with_name("target")
    target.mkdir()
    place.symlink_to(target)


@pytest.mark.parametrize(
    "make", [_notes, _page_only, _manifest_of_another, _notes_added, _a_file, _a_link]
)
def test_the_files_of_others_are_never_replaced(tmp_path: Path, make: Any) -> None:
    place = tmp_path / "pack"
    make(place)
    before = _tree(tmp_path)
    for act in (check_place, written):
        with pytest.raises(ConfigError) as caught:
            act(place)
        assert caught.value.fix.startswith("name a new folder")
    assert _tree(tmp_path) == before


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_that_appear_during_the_run_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "pack"

    def late(*_: object) -> dict[str, Any]:
        place.mkdir()
        (place / "notes.txt").write_text("mine")
        return {"made_by": None, "missing": "late"}

    monkeypatch.setattr(evidence, "print_pdf", late)
    with pytest.raises(ConfigError, match="certpin did not write"):
        written(place)
    assert _tree(tmp_path) == {str(place / "notes.txt"): b"mine"}


@pytest.mark.medium
@pytest.mark.parametrize("existing", [False, True])
def test_an_interrupted_run_leaves_no_half_written_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, existing: bool
) -> None:
    place = tmp_path / "pack"
    if existing:
        written(place)
    before = _tree(tmp_path)

    def stop(*_: object) -> dict[str, Any]:
        assert not existing or sums_hold(place)
        raise KeyboardInterrupt

    monkeypatch.setattr(evidence, "print_pdf", stop)
    with pytest.raises(KeyboardInterrupt):
        written(place)
    assert _tree(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["pack"] if existing else [])


@pytest.mark.medium
def test_an_older_folder_comes_back_if_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "pack"
    written(place)
    before = _tree(tmp_path)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "evidence":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(ConfigError, match="No space left on device"):
        written(place, client_version="2")
    assert _tree(tmp_path) == before


def test_a_missing_parent_is_an_error_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder above it"):
        check_place(tmp_path / "none" / "pack")


def test_a_client_that_changed_has_no_evidence(tmp_path: Path) -> None:
    script = tmp_path / "client.sh"
    script.write_text("good")
    attacked = AttackedFiles(("sh", str(script)))
    script.write_text("bad")
    with pytest.raises(ConfigError, match=r"changed while it was attacked \(sh, client.sh\)"):
        written(tmp_path / "pack", attacked=attacked)
    assert not (tmp_path / "pack").exists()


@pytest.mark.medium
def test_the_evidence_names_a_script_of_the_client(tmp_path: Path) -> None:
    script = tmp_path / "client.sh"
    script.write_text("good")
    for command, identified in ((("sh", str(script)), True), (("sh", "-c", "exit"), False)):
        manifest = written(tmp_path / "pack", attacked=AttackedFiles(command))
        assert manifest["client"]["script_identified"] is identified


def test_a_broken_browser_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\nenv >>{tmp_path}/environment\nexit 1\n")
    browser.chmod(0o755)
    monkeypatch.setattr(evidence, "_BROWSERS", (str(browser),))
    monkeypatch.setenv("CERTPIN_PASSPHRASE", "hunter2")
    manifest = written(tmp_path / "pack")
    assert manifest["pdf"] == {"made_by": None, "missing": "browser did not print the page"}
    environment = (tmp_path / "environment").read_text()
    assert "PATH=" in environment
    assert "hunter2" not in environment
    assert sums_hold(tmp_path / "pack")


def test_the_page_has_the_facts_limits_and_standards(tmp_path: Path) -> None:
    written(tmp_path / "pack", client_version="4.2.0 <build>")
    page = (tmp_path / "pack/report.html").read_text()
    for part in (
        "4.2.0 &lt;build&gt;",
        "What this does not prove",
        "MASVS-NETWORK-2",
        "The letters",
    ):
        assert part in page
    readme = (tmp_path / "pack/README.txt").read_text()
    assert "sha256sum -c SHA256SUMS" in readme
    assert "minisign -V -p PUBLIC.key -m SHA256SUMS" in readme
