"""The next root with another key: a draft, until enough keys have signed it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, Root

from certpin.updates.publish import roots
from certpin.updates.publish.desk import drafted_root

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from certpin.updates.publish.desk import SigningPolicy
    from certpin.updates.publish.roots import Kind


def draft_new_key(
    policy: SigningPolicy, key: Key, kind: Kind, *, replaced: str | None, threshold: int | None
) -> Metadata[Root]:
    """Return an unsigned draft of the next root with another key. Raises ``ConfigError``."""
    draft, current = drafted_root(policy.state), policy.state.root
    if draft is not None:
        base = draft.signed
    else:
        assert current is not None  # noqa: S101  # a state has one or the other
        base = roots.next_root(current, policy.expiry("root"))
    new = roots.with_key(base, key, kind, replaced=replaced, threshold=threshold)
    new.expires = policy.expiry("root")
    roots.check(new, current, policy.now, policy.settings)
    return Metadata(new)
