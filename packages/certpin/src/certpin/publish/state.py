"""Verify the contents of the folder ``publish/``. Pure functions over bytes.

Several people write its files, which arrive through version control. The files are untrusted until
they are verified as a client would (``certpin.updates.trust``). A draft (metadata without enough
signatures) can't be verified in this way: ``signing_plan`` compares it with the metadata that
certpin would draft.
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
from certpin.publish.content import LIMITS
from certpin.updates import trust
from certpin.updates.refusals import as_update_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from certpin.updates.trust import SignedSet


class FolderContents(NamedTuple):
    """The files of the folder ``publish/`` as bytes, not verified yet.

    Attributes:
        roots: all root metadata files in ascending order of versions.
        signed: the timestamp, and the snapshot and targets metadata that it names (directly, or by
            way of the snapshot); ``None`` if there is no timestamp.
        files: the target files (pin file, trust anchors) by name.
        taken: the file names in ``site/metadata``; their version numbers must not be used again.
        drafts: the drafts by TUF role, or the error if a draft can't be read.
        signatures: by TUF role, the signatures of its draft by key ID.
    """

    roots: tuple[bytes, ...] = ()
    signed: trust.SignedMetadata | None = None
    files: Mapping[str, bytes] = {}
    taken: frozenset[str] = frozenset()
    drafts: Mapping[str, bytes | PinFileError] = {}
    signatures: Mapping[str, Mapping[str, bytes]] = {}


@dataclass(frozen=True)
class FolderState:
    """The verified contents of the folder ``publish/``.

    Attributes:
        name: the name of the pin set that the files belong to.
        root_files: the bytes of all roots in ascending order of versions.
        roots: all parsed roots in the same order.
        current: the signed pin set in ``site/``; ``None`` if there is none. Its field
            ``superseded`` is True if the newest root does not accept this pin set, because signing
            was interrupted after that root was written.
        taken: the file names in ``site/metadata``; their version numbers must not be used again.
        drafts: the readable drafts by TUF role.
        unreadable: the error for each draft that can't be read, by TUF role.
    """

    name: str
    root_files: tuple[bytes, ...] = ()
    roots: tuple[Root, ...] = ()
    current: SignedSet | None = None
    taken: frozenset[str] = frozenset()
    drafts: Mapping[str, Metadata[Any]] = field(default_factory=dict)
    unreadable: Mapping[str, PinFileError] = field(default_factory=dict)

    @property
    def root(self) -> Root | None:
        """The newest root metadata in ``publish/site/``; None if the folder has no root."""
        return self.roots[-1] if self.roots else None

    @cached_property
    def timestamp(self) -> Timestamp | None:
        """The timestamp metadata of the signed pin set in ``publish/site/``.

        None if nothing is signed.
        """
        return _inner(self.current.verified.signed.timestamp) if self.current else None

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The snapshot metadata of the signed pin set in ``publish/site/``.

        None if nothing is signed.
        """
        return _inner(self.current.verified.signed.snapshot) if self.current else None

    @cached_property
    def targets(self) -> Targets | None:
        """The targets metadata of the signed pin set in ``publish/site/``.

        None if nothing is signed.
        """
        return _inner(self.current.verified.signed.targets) if self.current else None

    @property
    def interrupted(self) -> bool:
        """True if signing was probably interrupted after it wrote a new root to ``site/``.

        This is assumed if the draft of this root still exists: signing deletes drafts at its end.
        The new root then has no new timestamp yet.
        """
        draft = self.drafts.get("root")
        return draft is not None and draft.signed.version <= (self.root.version if self.root else 0)

    def draft(self, role: str) -> Metadata[Any] | None:
        """Return the draft of a TUF role, ``root`` or ``targets``; None if the role has no draft.

        Raises:
            PinFileError: the draft can't be read.
        """
        if role in self.unreadable:
            raise self.unreadable[role]
        return self.drafts.get(role)

    def free(self, role: str) -> int:
        """Return the next unused version number for the metadata of a TUF role.

        No file in ``site/metadata`` has this version. Interrupted runs may have left files there
        with higher versions than the current metadata.
        """
        number = getattr(self, role).version + 1 if self.current else 1
        while f"{number}.{role}.json" in self.taken:
            number += 1
        return number


def verify_contents(found: FolderContents, name: str, folder: Path) -> FolderState:
    """Verify the files of the folder ``publish/``, and return its verified state.

    A draft that can't be read blocks only its role; the timestamp can still be renewed.

    Args:
        found: the files.
        name: the name of the pin set that the files must belong to.
        folder: the path of the folder, for errors.

    Raises:
        PinFileError: a file is missing or invalid. The error names it.
    """
    with pin_file_errors(folder / "site" / "metadata"):
        roots = _roots(found.roots, name)
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
            fix="restore the committed files (git checkout), or begin with certpin publish init",
        )
    return FolderState(name, found.roots, roots, current, found.taken, drafts, unreadable)


@contextmanager
def pin_file_errors(path: Path) -> Iterator[None]:
    """Turn every exception of a ``with`` block into a ``PinFileError`` about a file or folder.

    Its message says that the content of ``path`` differs from the signed content. A
    ``PinFileError`` of the block is raised unchanged.
    """
    try:
        yield
    except PinFileError:
        raise
    except Exception as exc:
        said = exc if isinstance(exc, CertpinError) else as_update_error(exc).problem
        raise PinFileError(
            f"its content differs from the signed content: {said}",
            path=path,
            fix="restore the committed files (git checkout), and ask who changed them",
        ) from exc


def signers(metadata: Metadata[Any], root: Root) -> frozenset[str]:
    """Return the IDs of the keys of ``root`` that have signed the metadata.

    Invalid signatures are ignored, and so are keys that the root doesn't list for the metadata's
    role.
    """
    return frozenset(trust.signing_keys(root, metadata))


def is_complete(metadata: Metadata[Any], root: Root) -> bool:
    """Return True if enough keys that the root lists have signed the metadata.

    The metadata then goes to ``publish/site/``, and clients can fetch it. Enough is the threshold
    of the metadata's role. A key that the root lists under two IDs counts once.
    """
    try:
        trust.require_signed(root, metadata)
    except UnsignedMetadataError:
        return False
    return True


def _inner(data: bytes) -> Any:
    return Metadata.from_bytes(data).signed


def _roots(files: tuple[bytes, ...], name: str) -> tuple[Root, ...]:
    if not files:
        return ()
    roots = trust.follow_roots(files[0], files[1:], name)
    if len(roots) != len(files) or roots[0].version != 1:
        raise RepositoryError(f"{len(roots) + 1}.root.json does not follow the root before it")
    return roots


def _current(roots: tuple[Root, ...], found: FolderContents, name: str) -> SignedSet | None:
    """Verify the signed pin set in ``publish/site/``, and return it; None if nothing is signed.

    If only an older root accepts the pin set, the result is marked ``superseded``: signing may have
    been interrupted after the newest root was written.

    Args:
        roots: the verified roots in ascending order of versions.
        found: the files of the folder ``publish/``.
        name: the name that the pin set must have.
    """
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
    """Parse a draft, and add the signatures that are stored in separate files.

    Signature files that can't be read are ignored. Not checked: whether the signatures are valid.

    Args:
        role: the TUF role of the draft.
        data: the bytes of the draft, or the error with which it could not be read.
        signatures: the bytes of the signature files by key ID.
        folder: the path of the folder ``publish/``, for errors.

    Raises:
        PinFileError: the draft can't be read.
    """
    if isinstance(data, PinFileError):
        raise data
    try:
        draft = trust.read_metadata(role, data)
        draft.signed_bytes  # noqa: B018  # raises if it has no canonical form
    except Exception as exc:
        raise PinFileError(
            f"this draft cannot be read: {as_update_error(exc).problem}",
            path=folder / "drafts" / f"{role}.json",
            fix="if git reports a conflict in it, take either side; otherwise delete it (a root is "
            "drafted again by certpin publish add-key). Then sign again",
        ) from exc
    draft.signatures.clear()
    for key, encoded in signatures.items():
        with suppress(Exception):  # ignore unreadable signatures
            signature = _signature(encoded)
            if signature.keyid == key:
                draft.signatures[key] = signature
    return draft


def _signature(data: bytes) -> Signature:
    import json

    return Signature.from_dict(json.loads(data))
