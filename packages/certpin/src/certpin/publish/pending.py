"""The signatures that are missing before clients can fetch new metadata. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.publish.state import is_complete, signers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuf.api.metadata import Metadata, Root

    from certpin.publish.signing_plan import SigningPlan


@dataclass(frozen=True)
class PendingSignature:
    """TUF metadata that needs signatures before clients can fetch it.

    Attributes:
        role: the TUF role of the metadata.
        version: the version of the metadata; 0 if the metadata must not be signed.
        why: the reason why the metadata has to be signed.
        root: the version of the root that lists the keys; 0 if the metadata must not be signed.
        missing: the number of signatures that are missing.
        keys: the IDs of the keys that are allowed to sign.
        problem: the reason why the metadata must not be signed; empty if signing is allowed.
    """

    role: str
    version: int
    why: str
    root: int = 0
    missing: int = 0
    keys: tuple[str, ...] = ()
    problem: str = ""


def pending(plan: SigningPlan) -> tuple[PendingSignature, ...]:
    """Return the metadata that needs signatures, for ``certpin publish status``.

    ``plan`` must be the result of ``prepare`` with an empty set of keys.
    """
    state = plan.policy.state
    found = [
        PendingSignature(role, 0, plan.reasons.get(role, ""), problem=str(problem.args[0]))
        for role, problem in plan.problems.items()
    ]
    if "root" in plan.reasons and "root" not in plan.problems:
        number = state.root.version + 1 if state.root else 1
        for root in plan.candidates:
            found += _missing(plan, "root", plan.root, root, number)
    if "targets" in plan.reasons:
        number = plan.targets.signed.version if plan.targets else state.free("targets")
        for root in plan.candidates:
            found += _missing(plan, "targets", plan.targets, root, number)
    return (*found, *_online(plan))


def pending_publication(plan: SigningPlan) -> tuple[PendingSignature, ...]:
    """Return the timestamp if it is the only missing signature before a publication.

    The new root or targets metadata has enough signatures. But clients can fetch it only when the
    online key has signed a new timestamp. If a publication waits for other signatures, or if there
    is nothing to publish, return an empty tuple.

    ``plan`` must be the result of ``prepare`` with an empty set of keys.
    """
    drafts = [draft for draft in (plan.root, plan.targets) if draft]
    complete = any(is_complete(draft, root) for draft in drafts for root in plan.candidates)
    return tuple(_online(plan)) if complete or plan.policy.state.interrupted else ()


def _missing(
    plan: SigningPlan, role: str, draft: Metadata[Any] | None, root: Root, number: int
) -> Iterator[PendingSignature]:
    signed = signers(draft, root) if draft else frozenset[str]()
    missing = root.roles[role].threshold - len(signed)
    if missing > 0:
        keys = tuple(key for key in root.roles[role].keyids if key not in signed)
        yield PendingSignature(role, number, plan.reasons[role], root.version, missing, keys)


def _online(plan: SigningPlan) -> Iterator[PendingSignature]:
    """Yield the timestamp as pending if the online key must sign a new timestamp.

    ``plan`` has the drafts. A new timestamp is needed to publish drafts (new metadata) that have
    enough signatures, after a change of the root, or because the current timestamp expires soon.
    """
    policy, state = plan.policy, plan.policy.state
    if state.root is None:
        return
    root, why = state.root, ""
    if state.timestamp and policy.ends_soon("timestamp", state.timestamp.expires):
        why = f"it ends on {state.timestamp.expires:%Y-%m-%d %H:%M} UTC"
    if state.interrupted and state.current:
        why = f"signing was interrupted: the draft of root {root.version} is still there"
    if state.current and state.current.superseded:
        why = "the root has changed"
    if plan.targets and any(is_complete(plan.targets, candidate) for candidate in plan.candidates):
        why = f"targets {plan.targets.signed.version} are signed"
    if plan.root and all(is_complete(plan.root, candidate) for candidate in plan.candidates):
        root, why = plan.root.signed, f"root {plan.root.signed.version} is signed"
    if why:
        keys = tuple(root.roles["timestamp"].keyids)
        yield PendingSignature("timestamp", state.free("timestamp"), why, root.version, 1, keys)
