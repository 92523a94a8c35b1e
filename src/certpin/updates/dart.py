"""What the exported Dart can verify: ECDSA on P-256 and P-384 (``signed_keys.dart``). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuf.api.metadata import Root

SCHEMES = {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"}


def shortage(root: Root) -> str:
    """Return why Flutter apps can't follow a root, or an empty text if they can."""
    for name, role in root.roles.items():
        known = sum(root.keys[each].scheme in SCHEMES for each in role.keyids)
        if known < role.threshold:
            return f"Dart verifies {known} of the keys of {name}, and {role.threshold} must sign"
    return ""
