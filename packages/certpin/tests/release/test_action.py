"""Run this repository's GitHub action (action.yml): it installs certpin, and lints and proves.

The tests also check that it refuses invalid inputs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests._quick_venv import quick_python
from tests._sarif import complaints
from tests._wheels import for_action
from tests.cli._pinfiles import write
from tests.documentation._blocks import FEW
from tests.kit import policy
from tests.release._clone import ROOT
from tests.release._composite import ActionRun, CompositeAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab import Authority

    Use = Callable[..., ActionRun]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GOOD_CLIENT = f"{sys.executable} client.py {{url}}"
PINNED_CLIENT = """\
import sys, urllib.request
import certpin
context = certpin.PinnedSSLContext(certpin.PinSet.load(sys.argv[2]))
urllib.request.urlopen(sys.argv[1], timeout=10, context=context).read()
"""


@pytest.fixture(scope="module")
def offline() -> dict[str, str]:
    """Return environment variables that let pip install only from a folder of locked wheels."""
    pip = {"NO_INDEX": "1", "FIND_LINKS": str(for_action()), "NO_CACHE_DIR": "1", "COMPILE": "0"}
    return {f"PIP_{name}": value for name, value in pip.items()}


@pytest.fixture(scope="module")
def installed(offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the action once with the command ``install``, and return its RUNNER_TEMP folder."""
    python = str(quick_python(tmp_path_factory))
    temporary, workspace = (tmp_path_factory.mktemp(name) for name in ("runner", "workspace"))
    action = CompositeAction(ROOT / "action.yml", workspace, temporary, offline)
    done = action.run({"command": "install", "python": python})
    assert done.status == 0, done.log
    assert done.outputs == {"bin": f"{temporary}/certpin/bin", "result": "", "sarif": ""}
    return temporary


@pytest.fixture
def use(installed: Path, offline: dict[str, str], tmp_path: Path, root: Authority) -> Use:
    """Return a function that runs the action in a workspace with a valid pin file.

    The function takes the action's inputs as keywords, and returns the ``ActionRun``. The action's
    step that installs certpin is replaced: it uses the installation of the fixture ``installed``.
    """
    (tmp_path / "root.pem").write_bytes(root.pem)
    write(policy("api.bank.example"), trust=Path("root.pem"), path=str(tmp_path / "pins.toml"))
    # Without the step that installs: `installed` ran it.
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    install = action["runs"]["steps"][1]
    assert install["id"] == "install"
    install["run"] = f'echo "bin={installed}/certpin/bin" >> "$GITHUB_OUTPUT"'
    # And with a variable for more options of `prove`: a few cases.
    run = action["runs"]["steps"][2]
    assert run["run"].count("words=(prove ") == 1
    run["run"] = run["run"].replace("words=(prove ", "words=(prove $CASES ")
    short = tmp_path / "action" / "action.yml"
    short.parent.mkdir()
    short.write_text(yaml.safe_dump(action))

    def _use(**inputs: str) -> ActionRun:
        words = {name.replace("_", "-"): text for name, text in inputs.items()}
        environment = {**offline, "CASES": FEW}
        return CompositeAction(short, tmp_path, installed, environment).run(words)

    return _use


def test_a_good_pin_file_passes(use: Use) -> None:
    done = use(command="lint", fail_on="error")
    assert done.status == 0, done.log
    assert (done.outputs["result"], done.outputs["sarif"]) == ("passed", "")
    assert done.summary.startswith("### certpin lint\n\n    ")
    assert "0 errors" in done.summary


def test_a_bad_pin_file_fails_with_annotations_and_sarif(use: Use, tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    expired = file.read_text().replace("mode =", "expires = 2000-01-01\nmode =", 1)
    file.write_text(expired)
    done = use(command="lint", sarif="pins.sarif")
    assert (done.status, done.failed_step) == (1, "Run certpin")
    assert (done.outputs["result"], done.outputs["sarif"]) == ("failed", "pins.sarif")
    assert re.search(r"^::error file=pins\.toml,line=\d+", done.log, re.MULTILINE)
    assert "expired" in done.summary
    report = json.loads((tmp_path / "pins.sarif").read_text())
    assert complaints(report) == []
    assert [each["level"] for each in report["runs"][0]["results"]] == ["error"]


def test_a_missing_pin_file_fails(use: Use) -> None:
    done = use(command="lint", pin_file="other.toml", sarif="pins.sarif")
    assert (done.status, done.outputs["result"], done.outputs["sarif"]) == (2, "failed", "")
    assert "other.toml" in done.log


@pytest.mark.parametrize(
    "inputs",
    [{"pin_file": "other.toml"}, {"command": "prove", "client": "x {url}", "pin_file": "other"}],
)
def test_the_sarif_file_of_an_earlier_step_is_not_an_output(
    use: Use, tmp_path: Path, inputs: dict[str, str]
) -> None:
    (tmp_path / "my pins.sarif").write_text("{}")
    done = use(sarif="my pins.sarif", **inputs)
    assert (done.status, done.outputs["result"], done.outputs["sarif"]) == (2, "failed", "")
    assert not (tmp_path / "my pins.sarif").exists()


def test_a_pin_file_cannot_give_commands_to_the_runner(use: Use, tmp_path: Path) -> None:
    (tmp_path / "pins.toml").write_text("schema = 1\nname = '''x\n::warning::planted\n'''\n")
    done = use(command="lint")
    assert done.status in {1, 2}
    lines = done.log.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("::stop-commands::"))
    token = lines[start].rpartition("::")[2]
    assert len(token) == 36
    end = lines.index(f"::{token}::")
    outside = [line for n, line in enumerate(lines) if not start < n < end]
    assert [line for line in outside if line.startswith("::warning")] == []


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"command": "rotate"}, "command must be one of: lint prove install"),
        ({"command": "lint prove"}, "command must be one of"),
        ({"command": "lint", "fail_on": "never"}, "fail-on must be one of"),
        ({"command": "lint", "live": "yes"}, "live must be one of"),
        ({"command": "prove", "client": "x", "style": "any"}, "style must be one of"),
        ({"command": "prove", "client": " \n "}, "client must be set for prove"),
        ({"command": "lint", "pin_file": "--help"}, "PIN_FILE must be a value that does not"),
        ({"command": "lint", "sarif": "a\nresult=passed"}, "SARIF must be one line"),
        ({"command": "prove", "client": "x", "host": ""}, "host and python must be set"),
    ],
)
def test_an_invalid_input_is_refused_before_anything_runs(
    use: Use, inputs: dict[str, str], problem: str
) -> None:
    done = use(**inputs)
    assert (done.status, done.failed_step) == (2, "Check the inputs")
    assert problem in done.log
    assert done.outputs["result"] == ""


@pytest.mark.parametrize("text", ["$(touch planted)", "`touch planted`", '"; touch planted; "'])
def test_no_input_is_run_by_the_shell(use: Use, tmp_path: Path, text: str) -> None:
    for inputs in ({"pin_file": text}, {"command": "prove", "client": f"true {text}"}):
        use(**inputs)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])  # of `client: …`, `client: |` and `client: |+`
def test_a_client_without_pins_is_found_out(use: Use, tmp_path: Path, end: str) -> None:
    (tmp_path / "client.py").write_text(
        "import sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=10).read()\n"
    )
    done = use(command="prove", client=f"{GOOD_CLIENT}{end}", sarif="prove.sarif")
    assert (done.status, done.outputs["result"]) == (1, "failed"), done.log
    assert done.outputs["sarif"] == "prove.sarif"
    report = json.loads((tmp_path / "prove.sarif").read_text())
    assert complaints(report) == []
    assert report["runs"][0]["results"]
    assert done.summary.startswith("### certpin prove")


def test_a_pinned_client_passes(use: Use, installed: Path, tmp_path: Path) -> None:
    # One argument a line: a path may contain spaces.
    (tmp_path / "my client.py").write_text(PINNED_CLIENT)
    client = f"{installed}/certpin/bin/python\nmy client.py\n{{url}}\n{{pins}}\n"
    done = use(command="prove", client=client)
    assert (done.status, done.outputs["result"]) == (0, "passed"), done.log


def test_an_old_python_is_refused_with_the_fix(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    words = [str(ROOT / "scripts/install_locked.sh"), str(tmp_path / "venv"), str(old)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "certpin needs Python 3.11 or newer" in done.stderr
    assert "fix: " in done.stderr
