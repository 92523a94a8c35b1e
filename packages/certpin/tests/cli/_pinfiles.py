"""Helpers that write pin files for the tests of the commands."""

from __future__ import annotations

from pathlib import Path

from certpin.pins import HostPin, HostPolicy, Pin


def write(*policies: HostPolicy, trust: Path | None = None, path: str = "pins.toml") -> None:
    """Write a pin file of version 3 with these policies.

    Args:
        policies: the policies, one for each host.
        trust: a file with trust anchors, which the pin file names for each host.
        path: the pin file.
    """
    lines = ["schema = 1", 'name = "bank"', "version = 3"]
    for policy in policies:
        lines += ["[[host]]", f'name = "{policy.pattern}"', f'mode = "{policy.mode}"']
        lines += [f'match = "{policy.match}"', f'on_expiry = "{policy.on_expiry}"']
        lines += [f'trust = "{trust}"'] if trust else []
        lines += [f"expires = {policy.expires:%Y-%m-%dT%H:%M:%SZ}"] if policy.expires else []
        for entry in policy.pins:
            lines += ["[[host.pin]]", f'pin = "{entry.pin}"', f'role = "{entry.role}"']
            lines += [f'state = "{entry.state}"']
            lines += [f"provider = {list(entry.provider)}"] if entry.provider else []
    Path(path).write_text("\n".join(lines) + "\n")


def dead(policy: HostPolicy, pin: Pin) -> HostPolicy:
    """Return the policy with an additional compromised pin."""
    entries = (*policy.pins, HostPin(pin, state="compromised"))
    return HostPolicy(policy.pattern, entries, policy.mode)
