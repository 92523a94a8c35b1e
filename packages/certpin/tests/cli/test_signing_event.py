"""The signing of a version by two owners in their clones, a bare repository and a CI script."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from certpin.errors import ConfigError
from certpin.lab import Authority as LabAuthority
from certpin.lab.ct_log import LabLog, log_list
from certpin.pinfile import PinSet
from certpin.pins import utc_now
from certpin.publish.event import (
    Commit,
    FileChange,
    SigningEvent,
    require_event,
    require_valid,
)
from certpin.rotation import Event
from certpin.rotation.journal import format_event
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.publish._firm import Client, Firm, ident, key

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Run

ROOT = Path(__file__).parents[4]
SCRIPT = ROOT / "examples/ci/signing.sh"
HOST = "api.bank.example"
BRANCH = "sign/bank-3-1"
KEY_ID = "a" * 64
SIGNATURE = FileChange(f"publish/drafts/targets.{KEY_ID}.json", None, b"{}")
PUSH = format_event(Event(utc_now(), "eve", "push", version=3)).encode()
# The program certpin on a machine that may read the destination, and not write to it.
READ_ONLY = f"""#!{sys.executable}
from certpin.cli.main import main
from certpin.publish.storage import FolderStorage

def refuse(*_):
    raise PermissionError(13, "Permission denied")

FolderStorage.write = refuse
main()
"""
PINS = FileChange("pins.toml", b"version = 3", b"version = 4")


@dataclass
class Team:
    """The clones of one repository, with the signing keys of their owners.

    Attributes:
        run: runs a certpin command.
        here: the folder with the repository, the clones and the keys.
        monkeypatch: changes the current folder.
    """

    run: Run
    here: Path
    monkeypatch: pytest.MonkeyPatch

    def key(self, name: str) -> Path:
        return self.here / "keys" / f"{name}.key"

    def at(self, name: str) -> Path:
        """Change to this person's clone, which is made if it doesn't exist. Return its path."""
        clone = self.here / name
        if not clone.exists():
            self.git("clone", "--quiet", str(self.here / "origin.git"), str(clone), at=self.here)
        self.monkeypatch.chdir(clone)
        return clone

    def git(self, *words: str, at: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *words], cwd=at, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def sign(self, name: str, branch: str = BRANCH) -> None:
        """Sign a branch in this person's clone, and push it.

        The commands are those in the help of ``certpin publish propose``.
        """
        self.at(name)
        self.git("fetch", "--quiet")
        self.git("switch", "--quiet", branch)
        done = self.run("publish", "sign", self.key(name))
        assert done.code == 0, done.err
        self.git("add", "publish")
        self.git("commit", "--quiet", "--message", "Sign")
        self.git("push", "--quiet")

    def ci(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the CI's script with these arguments, in the clone of the CI.

        A program ``certpin`` in the folder ``bin`` takes the place of the real one.
        """
        folders = [str(self.here / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = {
            **os.environ,
            "PATH": os.pathsep.join(folders),
            "CERTPIN_ONLINE_KEY": str(self.key("online")),
        }
        return subprocess.run(
            [SCRIPT, *words],
            cwd=self.at("ci"),
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def commit(self, name: str, path: str, content: str, branch: str = BRANCH) -> None:
        """Commit a changed file on a branch, and push it."""
        clone = self.at(name)
        self.git("fetch", "--quiet")
        self.git("switch", "--quiet", branch)
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(content, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "More")
        self.git("push", "--quiet")

    def follow(self) -> int:
        """Return the version of the pin set that a client has after it fetched from the site."""
        shutil.copytree(self.here / "www", self.here / "web/publish/site")
        return Client(Firm(self.here / "web", utc_now()), self.here / "client").follow()


@pytest.fixture
def team(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    """Return two owners after the first root was signed. The targets keys of both are needed."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "tests")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tests@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    made = Team(run, tmp_path, monkeypatch)
    made.git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "origin.git"))
    (tmp_path / "keys").mkdir()
    made.at("alice")
    write(kit.policy(HOST))
    (tmp_path / "www").mkdir()
    words: list[str | Path] = ["--root-key", made.key("root"), "--online-key", made.key("online")]
    for name in ("alice", "bob"):
        words += ["--targets-key", made.key(name)]
    done = run(
        *("publish", "init", *words, "--targets-threshold", "2", "--url", str(tmp_path / "www"))
    )
    assert done.code == 0, done.err
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Begin")
    made.git("push", "--quiet", "origin", "HEAD:main")
    return made


def proposed(team: Team) -> Done:
    """Run ``certpin publish propose`` in the first owner's clone, and return its result."""
    team.at("alice")
    done = team.run("publish", "propose", "--offline", team.key("alice"), "--json")
    assert done.code == 0, done.err
    return done


def published(team: Team) -> str:
    """Publish version 3 with the signatures of both, and return the pin file of the main branch.

    The working folder is then alice's clone, at the main branch.
    """
    proposed(team)
    team.sign("bob")
    assert team.ci("merge", BRANCH).returncode == 0
    team.at("alice")
    team.git("fetch", "--quiet")
    team.git("switch", "--quiet", "--detach", "origin/main")
    return Path("pins.toml").read_text(encoding="utf-8")


def review(team: Team, *words: str) -> tuple[int, dict[str, Any]]:
    """Run ``certpin publish review`` of the proposed branch in the CI's clone.

    Returns:
        The exit code, and the JSON data, which must be as documented.
    """
    team.at("ci")
    team.git("fetch", "--quiet")
    done = team.run("publish", "review", "origin/main", f"origin/{BRANCH}", *words, "--json")
    _documented.check("publish review", done.json)
    return done.code, done.json


@pytest.mark.slow
def test_the_fix_of_a_refused_branch_names_the_pin_file(team: Team) -> None:
    """The branch is no proposal: the fix has the command that makes one."""
    team.at("alice")
    team.git("mv", "pins.toml", "live.toml")
    team.git("commit", "--quiet", "--message", "Rename")
    text = Path("live.toml").read_text(encoding="utf-8")
    Path("live.toml").write_text(text.replace("version = 3", "version = 4"), encoding="utf-8")
    team.git("commit", "--quiet", "--all", "--message", "Edit")
    words = ("publish", "review", "HEAD~", "HEAD", "--file", "live.toml")
    command = "certpin publish propose --file live.toml"
    assert command in run_refused(team, *words).out
    assert command in run_refused(team, *words, "--json").json["fix"]


def run_refused(team: Team, *words: str) -> Done:
    done = team.run(*words)
    assert done.code == 1, done.err
    return done


@pytest.mark.slow
def test_a_version_is_proposed_signed_merged_and_delivered(team: Team) -> None:
    done = proposed(team)
    _documented.check("publish propose", done.json)
    assert (done.json["branch"], done.json["remote"]) == (BRANCH, "origin")
    assert [(wait["role"], wait["missing"]) for wait in done.json["waits"]] == [("targets", 1)]
    code, facts = review(team, "--complete")
    assert (code, facts["accepted"], facts["complete"]) == (1, True, False)
    assert review(team)[0] == 0
    refused = team.ci("merge", BRANCH)
    assert refused.returncode == 1, refused.stderr
    team.sign("bob")
    code, facts = review(team, "--complete")
    assert (code, facts["complete"], len(facts["signed"])) == (0, True, 2)
    assert set(facts["files"]) == {"pins.journal.jsonl", "publish/drafts/targets.json"}
    merged = team.ci("merge", BRANCH)
    assert merged.returncode == 0, merged.stdout + merged.stderr
    clone = team.at("alice")
    team.git("fetch", "--quiet", "--prune")
    assert team.git("branch", "--remotes", "--list", f"origin/{BRANCH}") == ""
    team.git("switch", "--quiet", "main")
    team.git("merge", "--quiet", "--ff-only", "origin/main")
    assert '"step": "push"' in (clone / "pins.journal.jsonl").read_text(encoding="utf-8")
    assert team.run("publish", "status").code == 0
    assert not list((clone / "publish/drafts").glob("*"))
    assert team.follow() == 3


@pytest.mark.slow
def test_two_people_sign_in_their_clones_without_a_branch(team: Team) -> None:
    """As in "Several people" of docs/guides/updates.md, with its line in ``.gitattributes``."""
    page = (ROOT / "docs/guides/updates.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if "merge=union" in line]
    clone = team.at("alice")
    (clone / ".gitattributes").write_text(line + "\n", encoding="utf-8")
    team.git("add", "--all")
    team.git("commit", "--quiet", "--message", "Attributes")
    team.git("push", "--quiet", "origin", "HEAD:main")
    for name in ("alice", "bob"):
        team.at(name)
    for name in ("alice", "bob"):
        team.at(name)
        assert team.run("publish", "sign", "--offline", team.key(name)).code == 0
        team.git("add", "--all")
        team.git("commit", "--quiet", "--message", "Sign")
    team.git("pull", "--quiet", "--no-rebase", str(team.here / "alice"), "HEAD")
    done = team.run("publish", "sign", team.key("online"), "--json")
    assert (done.code, done.json["version"]) == (0, 3), done.err


@pytest.mark.slow
def test_a_version_too_far_ahead_is_refused(team: Team) -> None:
    """Another tool has recorded the version: `propose` refuses it, too."""
    proposed(team)
    team.sign("bob")
    assert team.ci("merge", BRANCH).returncode == 0
    clone = team.at("alice")
    team.git("switch", "--quiet", "main")
    team.git("pull", "--quiet")
    text = (clone / "pins.toml").read_text(encoding="utf-8")
    (clone / "pins.toml").write_text(text.replace("version = 3", "version = 20261201"))
    done = team.run("publish", "propose", "--offline", team.key("alice"))
    assert (done.code, "more than 1000 above version 3" in " ".join(done.err.split())) == (2, True)
    pins = PinSet.load(clone / "pins.toml")
    record = Event(utc_now(), "eve", "publish", version=pins.version, pins=pins, signed=True)
    with (clone / "pins.journal.jsonl").open("a", encoding="utf-8") as journal:
        journal.write(format_event(record))
    team.git("switch", "--quiet", "--create", "far")
    team.git("commit", "--quiet", "--all", "--message", "Far")
    done = team.run("publish", "review", "main", "far", "--json")
    assert (done.code, done.json["accepted"]) == (1, False)
    assert "more than 1000 above version 3" in done.json["problem"]


@pytest.mark.slow
def test_a_timestamp_of_ci_does_not_stop_a_signing_event(team: Team) -> None:
    text = published(team).replace("version = 3", "version = 4")
    Path("pins.toml").write_text(text, encoding="utf-8")
    assert team.run("publish", "propose", "--offline", team.key("alice")).code == 0
    renewed = team.ci("renew")
    assert renewed.returncode == 0, renewed.stderr
    assert "Nothing has to be signed" in renewed.stdout
    team.sign("bob", "sign/bank-4-2")
    merged = team.ci("merge", "sign/bank-4-2")
    assert merged.returncode == 0, merged.stdout + merged.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("README.md", "README.md, which is no part of a proposal"),
        ("publish/publish.toml", "publish/publish.toml, which is no part"),
        ("publish/site/metadata/timestamp.json", "timestamp.json, which is no part"),
        (".github/workflows/evil.yml", "evil.yml, which is no part"),
    ],
)
def test_a_branch_that_changes_anything_else_is_refused(team: Team, path: str, said: str) -> None:
    team.at("alice")
    assert team.run("publish", "propose", "--offline").code == 0
    team.commit("bob", path, "# changed\n")
    code, facts = review(team)
    assert (code, facts["accepted"]) == (1, False)
    assert said in facts["problem"]
    refused = team.ci("merge", BRANCH)
    assert refused.returncode == 1
    assert "push" not in team.git("log", "--format=%s", "origin/main")


@pytest.mark.slow
def test_a_proposal_that_changes_after_a_signature_is_refused(team: Team) -> None:
    proposed(team)
    team.sign("bob")
    team.commit("bob", "pins.toml", "schema = 1\n")
    code, facts = review(team)
    assert code == 1
    assert "changes pins.toml after the first signature" in facts["problem"]


@pytest.mark.slow
def test_a_signature_by_another_key_is_refused(team: Team) -> None:
    proposed(team)
    (own,) = (team.at("alice") / "publish/drafts").glob("targets.*.json")
    forged = own.read_text(encoding="utf-8").replace(own.name.split(".")[1], KEY_ID)
    team.commit("bob", f"publish/drafts/targets.{KEY_ID}.json", forged)
    code, facts = review(team)
    assert code == 1
    assert "no valid signature" in facts["problem"]


@pytest.mark.slow
def test_a_signing_event_goes_on_after_a_signer_has_left(team: Team) -> None:
    text = published(team)

    def changed(*words: str | Path) -> None:
        team.git("switch", "--quiet", "--detach", "origin/main")
        added = team.run("publish", "add-key", *words, "--role", "targets")
        assert added.code == 0, added.err
        assert team.run("publish", "sign", team.key("root"), team.key("online")).code == 0
        team.git("add", "--all")
        team.git("commit", "--quiet", "--message", "Change a key")
        team.git("push", "--quiet", "origin", "HEAD:main")

    changed(team.key("carol"))
    Path("pins.toml").write_text(text.replace("version = 3", "version = 4"), encoding="utf-8")
    done = team.run("publish", "propose", "--offline", team.key("carol"), "--json")
    assert (done.code, done.json["branch"]) == (0, "sign/bank-4-2"), done.err
    (signature,) = Path("publish/drafts").glob("targets.*.json")
    changed(team.key("dave"), "--replace", signature.name.split(".")[1])
    reviewed = team.ci("review", "sign/bank-4-2")
    assert reviewed.returncode == 0, reviewed.stdout
    said = " ".join(reviewed.stdout.split())
    assert "which the newest root has replaced: it does not count" in said
    assert "targets 2 waits for 2 of these keys" in said
    for name in ("alice", "bob"):
        team.sign(name, "sign/bank-4-2")
    merged = team.ci("merge", "sign/bank-4-2")
    assert merged.returncode == 0, merged.stdout + merged.stderr
    assert team.follow() == 4


@pytest.mark.slow
def test_pins_that_the_journal_does_not_have_are_refused(team: Team) -> None:
    """The draft's pins are not those that the gate checked when the version was recorded."""
    team.at("alice")
    assert team.run("publish", "propose", "--offline").code == 0
    text = (team.at("bob") / "pins.toml").read_text(encoding="utf-8")
    team.commit("bob", "pins.toml", text.replace("enforce", "report"))
    code, facts = review(team)
    assert code == 1
    assert "is not version 3 as it was recorded" in facts["problem"]


@pytest.mark.slow
def test_pins_that_no_draft_has_are_refused(team: Team) -> None:
    """A branch with a new root also changes the pins under their old number, which no one signs."""
    proposed(team)
    team.sign("bob")
    assert team.ci("merge", BRANCH).returncode == 0
    clone = team.at("alice")
    team.git("fetch", "--quiet")
    team.git("switch", "--quiet", "--create", "sign/root", "origin/main")
    done = team.run("publish", "add-key", team.key("cleo"), "--role", "root")
    assert done.code == 0, done.err
    text = (clone / "pins.toml").read_text(encoding="utf-8")
    (clone / "pins.toml").write_text(text.replace("enforce", "report"), encoding="utf-8")
    team.git("add", "publish", "pins.toml")
    team.git("commit", "--quiet", "--message", "A new root")
    done = team.run("publish", "review", "origin/main", "--json")
    assert (done.code, done.json["accepted"]) == (1, False)
    assert "changes pins.toml, and no draft has its content" in done.json["problem"]
    team.git("checkout", "--quiet", "HEAD~", "--", "pins.toml")
    team.git("commit", "--quiet", "--amend", "--message", "A new root")
    assert team.run("publish", "review", "origin/main").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(".github/workflows/pins.pem", "publish/publish.toml", "publish/own.pem"),
        *("requirements.txt", "package.json"),
    ],
)
def test_a_branch_does_not_choose_its_trust_files(team: Team, name: str) -> None:
    """The branch's pin file names another file as trust anchors; a certificate was added to it."""
    clone = team.at("alice")
    text = Path("pins.toml").read_text(encoding="utf-8")
    named = text.replace("[[host.pin]]", f'trust = "{name}"\n[[host.pin]]', 1)
    Path("pins.toml").write_text(named, encoding="utf-8")
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    before = (clone / name).read_bytes() if (clone / name).exists() else b""
    (clone / name).write_bytes(before + LabAuthority("Any Root").pem)
    if name == "publish/publish.toml":
        settings = before.decode() + "".join(
            f"# {line}\n" for line in LabAuthority("Any Root").pem.decode().splitlines()
        )
        (clone / name).write_text(settings, encoding="utf-8")
    team.git("switch", "--quiet", "--create", BRANCH)
    team.git("add", "--all")
    team.git("commit", "--quiet", "--message", "Trust")
    team.git("push", "--quiet", "--set-upstream", "origin", BRANCH)
    code, facts = review(team)
    assert code == 1
    assert f"changes {name}, which is no part of a proposal" in facts["problem"]


@pytest.mark.slow
def test_new_trust_anchors_are_proposed_with_the_pins_that_name_them(team: Team) -> None:
    team.at("alice")
    Path("ca.pem").write_bytes(LabAuthority("Bank Root").pem)
    text = Path("pins.toml").read_text(encoding="utf-8")
    named = text.replace("[[host.pin]]", 'trust = "ca.pem"\n[[host.pin]]', 1)
    Path("pins.toml").write_text(named, encoding="utf-8")
    assert team.run("publish", "propose", team.key("alice"), "--offline").code == 0
    code, facts = review(team)
    assert (code, facts["problem"]) == (0, None)
    assert "ca.pem" in facts["files"]
    team.git("switch", "--quiet", "--create", "more", f"origin/{BRANCH}")
    team.git("reset", "--quiet", "--soft", "origin/main")
    Path("more.pem").write_bytes(LabAuthority("Other Root").pem)
    team.git("add", "--all")
    team.git("commit", "--quiet", "--message", "More")
    done = team.run("publish", "review", "origin/main", "more", "--json")
    assert done.code == 1
    assert "more.pem, which the pin file doesn't name" in done.json["problem"]


@pytest.mark.slow
def test_a_new_list_of_logs_is_proposed_with_the_pins_that_name_it(team: Team) -> None:
    team.at("alice")
    logs = log_list([LabLog.make("Log A")], datetime(2027, 1, 1, tzinfo=UTC))
    Path("log_list.json").write_text(json.dumps(logs.to_json()), encoding="utf-8")
    text = Path("pins.toml").read_text(encoding="utf-8")
    named = text.replace("version = ", 'ct_logs = "log_list.json"\nversion = ', 1)
    named = named.replace("[[host.pin]]", "require_ct = true\n[[host.pin]]", 1)
    Path("pins.toml").write_text(named, encoding="utf-8")
    assert team.run("publish", "propose", team.key("alice"), "--offline").code == 0
    code, facts = review(team)
    assert (code, facts["problem"]) == (0, None)
    assert "log_list.json" in facts["files"]


@pytest.mark.slow
def test_a_branch_with_only_a_stale_draft_is_refused(team: Team) -> None:
    """The draft has metadata that was published already, so that there is nothing to sign."""
    proposed(team)
    drafted = (team.at("alice") / "publish/drafts/targets.json").read_bytes()
    team.sign("bob")
    assert team.ci("merge", BRANCH).returncode == 0
    clone = team.at("alice")
    team.git("fetch", "--quiet")
    team.git("switch", "--quiet", "--create", "sign/stale", "origin/main")
    (clone / "publish/drafts").mkdir(exist_ok=True)
    (clone / "publish/drafts/targets.json").write_bytes(drafted)
    team.git("add", "publish")
    team.git("commit", "--quiet", "--message", "Stale")
    done = team.run("publish", "review", "origin/main", "--complete", "--json")
    assert (done.code, done.json["accepted"]) == (1, False)
    assert "no draft to sign" in done.json["problem"]


@pytest.mark.slow
def test_a_branch_that_conflicts_with_its_base_is_refused(team: Team) -> None:
    proposed(team)
    clone = team.at("alice")
    team.git("switch", "--quiet", "--create", "changed", "origin/main")
    pins, journal = clone / "pins.toml", clone / "pins.journal.jsonl"
    pins.write_text(pins.read_text(encoding="utf-8").replace("version = 3", "version = 4"))
    journal.write_text("a line that another branch has added\n", encoding="utf-8")
    team.git("add", "--all")
    team.git("commit", "--quiet", "--message", "Another change")
    team.git("push", "--quiet", "origin", "HEAD:main")
    code, facts = review(team)
    assert (code, facts["accepted"]) == (1, False)
    assert facts["problem"] == "the branch conflicts with its base in pins.journal.jsonl"
    assert "git rebase" in facts["fix"]
    refused = team.ci("review", BRANCH)
    assert refused.returncode == 1
    assert "conflicts with its base" in " ".join(refused.stdout.split())


@pytest.mark.slow
def test_a_branch_is_not_checked_out_before_its_commits_are_accepted(
    team: Team, tmp_path: Path
) -> None:
    proposed(team)
    clone = team.at("alice")
    (clone / "pins.toml").unlink()
    (clone / "pins.toml").symlink_to(tmp_path / "keys/online.key")
    team.git("commit", "--quiet", "--all", "--message", "A link")
    team.git("push", "--quiet")
    opened: list[Path] = []
    load = PinSet.load

    def record(path: Path) -> PinSet:
        opened.append(Path(path).resolve())
        return load(path)

    team.monkeypatch.setattr(PinSet, "load", staticmethod(record))
    code, facts = review(team)
    assert code == 1
    assert "makes pins.toml a link" in facts["problem"]
    assert [path for path in opened if path.suffix == ".key"] == []


@pytest.mark.slow
def test_a_review_needs_no_git_identity(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    proposed(team)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    monkeypatch.setenv("HOME", str(team.here))
    assert review(team)[0] == 0


@pytest.mark.slow
def test_an_open_event_is_not_proposed_again(team: Team) -> None:
    proposed(team)
    team.at("bob")
    done = team.run("publish", "propose", "--offline", "--json")
    assert (done.code, done.json["branch"]) == (0, BRANCH)
    assert team.git("status", "--porcelain") == ""
    said = team.run("publish", "propose", "--offline")
    assert "open already" in said.out


@pytest.mark.slow
def test_a_merge_continues_after_a_failed_delivery(team: Team) -> None:
    proposed(team)
    team.sign("bob")
    (team.here / "www").rename(team.here / "away")
    (team.here / "www").write_text("not a folder")
    assert team.ci("merge", BRANCH).returncode != 0
    (team.here / "www").unlink()
    (team.here / "away").rename(team.here / "www")
    again = team.ci("merge", BRANCH)
    assert again.returncode == 0, again.stdout + again.stderr
    assert team.follow() == 3


@pytest.mark.slow
def test_ci_proposes_again_before_signatures_expire(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed(team)
    team.sign("bob")
    assert team.ci("merge", BRANCH).returncode == 0
    now = utc_now() + timedelta(days=65)  # targets live 90 days
    monkeypatch.setattr("certpin.pins.utc_now", lambda: now)
    team.at("ci")
    team.git("fetch", "--quiet")
    team.git("switch", "--quiet", "--detach", "origin/main")
    assert team.run("publish", "sign", team.key("online")).code == 0
    done = team.run("publish", "propose", "--offline", "--json")
    assert (done.code, done.json["branch"]) == (0, "sign/bank-3-2")
    assert [wait["missing"] for wait in done.json["waits"]] == [2]


def delivered_before(team: Team, *, days: int) -> None:
    """Sign, push and commit version 3 in alice's clone, with a clock that is some days behind."""
    team.at("alice")
    past = utc_now() - timedelta(days=days)
    with team.monkeypatch.context() as patched:
        patched.setattr("certpin.pins.utc_now", lambda: past)
        keys = [team.key(name) for name in ("alice", "bob", "online")]
        assert team.run("publish", "sign", "--offline", *keys).code == 0
        assert team.run("publish", "push").code == 0
    team.git("add", "--all")
    team.git("commit", "--quiet", "--message", "Sign")
    team.git("push", "--quiet", "origin", "HEAD:main")


def sign_and_merge(team: Team, branch: str) -> None:
    """Let both owners sign the drafts of a branch, and CI merge it."""
    for name in ("alice", "bob"):
        team.sign(name, branch)
    merged = team.ci("merge", branch)
    assert merged.returncode == 0, merged.stdout + merged.stderr


@pytest.mark.slow
def test_ci_proposes_also_after_signatures_have_expired(team: Team) -> None:
    """No timestamp can be signed before new targets are: the job fails, and begins their event."""
    delivered_before(team, days=100)  # targets live 90 days
    main = team.git("rev-parse", "origin/main")
    renewed = team.ci("renew")
    assert renewed.returncode == 2, renewed.stdout + renewed.stderr
    assert "past its date" in " ".join(renewed.stderr.split())
    branch = "sign/bank-3-2"
    assert f"on the branch {branch}" in renewed.stdout
    assert team.git("rev-parse", "origin/main") == main
    sign_and_merge(team, branch)
    assert team.ci("renew").returncode == 0
    assert team.follow() == 3


@pytest.mark.slow
def test_a_proposal_has_no_record_of_a_failed_delivery(team: Team) -> None:
    """`push` records that clients could not fetch the pins before it uploads; review refuses it."""
    delivered_before(team, days=65)  # targets live 90 days, the timestamp 3
    (team.here / "bin").mkdir()
    (team.here / "bin/certpin").write_text(READ_ONLY, encoding="utf-8")
    (team.here / "bin/certpin").chmod(0o755)
    renewed = team.ci("renew")
    assert renewed.returncode != 0
    assert "Permission denied" in renewed.stderr
    branch = "sign/bank-3-2"
    assert f"on the branch {branch}" in renewed.stdout
    assert team.git("diff", "--name-only", "origin/main", f"origin/{branch}").split() == [
        "publish/drafts/targets.json"
    ]
    (team.here / "bin/certpin").unlink()
    sign_and_merge(team, branch)
    assert team.follow() == 3


@pytest.mark.slow
def test_a_renewal_that_is_not_delivered_fails(team: Team) -> None:
    """Its steps end at the first failure, and nothing unpushed is in the branch of a proposal."""
    published(team)
    (team.here / "www").rename(team.here / "away")
    (team.here / "www").write_text("not a folder")
    renewed = team.ci("renew")
    assert renewed.returncode == 2, renewed.stderr
    assert "Nothing has to be signed" in renewed.stdout
    assert "Record that" not in team.git("log", "-1", "--format=%s", "origin/main")


def test_a_refused_version_is_not_proposed(team: Team) -> None:
    """The pins of the version have expired."""
    team.at("alice")
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(
        text.replace("[[host.pin]]", "expires = 2020-01-01\n[[host.pin]]", 1), encoding="utf-8"
    )
    before = Path("pins.toml").read_bytes()
    done = team.run("publish", "propose", "--offline", "--json")
    _documented.check("publish propose", done.json)
    assert (done.code, done.json["branch"]) == (1, None)
    assert [breach["invariant"] for breach in done.json["breaches"]] == ["expiry"]
    assert (Path("pins.toml").read_bytes(), Path("pins.journal.jsonl").exists()) == (before, False)
    assert team.git("branch", "--list", "sign/*") == ""


@pytest.mark.slow
def test_an_edit_under_a_recorded_number_is_not_proposed(team: Team) -> None:
    text = published(team)
    edited = text.replace("[[host.pin]]", "expires = 2099-01-01\n[[host.pin]]", 1)
    Path("pins.toml").write_text(edited, encoding="utf-8")
    before = team.git("branch", "--list", "sign/*")
    for keys in ((), (team.key("bob"),)):
        done = team.run("publish", "propose", "--offline", *keys, "--json")
        _documented.check("publish propose", done.json)
        assert (done.code, done.json["branch"]) == (1, None)
        assert "write version = 4 into it" in " ".join(done.err.split())
    assert "Nothing was proposed." in team.run("publish", "propose", "--offline").out
    assert team.git("branch", "--list", "sign/*") == before


def test_a_failed_commit_leaves_no_branch(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.at("alice")
    hook = Path(".git/hooks/pre-commit")
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "")
    team.git("switch", "--quiet", "--detach", "origin/main")  # as in CI
    done = team.run("publish", "propose", "--offline")
    assert done.code == 2
    assert team.git("branch", "--list", "sign/*") == ""


@pytest.mark.parametrize(
    ("branch", "said"),
    [("main", "there is a branch main here already"), ("sign..x", "not a valid branch name")],
)
def test_nothing_is_recorded_for_a_branch_that_cannot_be_made(
    team: Team, branch: str, said: str
) -> None:
    team.at("alice")
    done = team.run("publish", "propose", "--offline", "--branch", branch)
    assert done.code == 2
    assert said in done.err
    assert team.git("status", "--porcelain") == ""


def test_a_proposal_is_not_signed_with_the_online_key(team: Team) -> None:
    """Signing would write the files for clients on the main branch, without a review."""
    team.at("alice")
    owners = [team.key("alice"), team.key("bob")]
    done = team.run("publish", "propose", "--offline", *owners, team.key("online"))
    assert (done.code, "online.key" in done.err, "leave it out" in done.err) == (2, True, True)
    assert team.git("status", "--porcelain") == ""
    done = team.run("publish", "propose", "--offline", *owners, "--json")
    assert (done.code, done.json["branch"], done.json["waits"]) == (0, BRANCH, [])
    assert team.git("status", "--porcelain") == ""


def test_nothing_is_proposed_before_the_first_root_is_signed(team: Team) -> None:
    clone = team.at("alice")
    (clone / "other").mkdir()
    team.monkeypatch.chdir(clone / "other")
    write(kit.policy(HOST))
    keys = ["--targets-key", "t.key", "--online-key", "o.key", "--root-threshold", "2"]
    Path("theirs.pub").write_bytes(key("theirs").public_key.keyval["public"].encode())
    done = team.run("publish", "init", "--root-key", "r.key", "--root-key", "theirs.pub", *keys)
    assert done.code == 0, done.err
    before = team.git("status", "--porcelain", "--untracked-files=all")
    for words in ((), ("r.key",), ("t.key",)):
        done = team.run("publish", "propose", "--offline", *words)
        assert (done.code, "first root is not signed" in done.err) == (2, True)
    assert team.git("status", "--porcelain", "--untracked-files=all") == before


def test_without_a_repository_its_absence_is_named(run: Run) -> None:
    write(kit.policy(HOST))
    done = run("publish", "review", "main")
    assert done.code == 2
    assert "not a git repository" in done.err


# The rules themselves, for commits that git would not make easily.


def refusal(*commits: Commit) -> str:
    with pytest.raises(ConfigError) as caught:
        require_event(commits, "pins.toml", "pins.journal.jsonl", ["ca.pem"])
    return caught.value.problem


@pytest.mark.parametrize(
    ("commit", "said"),
    [
        (Commit("c", 2, (PINS,)), "a merge"),
        (Commit("c", 0, (PINS,)), "a merge"),
        (Commit("c", 1, ()), "changes nothing"),
        (Commit("c", 1, (FileChange("pins.toml", b"", b"/etc/passwd", "120000"),)), "a link"),
        (Commit("c", 1, (FileChange("pins.toml", b"", b"", "160000"),)), "a link"),
        (Commit("c", 1, (FileChange("../pins.toml", b"", b"x"),)), "no part of a proposal"),
        (Commit("c", 1, (FileChange("other.pem", b"", b"x"),)), "no part of a proposal"),
        (Commit("c", 1, (FileChange(".other.pem", None, b"x"),)), "no part of a proposal"),
        (Commit("c", 1, (FileChange("publish/a.pem", None, b"x"),)), "no part of a proposal"),
        (Commit("c", 1, (FileChange("../a.pem", None, b"x"),)), "no part of a proposal"),
        (Commit("c", 1, (FileChange("pins.journal.jsonl", b"a\n", b"b\n"),)), "lines of"),
        (Commit("c", 1, (FileChange("pins.journal.jsonl", b"a\n", None),)), "lines of"),
        (Commit("c", 1, (FileChange("pins.journal.jsonl", b"a\n", b"a\nb\n"),)), "is no event"),
        (Commit("c", 1, (FileChange("pins.journal.jsonl", b"", PUSH),)), "records a push"),
        (Commit("c", 1, (FileChange("publish/drafts/timestamp.json", None, b"x"),)), "no part"),
    ],
)
def test_each_other_change_is_refused(commit: Commit, said: str) -> None:
    assert said in refusal(commit)


def test_signatures_of_several_keys_in_one_commit_are_refused() -> None:
    other = FileChange(f"publish/drafts/root.{'b' * 64}.json", None, b"{}")
    assert "several keys" in refusal(Commit("c", 1, (SIGNATURE, other)))


def test_a_signature_is_not_replaced_or_taken_away_after_the_first_one() -> None:
    first = Commit("a", 1, (PINS,))
    signed = Commit("b", 1, (SIGNATURE,))
    for after in (b"other", None):
        gone = FileChange(SIGNATURE.path, b"{}", after)
        assert "after the first signature" in refusal(first, signed, Commit("c", 1, (gone,)))


def test_a_proposal_may_have_the_files_of_trust_anchors_and_its_authors_signature() -> None:
    anchors = FileChange("ca.pem", None, b"x")
    line = Event(utc_now(), "anna", "ended", version=3)
    grown = FileChange("pins.journal.jsonl", b"a\n", f"a\n{format_event(line)}\n".encode())
    commits = (Commit("a", 1, (PINS, anchors)), Commit("b", 1, (grown, SIGNATURE)))
    event = require_event(commits, "pins.toml", "pins.journal.jsonl", ["ca.pem"])
    assert event.files == ("pins.toml", "ca.pem", "pins.journal.jsonl")
    assert event.signatures == (("targets", KEY_ID),)


def test_a_signature_of_a_replaced_key_is_accepted_and_does_not_count(tmp_path: Path) -> None:
    """A signer leaves while a branch is open, on which they have signed."""
    firm = Firm(tmp_path)
    firm.publish(1)
    firm.begin(targets=("ada", "bob", "cleo"), thresholds={"targets": 2})
    firm.sign("root", "bob", "cleo", "online")
    firm.publish(2)
    firm.sign("ada")
    opened = SigningEvent((), (("targets", ident("ada")),))
    assert require_valid(opened, firm.state) == opened
    firm.add_key("dora", "targets", "ada")
    firm.sign("root", "online")
    left = require_valid(opened, firm.state)
    assert (left.signatures, left.replaced) == ((), opened.signatures)
    assert firm.waiting == {("targets", 2, 2)}
    with pytest.raises(ConfigError, match="no valid signature"):
        require_valid(SigningEvent((), (("targets", ident("dora")),)), firm.state)
    firm.sign("cleo", "dora", "online")
    assert firm.drafts() == []
    assert Client(firm, tmp_path / "client").follow() == 2


def test_no_commit_is_no_signing_event() -> None:
    assert "no commit" in refusal()


@pytest.mark.parametrize("name", ["github-signing.yml", "gitlab-signing.yml"])
def test_both_templates_call_the_script(name: str) -> None:
    text = (ROOT / "examples/ci" / name).read_text(encoding="utf-8")
    yaml.safe_load(text)
    for step in ("review", "merge", "renew"):
        assert f"signing.sh {step}" in text
