"""How far a signed version is above the versions that clients hold. Pure functions.

Clients refuse a version that is more than ``LARGEST_JUMP`` above their own, unless it comes with a
new root (``trust.require_following``). Their own version can be lower than the last signed one: a
release of an app keeps the version in its binary, and a client that was offline keeps the version
that it fetched.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.updates.trust import LARGEST_JUMP

if TYPE_CHECKING:
    from datetime import datetime

    from tuf.api.metadata import Root

    from certpin.publish.settings import PublishSettings
    from certpin.rotation import AdoptionDelays, DeployedVersions

NEAR_JUMP = 700  # from this distance on, ``certpin publish status`` warns


def lowest_held(
    deployed: DeployedVersions,
    timing: AdoptionDelays,
    now: datetime,
    root: Root | None,
    settings: PublishSettings,
) -> int | None:
    """Return the lowest version of the pin set that a client with the newest root may hold.

    Return ``None`` if no client holds such a version. If certpin raises the version too far, such a
    client refuses the new version (``is_jump``).

    A client that loads a new root also takes any version that comes with it. So a client with the
    newest root holds at least the version that was the newest at the beginning of the day on which
    that root was drafted. Lower versions are left out, unless the newest root is the first one.

    The day is computed: it is the root's expiry minus the lifetime of roots in ``publish.toml``. If
    that lifetime was reduced since, the computed day is too late, and too many versions are left
    out until the next root. A version of that day can be older than the root, or newer. It came
    with the root only if it is so high that it could not be signed without one.

    Args:
        deployed: the versions in the journal.
        timing: the delays until clients have a version.
        now: the current time.
        root: the newest root in ``publish/site``; ``None`` if there is none.
        settings: the settings in ``publish.toml``.
    """
    # Not `alive`: an entry of the journal may be from a clock that is a few seconds ahead.
    ends = [(each.number, deployed.end_of_life(each, timing)) for each in deployed.versions]
    held = [number for number, end in ends if end is None or now < end]
    if root is None or root.version == 1:
        return min(held, default=None)
    end_of_day = root.expires - settings.life("root")
    begin_of_day = end_of_day - timedelta(days=1)
    dated = [(each.number, each.since) for each in deployed.versions if each.since]
    first = max((number for number, since in dated if since < begin_of_day), default=0)
    for number in sorted(number for number, since in dated if begin_of_day <= since < end_of_day):
        if is_jump(number, _lowest(held, first)):
            first = number
    return _lowest(held, first)


def _lowest(held: list[int], first: int) -> int | None:
    return min((number for number in held if number >= first), default=None)


def is_jump(new: int, lowest: int | None) -> bool:
    """Return True if clients with the version ``lowest`` refuse the version ``new``.

    They refuse a version that is more than ``LARGEST_JUMP`` higher, unless it comes with a new
    root. If ``lowest`` is None, no client holds a version, and the result is False.
    """
    return lowest is not None and new > lowest + LARGEST_JUMP


def jump_warning(current: int, lowest: int | None) -> str:
    """Return a warning if the signed version is far above the lowest one that a client may hold.

    Args:
        current: the signed version in ``publish/site``.
        lowest: the lowest version that a client with the newest root may hold; ``None`` if there is
            none (the result is then empty).

    Returns:
        The warning with its fix. Empty if ``current`` may still be raised by many versions before
        such clients refuse it.
    """
    if lowest is None or current < lowest + NEAR_JUMP:
        return ""
    fix = (
        "sign a new root (certpin publish sign KEY… --renew root) and push, or, if no client holds "
        f"version {lowest}, record that: certpin rotate shipped {lowest} --ended"
    )
    if is_jump(current, lowest):
        return f"clients with version {lowest} refuse version {current} under this root: {fix}"
    last = lowest + LARGEST_JUMP
    return f"clients with version {lowest} take no version above {last} under this root: {fix}"
