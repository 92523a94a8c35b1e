"""The git repository that contains the pin file: its commits, changes and branches.

Signing events (requests for signatures) are branches of the repository. Git objects may come from
an attacker, so their number and size are limited, replacements of objects (``refs/replace``) are
ignored, and no hook runs.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.publish.event import Commit, FileChange

# A proposal, and a signature of each signer: more is no signing event.
_MOST_COMMITS = 300
_MOST_FILES = 1000
_MOST_BYTES = 256 * 1024 * 1024  # as a journal may have (certpin.rotation.journal)
_NO_BLOB = re.compile(rb"0+")
_CHANGE = re.compile(rb":([0-7]{6}) ([0-7]{6}) ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [A-Z][0-9]*")
_SUBMODULE = "160000"
_MOST_NAMES = 5  # of files in an error
_SHORT = 12  # hexadecimal digits of a commit's name


class Repository:
    """The git repository that contains a pin file.

    Args:
        pin_file: the pin file.

    Raises:
        ConfigError: the pin file's folder is in no repository, or git is missing.
    """

    def __init__(self, pin_file: Path) -> None:
        self.pin_file = pin_file
        folder = pin_file.resolve().parent
        self._folder = folder
        self.top = Path(self.run("rev-parse", "--show-toplevel").strip())
        self._prefix = folder.relative_to(self.top).as_posix()

    def run(self, *words: str) -> str:
        """Run git with these arguments in the pin file's folder, and return the output of git.

        Raises:
            ConfigError: git fails. The error contains git's message.
        """
        return self._git(*words).decode(errors="replace")

    def commit_of(self, revision: str) -> str:
        """Return the hash of the commit that ``revision``, such as a branch or a tag, names.

        Raises:
            ConfigError: there is no such commit.
        """
        return self.run(
            "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"
        ).strip()

    def commits(self, base: str, head: str) -> list[Commit]:
        """Return the commits that a branch adds to its base, the oldest first.

        Args:
            base: the hash of the newest commit of the base.
            head: the hash of the newest commit of the branch.

        Raises:
            ConfigError: git fails, or the changes are too many or too large.
        """
        from certpin.publish.event import Commit

        listed = self.run("rev-list", "--reverse", "--topo-order", "--parents", f"{base}..{head}")
        lines = [line.split() for line in listed.splitlines()]
        if len(lines) > _MOST_COMMITS:
            raise ConfigError(f"the branch has more than {_MOST_COMMITS} commits", key="branch")
        budget = _MOST_BYTES
        found = []
        for name, *parents in lines:
            changes = self._changes(parents[0], name, budget) if len(parents) == 1 else ()
            budget -= sum(len(each.after or b"") + len(each.before or b"") for each in changes)
            found.append(Commit(name[:_SHORT], len(parents), changes))
        return found

    @contextmanager
    def checked_out(self, base: str, branch: str = "") -> Iterator[Path]:
        """Context manager: check a commit out into a temporary folder.

        Args:
            base: the commit.
            branch: a branch that is then merged into the folder, without a commit; empty for no
                merge.

        Yields:
            The path of the pin file in the temporary folder.

        Raises:
            ConfigError: the commit and the branch conflict.
        """
        with tempfile.TemporaryDirectory(prefix="certpin-") as temporary:
            folder = str(Path(temporary) / "checked-out")
            self.run("worktree", "add", "--quiet", "--detach", folder, base)
            try:
                if branch:
                    self._merge(folder, branch)
                yield Path(folder) / self._prefix / self.pin_file.name
            finally:
                self.run("worktree", "remove", "--force", folder)

    def _merge(self, folder: str, branch: str) -> None:
        # A merge wants a committer, although it makes no commit here.
        who = ("-c", "user.name=certpin", "-c", "user.email=certpin@localhost")
        try:
            self.run("-C", folder, *who, "merge", "--quiet", "--no-commit", "--no-ff", branch)
        except ConfigError as exc:
            unmerged = self.run("-C", folder, "diff", "--name-only", "--diff-filter=U").splitlines()
            if not unmerged:
                raise
            more = f" and {len(unmerged) - _MOST_NAMES} more" if len(unmerged) > _MOST_NAMES else ""
            raise ConfigError(
                f"the branch conflicts with its base in {', '.join(unmerged[:_MOST_NAMES])}{more}",
                key="branch",
                fix="rebase it (git rebase), or propose again: certpin publish propose",
            ) from exc

    def require_new(self, branch: str) -> None:
        """Require that a new branch can get this name.

        Raises:
            ConfigError: the name is invalid, or a branch already has it.
        """
        self.run("check-ref-format", "--branch", branch)
        if self.run("for-each-ref", f"refs/heads/{branch}"):
            raise ConfigError(
                f"there is a branch {branch} here already",
                key="branch",
                fix=f"switch to it, delete it (git branch -D {branch}), or name another: --branch",
            )

    def commit_on_branch(self, branch: str, paths: Sequence[Path], message: str) -> None:
        """Make a branch from the current commit, and commit these files on it as they are now.

        Args:
            branch: the name of the branch, as ``require_new`` accepts it.
            paths: the files.
            message: the message of the commit.

        Raises:
            ConfigError: git fails.
        """
        names = [str(path.resolve()) for path in paths]
        self.run("switch", "--quiet", "--create", branch)
        try:
            self.run("add", "--all", "--", *names)
            self.run("commit", "--quiet", "--message", message, "--only", "--", *names)
        except ConfigError:
            self.run("checkout", "--quiet", "-")  # also back to a detached HEAD
            self.run("branch", "--quiet", "--delete", "--force", branch)
            raise

    def _changes(self, parent: str, commit: str, budget: int) -> tuple[FileChange, ...]:
        raw = self._git(
            *("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-commit-id", "--full-index"),
            *(parent, commit),
        )
        parts = raw.split(b"\0")[:-1]
        if len(parts) > 2 * _MOST_FILES:
            raise ConfigError(
                f"commit {commit[:_SHORT]} changes more than {_MOST_FILES} files", key="branch"
            )
        changes = []
        for line, path in zip(parts[::2], parts[1::2], strict=True):
            change = self._change(line, path, budget)
            budget -= len(change.before or b"") + len(change.after or b"")
            changes.append(change)
        return tuple(changes)

    def _change(self, line: bytes, path: bytes, budget: int) -> FileChange:
        from certpin.publish.event import FileChange

        found = _CHANGE.fullmatch(line)
        if found is None:
            raise ConfigError("git printed an unknown line", key="branch", fix="update git")
        old_mode, mode, before, after = (part.decode() for part in found.groups())
        return FileChange(
            self._from_folder(path.decode(errors="replace")),
            self._blob(before, old_mode, budget),
            self._blob(after, mode, budget),
            mode,
        )

    def _from_folder(self, path: str) -> str:
        """Convert a path below the repository's top to one relative to the pin file's folder."""
        if self._prefix == ".":
            return path
        inside = path.removeprefix(f"{self._prefix}/")
        return inside if inside != path else f"../{path}"

    def _blob(self, name: str, mode: str, budget: int) -> bytes | None:
        """Return the bytes of a file in a commit; None if there is no file, empty for a submodule.

        Args:
            name: the hash of the content.
            mode: the mode of the file in git, which marks a submodule.
            budget: the largest allowed size in bytes.

        Raises:
            ConfigError: the content is larger than ``budget``.
        """
        if _NO_BLOB.fullmatch(name.encode()):
            return None
        if mode == _SUBMODULE:
            return b""
        if int(self.run("cat-file", "-s", name)) > budget:
            raise ConfigError(f"the branch has more than {_MOST_BYTES} bytes", key="branch")
        return self._git("cat-file", "blob", name)

    def _git(self, *words: str) -> bytes:
        own = ("--no-replace-objects", "-c", "core.hooksPath=/dev/null", "-C", str(self._folder))
        try:
            done = subprocess.run(["git", *own, *words], capture_output=True, check=False)
        except FileNotFoundError as exc:
            raise ConfigError("git is not installed", key="git", fix="install git") from exc
        if done.returncode:
            from certpin.support.text import printable

            output = done.stderr.strip() or done.stdout  # git prints conflicts to stdout
            said = printable(output.decode(errors="replace").strip()[:500])
            raise ConfigError(f"git {' '.join(words)[:80]}: {said}", key="git")
        return done.stdout
