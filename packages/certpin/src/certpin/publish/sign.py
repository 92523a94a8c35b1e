"""Sign TUF metadata, and decide which files are written. Pure, except for signing on tokens.

A *draft* is metadata without enough signatures. Metadata with enough signatures goes to
``publish/site/``, the folder with the files for clients. A timestamp with a higher version goes
with it, because an unchanged timestamp means "nothing new" to clients. Only the online key can sign
the timestamp. The first root needs no timestamp. All files are verified as a client would
(``certpin.updates.trust``) before they are written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from tuf.api.exceptions import ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from certpin.errors import CertpinError, ConfigError
from certpin.publish.content import LIMITS, Content
from certpin.publish.state import is_complete, signers
from certpin.rotation.situation import CLOCK_TOLERANCE
from certpin.updates import trust
from certpin.updates.refusals import as_update_error
from certpin.updates.settings import TIMESTAMP, target_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuf.api.metadata import Root, Targets

    from certpin.publish.keys import KeySigner
    from certpin.publish.signing_plan import SigningPlan, SigningPolicy

    Keyring = Mapping[str, KeySigner]


class NewSignature(NamedTuple):
    """TUF metadata that received new signatures in a call of ``sign``.

    Attributes:
        role: the TUF role of the metadata.
        version: the version of the metadata.
        keys: the IDs of the keys that signed.
    """

    role: str
    version: int
    keys: tuple[str, ...]


@dataclass
class SigningResult:
    """The files to write and delete after signing.

    Attributes:
        site: path and bytes of the files for ``publish/site/``, in the order in which they are
            written.
        drafts: the drafts with the signatures so far, by TUF role. They are written before
            ``site``.
        moved: by TUF role, the versions of the root and targets metadata that this signing adds to
            ``publish/site/``.
        gone: the TUF roles with drafts that have to be deleted at the end.
        new_signatures: the metadata that was signed.
    """

    site: list[tuple[str, bytes]] = field(default_factory=list)
    drafts: dict[str, Metadata[Any]] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    new_signatures: list[NewSignature] = field(default_factory=list)


class _Choice(NamedTuple):
    """The root and the targets metadata that ``publish/site/`` will have next.

    Attributes:
        root: the next root: that of ``new_root``, or the current one.
        new_root: the new root metadata; ``None`` if the current root stays.
        new_targets: the new targets metadata; ``None`` if the current targets stay.
    """

    root: Root
    new_root: Metadata[Root] | None
    new_targets: Metadata[Targets] | None


def sign(plan: SigningPlan, keyring: Keyring, renew: frozenset[str]) -> SigningResult:
    """Sign the metadata that a plan has drafted, and return the files to write and delete.

    The function itself writes no files.

    Args:
        plan: the drafts, and the keys that may sign them.
        keyring: the available private keys by key ID.
        renew: the TUF roles to sign again although their metadata has not expired.

    Raises:
        ConfigError: clients would refuse the result, so no file must be written.
    """
    done = SigningResult()
    for draft in (plan.root, plan.targets):
        if draft is not None:
            _sign(draft, keyring, plan, done)
    chosen = _choose(plan, keyring, done)
    if chosen is not None:
        _move(plan, chosen, keyring, renew, done)
    if done.site:
        verify_as_client(plan, done)
    done.gone = {*done.moved, *(set(_over(plan)) - done.drafts.keys())}  # a new draft replaces it
    return done


def _over(plan: SigningPlan) -> Iterator[str]:
    """Yield the TUF roles with an obsolete draft, which has to be deleted.

    ``plan`` has the drafts. A draft is obsolete if ``publish/site/`` has metadata of this role with
    the draft's version or a newer one.
    """
    for role, draft in plan.policy.state.drafts.items():
        known = getattr(plan.policy.state, role)
        if known is not None and draft.signed.version <= known.version:
            yield role


def _sign(draft: Metadata[Any], keyring: Keyring, plan: SigningPlan, done: SigningResult) -> None:
    """Sign a draft with the keys in ``keyring`` that may sign it, and drop its invalid signatures.

    ``draft`` is metadata that ``plan`` has drafted. The signed draft is added to the result
    ``done``, and so are the new signatures, if there are any.
    """
    role = draft.signed.type
    signed_bytes = draft.signed_bytes
    good = frozenset[str]().union(*(signers(draft, root) for root in plan.candidates))
    new = [key for key in keyring if key in plan.may_sign(role) - good]
    draft.signatures = {
        key: draft.signatures[key] if key in good else keyring[key].sign(signed_bytes)
        for key in sorted({*good, *new})
    }
    valid = frozenset[str]().union(*(signers(draft, root) for root in plan.candidates))
    _require_valid({*new} - valid, role)
    done.drafts[role] = draft
    if new:
        done.new_signatures.append(NewSignature(role, draft.signed.version, tuple(new)))


def _choose(plan: SigningPlan, keyring: Keyring, done: SigningResult) -> _Choice | None:
    """Choose the root and targets with enough signatures that ``publish/site/`` will have next.

    ``plan`` has the drafts, and ``keyring`` the available private keys by key ID. Each of the two
    is the new one or the current one. If new root and new targets can't be used together, new
    targets are preferred, because new pins matter more than a new root. A first root needs no other
    metadata: its file is added to the result ``done`` directly. Return None if no choice has enough
    signatures, or if the online key, which signs the timestamp, is missing.
    """
    root, state = plan.root, plan.policy.state
    if root is not None and state.root is None:
        if not is_complete(root, root.signed):
            return None
        done.site.append(("metadata/1.root.json", root.to_bytes()))
        done.moved["root"] = 1
        current, root = root.signed, None
    elif state.root is not None:
        current = state.root
    else:
        return None
    new = root if root and is_complete(root, current) and is_complete(root, root.signed) else None
    for targets in (plan.targets, None):
        for next_root in (new, None):
            choice = _Choice(next_root.signed if next_root else current, next_root, targets)
            if targets is not None and next_root is None and plan.next_alone:
                continue
            if _is_possible(choice, plan, keyring):
                return choice
    return None


def _is_possible(choice: _Choice, plan: SigningPlan, keyring: Keyring) -> bool:
    current = plan.policy.state.current
    if choice.root.roles["timestamp"].keyids[0] not in keyring:
        return False
    if choice.new_targets is not None:
        return is_complete(choice.new_targets, choice.root)
    if current is None:
        return False
    signed = trust.read_metadata("targets", current.verified.signed.targets)
    return is_complete(signed, choice.root)


def _move(
    plan: SigningPlan, choice: _Choice, keyring: Keyring, renew: frozenset[str], done: SigningResult
) -> None:
    """Add the files of the chosen metadata to ``done``, in the order in which they are written.

    Each file comes after the files that it names, so that clients never look for a missing file:
    first the numbered files, then the root, and the timestamp last. This function makes snapshot
    and timestamp, and signs them with the online key.

    Args:
        plan: the drafts, and the content to sign.
        choice: the root and the targets that ``publish/site/`` will have next.
        keyring: the available private keys by key ID, with the online key.
        renew: the TUF roles to sign again although their metadata has not expired.
        done: the result, which is changed.
    """
    policy, state = plan.policy, plan.policy.state
    _require_clock(policy, renew)
    online = keyring[choice.root.roles["timestamp"].keyids[0]]
    if choice.new_targets is not None and plan.content is not None:
        done.site += [*_target_files(plan.content)]
        targets, number = choice.new_targets.to_bytes(), choice.new_targets.signed.version
        done.site.append((f"metadata/{number}.targets.json", targets))
        done.moved["targets"] = number
    snapshot, version = _kept_snapshot(plan, choice, renew)
    if not snapshot:
        meta = {"targets.json": _meta(*_targets_of(plan, choice))}
        version = state.free("snapshot")
        new = Snapshot(version, expires=policy.expiry("snapshot"), meta=meta)
        snapshot = _signed_online(new, online, choice.root, done)
        done.site.append((f"metadata/{version}.snapshot.json", snapshot))
    if choice.new_root is not None:
        number = choice.root.version
        done.site.append((f"metadata/{number}.root.json", choice.new_root.to_bytes()))
        done.moved["root"] = number
    timestamp = Timestamp(
        state.free("timestamp"),
        expires=policy.expiry("timestamp"),
        snapshot_meta=_meta(snapshot, version),
    )
    done.site.append((TIMESTAMP, _signed_online(timestamp, online, choice.root, done)))


def _require_clock(policy: SigningPolicy, renew: frozenset[str]) -> None:
    """Raise ``ConfigError`` if the current timestamp or snapshot expires later than a new one.

    ``policy`` has the current metadata and the time. There are two possible causes: this machine's
    clock is behind now, so that new metadata would expire too early; or the clock was ahead at the
    last signature, so that an attacker could present the current metadata as new for too long. This
    function can't distinguish them. The user has to check the clock, and in the second case to
    renew the role explicitly (``renew``).
    """
    for role in ("timestamp", "snapshot"):
        known = getattr(policy.state, role)
        if known is None or role in renew:
            continue
        if known.expires > policy.expiry(role) + CLOCK_TOLERANCE:
            raise ConfigError(
                f"{role} {known.version} expires on {known.expires:%Y-%m-%d %H:%M} UTC, later than "
                "one that is signed now: the clock of this machine is behind, or it was ahead then",
                key="clock",
                fix="set the clock; if it is right, or if publish.toml had a longer lifetime for "
                f"{role}, replace the file: certpin publish sign KEY --renew {role}",
            )


def _target_files(content: Content) -> Iterator[tuple[str, bytes]]:
    for name, data in sorted(content.files.items()):
        yield target_path(name, sha256(data).hexdigest()), data


def _targets_of(plan: SigningPlan, choice: _Choice) -> tuple[bytes, int]:
    """Return the bytes and the version of the targets metadata that the next snapshot names.

    It is the new targets metadata of ``choice``, or if there is none, the current one in
    ``publish/site/`` (``plan``).
    """
    if choice.new_targets is not None:
        return choice.new_targets.to_bytes(), choice.new_targets.signed.version
    state = plan.policy.state
    assert state.current is not None  # noqa: S101  # guaranteed by _is_possible
    assert state.targets is not None  # noqa: S101
    return state.current.verified.signed.targets, state.targets.version


def _kept_snapshot(plan: SigningPlan, choice: _Choice, renew: frozenset[str]) -> tuple[bytes, int]:
    """Return the bytes and version of the current snapshot; ``(b"", 0)`` if a new one is needed.

    ``plan`` has the current snapshot. A new snapshot is needed for new targets, if the current one
    expires soon or is in ``renew``, or if the chosen root has a different online key. ``choice``
    has the root and the targets that ``publish/site/`` will have next. ``renew`` has the TUF roles
    to sign again although their metadata has not expired.
    """
    policy, state = plan.policy, plan.policy.state
    if state.current is None or state.snapshot is None or choice.new_targets is not None:
        return b"", 0
    data = state.current.verified.signed.snapshot
    if "snapshot" in renew or policy.ends_soon("snapshot", state.snapshot.expires):
        return b"", 0
    if not is_complete(trust.read_metadata("snapshot", data), choice.root):
        return b"", 0
    return data, state.snapshot.version


def _meta(data: bytes, version: int) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": sha256(data).hexdigest()})


def _signed_online(signed: Any, online: KeySigner, root: Root, done: SigningResult) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)
    metadata.signatures[online.public_key.keyid] = online.sign(metadata.signed_bytes)
    _require_valid({online.public_key.keyid} - signers(metadata, root), signed.type)
    done.new_signatures.append(
        NewSignature(signed.type, signed.version, (online.public_key.keyid,))
    )
    return metadata.to_bytes()


def _require_valid(invalid: set[str], role: str) -> None:
    """Raise ``ConfigError`` if a new signature is not valid for the key that the root lists.

    ``role`` is the TUF role of the signed metadata. ``invalid`` has the IDs of the keys with
    invalid signatures: a token or a key service could have signed with a different key.
    """
    if invalid:
        raise ConfigError(
            f"nothing was written: the new signature of {role} by {min(invalid)} is not valid for "
            "the key in the root",
            fix="check that the token or the key service uses the key of that ID",
        )


def verify_as_client(plan: SigningPlan, done: SigningResult) -> None:
    """Verify the files that signing would write, as a client would.

    Args:
        plan: the data before signing.
        done: the result of signing.

    Raises:
        ConfigError: clients would refuse the files.
    """
    try:
        root = _require_followed(plan, done)
        if TIMESTAMP in dict(done.site):
            _require_kept(plan, root, done)
    except Exception as exc:
        said = exc if isinstance(exc, CertpinError) else as_update_error(exc).problem
        raise ConfigError(
            f"nothing was written: clients would refuse it: {said}",
            fix="certpin publish status lists expired metadata, and the keys that renew it",
        ) from exc


def _require_followed(plan: SigningPlan, done: SigningResult) -> Root:
    """Check the sizes of the files to write, and that each root is a valid successor of the last.

    ``plan`` has the data before signing, and ``done`` the files to write. Return the newest root.
    Raises ``RepositoryError`` if clients would refuse a file.
    """
    for path, data in done.site:
        if len(data) > LIMITS.of(path):
            raise RepositoryError(f"{path} has {len(data)} bytes; {LIMITS.of(path)} are taken")
    new = [data for path, data in done.site if path.endswith(".root.json")]
    files = [*plan.policy.state.root_files, *new]
    chain = trust.follow_roots(files[0], files[1:], plan.policy.state.name)
    if len(chain) != len(files):
        raise RepositoryError("a root does not follow the one before")
    return chain[-1]


def _require_kept(plan: SigningPlan, root: Root, done: SigningResult) -> None:
    current = plan.policy.state.current
    new = {path.removesuffix(".json").rpartition(".")[2]: data for path, data in done.site}
    before = current.verified.signed if current else trust.SignedMetadata(b"", b"", b"")
    signed = trust.SignedMetadata(
        dict(done.site)[TIMESTAMP],
        new.get("snapshot", before.snapshot),
        new.get("targets", before.targets),
    )
    content = plan.content if "targets" in done.moved else current and Content.of(current)
    assert content is not None  # noqa: S101  # without one there is no timestamp
    verified = trust.verify_metadata(root, signed, content.pins.name, LIMITS)
    found = trust.verify_files(verified, content.files)
    if current is not None:
        same_root = current.verified.root == root.version
        trust.require_following(found.pins, current.pins, same_root=same_root)
    if verified.until <= plan.policy.now:
        raise ExpiredMetadataError(f"that was good until {verified.until:%Y-%m-%d %H:%M} UTC")
