"""TUF root metadata, which lists the keys of each role. Pure functions.

There are four roles and three kinds of keys: "root" keys sign roots, "targets" keys sign pin sets,
and the "online" key signs snapshot and timestamp each day. An attacker with the online key can
present old files as new until the targets expire, but nothing else. So it must not be one of the
other keys.
"""

from __future__ import annotations

import re
from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from tuf.api.metadata import Root
from tuf.api.serialization import SerializationError
from tuf.api.serialization.json import CanonicalJSONSerializer

from certpin.errors import ConfigError
from certpin.publish.keys import public_key_of
from certpin.updates.trust import PIN_SET_FIELD, dart_shortage, distinct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from securesystemslib.signer import Key
    from tuf.api.metadata import Signed

    from certpin.publish.settings import PublishSettings


Kind = Literal["root", "targets", "online"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ROLES_OF: Mapping[Kind, tuple[str, ...]] = {
    "root": ("root",),
    "targets": ("targets",),
    "online": ("snapshot", "timestamp"),
}
_SPEC = re.compile(r"1\.0\.[0-9]{1,3}", re.ASCII)  # as written by any release of tuf for TUF 1.0
SLACK = timedelta(days=1)  # tolerated between the clocks of two signers of a draft


def first_root(
    keys: Mapping[Kind, Sequence[Key]],
    thresholds: Mapping[Kind, int],
    expires: datetime,
    name: str,
) -> Root:
    """Return version 1 of the root metadata, unsigned.

    Args:
        keys: the keys of each kind: root, targets and online.
        thresholds: the number of keys of each kind that must sign; 1 for a kind that is missing.
        expires: the time at which the root expires.
        name: the name of the pin set.
    """
    fields = {PIN_SET_FIELD: name}
    root = Root(1, expires=expires, consistent_snapshot=True, unrecognized_fields=fields)
    for kind in KINDS:
        for key in keys[kind]:
            _add(root, key, kind)
        _set_threshold(root, kind, thresholds.get(kind, 1))
    return root


def next_root(root: Root, expires: datetime, name: str) -> Root:
    """Return a copy of root metadata with the next version, a new expiry and the same keys.

    ``expires`` is the new expiry. The copy contains ``name``, the name of the pin set, even if
    ``root`` contains none because another TUF tool made it.
    """
    new = deepcopy(root)
    new.version += 1
    new.expires = expires
    new.unrecognized_fields[PIN_SET_FIELD] = name
    return new


def with_key(
    root: Root, key: Key, kind: Kind, *, replaced: str | None, threshold: int | None
) -> Root:
    """Return a copy of root metadata with an added or replaced key.

    Args:
        root: the root to copy.
        key: the new key. An online key always replaces the existing one.
        kind: the kind of the key: root, targets or online.
        replaced: the ID, or the beginning of the ID, of the key to remove. ``None`` to remove none;
            or, if ``kind`` is online, to remove the existing online key.
        threshold: the new number of signatures that keys of this kind must give, or None to keep
            it.

    Raises:
        ConfigError: nothing changes, or ``replaced`` is not the ID of exactly one key.
    """
    new = deepcopy(root)
    known = new.roles[ROLES_OF[kind][0]].keyids
    gone = known[0] if kind == "online" and known and replaced is None else replaced
    if gone is not None:
        gone = _found(gone, known, kind)
        for role in ROLES_OF[kind]:
            new.revoke_key(gone, role)
    _add(new, key, kind)
    if threshold is not None:
        _set_threshold(new, kind, threshold)
    if new == root:
        raise ConfigError(f"nothing changes: {key.keyid} signs {kind} already", key="--role")
    return new


def check(
    root: Root,
    earlier: Sequence[Root],
    now: datetime,
    settings: PublishSettings,
    name: str,
    *,
    new_key: str | None = None,
) -> None:
    """Raise an error unless root metadata may be signed as the successor of other roots.

    Args:
        root: the root to sign.
        earlier: all roots before it in ascending order of versions; empty if ``root`` is the first.
        now: the current time.
        settings: the settings in ``publish.toml``: the lifetime of roots, and whether Flutter apps
            use the pin set.
        name: the name of the pin set, which the root must have.
        new_key: the ID of the key that was just added, if the root is only drafted. A draft may
            still have keys that moved between the online role and the others, if it has fewer of
            them than the last root: each call of ``certpin publish add-key`` replaces one. ``None``
            if the root is to be signed.

    Raises:
        ConfigError: for example, the version, the expiry, a key or a threshold is invalid.
    """
    for problem, fix in _wrong(root, earlier, now, settings, name, new_key):
        raise ConfigError(
            f"root {root.version} must not be signed: {problem}", key="drafts/root.json", fix=fix
        )


def is_spec_version(version: str) -> bool:
    """Return True if the text is a version of the TUF specification that tuf writes: 1.0.x.

    certpin signs only metadata with such a version.
    """
    return bool(_SPEC.fullmatch(version))


def changes(before: Root | None, root: Root) -> Iterator[str]:
    """Yield the changes of keys and thresholds from one root to the next, as texts for the signer.

    Args:
        before: the current root; ``None`` if ``root`` is the first.
        root: the next root.

    Yields:
        A sentence without a full stop for each change.
    """
    for kind in KINDS:
        role = root.roles[ROLES_OF[kind][0]]
        old = before.roles[ROLES_OF[kind][0]] if before else None
        known = old.keyids if old else []
        yield from (
            f"key {keyid} comes in for {kind}" for keyid in role.keyids if keyid not in known
        )
        yield from (f"key {keyid} of {kind} is out" for keyid in known if keyid not in role.keyids)
        if old is None or old.threshold != role.threshold:
            yield f"{role.threshold} of {len(role.keyids)} keys of {kind} have to sign"


def _add(root: Root, key: Key, kind: Kind) -> None:
    for role in ROLES_OF[kind]:
        root.add_key(key, role)


def _set_threshold(root: Root, kind: Kind, threshold: int) -> None:
    for role in ROLES_OF[kind]:
        root.roles[role].threshold = threshold


def _found(begin: str, known: Sequence[str], kind: Kind) -> str:
    found = [keyid for keyid in known if begin and keyid.startswith(begin)]
    if len(found) != 1:
        raise ConfigError(
            f"{len(found)} keys of {kind} are called {begin[:80]!r}",
            key="--replace",
            fix=f"give one of these: {', '.join(known)}",
        )
    return found[0]


def _wrong(
    root: Root,
    earlier: Sequence[Root],
    now: datetime,
    settings: PublishSettings,
    name: str,
    new_key: str | None,
) -> Iterator[tuple[str, str]]:
    again = "take drafts/root.json away, and make it again: certpin publish add-key"
    number = earlier[-1].version + 1 if earlier else 1
    if root.version != number:
        yield f"its number has to be {number}", again
    if root.unrecognized_fields.get(PIN_SET_FIELD) != name:
        yield f"it does not name the pin set {name!r}", again
    if not now < root.expires <= now + settings.life("root") + SLACK:
        yield (
            f"its date {root.expires:%Y-%m-%d} is past, or is later than publish.toml lets it be",
            "certpin publish sign --renew root, with keys of the root",
        )
    if any(public_key_of(key) is None or key.keyid != keyid for keyid, key in root.keys.items()):
        yield "a key in it is invalid, or has the ID of another key", again
    if not _is_ours(root, name):
        yield "it has entries that certpin does not write", again
    yield from _wrong_roles(root)
    yield from _wrong_moves(root, earlier, new_key)
    if settings.flutter and (problem := dart_shortage(root)):
        fix = "take ECDSA keys on P-256 or P-384; or, without Flutter apps that follow signed sets"
        yield problem, f"{fix}, write flutter = false into publish/publish.toml"


def _is_ours(root: Root, name: str) -> bool:
    """Return True if a root has exactly the bytes that certpin would write for the same content.

    The content is keys, thresholds and dates, and the pin set's name ``name``. It is not enough to
    compare parsed values: Python treats true and 1 as equal, but clients in other languages don't.
    A client that can't read a root can't load any later root either.
    """
    new = Root(int(root.version), root.spec_version, root.expires, consistent_snapshot=True)
    new.unrecognized_fields[PIN_SET_FIELD] = name
    try:
        for role_name, role in root.roles.items():
            for keyid in role.keyids:
                new.add_key(root.keys[keyid], role_name)
            new.roles[role_name].threshold = int(role.threshold)
    except KeyError:
        return False
    return is_spec_version(root.spec_version) and same_bytes(root, new)


class MovedKey(NamedTuple):
    """A key that moved between the online role and the others, which no key must do.

    Attributes:
        kind: the kind of key that it would be now.
        keyid: its ID in the root.
    """

    kind: Kind
    keyid: str

    @property
    def problem(self) -> str:
        """The reason why the key must not be of this kind, without a full stop."""
        if self.kind == "online":
            return (
                f"its online key {self.keyid} signed root or targets under an earlier root, which "
                "clients may have"
            )
        return f"a key that was online, under an earlier root, would sign {self.kind}: {self.keyid}"

    @property
    def command(self) -> str:
        """The command that replaces the key in the next root."""
        return f"certpin publish add-key NEW.key --role {self.kind} --replace {self.keyid}"

    @property
    def fix(self) -> str:
        """The advice for an error or a warning about the key."""
        return f"replace it with a key that never had another role: {self.command}"


def moved_keys(root: Root, earlier: Sequence[Root]) -> frozenset[MovedKey]:
    """Return the keys in a root that moved between the online role and the others.

    All earlier roots count. A client with an old root accepts every next root that the old root's
    keys have signed (TUF 1.0.31, 5.3), so a replaced root key still has its power over this client.
    And a key that was online may have been copied.

    Args:
        root: the root.
        earlier: the roots before it; ``root`` may be the last of them.
    """
    online = _public_keys(earlier, "timestamp")
    others = _public_keys(earlier, "root", "targets")
    return frozenset(
        MovedKey(kind, keyid)
        for kind in KINDS
        for role in ROLES_OF[kind]
        for keyid in root.roles[role].keyids
        if keyid in root.keys
        and distinct([root.keys[keyid]]) <= (others if kind == "online" else online)
    )


def _wrong_moves(
    root: Root, earlier: Sequence[Root], new_key: str | None
) -> Iterator[tuple[str, str]]:
    """Yield a problem and its fix for each moved key that ``check`` refuses in a root.

    ``earlier`` are the roots before ``root``. ``new_key`` is the ID of the key that was just added
    to a draft; ``None`` if the root is to be signed. Nothing is yielded for a renewal with
    unchanged keys: clients trust these keys already, and without it all updates would end. The
    signer gets a warning instead.
    """
    moved = moved_keys(root, earlier)
    if earlier:
        current = earlier[-1]
        if root.keys == current.keys and root.roles == current.roles:
            return
        if new_key is not None and moved < moved_keys(current, earlier):
            return
    for key in sorted(moved, key=lambda each: (each.keyid != new_key, each)):  # the given one first
        fix = "give a key that never had another role" if key.keyid == new_key else key.fix
        yield key.problem, fix


def _public_keys(roots: Iterable[Root], *roles: str) -> frozenset[bytes]:
    """Return the public keys that any of these roots lists for any of these roles.

    The result has keys and not their IDs, because a different TUF tool may have chosen the IDs.
    ``roles`` are TUF roles, such as ``targets``.
    """
    return distinct(
        root.keys[keyid]
        for root in roots
        for role in roles
        for keyid in root.roles[role].keyids
        if keyid in root.keys
    )


def _wrong_roles(root: Root) -> Iterator[tuple[str, str]]:
    for name, role in root.roles.items():
        if not 1 <= role.threshold <= len(role.keyids):
            yield (
                f"{name} has {len(role.keyids)} keys, and {role.threshold} have to sign",
                "give it more keys, or a lower threshold",
            )
    snapshot, timestamp = root.roles["snapshot"], root.roles["timestamp"]
    if snapshot != timestamp or len(timestamp.keyids) != 1:
        yield "snapshot and timestamp are not signed by one key, the online one", "give it one"
    if set(timestamp.keyids) & {*root.roles["root"].keyids, *root.roles["targets"].keyids}:
        yield (
            "its online key is among those of root or targets, and who takes it has those too",
            "take another key for one of them",
        )


def same_bytes(one: Signed, other: Signed) -> bool:
    """Return True if the signed bytes of two metadata are equal (canonical JSON, TUF 1.0.31, 4.2).

    The operator ``==`` is not enough: Python treats true and 1 as equal, but other languages don't.
    Return False if one has no canonical form, such as metadata with a fractional number.
    """
    serializer = CanonicalJSONSerializer()
    try:
        return serializer.serialize(one) == serializer.serialize(other)
    except SerializationError:  # a number with a fraction, say
        return False
