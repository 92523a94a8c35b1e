"""``certpin prove``: a real client's verdict, with the causes and the evidence for it.

Also runs the commands of the guide as written.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab.pki import LETTERS
from tests.cli.test_prove import FEW
from tests.documentation._blocks import DOCS, shell_script
from tests.lab.evidence import _minisign
from tests.lab.evidence.test_folder import sums_hold

if TYPE_CHECKING:
    from tests.cli.conftest import Run

GUIDE = (DOCS / "guides/evidence.md").read_text(encoding="utf-8")
CARELESS = ("--", "curl", "-sSk", "{url}")
ANY = "The client accepts any certificate"


@pytest.mark.slow
@pytest.mark.peer("curl")
def test_curl_without_verification_has_one_cause(run: Run) -> None:
    done = run("prove", *CARELESS)
    assert done.code == 1
    first, second, *_ = done.out.splitlines()
    got_through = re.fullmatch(r"(\d+) of \d+ attacks got through\.", first)
    assert got_through is not None
    assert second.startswith("Do not ship this client")
    assert f"\n1. {ANY}: {got_through[1]} attacks got through\n" in done.out
    assert "\n2. " not in done.out
    assert LETTERS["R2"] not in done.out  # no line uses a letter
    verbose = run("prove", "--verbose", "--case", "untrusted-ca", *CARELESS).out
    verdict, legend, table = (verbose.index(text) for text in ("got", LETTERS["R2"], "U→L′"))
    assert verdict < legend < table


@pytest.mark.slow
@pytest.mark.peer("curl")
def test_curl_with_pins_and_without_verification_is_not_called_unpinned(run: Run) -> None:
    words = ("curl", "-sSk", "--pinnedpubkey", "{pinnedpubkey}", "{url}")
    done = run("prove", "--json", "--", *words)
    assert [cause["says"] for cause in done.json["causes"]] == [
        "The client compares pins, and verifies nothing else"
    ]


@pytest.mark.medium
@pytest.mark.peer("curl")
def test_quiet_prints_the_verdict_only(run: Run) -> None:
    done = run("prove", "--quiet", *FEW, *CARELESS)
    assert (done.code, done.out, done.err) == (1, "1 of 1 attack got through.\n", "")
    refused = run("prove", "--quiet", "--verbose", *FEW, *CARELESS)
    assert refused.code == 2
    assert "contradict" in refused.err


@pytest.mark.slow
@pytest.mark.peer("curl")
def test_every_run_of_a_repeated_case_is_in_the_json(run: Run) -> None:
    done = run("prove", "--json", "--repeat", "3", *FEW, *CARELESS)
    assert done.json["repeat"] == 3
    for result in done.json["results"]:
        assert [attempt["verdict"] for attempt in result["attempts"]] == ["ACCEPT"] * 3
    assert run("prove", "--repeat", "0", *FEW, *CARELESS).code == 2


_SOMETIMES = """
import pathlib, subprocess, sys
case, *words = sys.argv[1:]
calls = pathlib.Path("calls")
calls.write_text((calls.read_text() if calls.exists() else "") + case + " ")
if case == "rogue-ca-in-store" and calls.read_text().split().count(case) != 2:
    sys.exit(subprocess.call(words))
sys.exit(subprocess.call([word for word in words if not word.startswith(("--pinned", "sha256"))]))
"""


@pytest.mark.slow
@pytest.mark.peer("curl")
def test_a_client_that_is_careless_once_is_flaky_and_fails(run: Run) -> None:
    pinned = ("{case}", "curl", "-sS", "--pinnedpubkey", "{pinnedpubkey}", "{url}")
    words = ("--jobs", "1", "--case", FEW[1], "--", sys.executable, "-c", _SOMETIMES, *pinned)
    done = run("prove", "--json", "--repeat", "3", *words)
    assert done.code == 1
    found = done.json["results"][1]
    assert (found["verdict"], found["outcome"]) == ("FLAKY", "wrong")
    verdicts = [attempt["verdict"] for attempt in found["attempts"]]
    assert verdicts == ["REJECT", "ACCEPT", "REJECT"]
    assert "1 case had different results in its runs" in " ".join(done.json["summary"])


@pytest.mark.slow
@pytest.mark.peer("curl")
def test_evidence_is_complete_signed_and_without_secrets(run: Run) -> None:
    _minisign.write_key(Path("company.key"), passphrase=b"correct horse")
    header = "Authorization: Bearer hunter2hunter2"
    words = ("curl", "-sSk", "-v", "-H", header, "-u", "admin:pass-word", "{url}")
    options = ("--evidence", "pack", "--sign-key", "company.key", "--client-version", "8.14.1")
    done = run("prove", *options, *FEW, "--", *words, CERTPIN_PASSPHRASE="correct horse")
    assert done.code == 1
    pack = Path("pack")
    assert "sha256sum -c SHA256SUMS" in done.out
    assert sums_hold(pack)
    manifest = json.loads((pack / "manifest.json").read_text())
    assert manifest["client"]["version"] == "8.14.1"
    assert [file["name"] for file in manifest["client"]["files"]] == ["curl"]
    assert f"-P {manifest['signed_by']} " in done.out
    signature = (pack / "SHA256SUMS.minisig").read_text()
    _minisign.verify(signature, (pack / "SHA256SUMS").read_bytes(), manifest["signed_by"])
    for path in pack.iterdir():
        text = path.read_bytes()
        for secret in (b"hunter2hunter2", b"pass-word", b"correct horse"):
            assert secret not in text, path.name
    results = json.loads((pack / "results.json").read_text())["results"]
    assert any("…" in attempt["output"] for attempt in results[1]["attempts"])


@pytest.mark.medium
def test_a_client_that_is_replaced_during_the_run_has_no_evidence(run: Run) -> None:
    """Otherwise, the evidence would have the digest of another build than the attacked one."""
    client = Path("client.sh")
    client.write_text("#!/bin/sh\ncp other.sh new && mv new client.sh\nexit 1\n")
    client.chmod(0o755)
    Path("other.sh").write_text("#!/bin/sh\nexit 1\n")
    done = run("prove", "--style", "none", "--evidence", "pack", *FEW, "--", "./client.sh", "{url}")
    assert done.code == 2
    assert "changed while it was attacked (client.sh)" in done.err
    assert "don't build or install the client meanwhile" in done.err
    assert "Nothing is proven" in done.out
    assert not Path("pack").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--evidence", "notes"), "certpin did not write as evidence"),
        (("--evidence", "new", "--sign-key", "company.key"), "has another passphrase"),
        (("--evidence", "new", "--sign-key", "notes/mine.txt"), "is not a secret key of minisign"),
        (("--sign-key", "company.key"), "--sign-key needs --evidence DIR"),
        (("--client-version", "1"), "--client-version needs --evidence DIR"),
        (("--html", "a", "--junit", "./a"), "--html, --junit and --sarif need different files"),
    ],
)
def test_evidence_that_cannot_be_written_is_an_error_before_the_run(
    run: Run, words: tuple[str, ...], problem: str
) -> None:
    _minisign.write_key(Path("company.key"), passphrase=b"correct horse")
    Path("notes").mkdir()
    Path("notes/mine.txt").write_text("mine")
    done = run("prove", *words, "--", "touch", "started", CERTPIN_PASSPHRASE="wrong horse")
    assert done.code == 2
    assert problem in done.err
    assert not Path("started").exists()
    assert Path("notes/mine.txt").read_text() == "mine"
    assert not Path("new").exists()


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.peer("chromium", "curl", "minisign")
def test_the_commands_of_the_guide_work_as_written(run: Run) -> None:
    passphrase = "correct horse"
    typed = {"-G": f"{passphrase}\n{passphrase}\n"}
    folder = Path()
    programs = []
    for line in filter(None, shell_script("guides/evidence.md").splitlines()[1:]):
        program, *words = shlex.split(line)
        programs.append(program)
        if program == "cd":
            folder = Path(*words)
        elif program == "certpin":
            done = run(*words, CERTPIN_PASSPHRASE=passphrase)
            assert done.code == 0, f"{line}\n{done.out}{done.err}"
        else:
            answer = typed.get(words[0], "")
            subprocess.run((program, *words), cwd=folder, input=answer, text=True, check=True)
    assert programs == [*["certpin"] * 2, "minisign", "certpin", "cd", "sha256sum", "minisign"]
    manifest = json.loads(Path("evidence/manifest.json").read_text())
    assert manifest["pdf"]["missing"] is None
    assert set(re.findall(r"(?m)^\| `([\w.]+)` ", GUIDE)) == {
        *(file["name"] for file in manifest["files"]),
        *("manifest.json", "SHA256SUMS", "SHA256SUMS.minisig", "report.pdf"),
    }
    Path("evidence/results.json").write_text("{}")
    checked = subprocess.run(
        ("sha256sum", "-c", "SHA256SUMS"), cwd="evidence", capture_output=True, check=False
    )
    assert checked.returncode == 1
