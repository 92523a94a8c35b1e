"""docs/guides/import.md: its commands work as written, and the code agrees with its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.apps import certificates, draft, merge, project, tree
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.support import yaml
from tests.apps._dart import NEEDS_PARSER
from tests.apps._project import write
from tests.documentation._blocks import DOCS, blocks, shell_script
from tests.documentation._scripts import run as execute
from tests.documentation._scripts import run_with_hosts

if TYPE_CHECKING:
    from tests.cli.conftest import Run

PAGE = (DOCS / "guides/import.md").read_text(encoding="utf-8")
BLOCKS = blocks("guides/import.md")


# A file of the example, or a command with its output.
STEP = re.compile(
    r"`(?P<file>[\w./]+)`:\n\n```\w+\n(?P<content>.*?)```"
    r"|```text\n\$ certpin (?P<command>[^\n]*)\n(?P<output>.*?)```",
    re.DOTALL,
)


@pytest.mark.until_python("3.14")
def test_the_examples_of_the_page_work_as_written(run: Run) -> None:
    commands = 0
    for step in STEP.finditer(PAGE):
        if step["file"]:
            write(Path(), {step["file"]: step["content"]})
            continue
        done = run(*step["command"].split())
        output = done.out + done.err
        if step["output"].startswith("…\n"):
            assert output.endswith(step["output"].removeprefix("…\n")), step["command"]
        else:
            assert output == step["output"], step["command"]
        commands += 1
    assert commands == 2
    assert Path("pins.toml").exists()


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| ([0-9][^|]*) \|", PAGE, re.MULTILINE))
    assert rows == {
        "files": f"{tree.MAX_FILES:,}",
        "names of files and folders": f"{tree.MAX_NAMES:,}",
        "depth of folders": str(tree.MAX_DEPTH),
        "a source file, XML or property list": f"{project.MAX_FILE_BYTES // 1024**2} MiB",
        "an asset, or a file of certificates": f"{project.MAX_ASSET_BYTES // 1024**2} MiB",
        "`pubspec.yaml`": f"{yaml.MAX_CHARACTERS:,} characters, no aliases",
        "pins of a host": str(draft.MAX_PINS),
        "certificates of authorities": str(merge.MAX_ANCHORS),
    }
    assert certificates.MAX_BLOCKS > merge.MAX_ANCHORS


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip")
@NEEDS_PARSER
@pytest.mark.timeout(300)
def test_a_presented_certificate_becomes_the_pin_of_its_key(tmp_path: Path) -> None:
    """The first fingerprint in the page's app is replaced by the test server's."""
    root = Authority("Trusted Root")
    server = root.intermediate("Intermediate").issue("api.bank.example")
    app, _ = (block.text for block in BLOCKS if block.language == "dart")
    [first, _] = re.findall(r"'((?:[0-9A-F]{2}:){31}[0-9A-F]{2})'", app)
    (tmp_path / "lib").mkdir()
    text = app.replace(first, server.certificate.sha256.hex(":").upper())
    (tmp_path / "lib/api.dart").write_text(text, encoding="utf-8")
    served = {"api.bank.example": server}
    done = run_with_hosts(shell_script("guides/import.md"), tmp_path, root, served)
    assert done.returncode == 1, done.stdout + done.stderr  # the app has mistakes
    [policy] = PinSet.load(tmp_path / "pins.toml").policies
    assert [entry.pin.kind for entry in policy.pins] == ["sha256", "cert-sha256"]
    assert policy.pins[0].pin == server.pin


@pytest.mark.slow
@NEEDS_PARSER
@pytest.mark.timeout(300)
def test_the_steps_for_ci_annotate_the_mistakes(tmp_path: Path) -> None:
    app, _ = (block.text for block in BLOCKS if block.language == "dart")
    (tmp_path / "api.dart").write_text(app, encoding="utf-8")
    _, steps = (yaml.load_yaml(block.text) for block in BLOCKS if block.language == "yaml")
    commands = [step["run"] for step in steps if step.get("run", "").startswith("certpin")]
    annotated, to_file = (execute(command, tmp_path) for command in commands)
    assert annotated.returncode == to_file.returncode == 1
    assert annotated.stdout.count("::error file=api.dart") == 1
    [upload] = [step for step in steps if "uses" in step]
    found = json.loads((tmp_path / upload["with"]["sarif_file"]).read_text("utf-8"))
    assert found["version"] == "2.1.0"


@pytest.mark.until_python("3.14")
def test_the_comment_of_the_page_allows_a_mistake(run: Run) -> None:
    _, allowed = (block.text for block in BLOCKS if block.language == "dart")
    write(Path(), {"emulator.dart": allowed})
    assert "plain-http" not in run("import", "dart", ".", "--check").out
    write(Path(), {"emulator.dart": allowed.splitlines()[1]})
    assert "plain-http" in run("import", "dart", ".", "--check").out
