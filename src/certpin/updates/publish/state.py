"""What a folder ``publish/`` holds, as far as it is to be believed: pure, over bytes.

Files in it were written by several people, and came by version control: they are hostile until the
client's own steps (``certpin.updates.trust``) find them good. A draft is only ever compared with
what it would have to be.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from securesystemslib.signer import Signature
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from certpin.errors import CertpinError, PinFileError
from certpin.updates import trust
from certpin.updates.publish.content import LIMITS
from certpin.updates.refusals import as_update_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from certpin.updates.trust import SignedSet


class FolderContents(NamedTuple):
    """What was read: bytes, not believed yet. ``taken`` are the names in ``site/metadata``.

    ``drafts`` are the drafts by their roles, or why one cannot be read, and ``signatures`` what was
    signed of each, by the id of the key.
    """

    roots: tuple[bytes, ...] = ()
    signed: trust.SignedMetadata | None = None
    files: Mapping[str, bytes] = {}
    taken: frozenset[str] = frozenset()
    drafts: Mapping[str, bytes | PinFileError] = {}
    signatures: Mapping[str, Mapping[str, bytes]] = {}


@dataclass(frozen=True)
class FolderState:
    """What is believed. ``current`` is ``None`` where no set was signed yet.

    It is ``superseded`` where the newest root does not vouch for it: somebody was interrupted
    between that root and the timestamp that follows it. ``unreadable`` says why a draft is none.
    """

    root_files: tuple[bytes, ...] = ()
    roots: tuple[Root, ...] = ()
    current: SignedSet | None = None
    taken: frozenset[str] = frozenset()
    drafts: Mapping[str, Metadata[Any]] = field(default_factory=dict)
    unreadable: Mapping[str, PinFileError] = field(default_factory=dict)

    @property
    def root(self) -> Root | None:
        """The newest root."""
        return self.roots[-1] if self.roots else None

    @cached_property
    def timestamp(self) -> Timestamp | None:
        """The metadata of the current set; so are the next two."""
        return _inner(self.current.verified.signed.timestamp) if self.current else None

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """See ``timestamp``."""
        return _inner(self.current.verified.signed.snapshot) if self.current else None

    @cached_property
    def targets(self) -> Targets | None:
        """See ``timestamp``."""
        return _inner(self.current.verified.signed.targets) if self.current else None

    def draft(self, role: str) -> Metadata[Any] | None:
        """The draft of a role, if there is one. Raises ``PinFileError`` where it is none."""
        if role in self.unreadable:
            raise self.unreadable[role]
        return self.drafts.get(role)

    def free(self, role: str) -> int:
        """The next number of a role. One that a run left behind that was cut off is left out."""
        number = getattr(self, role).version + 1 if self.current else 1
        while f"{number}.{role}.json" in self.taken:
            number += 1
        return number


def verify_contents(found: FolderContents, name: str, folder: Path) -> FolderState:
    """The state, of a pin set called ``name``. Raises ``PinFileError``, which names a file.

    A draft that cannot be read is in nobody's way but that of its role: the timestamp goes on.
    """
    with pin_file_errors(folder / "site" / "metadata"):
        roots = _roots(found.roots)
        current = _current(roots, found, name)
    drafts: dict[str, Metadata[Any]] = {}
    unreadable: dict[str, PinFileError] = {}
    for role, data in found.drafts.items():
        try:
            drafts[role] = _draft(role, data, found.signatures.get(role, {}), folder)
        except PinFileError as exc:
            unreadable[role] = exc
    if not roots and "root" in unreadable:
        raise unreadable["root"]
    if not roots and "root" not in drafts:
        raise PinFileError(
            "there is no root, and no draft of one",
            path=folder,
            fix="bring back what was there: git checkout; or begin: certpin publish init",
        )
    return FolderState(found.roots, roots, current, found.taken, drafts, unreadable)


@contextmanager
def pin_file_errors(path: Path) -> Iterator[None]:
    """Let whatever hostile bytes make tuf raise become a ``PinFileError`` about a path."""
    try:
        yield
    except PinFileError:
        raise
    except Exception as exc:
        said = exc if isinstance(exc, CertpinError) else as_update_error(exc).problem
        raise PinFileError(
            f"what stands there is not what the keys have signed: {said}",
            path=path,
            fix="bring back what was there: git checkout; and ask who changed it",
        ) from exc


def signers(metadata: Metadata[Any], root: Root) -> frozenset[str]:
    """The ids of the keys by which a root's role has signed metadata of it."""
    return frozenset(trust.signing_keys(root, metadata))


def is_complete(metadata: Metadata[Any], root: Root) -> bool:
    """Return True if enough keys of the root's role have signed; one key under two IDs is one."""
    try:
        trust.require_signed(root, metadata)
    except UnsignedMetadataError:
        return False
    return True


def read_metadata(kind: str, data: bytes) -> Metadata[Any]:
    """Metadata that has to be of a kind. Raises what tuf raises."""
    metadata: Metadata[Any] = Metadata.from_bytes(data)
    if metadata.signed.type != kind:
        raise RepositoryError(f"this is {metadata.signed.type} metadata, where {kind} belongs")
    return metadata


def _inner(data: bytes) -> Any:
    return Metadata.from_bytes(data).signed


def _roots(files: tuple[bytes, ...]) -> tuple[Root, ...]:
    if not files:
        return ()
    roots = trust.follow_roots(files[0], files[1:])
    if len(roots) != len(files) or roots[0].version != 1:
        raise RepositoryError(f"{len(roots) + 1}.root.json does not follow the root before it")
    return roots


def _current(roots: tuple[Root, ...], found: FolderContents, name: str) -> SignedSet | None:
    """Under the newest root; under one before, where somebody was interrupted after a new one."""
    if found.signed is None:
        return None
    if not roots:
        raise RepositoryError("there is a timestamp, and no root")
    problem: Exception | None = None
    for root in reversed(roots):
        try:
            verified = trust.verify_metadata(root, found.signed, name, LIMITS)
        except RepositoryError as exc:
            problem = problem or exc
        else:
            return trust.verify_files(verified, found.files, superseded=root is not roots[-1])
    raise problem or RepositoryError("there is no root")


def _draft(
    role: str, data: bytes | PinFileError, signatures: Mapping[str, bytes], folder: Path
) -> Metadata[Any]:
    """A draft, with what was signed of it. Signatures that are none are left out."""
    if isinstance(data, PinFileError):
        raise data
    try:
        draft = read_metadata(role, data)
        draft.signed_bytes  # noqa: B018  # raises where it has no canonical form
    except Exception as exc:
        raise PinFileError(
            f"this draft cannot be read: {as_update_error(exc).problem}",
            path=folder / "drafts" / f"{role}.json",
            fix="where git reports a conflict in it, take either side; else delete it (a root is "
            "drafted again by certpin publish add-key). Then sign again",
        ) from exc
    draft.signatures.clear()
    for key, each in signatures.items():
        with suppress(Exception):  # a signature that cannot be read is none
            signature = _signature(each)
            if signature.keyid == key:
                draft.signatures[key] = signature
    return draft


def _signature(data: bytes) -> Signature:
    import json

    return Signature.from_dict(json.loads(data))
