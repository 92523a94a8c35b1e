"""docs/updater.md and docs/failures.md: the names in them exist, and the example runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.updates.conftest import World

ROOT = Path(__file__).parents[4]


def run(world: World) -> str:
    folder = world.cache.parent
    (folder / "pins.toml").write_text(world.text(1))
    (folder / "root.json").write_bytes(world.repository.first_root)
    request = f"{world.server.url}metadata/1.root.json"
    script = str(ROOT / "examples/updates/follow.py")
    words = [sys.executable, "-W", "error", script, str(folder)]
    done = subprocess.run(
        [*words, world.server.url, request], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_example_follows_and_works_without_an_update_server(world: World) -> None:
    assert run(world) == "200 fresh 2\n"
    world.server.answers["timestamp"] = lambda handler: handler.answer(503, b"")
    assert run(world) == "no update (http), so on with what there is\n200 fresh 2\n"


def test_the_documented_states_and_settings_match_the_code() -> None:
    from typing import get_args

    from certpin.updates import Limits, Timing
    from certpin.updates.status import UpdateState, What

    page = (ROOT / "docs/updater.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([\w-]+)`", page, re.MULTILINE))
    wanted = {*get_args(UpdateState), *get_args(What), *vars(Timing()), *vars(Limits())}
    assert named >= wanted, wanted - named
    assert "../examples/updates/follow.py" in page


def test_the_documentation_names_every_reason_and_no_other() -> None:
    """The reasons of the client: a word for programs, beside each error."""
    given: set[str] = set()
    for path in (ROOT / "packages/certpin/src/certpin/updates").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                given |= _reasons(node)
    page = (ROOT / "docs/failures.md").read_text(encoding="utf-8")
    section = page.partition("## Updates\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([\w-]+)`", section, re.MULTILINE)) == given


def _reasons(call: ast.Call) -> set[str]:
    if ast.unparse(call.func) == "_Explanation":
        return {ast.literal_eval(call.args[0])}
    named = [each.value for each in call.keywords if each.arg == "reason"]
    return {str(each.value) for each in named if isinstance(each, ast.Constant)}
