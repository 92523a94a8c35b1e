"""What is to be signed, and by whom: pure, given the folder, the pin file, the journal and now.

A draft is never signed because it is there. That of the targets is made anew from the pin file and
compared; that of a root has to keep the rules of ``roots.check``, and who signs is shown which
keys come and go.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata, Root, Targets

from certpin.errors import ConfigError
from certpin.updates.publish import roots
from certpin.updates.publish.content import Content, require_published
from certpin.updates.publish.state import is_complete, read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.updates.publish.settings import Settings
    from certpin.updates.publish.state import State
    from certpin.updates.trust import SignedSet


_OTHER_KEYS = "the next root has other keys for it"
_ROLES = ("root", "targets", "timestamp")


@dataclass(frozen=True)
class Desk:
    """All that decides. ``now`` has no fractions of a second, as dates in metadata have none.

    ``offer`` is the pin file as it could be signed, or why it could not. ``published`` are the
    versions that were published as signed sets, ``latest`` the last one of them.
    """

    state: State
    settings: Settings
    now: datetime
    offer: Content | ConfigError
    published: Mapping[int, PinSet] = field(default_factory=dict)
    latest: int | None = None

    def expiry(self, role: str) -> datetime:
        """The date of what is signed now.

        That of a draft is the end of its day: two people who draft the same on one day, each in a
        clone, write the same file.
        """
        date = self.now + self.settings.life(role)
        if role in {"snapshot", "timestamp"}:
            return date
        return date.replace(hour=0, minute=0, second=0) + timedelta(days=1)

    def ends_soon(self, role: str, expires: datetime) -> bool:
        """Whether less than a third of its life is left."""
        return self.now >= expires - self.settings.life(role) / 3


@dataclass(frozen=True)
class Plan:
    """The drafts to sign, and to move when they are signed: ``None`` where nothing is due.

    ``reasons`` say why something is due, and ``problems`` why it must not be signed, by role.
    """

    desk: Desk
    root: Metadata[Root] | None = None
    targets: Metadata[Targets] | None = None
    content: Content | None = None
    next_alone: bool = False  # the targets are good under the root of now, and stay there
    reasons: dict[str, str] = field(default_factory=dict)
    problems: dict[str, ConfigError] = field(default_factory=dict)

    @property
    def candidates(self) -> tuple[Root, ...]:
        """The roots under which something may be signed now: the next one, and that of now."""
        new = (self.root.signed,) if self.root else ()
        return (*new, *self.desk.state.roots[-1:])

    def may_sign(self, role: str) -> frozenset[str]:
        """The ids of the keys that a role may be signed with."""
        return _keys(self.candidates, role)


def prepare(desk: Desk, keys: frozenset[str], renew: frozenset[str] = frozenset()) -> Plan:
    """What these keys (their ids) are to sign. Raises ``ConfigError`` where they must not."""
    problems: dict[str, ConfigError] = {}
    reasons: dict[str, str] = {}
    root = _root(desk, keys, renew, reasons, problems)
    plan = Plan(desk, root, reasons=reasons, problems=problems)
    _require_known(plan, keys)
    content, targets = _targets(plan, keys, renew)
    alone = reasons.get("targets") == _OTHER_KEYS
    return replace(plan, targets=targets, content=content, next_alone=alone)


def _root(
    desk: Desk,
    keys: frozenset[str],
    renew: frozenset[str],
    reasons: dict[str, str],
    problems: dict[str, ConfigError],
) -> Metadata[Root] | None:
    """The draft of the next root, if there is one, or if these keys are to make one."""
    current, draft = desk.state.root, drafted_root(desk.state)
    known = [each for each in (draft.signed if draft else None, current) if each]
    mine = bool(keys & _keys(known, "root"))
    if current and desk.ends_soon("root", current.expires):
        reasons["root"] = f"it ends on {current.expires:%Y-%m-%d}"
    if draft and "root" in renew and mine:
        draft.signed.expires = desk.expiry("root")
        draft.signatures.clear()
    elif not draft and current and mine and ("root" in renew or "root" in reasons):
        draft = Metadata(roots.next_root(current, desk.expiry("root")))
    if not draft:
        return None
    reasons.setdefault("root", "other keys are to sign" if current else "it is the first")
    try:
        roots.check(draft.signed, current, desk.now, desk.settings.life("root"))
    except ConfigError as exc:
        if mine:
            raise
        problems["root"] = exc
        return None
    return draft


def drafted_root(state: State) -> Metadata[Root] | None:
    """The draft of the next root; ``None`` where there is none, or it is in ``site/`` by now."""
    draft = state.drafts.get("root")
    if draft is None or (state.root and draft.signed.version <= state.root.version):
        return None
    return deepcopy(draft)


def _require_known(plan: Plan, keys: frozenset[str]) -> None:
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


def _targets(
    plan: Plan, keys: frozenset[str], renew: frozenset[str]
) -> tuple[Content | None, Metadata[Targets] | None]:
    """What the targets have to hold; and their draft, old or new, if it is to be signed."""
    desk, mine = plan.desk, bool(keys & plan.may_sign("targets"))
    try:
        content = _wanted(desk)
        draft = _drafted_targets(desk, content) if content else None
    except ConfigError as exc:
        if mine:
            raise
        plan.problems["targets"] = exc
        return None, None
    if content is None:
        if mine and plan.root is None:
            raise ConfigError(
                "no version was published as a signed set yet",
                key="version",
                fix="certpin rotate publish --signed",
            )
        return None, None
    reason = _reason(plan, content, renew) or ("it is drafted" if draft else "")
    if not reason:
        return content, None
    plan.reasons["targets"] = reason
    if not draft and mine:
        draft = Metadata(content.targets(desk.state.free("targets"), desk.expiry("targets")))
    return content, draft


def _wanted(desk: Desk) -> Content | None:
    """The newest version that was published: of the pin file, or as it was signed before.

    ``None`` where none was yet. Raises ``ConfigError`` where it is another one than was published.
    """
    current, latest = desk.state.current, desk.latest
    if latest is not None and (current is None or latest > current.pins.version):
        if isinstance(desk.offer, ConfigError):
            raise desk.offer
        require_published(desk.offer.pins, desk.published[latest])
        _require_same_name(desk.offer, current)
        return desk.offer
    if current is None:
        return None
    if latest is not None and latest < current.pins.version:
        raise ConfigError(
            f"version {latest} was published last, and {current.pins.version} is signed: no "
            "client goes back",
            key="version",
            fix=f"fetch the journal that has {current.pins.version} (git pull), or give the pin "
            "file a higher version and publish it",
        )
    what = "what is signed in publish/site"
    require_published(current.pins, desk.published.get(current.pins.version), what=what)
    return Content.of(current)


def _require_same_name(content: Content, current: SignedSet | None) -> None:
    if current is not None and current.pins.name != content.pins.name:
        raise ConfigError(
            f"clients of the pin set {current.pins.name!r} take none that is called "
            f"{content.pins.name!r}",
            key="name",
            fix="give it its name back, or publish it from a folder of its own",
        )


def _reason(plan: Plan, content: Content, renew: frozenset[str]) -> str:
    desk, current, targets = plan.desk, plan.desk.state.current, plan.desk.state.targets
    if current is None or targets is None or content.pins.version > current.pins.version:
        return f"version {content.pins.version} was published"
    if desk.ends_soon("targets", targets.expires):
        return f"it ends on {targets.expires:%Y-%m-%d}"
    signed = read_metadata("targets", current.promise.signed.targets)
    if not is_complete(signed, plan.candidates[-1]):
        return "the root has other keys for it"
    if "targets" in renew:
        return "you want it"
    return "" if is_complete(signed, plan.candidates[0]) else _OTHER_KEYS


def _drafted_targets(desk: Desk, content: Content) -> Metadata[Targets] | None:
    """The draft that is there, if it is the right one; ``None`` where it is of another time.

    Raises ``ConfigError`` where it is of this version, and says something else.
    """
    draft, state = desk.state.drafts.get("targets"), desk.state
    if draft is None or _is_stale(desk, draft.signed, content):
        return None
    expected = content.targets(draft.signed.version, draft.signed.expires)
    expected.spec_version = draft.signed.spec_version  # that of whoever drafted it
    in_turn = draft.signed.version <= state.free("targets")
    in_time = draft.signed.expires <= desk.expiry("targets") + roots.SLACK
    if draft.signed != expected or not in_turn or not in_time:
        raise ConfigError(
            f"it is not what {content.pins.name} version {content.pins.version} says",
            key="drafts/targets.json",
            fix="do not sign it: fetch what others have published (git pull); if that does not "
            "help, ask who made it, take it away, and sign again",
        )
    return deepcopy(draft)


def _is_stale(desk: Desk, draft: Targets, content: Content) -> bool:
    versions = [_version(info.custom) for info in draft.targets.values()]
    if desk.state.targets and draft.version <= desk.state.targets.version:
        return True
    older = bool(versions) and max(versions) < content.pins.version
    return older or desk.ends_soon("targets", draft.expires)


def _version(custom: Any) -> int:
    version = custom.get("version") if isinstance(custom, dict) else None
    return version if isinstance(version, int) else 2**63  # no number: it is not of an older one


def _keys(candidates: Any, role: str) -> frozenset[str]:
    return frozenset(keyid for root in candidates for keyid in root.roles[role].keyids)
