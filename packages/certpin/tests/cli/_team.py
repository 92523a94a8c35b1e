"""A team of two signers: two clones of a bare repository, and the script that its CI runs.

The commands of git and of the CI are recorded separately from those that the two people type.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli._rotating import days_pass

if TYPE_CHECKING:
    import pytest

    from tests.cli.conftest import Done, Run

CI = """#!/bin/sh
set -eu
git pull --quiet
certpin publish sign
certpin publish push
git add --all
git diff --cached --quiet || git commit --quiet --message='signed and pushed'
git push --quiet
"""
# How the commands print one that comes next.
_PRINTED = re.compile(r"^(?:Next|Later|The other signers|From [^:]+:[^:]+ on):  (certpin .+)$")
_GIT = ("git", "-c", "user.email=tests@example.org")


def printed_commands(text: str) -> list[str]:
    """Return the certpin commands that a command's output prints as the user's next ones."""
    found = (_PRINTED.match(line) for line in text.splitlines())
    return [match[1] for match in found if match]


@dataclass
class Team:
    """Two signers, each with a clone of the repository and a signing key of their own.

    Attributes:
        run: runs a certpin command.
        here: the folder with the clones, the keys and the bare repository.
        monkeypatch: changes the current folder.
        sitting: the number of the current sitting: a period of work, which ends when days pass.
        typed: the certpin commands that the signers ran, each as (sitting, person, command).
        git: the git commands of the signers and of the CI.
    """

    run: Run
    here: Path
    monkeypatch: pytest.MonkeyPatch
    sitting: int = 1
    typed: list[tuple[int, str, str]] = field(default_factory=list)
    git: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Make the bare repository and the two other clones from the folder ``anna``."""
        self._git("anna", "init", "--quiet", "--initial-branch=main")
        (self.here / "anna/ci.sh").write_text(CI, encoding="utf-8")
        (self.here / "anna/.gitattributes").write_text("*.journal.jsonl merge=union\n")
        self._git("anna", "add", "--all")
        self._git("anna", "commit", "--quiet", "--message=pins")
        self._git(".", "clone", "--quiet", "--bare", "anna", "origin.git")
        self._git("anna", "remote", "add", "origin", "../origin.git")
        self._git("anna", "fetch", "--quiet")
        self._git("anna", "branch", "--quiet", "--set-upstream-to=origin/main")
        for name in ("bob", "ci"):
            self._git(".", "clone", "--quiet", "origin.git", name)

    def at(self, person: str) -> None:
        """Change the current folder to this person's clone."""
        self.monkeypatch.chdir(self.here / person)

    def types(self, person: str, command: str) -> Done:
        """Run a printed command line in the person's clone, with that person's key. Record it."""
        self.at(person)
        program, *words = shlex.split(command)
        assert program == "certpin"
        self.typed.append((self.sitting, person, command))
        return self.run(*words, **self._environment(person))

    def pulls(self, person: str) -> None:
        """Pull the commits of the other person and of CI into this person's clone."""
        self._git(person, "pull", "--quiet")

    def pushes(self, person: str, what: str, *, ci: bool = True) -> None:
        """Commit everything in the person's clone and push it.

        With ``ci``, also run the CI's script, and pull its commits. ``what`` is the commit message.
        """
        self._git(person, "add", "--all")
        self._git(person, "commit", "--quiet", f"--message={what}")
        self._git(person, "push", "--quiet")
        if ci:
            self._ci()
            self.pulls(person)

    def time_passes(self, days: float) -> None:
        """Begin a new sitting: move the journal's events ``days`` into the past, and push that."""
        self.pulls("anna")
        self.at("anna")
        days_pass(days)
        self._git("anna", "commit", "--quiet", "--all", "--message=time passes")
        self._git("anna", "push", "--quiet")
        self.sitting += 1

    def _ci(self) -> None:
        folder = str(Path(sys.executable).parent)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, **_committer("ci"), **self._environment("ci"), "PATH": path}
        done = subprocess.run(
            ["sh", "ci.sh"],
            cwd=self.here / "ci",
            env=env,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.git += [line for line in CI.splitlines() if line.startswith("git")]

    def _environment(self, person: str) -> dict[str, str]:
        return {"CERTPIN_SIGNING_KEYS": f"../{person}.key", "CERTPIN_WHO": person}

    def _git(self, where: str, *words: str) -> None:
        self.git.append(shlex.join(("git", *words)))
        subprocess.run(
            [*_GIT, *words],
            cwd=self.here / where,
            env={**os.environ, **_committer(where)},
            check=True,
            capture_output=True,
            timeout=60,
        )


def _committer(name: str) -> dict[str, str]:
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_COMMITTER_NAME": name,
        "GIT_AUTHOR_EMAIL": "tests@example.org",
        "GIT_COMMITTER_EMAIL": "tests@example.org",
    }
