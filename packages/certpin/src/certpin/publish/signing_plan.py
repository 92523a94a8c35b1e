"""Decide which TUF metadata has to be signed, and by which keys. Pure functions.

The input is the folder ``publish/``, the pin file, the rotation journal and the time. A draft
(metadata without enough signatures) is never signed only because it exists: targets are drafted
again from the pin file and compared, and a root must pass ``roots.check``, with its changes of keys
shown to the signer. The online key never signs a draft, because a daily job uses it and no person
reads the changes then.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata, Root, Targets

from certpin.errors import ConfigError
from certpin.publish import roots
from certpin.publish.content import Content, require_published, restore_fix
from certpin.publish.jump import is_jump
from certpin.publish.roots import same_bytes
from certpin.publish.state import is_complete
from certpin.updates.trust import LARGEST_JUMP, read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from securesystemslib.signer import Key

    from certpin.pins import PinSet
    from certpin.publish.roots import Kind
    from certpin.publish.settings import PublishSettings
    from certpin.publish.state import FolderState
    from certpin.updates.trust import SignedSet


_ROLES = ("root", "targets", "timestamp")
OTHER_KEYS = "the next root has other keys for it"


@dataclass(frozen=True)
class SigningPolicy:
    """The input from which certpin decides which TUF metadata has to be signed.

    Attributes:
        state: the verified contents of the folder ``publish/``.
        settings: the settings in ``publish.toml``.
        now: the current time in whole seconds, as in metadata.
        offer: the pin set in the pin file, with the files that it names; or the error if this pin
            set can't be signed.
        published: by version, the pin sets that the rotation journal records as released for
            signing.
        latest: the newest version in ``published``; ``None`` if it is empty.
        held: the lowest version in the journal that a client with the newest root may hold, also in
            the binary of an app; ``None`` if there is none.
    """

    state: FolderState
    settings: PublishSettings
    now: datetime
    offer: Content | ConfigError
    published: Mapping[int, PinSet] = field(default_factory=dict)
    latest: int | None = None
    held: int | None = None

    @property
    def lowest(self) -> int | None:
        """The lowest version that a client with the newest root may hold; None if there is none.

        It is the lower one of two versions: ``held``, and the signed version in ``publish/site``
        (if only one of them exists, it is that one). The result is also None if only an older root
        accepts that signed version, because then no client has a version together with the newest
        root.
        """
        current = self.state.current
        if current is not None and current.superseded:
            return None
        known = [self.held, current.pins.version if current else None]
        return min((version for version in known if version is not None), default=None)

    def expiry(self, role: str) -> datetime:
        """Return the time at which metadata of this TUF role expires if it is drafted now.

        Root and targets expire at the end of a day, so that two people who draft the same metadata
        on one day, each in a clone, write the same file.
        """
        date = self.now + self.settings.life(role)
        if role in {"snapshot", "timestamp"}:
            return date
        return date.replace(hour=0, minute=0, second=0) + timedelta(days=1)

    def ends_soon(self, role: str, expires: datetime) -> bool:
        """Return True if at most a third of the lifetime of this TUF role's metadata is left.

        The metadata is then signed again. ``expires`` is the time at which it expires.
        """
        return expires - self.now <= self.settings.life(role) / 3


@dataclass(frozen=True)
class SigningPlan:
    """The drafts of TUF metadata to sign.

    When enough keys have signed a draft, it goes to ``publish/site/``, the files for clients.

    Attributes:
        policy: the data from which the plan was computed.
        root: the draft of the next root; ``None`` if none is needed.
        targets: the draft of the next targets metadata; ``None`` if none is needed.
        content: the pin set and the files that the targets metadata must list.
        next_alone: True if the targets must go to ``publish/site/`` only together with the next
            root. There are two reasons: they are signed again only because that root has other
            keys, or their version is so high that clients refuse it without a new root.
        reasons: by TUF role, the reason why its metadata has to be signed.
        problems: by TUF role, the reason why its metadata must not be signed.
        replaced: the IDs of those keys that the user gave, but that sign nothing any more, because
            the newest root has replaced them.
    """

    policy: SigningPolicy
    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None
    content: Content | None = None
    next_alone: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    problems: dict[str, ConfigError] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()

    @property
    def candidates(self) -> tuple[Root, ...]:
        """The roots with keys that may sign: the draft of the next root, and the current root."""
        new = (self.root.signed,) if self.root else ()
        return (*new, *self.policy.state.roots[-1:])

    def may_sign(self, role: str) -> frozenset[str]:
        """Return the IDs of the keys that may sign drafts of a TUF role, such as ``targets``."""
        return _signing(self.policy.state, self.candidates, role)


def prepare(
    policy: SigningPolicy,
    keys: frozenset[str],
    renew: frozenset[str] = frozenset(),
    places: Mapping[str, str] | None = None,
) -> SigningPlan:
    """Decide which metadata the keys ``keys`` have to sign, and draft it if there is no draft yet.

    Args:
        policy: the data that decide which metadata has to be signed.
        keys: the IDs of the keys that are available for signing; empty to report only which
            signatures are missing.
        renew: the TUF roles to sign again although their metadata has not expired.
        places: the files or URIs of keys by key ID, as the user named them, for errors.

    Returns:
        The drafts to sign.

    Raises:
        ConfigError: a key is unknown, none of the keys may sign a role in ``renew``, or metadata
            that these keys would sign must not be signed.
    """
    problems: dict[str, ConfigError] = {}
    reasons: dict[str, str] = {}
    root = _root(policy, keys, renew, reasons, problems)
    plan = SigningPlan(policy, root, reasons=reasons, problems=problems)
    plan = replace(plan, replaced=_require_known(plan, keys, places or {}))
    _require_renewable(plan, keys, renew)
    content, targets = targets_of(plan, keys, renew)
    alone = reasons.get("targets") == OTHER_KEYS or _is_jump(plan, content)
    return replace(plan, targets=targets, content=content, next_alone=alone)


def _root(
    policy: SigningPolicy,
    keys: frozenset[str],
    renew: frozenset[str],
    reasons: dict[str, str],
    problems: dict[str, ConfigError],
) -> Metadata[Root] | None:
    """Return the draft of the next root: the existing one, or a new one that ``keys`` must sign.

    ``policy`` has the current root, and the existing draft. ``keys`` has the IDs of the available
    keys, and ``renew`` the TUF roles to sign again although their metadata has not expired. Return
    None if no new root is needed, or if its draft must not be signed. The reason why a root has to
    be signed is added to ``reasons``, and the reason why it must not be signed to ``problems``.
    Raises ``ConfigError`` if ``keys`` would sign a draft that must not be signed.
    """
    try:
        draft = drafted_root(policy.state)
    except ConfigError as exc:
        if keys & _signing(policy.state, policy.state.roots[-1:], "root"):
            raise
        problems["root"] = exc
        return None
    return _next_root(policy, draft, keys, renew, reasons, problems)


def _next_root(
    policy: SigningPolicy,
    draft: Metadata[Root] | None,
    keys: frozenset[str],
    renew: frozenset[str],
    reasons: dict[str, str],
    problems: dict[str, ConfigError],
) -> Metadata[Root] | None:
    current = policy.state.root
    known = [root for root in (draft.signed if draft else None, current) if root]
    mine = bool(keys & _signing(policy.state, known, "root"))
    if current and policy.ends_soon("root", current.expires):
        reasons["root"] = f"it ends on {current.expires:%Y-%m-%d}"
    if draft and "root" in renew and mine:
        draft.signed.expires = policy.expiry("root")
        draft.signatures.clear()
    elif not draft and current and mine and ("root" in renew or "root" in reasons):
        draft = Metadata(roots.next_root(current, policy.expiry("root"), policy.state.name))
    if not draft:
        return None
    reasons.setdefault("root", "other keys are to sign" if current else "it is the first")
    try:
        roots.check(
            draft.signed, policy.state.roots, policy.now, policy.settings, policy.state.name
        )
    except ConfigError as exc:
        if mine:
            raise
        problems["root"] = exc
        return None
    return draft


def drafted_root(state: FolderState) -> Metadata[Root] | None:
    """Return a copy of the next root's draft in ``publish/drafts/``, which needs signatures.

    ``state`` has the contents of the folder ``publish/``. Return None if there is no draft, or if
    ``publish/site/`` already has a root of that version.

    Raises:
        PinFileError: the draft can't be read.
    """
    draft = state.draft("root")
    if draft is None or (state.root and draft.signed.version <= state.root.version):
        return None
    return deepcopy(draft)


def may_sign_targets(policy: SigningPolicy, keys: frozenset[str]) -> bool:
    """Return True if one of the keys may sign pin sets.

    ``keys`` has the IDs of the keys, and ``policy`` the contents of ``publish/``. The current root,
    or the draft of the next root, must list the key for the targets role.
    """
    try:
        draft = drafted_root(policy.state)
    except ConfigError:  # `prepare` reports it, if it matters
        draft = None
    known = [root for root in (draft.signed if draft else None, policy.state.root) if root]
    return bool(keys & _signing(policy.state, known, "targets"))


def with_version(
    policy: SigningPolicy, pins: PinSet, offer: Content | ConfigError
) -> SigningPolicy:
    """Return a copy of the policy in which one more version of the pin set is released for signing.

    Call it after the rotation journal (the file that lists published pin sets) has recorded this
    version.

    Args:
        policy: the policy to copy.
        pins: the pin set of the version.
        offer: the same pin set with its files; or the error if it can't be signed.
    """
    published = {**policy.published, pins.version: pins}
    return replace(policy, published=published, latest=max(published), offer=offer)


def _require_known(
    plan: SigningPlan, keys: frozenset[str], places: Mapping[str, str]
) -> tuple[str, ...]:
    """Raise ``ConfigError`` for a given key that signs nothing; return the replaced keys.

    A replaced key is one that the previous root lists, and the newest root doesn't. It is accepted
    if a current key is given, too. So if signing was interrupted after the new root was written,
    the user can run the same command again.

    Args:
        plan: the drafts to sign.
        keys: the IDs of the given keys.
        places: the files or URIs of keys by key ID, for errors.

    Returns:
        The IDs of the replaced keys.
    """
    known = frozenset[str]().union(*(_keys(plan.candidates, role) for role in _ROLES))
    before = frozenset[str]().union(*(_keys(plan.policy.state.roots[-2:-1], r) for r in _ROLES))
    replaced = (keys & before) - known if keys & known else frozenset[str]()
    for key in sorted(keys - known - replaced):
        if "root" in plan.problems:
            raise plan.problems["root"]
        raise ConfigError(
            f"the key {places[key]} ({key}) signs nothing here"
            if key in places
            else f"the key {key} signs nothing here",
            key="KEY",
            fix="see certpin publish status for those that do; certpin publish add-key brings "
            "another one in",
        )
    return tuple(sorted(replaced))


def _require_renewable(plan: SigningPlan, keys: frozenset[str], renew: frozenset[str]) -> None:
    for role in sorted(renew):
        online = role in {"snapshot", "timestamp"}
        may_sign = _keys(plan.candidates, role) if online else plan.may_sign(role)
        if not keys & may_sign:
            raise ConfigError(
                f"none of the given keys may sign {role}",
                key="--renew",
                fix=f"give a key of {role} too; certpin publish status lists them",
            )


def _signing(state: FolderState, candidates: Any, role: str) -> frozenset[str]:
    """Return the IDs of the keys that may sign the drafts of a TUF role.

    ``candidates`` are the roots that list such keys. ``state`` has the contents of ``publish/``,
    with the current root.

    The current online key (for timestamp and snapshot) is left out, because it never signs a draft.
    """
    known = [state.root] if state.root else []
    return _keys(candidates, role) - _keys(known, "timestamp")


def _keys(candidates: Any, role: str) -> frozenset[str]:
    return frozenset(keyid for root in candidates for keyid in root.roles[role].keyids)


def targets_of(
    plan: SigningPlan, keys: frozenset[str], renew: frozenset[str]
) -> tuple[Content | None, Metadata[Targets] | None]:
    """Decide if the targets metadata has to be signed, and draft it if these keys may sign it.

    The reason why the metadata has to be signed is added to ``plan.reasons``, and the reason why it
    must not be signed to ``plan.problems``.

    Args:
        plan: the plan so far, with the draft of the next root.
        keys: the IDs of the keys that are available for signing.
        renew: the TUF roles to sign again although their metadata has not expired.

    Returns:
        The pin set that the targets metadata has to list, with its files; None if there is none, or
        if it must not be signed. And the draft of the metadata; None if none is needed, or if there
        is none and these keys may not sign one.

    Raises:
        ConfigError: these keys would sign metadata that must not be signed.
    """
    policy, mine = plan.policy, bool(keys & plan.may_sign("targets"))
    try:
        content = _wanted(plan)
        draft = _drafted_targets(policy, content) if content else None
    except ConfigError as exc:
        if mine:
            raise
        plan.problems["targets"] = exc
        return None, None
    if content is None:
        if mine and plan.root is None:
            raise ConfigError(
                "no version is recorded as a signed set yet",
                key="version",
                fix="sign the pin file with a targets key: certpin publish sign KEY…",
            )
        return None, None
    reason = _reason(plan, content, renew) or ("it is drafted" if draft else "")
    if not reason:
        return content, None
    plan.reasons["targets"] = reason
    if not draft and mine:
        draft = Metadata(content.targets(policy.state.free("targets"), policy.expiry("targets")))
    return content, draft


def _wanted(plan: SigningPlan) -> Content | None:
    """Return the pin set that must be signed: the newest version that was released for signing.

    ``plan`` has the contents of the pin file and of ``publish/``. The rotation journal, a file
    beside the pin file, lists the released versions. If the newest one is higher than the version
    of the signed pin set in ``publish/site/``, its pin set is that of the pin file. Otherwise the
    signed pin set is returned, so that its signatures can be renewed. Return None if no version was
    released.

    Raises:
        ConfigError: the pin set differs from the one that was released under this version, its
            version is so high that clients with the lowest version would refuse it, or the signed
            pin set is newer than the journal.
    """
    policy = plan.policy
    current, latest = policy.state.current, policy.latest
    if latest is not None and (current is None or latest > current.pins.version):
        if isinstance(policy.offer, ConfigError):
            raise policy.offer
        require_published(policy.offer.pins, policy.published[latest])
        _require_same_name(policy.offer, current)
        _require_step(plan, policy.offer)
        return policy.offer
    if current is None:
        return None
    if latest is not None and latest < current.pins.version:
        raise ConfigError(
            f"version {latest} was published last, and {current.pins.version} is signed: no "
            "client goes back",
            key="version",
            fix=restore_fix(current),
        )
    what = "the signed set in publish/site"
    require_published(current.pins, policy.published.get(current.pins.version), what=what)
    return Content.of(current)


def _require_same_name(content: Content, current: SignedSet | None) -> None:
    if current is not None and current.pins.name != content.pins.name:
        raise ConfigError(
            f"clients of the pin set {current.pins.name!r} take none that is called "
            f"{content.pins.name!r}",
            key="name",
            fix="give it its name back, or publish it from a separate folder",
        )


def _is_jump(plan: SigningPlan, content: Content | None) -> bool:
    """Return True if the version is so high that some clients take it only with a new root.

    If the version is already signed, the result is False: renewing its signatures is always
    allowed, because clients with this version need them.

    Args:
        plan: the plan, with the lowest version that clients may hold.
        content: the pin set to sign; None for no pin set, with the result False.
    """
    current = plan.policy.state.current
    if content is None or (current and content.pins.version <= current.pins.version):
        return False
    return is_jump(content.pins.version, plan.policy.lowest)


def _require_step(plan: SigningPlan, content: Content) -> None:
    """Raise ``ConfigError`` if some clients would refuse the version of ``content`` as too high.

    ``plan`` has the lowest version that clients may hold. If a new root is signed, too, no version
    is too high. Call this function for each signer. Also call it before the journal records the
    version: the journal is append-only, so that a recorded version can't be corrected.
    """
    known, current = plan.policy.lowest, plan.policy.state.current
    with_root = plan.root is not None and plan.policy.state.root is not None
    if known is None or with_root or not _is_jump(plan, content):
        return
    new, next_number = content.pins.version, (current.pins.version if current else known) + 1
    way = (
        "sign it together with a new root: certpin publish sign KEY… --renew root, and push once "
        "both have all their signatures"
    )
    if not is_jump(next_number, known):
        way = (
            f"write version = {next_number} into the pin file; if the journal has version {new} "
            f"already, {way}"
        )
    if known == plan.policy.held:
        way += (
            f"; or, if no client holds version {known}, record that: certpin rotate shipped "
            f"{known} --ended"
        )
    raise ConfigError(
        f"version {new} is more than {LARGEST_JUMP} above version {known}, which clients may hold: "
        "they refuse that under one root",
        key="version",
        fix=way,
    )


def _reason(plan: SigningPlan, content: Content, renew: frozenset[str]) -> str:
    policy, current, targets = plan.policy, plan.policy.state.current, plan.policy.state.targets
    if current is None or targets is None or content.pins.version > current.pins.version:
        return f"version {content.pins.version} was published"
    if policy.ends_soon("targets", targets.expires):
        return f"it ends on {targets.expires:%Y-%m-%d}"
    signed = read_metadata("targets", current.verified.signed.targets)
    if not is_complete(signed, plan.candidates[-1]):
        return "the root has other keys for it"
    if "targets" in renew:
        return "you want it"
    return "" if is_complete(signed, plan.candidates[0]) else OTHER_KEYS


def _drafted_targets(policy: SigningPolicy, content: Content) -> Metadata[Targets] | None:
    """Return a copy of the draft of the targets metadata; None if it is missing or out of date.

    ``policy`` has the draft, and ``content`` is the pin set and the files to sign.

    Raises:
        ConfigError: the draft is for the version to sign, but differs from the metadata that
            certpin would draft; or it can't be read.
    """
    draft, state = policy.state.draft("targets"), policy.state
    if draft is None or _is_stale(policy, draft.signed, content):
        return None
    expected = content.targets(draft.signed.version, draft.signed.expires)
    if roots.is_spec_version(draft.signed.spec_version):  # the version of the tuf that drafted it
        expected.spec_version = draft.signed.spec_version
    in_turn = draft.signed.version <= state.free("targets")
    in_time = draft.signed.expires <= policy.expiry("targets") + roots.SLACK
    if not same_bytes(draft.signed, expected) or not in_turn or not in_time:
        raise ConfigError(
            f"it is not what {content.pins.name} version {content.pins.version} says",
            key="drafts/targets.json",
            fix="do not sign it: fetch the published sets (git pull); if that does not "
            "help, ask who made it, take it away, and sign again",
        )
    return deepcopy(draft)


def _is_stale(policy: SigningPolicy, draft: Targets, content: Content) -> bool:
    versions = [_version(info.custom) for info in draft.targets.values()]
    if policy.state.targets and draft.version <= policy.state.targets.version:
        return True
    older = bool(versions) and max(versions) < content.pins.version
    return older or policy.ends_soon("targets", draft.expires)


def _version(custom: Any) -> int:
    version = custom.get("version") if isinstance(custom, dict) else None
    return (
        version if isinstance(version, int) else 2**63
    )  # invalid: don't treat the draft as an older one


def draft_new_key(
    policy: SigningPolicy, key: Key, kind: Kind, *, replaced: str | None, threshold: int | None
) -> Metadata[Root]:
    """Return an unsigned draft of the next root, in which a key was added or replaced.

    Args:
        policy: the data that decide which metadata has to be signed.
        key: the new key.
        kind: the kind of the key: root, targets or online.
        replaced: the ID, or the beginning of the ID, of the key to remove. ``None`` to remove none;
            or, if ``kind`` is online, to remove the existing online key.
        threshold: the new number of signatures that keys of this kind must give, or None to keep
            it.

    Raises:
        ConfigError: the change has no effect, or the rules of ``roots.check`` forbid such a root.
    """
    draft, current = drafted_root(policy.state), policy.state.root
    if draft is not None:
        base = draft.signed
    else:
        assert current is not None  # noqa: S101  # a state has one or the other
        base = roots.next_root(current, policy.expiry("root"), policy.state.name)
    new = roots.with_key(base, key, kind, replaced=replaced, threshold=threshold)
    new.expires = policy.expiry("root")
    roots.check(
        new,
        policy.state.roots,
        policy.now,
        policy.settings,
        policy.state.name,
        new_key=key.keyid,
    )
    return Metadata(new)
