"""The evidence's facts for an auditor: hashes of the client's and certpin's files, and extras."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import certpin
from certpin.errors import ConfigError
from certpin.lab.evidence import facts
from certpin.lab.evidence.facts import (
    AttackedFiles,
    certpin_facts,
    client_files,
    evidence_facts,
)
from certpin.lab.pki import Style
from certpin.lab.report.html import to_html
from certpin.lab.report.masking import safe_arguments
from tests.lab.report import _runs

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_program_and_its_scripts_are_hashed(tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text("print()\n")
    program = Path(sys.executable)
    found = list(client_files((str(program), str(script), "--pins", "{pins}")))
    assert [file["name"] for file in found] == [program.name, "client.py"]
    assert found[0]["sha256"] == hashlib.sha256(program.read_bytes()).hexdigest()
    assert found[1] == {
        "name": "client.py",
        "bytes": 8,
        "sha256": hashlib.sha256(b"print()\n").hexdigest(),
    }


@pytest.mark.parametrize(
    "name",
    ["C.java", "C.class", "c.cjs", "c.mts", "c.tsx", "c.kts", "c.phar", "c.pyz", "c.lua", "c.dll"],
)
def test_scripts_of_each_language_are_hashed_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("code")
    words = ("sh", name, "{url}")
    assert [file["name"] for file in client_files(words)] == ["sh", name]
    assert safe_arguments(words) == list(words)


@pytest.mark.parametrize(
    ("command", "identified"),
    [
        ("", False),
        ("sh", False),
        ("sh client.sh", True),
        ("./client.sh {url}", True),
        ("sh ./client", True),
        ("./client", True),
        ("shim -m module", False),
        ("env MODE=1 {program} -m module", False),
        ("timeout 60 {program} -m module", False),
        ("timeout 60 {program} client.sh", True),
    ],
)
def test_the_evidence_says_if_no_script_was_identified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, *, identified: bool
) -> None:
    for name in ("client.sh", "client", "shim"):
        Path(tmp_path, name).write_text("#!/bin/sh\n")
        Path(tmp_path, name).chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = str(Path(shutil.which("sh") or "").resolve())  # Python may be a script here
    attacked = AttackedFiles(tuple(command.replace("{program}", program).split()))
    if "{program}" in command:
        assert Path(program).name in [file["name"] for file in attacked.facts()]
    run = _runs.every_outcome()
    found = evidence_facts(
        run,
        files=attacked.facts(),
        script_identified=attacked.script_identified,
        client_version="",
        environment={},
    )
    assert found["client"]["script_identified"] is identified
    says = "none identified in the command: the digest is that of its program only"
    assert (says in to_html(run, found)) is not identified


def test_a_program_in_the_path_is_hashed() -> None:
    [found] = client_files(("sh", "-c", "exit"))
    assert found["name"] == "sh"
    assert len(found["sha256"]) == 64


def test_an_argument_longer_than_any_file_name_is_no_file() -> None:
    code = "print()  # " + "a client in one argument " * 1000
    assert [file["name"] for file in client_files(("python3", "-c", code))] == ["python3"]


def test_other_files_are_not_hashed(tmp_path: Path) -> None:
    """A file that is not a program is not hashed: the hash could reveal a short password in it."""
    password = tmp_path / "password.txt"
    password.write_text("1234")
    assert [file["name"] for file in client_files(("sh", str(password), "{ca}"))] == ["sh"]
    assert list(client_files(())) == []


def _replaced(script: Path) -> None:
    other = script.with_name("other")
    other.write_text("good")
    other.replace(script)


@pytest.mark.parametrize(
    "change",
    [
        lambda script: script.write_text("bad!"),
        lambda script: script.write_text("good"),
        _replaced,
        lambda script: script.unlink(),
    ],
    ids=["changed", "changed-back", "replaced", "removed"],
)
def test_a_change_of_the_client_during_the_run_is_noticed(
    tmp_path: Path, change: Callable[[Path], Any]
) -> None:
    script = tmp_path / "client.sh"
    script.write_text("good")
    os.utime(script, ns=(0, 0))  # a change within the resolution of the clock
    attacked = AttackedFiles(("sh", str(script)))
    assert [file["name"] for file in attacked.facts()] == ["sh", "client.sh"]
    assert attacked.facts()[1]["sha256"] == hashlib.sha256(b"good").hexdigest()
    change(script)
    with pytest.raises(ConfigError, match="changed while it was attacked"):
        attacked.facts()


def _point(link: Path, target: Path) -> None:
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


@pytest.mark.parametrize("named", ["client.sh", "folder/client.sh", "outer/client.sh"])
def test_a_link_to_the_client_that_was_changed_back_is_noticed(tmp_path: Path, named: str) -> None:
    """The link may be the file's own, that of a folder, or one to which another link points."""
    for version in ("v1", "v2"):
        Path(tmp_path, version).mkdir()
        Path(tmp_path, version, "client.sh").write_text("code")
    link, inside = (
        (Path("client.sh"), "client.sh") if named == "client.sh" else (Path("folder"), "")
    )
    link = tmp_path / link
    link.symlink_to(tmp_path / "v1" / inside)
    Path(tmp_path, "outer").symlink_to("folder")
    os.utime(link, ns=(0, 0), follow_symlinks=False)  # a change within the clock's resolution
    attacked = AttackedFiles(("sh", str(tmp_path / named)))
    assert [file["name"] for file in attacked.facts()] == ["sh", "client.sh"]
    for version in ("v2", "v1"):
        _point(link, tmp_path / version / inside)
    with pytest.raises(ConfigError, match="changed while it was attacked"):
        attacked.facts()


def test_the_digest_of_certpin_changes_with_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "certpin"
    (copy / "__pycache__").mkdir(parents=True)
    (copy / "__init__.py").write_text("")
    monkeypatch.setattr(facts, "files", lambda _: copy)
    first = certpin_facts()
    (copy / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    assert certpin_facts() == first
    assert first["version"] == certpin.__version__
    (copy / "__init__.py").write_text("changed")
    assert certpin_facts()["files_sha256"] != first["files_sha256"]


class _Distribution:
    """A substitute for an installed distribution with one file, recorded with this SHA-256 hash."""

    def __init__(self, digest: str) -> None:
        from importlib.metadata import PackagePath

        path: Any = PackagePath("certpin/__init__.py")
        path.hash = type("Hash", (), {"mode": "sha256", "value": digest})()
        self.files = [path]
        self.requires: list[str] = []


# The SHA-256 of an empty file, as RECORD has it.
EMPTY = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


@pytest.mark.parametrize(("digest", "matches"), [(EMPTY, True), (EMPTY[::-1], False)])
def test_changed_files_of_certpin_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str, *, matches: bool
) -> None:
    copy = tmp_path / "certpin"
    copy.mkdir()
    (copy / "__init__.py").write_text("")
    monkeypatch.setattr(facts, "files", lambda _: copy)
    monkeypatch.setattr("importlib.metadata.distribution", lambda _: _Distribution(digest))
    assert certpin_facts()["matches_record"] is matches
    (copy / "added.py").write_text("")
    assert certpin_facts()["matches_record"] is False


def test_an_extra_is_installed_if_all_its_packages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    required = [
        "click>=8.2",
        'click; extra == "present"',
        'no-such-package>=1; extra == "missing"',
        "click; extra == 'missing'",
        "no-such-package; python_version < '3.0' and extra == 'present'",
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: required)
    assert certpin_facts()["extras"] == ["present"]


def test_an_extra_is_not_installed_with_a_version_that_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    required = ["click>=9999; extra == 'newer'", "click>=1; extra == 'older'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: required)
    assert certpin_facts()["extras"] == ["older"]


@pytest.mark.parametrize(
    ("inner", "extras"),
    [("no-such-package", ["watch"]), ("click", ["cluster", "watch"])],
)
def test_an_extra_of_the_service_is_installed_if_all_the_packages_behind_it_are(
    monkeypatch: pytest.MonkeyPatch, inner: str, extras: list[str]
) -> None:
    """An extra counts as installed only if the packages of the extra that it refers to are, too.

    The extra ``cluster`` installs certpin-watch with its own extra ``cluster``.
    """
    required = {
        "certpin": [
            "certpin-watch==0.1.0; extra == 'watch'",
            "certpin-watch[cluster]==0.1.0; extra == 'cluster'",
            "certpin-watch==0.1.0; extra == 'all'",
        ],
        "certpin-watch": ["alembic>=1.14", f"{inner}>=1; extra == 'cluster'"],
    }
    versions = {"certpin-watch": "0.1.0", "click": "8.3.0"}

    def version(package: str) -> str:
        if package not in versions:
            raise PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr("importlib.metadata.requires", required.__getitem__)
    monkeypatch.setattr("importlib.metadata.version", version)
    assert certpin_facts()["extras"] == extras


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_an_unpinned_key_of_the_server_is_an_attack_only_on_pins_on_its_key(style: Style) -> None:
    renewed = _runs.met(_runs.BY_NAME["rot-new-key-pinned-ca"], gives=False, style=style)
    run = _runs.run((renewed,), style)
    row = evidence_facts(run, files=(), client_version="", environment={})["standards"][1]
    assert row["case"] == "rot-new-key-pinned-ca"
    if style is Style.LEAF:
        assert (list(row["masvs"]), row["none_because"]) == (["MASVS-NETWORK-2"], None)
        assert row["because"] == "with pins on the server's key it is the attack same-ca-new-key"
    else:
        assert (row["masvs"], row["mastg"], row["because"]) == ({}, {}, None)
        assert row["none_because"].startswith("an honest server")


def test_each_case_has_its_standards_and_outcome() -> None:
    run = _runs.every_outcome()
    found = evidence_facts(run, files=(), client_version="", environment={"CURL_HOME": "/root/x"})
    rows = found["standards"]
    assert [row["case"] for row in rows] == [result.case.name for result in run.results]
    rogue = next(row for row in rows if row["case"] == "rogue-ca-in-store")
    assert list(rogue["masvs"]) == ["MASVS-NETWORK-2"]
    assert list(rogue["mastg"]) == ["MASTG-TEST-0244"]
    assert rogue["none_because"] is None
    assert rows[0]["none_because"]
    assert found["client"]["command"] == ["curl", "-sS", "-H", "…", "{url}"]
    assert found["machine"]["environment"] == {"CURL_HOME": "…"}
