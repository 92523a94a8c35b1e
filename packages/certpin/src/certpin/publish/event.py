"""Check that the commits of a git branch are a signing event, and change nothing else.

A signing event is a branch of the repository that has the pin file. It consists of a proposal (the
pin file, its trust files, new lines of the rotation journal, and *drafts*: TUF metadata without
enough signatures), then of signatures, each commit by one key. CI merges the branch without a
person who reads it, so everything else raises ``ConfigError``. In particular, ``site/`` and
``publish.toml`` may not change in the branch: CI writes ``site/``, and ``publish.toml`` needs a
separate review.

Pure functions: ``certpin.cli.publish.review`` reads the repository.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, JournalError
from certpin.publish.folder import DRAFTED, FOLDER, SIGNATURE
from certpin.publish.state import signers
from certpin.rotation.journal import parse_journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tuf.api.metadata import Metadata, Root

    from certpin.publish.signing_plan import SigningPlan
    from certpin.publish.state import FolderState

_REGULAR = "100644"  # the mode in git of a file that is neither a link nor a program
_SIGNATURE = re.compile(rf"{FOLDER}/drafts/{SIGNATURE.pattern}", re.ASCII)
_DRAFTS = frozenset(f"{FOLDER}/drafts/{role}.json" for role in DRAFTED)
_ANCHOR_SUFFIXES = {".pem", ".crt", ".cer"}
_LOG_LIST = "log_list.json"  # not every JSON file: many have a meaning for other programs


@dataclass(frozen=True)
class FileChange:
    """One file that a commit adds, changes or deletes.

    Attributes:
        path: the path relative to the folder of the pin file, with ``/`` as separator. The path of
            a file outside that folder begins with ``../``.
        before: the file's bytes in the commit before; ``None`` if the commit adds the file.
        after: the file's bytes in this commit; ``None`` if the commit deletes the file.
        mode: the file's mode in git in this commit, such as ``100644``.
    """

    path: str
    before: bytes | None
    after: bytes | None
    mode: str = _REGULAR

    @property
    def signature(self) -> tuple[str, str] | None:
        """The TUF role and the key ID if the file is a signature of draft metadata, or ``None``."""
        found = _SIGNATURE.fullmatch(self.path)
        return (found[1], found[2]) if found else None

    @property
    def only_signs(self) -> bool:
        """True if the commit adds the file, and the file is a signature of draft metadata.

        After the proposal, commits may contain only such changes.
        """
        return self.signature is not None and self.before is None and self.after is not None


@dataclass(frozen=True)
class Commit:
    """A commit of a git branch.

    Attributes:
        name: the commit's hash, for errors.
        parents: the number of parents; more than one for a merge.
        changes: the files that the commit changes.
    """

    name: str
    parents: int
    changes: tuple[FileChange, ...]


@dataclass(frozen=True)
class SigningEvent:
    """The files and signatures of a git branch in which several people sign a pin set.

    The first commits are the proposal: a new pin set, and TUF metadata that needs signatures. The
    later commits add signatures.

    Attributes:
        files: the paths of the proposal's files, from the folder of the pin file.
        signatures: the TUF role and the key ID of each signature, in the order of the commits.
        anchors: the paths in ``files`` of new files of certificates (trust anchors) and new lists
            of CT logs.
        replaced: those of the signatures that no longer count, because the newest root does not
            list their keys any more (``require_valid``).
    """

    files: tuple[str, ...]
    signatures: tuple[tuple[str, str], ...]
    anchors: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()


def require_event(
    commits: Sequence[Commit], pin_file: str, journal: str, trust_files: Iterable[str]
) -> SigningEvent:
    """Raise an error unless a branch is a proposal, followed by commits that add signatures.

    The proposal changes the pin file, trust files, rotation journal and drafts of TUF metadata. It
    can have several commits, which can contain signatures of its author. The first commit that only
    adds signatures ends the proposal: later commits must not change anything else, because they
    would replace signed content. A commit must not add signatures of several keys.

    Args:
        commits: all commits of the branch that its base branch lacks, the oldest first.
        pin_file: the name of the pin file, in its folder.
        journal: the name of the rotation journal beside the pin file.
        trust_files: the paths of the files that the base branch's pin file names (trust anchors,
            list of CT logs), from its folder. They are not read from the new branch, which must not
            choose which files may change.

    Returns:
        The files and signatures of the branch.

    Raises:
        ConfigError: a commit changes something else, is a merge or empty, adds signatures of
            several keys, or adds a link or a program. The error names the commit, and the file if
            it is about one file.

    Not checked: whether signatures are valid (``require_valid``), and who made a commit. An
    author's name in git is only text; a valid signature proves who has the key.
    """
    if not commits:
        raise _refused("the branch has no commit that its base lacks", "push the proposal first")
    for commit in commits:
        _require_plain(commit)
    proposal = frozenset({pin_file, *trust_files}) | _DRAFTS
    files: dict[str, None] = {}
    signatures: dict[tuple[str, str], None] = {}
    ended = False  # whether the proposal has ended
    for commit in commits:
        ended = ended or all(change.only_signs for change in commit.changes)
        for change in commit.changes:
            if ended and not change.only_signs:
                raise _refused(
                    f"commit {commit.name} changes {change.path} after the first signature",
                    "close this branch, and propose again: certpin publish propose",
                )
            if change.signature is None:
                _require_proposed(commit, change, proposal, journal)
                files[change.path] = None
            elif change.after is None:
                signatures.pop(change.signature, None)
            else:
                signatures[change.signature] = None
    anchors = [name for name in files if name != journal and name not in proposal]
    return SigningEvent(tuple(files), tuple(signatures), tuple(anchors))


def require_valid(event: SigningEvent, state: FolderState) -> SigningEvent:
    """Raise an error unless every signature of a signing event is valid for its draft.

    A new root can replace a key after it has signed a branch. Such a signature is accepted, because
    a branch can't be changed any more once it is signed. But it doesn't count: ``sign`` counts and
    publishes only those of keys that the newest root lists.

    Args:
        event: the signing event, from ``require_event``.
        state: the contents of the folder ``publish/`` after the last commit of the branch.

    Returns:
        The signing event, with the signatures that count, and the replaced ones apart.

    Raises:
        ConfigError: a signature is invalid, or no root lists its key for the role.
        PinFileError: a draft can't be read.
    """
    draft = state.draft("root")
    roots = [each for each in (draft.signed if draft else None, state.root) if each]
    counting, replaced = [], []
    for role, key in event.signatures:
        signed = state.draft(role)
        if signed is not None and _has_signed(key, signed, roots):
            counting.append((role, key))
        elif signed is not None and _has_signed(key, signed, state.roots):
            replaced.append((role, key))
        else:
            raise _refused(
                f"publish/drafts/{role}.{key}.json is no valid signature of that draft",
                "take it out with git rebase, and ask who made it",
            )
    return replace(event, signatures=tuple(counting), replaced=tuple(replaced))


def _has_signed(key: str, metadata: Metadata[Any], roots: Iterable[Root]) -> bool:
    """Return True if a root lists a key for the metadata's role, and the key has signed it validly.

    If no root does, the signature of the key doesn't count. ``key`` is the ID of the key, and
    ``roots`` are the roots to look in.
    """
    return any(key in signers(metadata, root) for root in roots)


def require_covered(event: SigningEvent, journal: str, plan: SigningPlan) -> None:
    """Raise an error unless a branch has a draft that covers the other files that it changes.

    A draft covers a file if it contains the file's hash. Not checked: a changed trust file that the
    new pin file no longer names.

    Args:
        event: the signing event, from ``require_event``.
        journal: the name of the rotation journal, which is not signed.
        plan: the signing plan for the files after the last commit of the branch, prepared without
            keys. It has the drafts. Metadata that is already in ``site/`` doesn't count as a draft.

    Raises:
        ConfigError: there is no draft; or the pin file or a trust file was changed, and no draft is
            for the content of the pin file; or a file was added that the pin file doesn't name.
    """
    if plan.root is None and plan.targets is None:
        raise _refused("the branch has no draft to sign", "certpin publish propose")
    changed = [name for name in event.files if name != journal and name not in _DRAFTS]
    drafted = plan.targets is not None and plan.content is plan.policy.offer
    if changed and not drafted:
        raise _refused(
            f"the branch changes {changed[0]}, and no draft has its content: no signature would "
            "cover it",
            "give the pin file the next version, and propose it: certpin publish propose",
        )
    content = plan.content.files if plan.content else {}
    for name in event.anchors:
        if name not in content:
            raise _refused(
                f"the branch adds {name}, which the pin file doesn't name",
                "name it as trust = FILE or ct_logs = FILE, or take it out of the branch",
            )


def _require_plain(commit: Commit) -> None:
    if commit.parents != 1:
        raise _refused(
            f"commit {commit.name} is a merge, which hides its changes",
            "bring the branch up to date with git rebase",
        )
    if not commit.changes:
        raise _refused(f"commit {commit.name} changes nothing", "take it out with git rebase")
    added = [change.signature for change in commit.changes if change.after is not None]
    if len({signature[1] for signature in added if signature}) > 1:
        raise _refused(
            f"commit {commit.name} adds signatures of several keys",
            "let the holder of each key commit their own signature",
        )
    for change in commit.changes:
        if change.after is not None and change.mode != _REGULAR:
            raise _refused(
                f"commit {commit.name} makes {change.path} a link or a program",
                "commit it as a regular file",
            )


def _require_proposed(
    commit: Commit, change: FileChange, proposal: frozenset[str], journal: str
) -> None:
    """Raise ``ConfigError`` if a commit that proposes a pin set must not change this file.

    Allowed are the rotation journal with new lines, the files with paths in ``proposal``, new trust
    files, and new lists of CT logs.
    """
    if change.path == journal:
        _require_appended(commit, change)
    elif change.path not in proposal and not _is_new_anchor(change):
        raise _refused(
            f"commit {commit.name} changes {change.path}, which is no part of a proposal",
            "take it out of the branch, and bring it in another way",
        )


def _require_appended(commit: Commit, change: FileChange) -> None:
    """Raise ``ConfigError`` unless a commit only appends lines to the rotation journal.

    ``change`` is the change of the journal by ``commit``. The journal is a file of JSON lines that
    lists key rotations and published pin sets, and no commit may remove them. A new line must not
    record a push, because CI records its pushes itself. Not checked: whether the new lines are
    true, which a reviewer of the branch decides.
    """
    before, after = change.before or b"", change.after
    if after is None or not after.startswith(before):
        raise _refused(
            f"commit {commit.name} changes or deletes lines of {change.path}",
            "restore them: the journal is append-only",
        )
    try:
        new = parse_journal(after[len(before) :].decode(), path=change.path)
    except (JournalError, UnicodeDecodeError) as exc:
        raise _refused(
            f"commit {commit.name} appends a line to {change.path} that is no event: {exc}",
            "take it out",
        ) from exc
    if any(event.step == "push" for event in new):
        raise _refused(
            f"commit {commit.name} records a push in {change.path}",
            "take it out: CI records what it has pushed",
        )


def _is_new_anchor(change: FileChange) -> bool:
    """Return True if a change adds a file of certificates, or a list of CT logs.

    Return False for a hidden file, and for a file in the folder ``publish``, which has other uses.

    Later, ``require_covered`` requires that the pin file names the added file.
    """
    path = PurePosixPath(change.path)
    hidden = any(part.startswith(".") for part in path.parts)
    suffix = path.suffix in _ANCHOR_SUFFIXES or path.name == _LOG_LIST
    return change.before is None and suffix and not hidden and path.parts[0] != "publish"


def _refused(problem: str, fix: str) -> ConfigError:
    return ConfigError(problem, key="branch", fix=fix)
