"""What a push does, or why it does not: pure, from what is signed and from what is there.

1. The roots there are those here, as far as there are any; and none follows them. Otherwise another
   repository lives there, or somebody has pushed a newer root.
2. What is there is of the same pin set.
3. A numbered file never changes. One that is there with other bytes was signed by somebody else
   under the same number, unless it is the beginning of ours: then a push was cut off.
4. It is not newer: no version of any metadata is higher, and clients may go from the pins there to
   those here (``trust.require_following``).

A timestamp there, or a target (whose name is its digest), that clients refuse is replaced. So is
what only keys have signed that the newest root here no longer names: a thief of a key gives numbers
that nobody can go above, and clients forget them with the key (TUF 1.0.31, 5.3.11). Its numbered
files are left where they are, since caches keep them for a year: ours takes another number.

Targets go first and the timestamp goes last, since a client begins there: whenever a push ends in
the middle, the timestamp that is there still leads to what it led to. A root shows itself, so that
it comes right beside the timestamp, after all that its keys have signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tuf.api.exceptions import RepositoryError

from certpin.errors import UpdateError
from certpin.updates.publish.content import LIMITS
from certpin.updates.publish.shown import TIMESTAMP, is_vouched, root_path, target_path
from certpin.updates.trust import promised, require_following
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuf.api.metadata import Root

    from certpin.updates.publish.shown import Shown
    from certpin.updates.trust import Promise, SignedSet

_PULL = "take what they pushed into version control (git pull), sign again, and push"
_STOLEN = (
    "if nobody did, a key is stolen: certpin publish add-key NEW --role online (or targets), sign, "
    "and push"
)


@dataclass(frozen=True)
class Here:
    """What is signed here, and believed. ``roots`` are their bytes, from the first on."""

    chain: tuple[Root, ...]
    roots: tuple[bytes, ...]
    shown: Shown
    signed: SignedSet

    @property
    def files(self) -> dict[str, bytes]:
        """All that goes out, by path, in the order in which it does."""
        promise = self.signed.promise
        targets = {target_path(promise, name): data for name, data in self.signed.files.items()}
        roots = {root_path(version): data for version, data in enumerate(self.roots, 1)}
        return {**targets, **self.shown.numbered, **roots, TIMESTAMP: self.shown.signed.timestamp}


class There(NamedTuple):
    """What is at the storage; nothing of it is believed, but for ``signed`` and ``vouched``.

    ``files`` are those of ``Here.files``, as far as they are there. ``next_root`` would follow the
    last root here. ``shown`` is what its timestamp leads to, ``before`` what is here of that.
    ``signed`` is all of it, if clients believe it; else ``damage`` says why they do not.
    ``vouched`` is the version of the timestamp, if the key of the newest root here signed it.
    """

    files: Mapping[str, bytes]
    next_root: bytes | None = None
    shown: Shown | None = None
    before: Mapping[str, bytes] = {}
    signed: SignedSet | None = None
    vouched: int | None = None
    damage: str = ""


def plan(here: Here, there: There) -> tuple[str, ...]:
    """The paths to upload, in their order. Raises ``UpdateError`` where nothing must be."""
    files = here.files
    _require_same_roots(here, there)
    _require_same_pin_set(here, there)
    _require_numbers_free(here, there)
    _require_not_newer(here, there)
    uploads = [path for path, data in files.items() if there.files.get(path) != data]
    if _only_timestamp_first(here, there):
        uploads.remove(TIMESTAMP)
        first = next(at for at, path in enumerate(uploads) if path.endswith(".root.json"))
        uploads.insert(first, TIMESTAMP)
    return tuple(uploads)


def outrun(here: Here, there: There) -> str:
    """What is there under numbers that ours are not above, signed only by keys of before."""
    if there.signed is None or there.shown is None:
        return ""
    for role, theirs in there.shown.signed._asdict().items():
        number = getattr(there.shown, role)
        above = number >= getattr(here.shown, role) and theirs != getattr(here.shown.signed, role)
        if above and not is_vouched(here.chain[-1], role, theirs):
            return f"{role} {number} is signed only by keys that were replaced since"
    return ""


def _only_timestamp_first(here: Here, there: There) -> bool:
    """Whether a root goes last, since only then each moment is one that clients accept.

    So it is where a root has other keys for the targets, and those of before have signed too.
    """
    known = [root for root in here.chain if root_path(root.version) in there.files]
    new = here.chain[len(known) :]
    if there.signed is None or not new or not known:
        return False
    old_fits = all(_fits(root, there.signed.promise) for root in new)
    return not old_fits and all(_fits(root, here.signed.promise) for root in (known[-1], *new))


def _fits(root: Root, promise: Promise) -> bool:
    """Whether its keys have signed that metadata."""
    try:
        promised(root, promise.signed, promise.name, LIMITS)
    except RepositoryError:
        return False
    return True


def _require_same_roots(here: Here, there: There) -> None:
    """Step 1."""
    found = [there.files.get(root_path(version)) for version in range(1, len(here.roots) + 1)]
    first = found[0]
    another = first is not None and not here.roots[0].startswith(first)
    if another or (all(each is None for each in found) and TIMESTAMP in there.files):
        raise _foreign("another repository is there, which begins with another root")
    for version, (ours, theirs) in enumerate(zip(here.roots, found, strict=True), 1):
        _require_same(root_path(version), ours, theirs)
    if there.next_root is not None:
        raise UpdateError(
            f"there is a root {len(here.roots) + 1}, and the last one here is {len(here.roots)}",
            reason="ahead",
            fix=_PULL,
        )


def _require_same_pin_set(here: Here, there: There) -> None:
    """Step 2."""
    name, theirs = here.signed.promise.name, there.shown.name if there.shown else None
    if theirs is not None and theirs != name:
        raise _foreign(
            f"the pin set {printable(str(theirs))[:80]!r} is there, and this is {name!r}"
        )


def _require_numbers_free(here: Here, there: There) -> None:
    """Step 3, for targets and snapshot.

    What nobody has signed whose key counts is in the way only where ours has to go.
    """
    for path, ours in here.shown.numbered.items():
        _require_same(path, ours, there.files.get(path))
    for path, theirs in (there.shown.numbered if there.shown else {}).items():
        known = there.before.get(path, theirs)
        if is_vouched(here.chain[-1], _role_of(path), theirs) and not known.startswith(theirs):
            raise _changed(path, _STOLEN)


def _require_not_newer(here: Here, there: There) -> None:
    """Step 4. A number counts if the keys of the newest root here have signed it.

    That of the targets also counts if the snapshot that names it does: clients compare with that
    (TUF 1.0.31, 5.5.5).
    """
    ours, theirs, root = here.shown, there.shown, here.chain[-1]
    if there.vouched is not None:
        _require_not_above("timestamp", there.vouched, ours.timestamp)
        same = there.files.get(TIMESTAMP) == ours.signed.timestamp
        if there.vouched == ours.timestamp and not same:
            raise _changed(f"timestamp {ours.timestamp}", _STOLEN)
    if theirs is None:
        return
    counts = is_vouched(root, "snapshot", theirs.signed.snapshot)
    if counts:
        _require_not_above("snapshot", theirs.snapshot, ours.snapshot)
    if counts or is_vouched(root, "targets", theirs.signed.targets):
        _require_not_above("targets", theirs.targets, ours.targets)
    if there.signed is None:
        return
    try:
        require_following(here.signed.pins, there.signed.pins)
    except UpdateError as exc:
        raise UpdateError(
            f"no client could follow: {exc.problem}", reason="ahead", fix=exc.fix
        ) from exc


def _require_not_above(role: str, theirs: int, ours: int) -> None:
    if theirs > ours:
        raise UpdateError(
            f"somebody else has pushed: {role} {theirs} is there, and the one here is {ours}",
            reason="ahead",
            fix=f"{_PULL}; {_STOLEN}",
        )


def _require_same(path: str, ours: bytes, theirs: bytes | None) -> None:
    """Step 3. The beginning of a JSON document is none, so that nobody has signed it."""
    if theirs is not None and not ours.startswith(theirs):
        role = _role_of(path)
        another = f"sign it under another number (certpin publish sign KEY --renew {role}), push"
        way = "remove it there" if role == "root" else another
        raise _changed(path, f"if nobody did, {way}, and find out who put it there")


def _role_of(path: str) -> str:
    return path.removesuffix(".json").rpartition(".")[2]


def _changed(what: str, otherwise: str) -> UpdateError:
    return UpdateError(
        f"{what} is there with another content: somebody else has signed under that number, or "
        "writes there who should not",
        reason="conflict",
        fix=f"{_PULL}; {otherwise}",
    )


def _foreign(problem: str) -> UpdateError:
    return UpdateError(
        problem,
        reason="foreign",
        fix="give each pin set a place of its own: url, in publish/publish.toml",
    )
