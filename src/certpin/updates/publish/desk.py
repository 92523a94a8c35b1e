"""What is to be signed, and by whom: pure, given the folder, the pin file, the journal and now.

A draft is never signed because it is there. That of the targets is made anew from the pin file and
compared (``drafting``); that of a root has to keep the rules of ``roots.check``, and who signs is
shown which keys come and go. Nobody sees what the daily job is shown: so its key, the online one,
signs nothing that is drafted, whatever a draft calls it.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata, Root, Targets

from certpin.errors import ConfigError
from certpin.updates.publish import roots
from certpin.updates.publish.drafting import OTHER_KEYS, targets_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.updates.publish.content import Content
    from certpin.updates.publish.settings import PublishSettings
    from certpin.updates.publish.state import FolderState


_ROLES = ("root", "targets", "timestamp")


@dataclass(frozen=True)
class SigningPolicy:
    """The data that decide which metadata are signed.

    Attributes:
        state: the verified contents of the folder.
        settings: those of ``publish.toml``.
        now: the current time in whole seconds, as in metadata.
        offer: the content of the pin file, or why it can't be signed.
        published: the versions that were published as signed sets.
        latest: the last of these versions.
    """

    state: FolderState
    settings: PublishSettings
    now: datetime
    offer: Content | ConfigError
    published: Mapping[int, PinSet] = field(default_factory=dict)
    latest: int | None = None

    def expiry(self, role: str) -> datetime:
        """Return the expiry of metadata that is signed now.

        A draft expires at the end of a day, so that two people who draft the same metadata on one
        day, each in a clone, write the same file.
        """
        date = self.now + self.settings.life(role)
        if role in {"snapshot", "timestamp"}:
            return date
        return date.replace(hour=0, minute=0, second=0) + timedelta(days=1)

    def ends_soon(self, role: str, expires: datetime) -> bool:
        """Return True if less than a third of its lifetime is left. ``expires`` may be any date."""
        return expires - self.now <= self.settings.life(role) / 3


@dataclass(frozen=True)
class SigningPlan:
    """The drafts to sign, which go to ``site/`` once they are complete.

    Attributes:
        policy: the data that the plan follows from.
        root: the draft of the next root, if there is one.
        targets: the draft of the next targets, if there is one.
        content: the content that the targets must have.
        next_alone: the targets are valid under the current root, and stay there.
        reasons: why a role has to be signed.
        problems: why a role must not be signed.
    """

    policy: SigningPolicy
    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None
    content: Content | None = None
    next_alone: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    problems: dict[str, ConfigError] = field(default_factory=dict)

    @property
    def candidates(self) -> tuple[Root, ...]:
        """The roots under which metadata may be signed: the next one and the current one."""
        new = (self.root.signed,) if self.root else ()
        return (*new, *self.policy.state.roots[-1:])

    def may_sign(self, role: str) -> frozenset[str]:
        """Return the IDs of the keys that may sign a role."""
        return _signing(self.policy.state, self.candidates, role)


def prepare(
    policy: SigningPolicy, keys: frozenset[str], renew: frozenset[str] = frozenset()
) -> SigningPlan:
    """Decide which metadata these keys have to sign.

    Args:
        policy: the data that decide.
        keys: the IDs of the keys.
        renew: the roles to sign again although they have not expired.

    Raises:
        ConfigError: the keys must not sign.
    """
    problems: dict[str, ConfigError] = {}
    reasons: dict[str, str] = {}
    root = _root(policy, keys, renew, reasons, problems)
    plan = SigningPlan(policy, root, reasons=reasons, problems=problems)
    _require_known(plan, keys)
    content, targets = targets_of(plan, keys, renew)
    alone = reasons.get("targets") == OTHER_KEYS
    return replace(plan, targets=targets, content=content, next_alone=alone)


def _root(
    policy: SigningPolicy,
    keys: frozenset[str],
    renew: frozenset[str],
    reasons: dict[str, str],
    problems: dict[str, ConfigError],
) -> Metadata[Root] | None:
    """Return the draft of the next root, if there is one or these keys have to draft one."""
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
    known = [each for each in (draft.signed if draft else None, current) if each]
    mine = bool(keys & _signing(policy.state, known, "root"))
    if current and policy.ends_soon("root", current.expires):
        reasons["root"] = f"it ends on {current.expires:%Y-%m-%d}"
    if draft and "root" in renew and mine:
        draft.signed.expires = policy.expiry("root")
        draft.signatures.clear()
    elif not draft and current and mine and ("root" in renew or "root" in reasons):
        draft = Metadata(roots.next_root(current, policy.expiry("root")))
    if not draft:
        return None
    reasons.setdefault("root", "other keys are to sign" if current else "it is the first")
    try:
        roots.check(draft.signed, current, policy.now, policy.settings)
    except ConfigError as exc:
        if mine:
            raise
        problems["root"] = exc
        return None
    return draft


def drafted_root(state: FolderState) -> Metadata[Root] | None:
    """Return the draft of the next root, or None if there is none or it is in ``site/`` already.

    Raises:
        PinFileError: the draft can't be read.
    """
    draft = state.draft("root")
    if draft is None or (state.root and draft.signed.version <= state.root.version):
        return None
    return deepcopy(draft)


def _require_known(plan: SigningPlan, keys: frozenset[str]) -> None:
    known = frozenset[str]().union(*(_keys(plan.candidates, role) for role in _ROLES))
    for key in sorted(keys - known):
        if "root" in plan.problems:
            raise plan.problems["root"]
        raise ConfigError(
            f"the key {key} signs nothing here",
            key="KEY",
            fix="see certpin publish status for those that do; certpin publish add-key brings "
            "another one in",
        )


def _signing(state: FolderState, candidates: Any, role: str) -> frozenset[str]:
    """Return the keys that may sign a draft of a role, without the current online key."""
    known = [state.root] if state.root else []
    return _keys(candidates, role) - _keys(known, "timestamp")


def _keys(candidates: Any, role: str) -> frozenset[str]:
    return frozenset(keyid for root in candidates for keyid in root.roles[role].keyids)
