"""The targets that are to be signed: made anew from the pin file, or as they were signed. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata, Targets

from certpin.errors import ConfigError
from certpin.updates.publish import roots
from certpin.updates.publish.bytewise import same_bytes
from certpin.updates.publish.content import Content, require_published
from certpin.updates.publish.state import is_complete, read_metadata

if TYPE_CHECKING:
    from certpin.updates.publish.desk import SigningPlan, SigningPolicy
    from certpin.updates.trust import SignedSet

OTHER_KEYS = "the next root has other keys for it"


def targets_of(
    plan: SigningPlan, keys: frozenset[str], renew: frozenset[str]
) -> tuple[Content | None, Metadata[Targets] | None]:
    """Return the required content of the targets, and their draft if one has to be signed."""
    policy, mine = plan.policy, bool(keys & plan.may_sign("targets"))
    try:
        content = _wanted(policy)
        draft = _drafted_targets(policy, content) if content else None
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
        draft = Metadata(content.targets(policy.state.free("targets"), policy.expiry("targets")))
    return content, draft


def _wanted(policy: SigningPolicy) -> Content | None:
    """Return the newest published version, from the pin file or the signed set.

    Return None if no version was published.

    Raises:
        ConfigError: the content differs from the published one.
    """
    current, latest = policy.state.current, policy.latest
    if latest is not None and (current is None or latest > current.pins.version):
        if isinstance(policy.offer, ConfigError):
            raise policy.offer
        require_published(policy.offer.pins, policy.published[latest])
        _require_same_name(policy.offer, current)
        return policy.offer
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
    require_published(current.pins, policy.published.get(current.pins.version), what=what)
    return Content.of(current)


def _require_same_name(content: Content, current: SignedSet | None) -> None:
    if current is not None and current.pins.name != content.pins.name:
        raise ConfigError(
            f"clients of the pin set {current.pins.name!r} take none that is called "
            f"{content.pins.name!r}",
            key="name",
            fix="give it its name back, or publish it from a folder of its own",
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
    """Return the existing draft if it is up to date, or None if it is stale.

    Raises:
        ConfigError: the draft is for this version but differs from it, or can't be read.
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
            fix="do not sign it: fetch what others have published (git pull); if that does not "
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
