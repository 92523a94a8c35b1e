"""The names in docs/guides/updater.md and failures.md exist, and the examples run."""

from __future__ import annotations

import ast
import importlib.resources
import re
import subprocess
import sys
import zipfile
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinFileError, PinnedSSLContext, PinSet
from tests.documentation._blocks import Block, blocks

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

    page = (ROOT / "docs/guides/updater.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([\w-]+)`", page, re.MULTILINE))
    wanted = {*get_args(UpdateState), *get_args(What)}
    assert named >= wanted, wanted - named
    for kind in (Timing, Limits):
        described = (getdoc(kind) or "").partition("Attributes:")[2].partition("Raises:")[0]
        assert re.findall(r"(?m)^    (\w+): ", described) == [*vars(kind())]
    assert "../examples/updates/follow.py" in page


def test_the_documentation_names_every_reason_and_no_other() -> None:
    """The table in failures.md lists exactly the reasons that the client's errors have.

    A reason is a word for programs, such as ``rollback``.
    """
    given: set[str] = set()
    for path in (ROOT / "packages/certpin/src/certpin/updates").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                given |= _reasons(node)
    page = (ROOT / "docs/guides/failures.md").read_text(encoding="utf-8")
    section = page.partition("## Updates\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([\w-]+)`", section, re.MULTILINE)) == given


def _reasons(call: ast.Call) -> set[str]:
    if ast.unparse(call.func) == "_Explanation":
        return {ast.literal_eval(call.args[0])}
    named = [each.value for each in call.keywords if each.arg == "reason"]
    return {str(each.value) for each in named if isinstance(each, ast.Constant)}


def _python(page: list[Block], world: World) -> str:
    """Return the first Python block of a page, with the test's server and folder filled in."""
    text = next(block.text for block in page if block.language == "python")
    for written, real in (
        ("https://pins.bank.example/app/", world.server.url),
        ("/var/lib/bank-app/pins", str(world.cache)),
    ):
        assert written in text
        text = text.replace(written, real)
    return text


@pytest.mark.slow
def test_the_app_of_the_updater_page_gets_a_newer_set(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pins.toml").write_text(world.text(1), encoding="utf-8")
    (tmp_path / "root.json").write_bytes(world.repository.first_root)
    names: dict[str, Any] = {}
    exec(_python(blocks("guides/updater.md"), world), names)
    with names["updater"] as updater:
        assert updater.refresh().version == 2
        answer = names["client"].get(f"{world.server.url}metadata/1.root.json")
        assert answer.status_code == 200
        names["client"].close()


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [False, True])
def test_the_app_of_the_updates_page_has_its_files_in_its_package(
    zipped: bool, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "__init__.py": b"",
        "pins.toml": world.text(1).encode(),
        "1.root.json": world.repository.first_root,
    }
    monkeypatch.syspath_prepend(_app(tmp_path, files, zipped=zipped))
    names: dict[str, Any] = {}
    exec(_python(blocks("guides/updates.md"), world), names)
    sys.modules.pop("bank_app", None)
    with names["updater"] as updater:
        assert updater.refresh().version == 2


@pytest.mark.since_python("3.12")
def test_a_zipapp_extracts_the_folder_for_the_files_that_its_pin_file_names(
    world: World, trusted_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = world.text(1).replace("[[host]]", '[[host]]\ntrust = "root.pem"', 1)
    files = {"__init__.py": b"", "pins.toml": text.encode(), "root.pem": trusted_root.read_bytes()}
    monkeypatch.syspath_prepend(_app(tmp_path, files, zipped=True))
    here = importlib.resources.files("bank_app")
    sys.modules.pop("bank_app", None)
    with (
        importlib.resources.as_file(here / "pins.toml") as file,
        pytest.raises(PinFileError, match=r"root\.pem"),
    ):
        PinSet.load(file)
    with importlib.resources.as_file(here) as folder:
        pins = PinSet.load(folder / "pins.toml")
    PinnedSSLContext(pins)


def _app(folder: Path, files: dict[str, bytes], *, zipped: bool) -> str:
    """Write the package ``bank_app`` into a folder or an archive, and return the latter's path."""
    if zipped:
        with zipfile.ZipFile(folder / "app.pyz", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"bank_app/{name}", content)
        return str(folder / "app.pyz")
    (folder / "bank_app").mkdir()
    for name, content in files.items():
        (folder / "bank_app" / name).write_bytes(content)
    return str(folder)
