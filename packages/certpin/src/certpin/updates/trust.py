"""Verify a signed pin set as a client does. Pure functions over bytes.

Data from the update server and data from the cache pass the same steps (section numbers of TUF
1.0.31):

1. The root is the one bundled with the app, or follows from it: each version is one higher, and is
   signed as both the previous version and the new one require (5.3.4, 5.3.5). A root that names
   another pin set is refused, because two pin sets may have the same root key.
2. Timestamp, snapshot and targets are signed as the newest root requires (5.4.2, 5.5.3, 5.6.3), and
   belong together: the timestamp names the snapshot, and the snapshot names the targets (5.5.2,
   5.5.4, 5.6.2, 5.6.4).
3. The number and the size of the target files are within the limits, their names are plain, and the
   metadata gives all of them the name of this pin set and the same version.
4. Each target file has the signed length and hashes (5.7). None is missing and none is added.
5. ``pins.toml`` loads with the trust files that it names, has the signed name and version, and has
   no debug section.

A threshold counts keys, not key IDs: a root that lists one key under two IDs gives it one vote.

Not checked here: rollback to metadata older than this client has seen, and the expiry of metadata
from a server. ``tuf.ngclient`` checks both. A cached pin set may have expired: it stays the last
known good one. The functions raise ``RepositoryError`` of tuf for metadata, and ``ConfigError`` for
a pin file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from tuf.api.exceptions import BadVersionNumberError, RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from certpin.errors import ConfigError, UpdateError
from certpin.pinfile import PinSet
from certpin.pins.policy import meaning
from certpin.support.files import is_plain
from certpin.updates.settings import PIN_FILE
from certpin.x509.keys import spki_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from securesystemslib.signer import Key
    from tuf.api.metadata import TargetFile

    from certpin.pins import PinSet as AnyPinSet
    from certpin.updates.settings import Limits


# The signed field of a root with the name of its pin set. TUF lets clients ignore unknown fields
# (TUF 1.0.31, 4.1), so other TUF clients can read such a root.
PIN_SET_FIELD = "x-certpin-pin-set"
# The number of versions that a new pin set may be ahead of the one in force under the same root. A
# stolen targets key can't use up all numbers, and three sets a day make a thousand in a year.
LARGEST_JUMP = 1000

Role = TypeVar("Role", Root, Timestamp, Snapshot, Targets)
DART_SCHEMES = {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"}


class SignedMetadata(NamedTuple):
    """The metadata of one signed pin set: that of the TUF roles timestamp, snapshot and targets.

    Each field has the bytes of one metadata file.
    """

    timestamp: bytes
    snapshot: bytes
    targets: bytes


class CachedSet(NamedTuple):
    """A signed pin set as read from the cache, not verified yet.

    Attributes:
        root: the version of the root metadata that was the newest when this pin set was fetched.
        signed: the timestamp, snapshot and targets metadata.
        files: the target files (pin file, trust anchors) by name.
    """

    root: int
    signed: SignedMetadata
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class VerifiedMetadata:
    """The metadata of a signed pin set after its verification.

    Attributes:
        signed: the bytes of timestamp, snapshot and targets.
        root: the version of the root metadata.
        until: when the first of root, timestamp, snapshot and targets expires.
        name: the name of the pin set.
        version: the version of the pin set.
        targets: the signed lengths and hashes of the target files by name.
    """

    signed: SignedMetadata
    root: int
    until: datetime
    name: str
    version: int
    targets: Mapping[str, TargetFile]


@dataclass(frozen=True)
class SignedSet:
    """A verified pin set, with its metadata and files.

    Attributes:
        verified: the metadata of root, timestamp, snapshot and targets.
        files: the target files (pin file, trust anchors) by name.
        pins: the pin set that was read from the pin file.
        superseded: True if a newer root has replaced the keys that signed this pin set. It was
            valid when it was fetched, and is not the newest.
        recovers: True if this pin set may have a lower version than the previous one, because a
            newer root has replaced the targets keys that signed the previous one (TUF 1.0.31,
            5.3.11: recovery from a fast-forward attack).
    """

    verified: VerifiedMetadata
    files: Mapping[str, bytes]
    pins: PinSet
    superseded: bool = False
    recovers: bool = False

    def is_newest(self, timestamp: bytes, now: datetime) -> bool:
        """Return True if a server that sends this timestamp has no pin set newer than this one.

        Each publication, even of a root only, gives the timestamp metadata a new version. So if the
        bytes are equal to those of this pin set, nothing else has changed. A pin set that has
        expired at ``now`` or is superseded is never the newest.
        """
        same = timestamp == self.verified.signed.timestamp
        return same and not self.superseded and now < self.verified.until


def follow_roots(bundled: bytes, later: Iterable[bytes], name: str) -> tuple[Root, ...]:
    """Return the bundled root metadata, and its valid successors up to the first invalid one.

    Each successor has the next version number, and is signed as both the previous version and the
    new one require (TUF 1.0.31, 5.3.4 and 5.3.5).

    Args:
        bundled: the root metadata bundled with the app.
        later: the root metadata of the next versions, in ascending order.
        name: the name of the pin set, which no root may contradict (``require_pin_set``).

    Raises:
        RepositoryError: the bundled root is invalid. This is an error class of tuf.
    """
    first: Metadata[Root] = read_metadata(Root.type, bundled)
    require_signed(first.signed, first)
    require_pin_set(first.signed, None, name)
    chain = [first.signed]
    for data in later:
        try:
            chain.append(_following(chain[-1], data, name))
        except RepositoryError:
            break
    return tuple(chain)


def verify_metadata(
    root: Root, signed: SignedMetadata, name: str, limits: Limits
) -> VerifiedMetadata:
    """Verify timestamp, snapshot and targets metadata with a root, and check the target limits.

    These are steps 2 and 3 of this module's docstring: signatures, references between the files,
    and the number, sizes, names and versions of the target files.

    Args:
        root: the root metadata, already verified.
        signed: the metadata to verify.
        name: the name of the pin set bundled with the app, which this metadata must have too.
        limits: the largest number and sizes of target files.

    Raises:
        RepositoryError: the metadata is invalid. This is an error class of tuf.
    """
    targets, until = verify_roles(root, signed)
    require_bounded(targets, limits)
    if PIN_FILE not in targets:
        raise RepositoryError(f"there is no {PIN_FILE} among the targets")
    version = _version_of(targets, name)
    return VerifiedMetadata(signed, root.version, until, name, version, targets)


def verify_roles(root: Root, signed: SignedMetadata) -> tuple[Mapping[str, TargetFile], datetime]:
    """Verify timestamp, snapshot and targets metadata with a root: their signatures and references.

    ``signed`` is the metadata. The timestamp must refer to the snapshot, and the snapshot to the
    targets. This function knows only TUF and no pin sets, so that conformance tests can be run on
    it.

    Returns:
        The targets by name, and the earliest expiry of the root and the three. The caller must
        limit the sizes and number of the targets, and compare the expiry with the clock.

    Raises:
        RepositoryError: a signature or a reference is wrong. This is an error class of tuf.
    """
    timestamp = _by(root, Timestamp, signed.timestamp)
    snapshot = _by(root, Snapshot, signed.snapshot)
    targets = _by(root, Targets, signed.targets)
    _require_named(timestamp.snapshot_meta, snapshot.version, signed.snapshot)
    if "targets.json" not in snapshot.meta:
        raise RepositoryError("the snapshot names no targets")
    _require_named(snapshot.meta["targets.json"], targets.version, signed.targets)
    until = min(role.expires for role in (root, timestamp, snapshot, targets))
    return targets.targets, until


def verify_files(
    verified: VerifiedMetadata, files: Mapping[str, bytes], *, superseded: bool = False
) -> SignedSet:
    """Verify the target files with verified metadata, and return the signed pin set.

    The files must be exactly those in the metadata, with the signed lengths and hashes. The pin
    file must be valid.

    Args:
        verified: the metadata, already verified.
        files: the content of the target files by name.
        superseded: True if a newer root has replaced the keys that signed the metadata.

    Raises:
        RepositoryError: a file is missing, added or altered. This is an error class of tuf.
        ConfigError: the pin file is invalid.
    """
    if files.keys() != verified.targets.keys():
        raise RepositoryError("the files are not those that the signed metadata names")
    for name, info in verified.targets.items():
        info.verify_length_and_hashes(files[name])
    return SignedSet(verified, files, _read(verified, files), superseded)


def verify(roots: Sequence[Root], stored: CachedSet, name: str, limits: Limits) -> SignedSet:
    """Verify a cached pin set, metadata and files, with the newest root.

    If the newest root has other keys, the pin set is verified with the root that it was stored
    with. The result is then marked ``superseded``: the pin set stays in use until one that the new
    keys signed is fetched.

    Args:
        roots: the verified roots in ascending order of versions.
        stored: the cached pin set.
        name: the name of the pin set bundled with the app, which the cached one must have too.
        limits: the largest number and sizes of target files.

    Raises:
        RepositoryError: signatures or files are invalid. This is an error class of tuf.
        ConfigError: the pin file is invalid.
    """
    try:
        verified = verify_metadata(roots[-1], stored.signed, name, limits)
        # The stored number is not signed: it can't be that of a root that doesn't exist.
        known = min(max(stored.root, 1), roots[-1].version)
        return verify_files(replace(verified, root=known), stored.files)
    except UnsignedMetadataError:
        older = [root for root in roots[:-1] if root.version == stored.root]
        if not older:
            raise
        verified = verify_metadata(older[0], stored.signed, name, limits)
        return verify_files(verified, stored.files, superseded=True)


def under_root(root: Root, known: SignedSet, limits: Limits) -> SignedSet:
    """Return a copy of a verified pin set that takes a new root into account.

    If the keys of the new root have not signed the pin set, the copy is marked ``superseded``.
    Otherwise the expiry of the copy is updated: it expires no later than the new root.

    Args:
        root: the new root metadata, already verified, with a higher version than that of the pin
            set.
        known: the verified pin set.
        limits: the largest number and sizes of target files.
    """
    try:
        newer = verify_metadata(root, known.verified.signed, known.verified.name, limits)
    except UnsignedMetadataError:
        return replace(known, superseded=True)
    return replace(known, verified=replace(known.verified, until=newer.until))


def mark_recovery(new: SignedSet, known: SignedSet | None, root: Root) -> SignedSet:
    """Return ``new``, marked with ``recovers`` if it may have a lower version than ``known``.

    A lower version is allowed if the newest root has replaced the targets keys that signed
    ``known``, because an attacker with the old keys could have signed any version. Replaced keys of
    other roles don't matter. If no lower version is allowed, ``new`` is returned unchanged.

    Args:
        new: the pin set that was just verified.
        known: the newest pin set that was verified before; ``None`` if there is none.
        root: the newest root metadata.
    """
    if known is None or new.superseded:
        return new
    try:
        _by(root, Targets, known.verified.signed.targets)
    except UnsignedMetadataError:
        return replace(new, recovers=True)
    return new


def require_following(new: AnyPinSet, current: AnyPinSet, *, same_root: bool = False) -> None:
    """Raise an error unless a newly signed pin set may replace the one in force.

    A pin set with a higher version is allowed. A pin set with the same version is allowed only if
    its content is the same; notes and debug sections are not compared, because only the bundled pin
    set can have them.

    Args:
        new: the newly signed pin set.
        current: the pin set in force, which the app's SSL context enforces.
        same_root: True if both were signed under the same root version. The new version may then be
            at most ``LARGEST_JUMP`` higher: a stolen key must not use up the version numbers.

    Raises:
        UpdateError: the version is lower, or the same with other content, or too far ahead.
    """
    if same_root and new.version > current.version + LARGEST_JUMP:
        raise UpdateError(
            f"version {new.version} of the pin set was signed, and {current.version} is in force: "
            f"more than {LARGEST_JUMP} versions ahead under one root",
            reason="jump",
            fix=f"publish a version up to {current.version + LARGEST_JUMP}; after that many, sign "
            "a new root first. If you did not choose that version, a targets key is stolen: "
            "certpin publish add-key NEW --role targets --replace KEYID",
        )
    if new.version < current.version:
        raise UpdateError(
            f"version {new.version} of the pin set was signed, and {current.version} is in force",
            reason="older",
            fix=f"publish version {current.version} or a higher one, and push it",
        )
    if new.version == current.version and not _means_the_same(new, current):
        raise UpdateError(
            f"version {new.version} of the pin set is in force, and another one was signed under "
            "the same number",
            reason="changed",
            fix="raise the version of the pin set with each change, publish it, and push it",
        )


def _means_the_same(new: AnyPinSet, current: AnyPinSet) -> bool:
    same = new.policies == current.policies  # faster
    return same or meaning(replace(new, debug=None)) == meaning(replace(current, debug=None))


def read_metadata(role: str, data: bytes) -> Metadata[Any]:
    """Parse the metadata of a TUF role, such as ``snapshot``. Signatures are not checked.

    Raises:
        RepositoryError: the data is not metadata, or is the metadata of another role. This is an
            error class of tuf.
    """
    metadata: Metadata[Any] = Metadata.from_bytes(data)
    if metadata.signed.type != role:
        raise RepositoryError(f"this is {metadata.signed.type} metadata, where {role} belongs")
    return metadata


def require_pin_set(root: Root, before: Root | None, name: str) -> None:
    """Require that root metadata belongs to the pin set ``name``.

    Two pin sets can have the same root key. Without this rule, a root of one is a valid successor
    of a root of the other, and its targets keys could sign pins for both.

    A root without a name is accepted if the root before it has no name either: other TUF tools
    write no names.

    Args:
        root: the root metadata.
        before: the root metadata of the previous version; ``None`` if ``root`` is the first.
        name: the name of the pin set.

    Raises:
        RepositoryError: the root belongs to another pin set, or names none although ``before``
            does. This is an error class of tuf.
    """
    known = (root, before) if before else (root,)
    if not any(PIN_SET_FIELD in each.unrecognized_fields for each in known):
        return
    said = root.unrecognized_fields.get(PIN_SET_FIELD)
    if said != name:
        raise RepositoryError(f"root {root.version} is of the pin set {said!r}, not {name!r}")


def _following(root: Root, data: bytes, name: str) -> Root:
    new: Metadata[Root] = read_metadata(Root.type, data)
    require_signed(root, new)
    if new.signed.version != root.version + 1:
        raise BadVersionNumberError(f"root {new.signed.version} follows {root.version}")
    require_signed(new.signed, new)
    require_pin_set(new.signed, root, name)
    return new.signed


def _by(root: Root, kind: type[Role], data: bytes) -> Role:
    found: Metadata[Role] = read_metadata(kind.type, data)
    require_signed(root, found)
    return found.signed


def require_signed(root: Root, metadata: Metadata[Any]) -> None:
    """Require that enough keys of a role have signed the role's metadata.

    The role is that of the metadata, such as ``snapshot``. The root lists its keys, and the
    threshold: how many of them must sign.

    Raises:
        UnsignedMetadataError: fewer keys than the threshold have signed.
    """
    role = metadata.signed.type
    threshold, keys = root.roles[role].threshold, signing_keys(root, metadata)
    if len(distinct(keys.values())) < threshold:
        raise UnsignedMetadataError(f"{role} was signed by {len(keys)}/{threshold} keys")


def signing_keys(root: Root, metadata: Metadata[Any]) -> Mapping[str, Key]:
    """Return the keys of a role that have validly signed the role's metadata, ``metadata``.

    The root lists the keys of each role. The result maps key IDs to keys.
    """
    return root.get_verification_result(
        metadata.signed.type, metadata.signed_bytes, metadata.signatures
    ).signed


def distinct(keys: Iterable[Key]) -> frozenset[bytes]:
    """Return the different public keys among ``keys``, as bytes, to count them for a threshold.

    Key IDs are not compared, because the author of a root chooses them (TUF 1.0.31, 4.2), and
    ``tuf`` counts IDs: one key under two IDs would meet a threshold of two. The signature scheme
    and the text form of a key (such as PEM line breaks) are ignored too.
    """
    return frozenset(map(_key_bytes, keys))


def _key_bytes(key: Key) -> bytes:
    text = str(key.keyval.get("public"))
    try:
        if key.keytype == "ed25519":
            return bytes.fromhex(text)
        return spki_of(load_pem_public_key(text.encode()))
    except (ValueError, UnsupportedAlgorithm):  # a type that certpin does not know
        return text.encode()


def _require_named(named: Any, version: int, data: bytes) -> None:
    if named.version != version:
        raise BadVersionNumberError(f"the file has version {version}, and not {named.version}")
    named.verify_length_and_hashes(data)


def require_bounded(targets: Mapping[str, TargetFile], limits: Limits) -> None:
    """Raise an error unless target files are few and small, with plain names and a SHA-256 hash.

    The SHA-256 hash is required for two reasons: the file name of a target on the server begins
    with this hash (``Address.target``), and Flutter apps verify no other hash. The metadata of the
    pin set lists the target files. ``targets`` are these entries by file name, and ``limits`` has
    the largest number and sizes.

    Raises:
        RepositoryError: a limit is exceeded, or a name or hash is not allowed. This is an error
            class of tuf.
    """
    if len(targets) > limits.count:
        raise RepositoryError(f"there are {len(targets)} targets, and {limits.count} are taken")
    if (total := sum(info.length for info in targets.values())) > limits.total:
        raise RepositoryError(f"the targets have {total} bytes, and {limits.total} are taken")
    for name, info in targets.items():
        if info.length > limits.target:
            raise RepositoryError(f"{name!r} has {info.length} bytes; {limits.target} are taken")
        if not is_plain(name) or "sha256" not in info.hashes:
            raise RepositoryError(f"{name!r} is no name, or has no hash, that is taken")


def _version_of(targets: Mapping[str, TargetFile], name: str) -> int:
    """Return the version of the pin set, which the targets metadata repeats for each target file.

    Raises ``RepositoryError`` if the versions differ, or if a file belongs to a pin set with
    another name than ``name``.
    """
    said = [info.custom for info in targets.values()]
    custom = said[0]
    if any(other != custom for other in said) or not isinstance(custom, dict):
        raise RepositoryError("the targets do not all belong to one version of one pin set")
    if custom.get("pin-set") != name:
        raise RepositoryError(f"this is the pin set {custom.get('pin-set')!r}, not {name!r}")
    version = custom.get("version")
    if type(version) is not int:  # a bool is none
        raise RepositoryError(f"the version of the pin set is {version!r}")
    return version


def _read(verified: VerifiedMetadata, files: Mapping[str, bytes]) -> PinSet:
    try:
        text = files[PIN_FILE].decode()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{PIN_FILE} is not UTF-8 text") from exc
    pins = PinSet.parse(text, path=PIN_FILE, files=files)
    if (pins.name, pins.version) != (verified.name, verified.version):
        raise ConfigError(
            f"{PIN_FILE} is version {pins.version} of {pins.name!r}, and was signed as "
            f"version {verified.version} of {verified.name!r}"
        )
    if pins.debug is not None:
        raise ConfigError("it has a debug section", key="debug", fix="take it out")
    return pins


def dart_shortage(root: Root) -> str:
    """Return the reason why Flutter apps can't verify metadata under this root; empty if they can.

    The Dart package verifies only the signature schemes in ``DART_SCHEMES``.
    """
    for name, role in root.roles.items():
        known = sum(root.keys[keyid].scheme in DART_SCHEMES for keyid in role.keyids)
        if known < role.threshold:
            return f"Dart verifies {known} of the keys of {name}, and {role.threshold} must sign"
    return ""
