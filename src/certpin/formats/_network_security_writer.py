"""Write Android's network security configuration, which TrustKit for Android uses too."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from certpin.formats import _raw_anchors
from certpin.formats.format import File
from certpin.formats.header import header

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pins import HostPolicy, PinSet, TrustAnchors

    Lines = list[str]

FILE = "res/xml/network_security_config.xml"  # the path in Android's documentation


def write(
    pins: PinSet, name: str, add: Callable[[HostPolicy], Lines] = lambda _policy: []
) -> tuple[File, ...]:
    """Write the file and its trust anchors. ``add`` returns more lines of a domain-config."""
    lines = [line for policy in pins.policies for line in _domain_config(policy, add(policy))]
    if pins.debug:
        lines += _element("debug-overrides", "", _trust_anchors(pins.debug, ' overridePins="true"'))
    comment = _element("network-security-config", "", lines)
    words = "".join(f"  {line}\n" for line in header(pins, name))
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<!--\n{words}-->\n' + "\n".join(comment) + "\n"
    anchors = [policy.trust for policy in pins.policies]
    return (File(FILE, text), *_raw_anchors.files([*anchors, pins.debug]))


def _domain_config(policy: HostPolicy, more: Lines) -> Lines:
    below = str(bool(policy.pattern.wildcard)).lower()
    domain = f'<domain includeSubdomains="{below}">{policy.pattern.name}</domain>'
    anchors = _trust_anchors(policy.trust) if policy.trust else []
    inside = [domain, *_pin_set(policy), *anchors, *more]
    # A cleartext connection has no chain to pin.
    return _element("domain-config", ' cleartextTrafficPermitted="false"', inside)


def _pin_set(policy: HostPolicy) -> Lines:
    ends = f' expiration="{policy.expires.date().isoformat()}"' if policy.expires else ""
    digests = [base64.b64encode(entry.pin.digest).decode() for entry in policy.pins]
    return _element("pin-set", ends, [f'<pin digest="SHA-256">{each}</pin>' for each in digests])


def _trust_anchors(anchors: TrustAnchors, more: str = "") -> Lines:
    names = map(_raw_anchors.resource, dict.fromkeys(anchors.der))
    return _element("trust-anchors", "", [f'<certificates src="@raw/{n}"{more}/>' for n in names])


def _element(name: str, attributes: str, inside: Lines) -> Lines:
    return [f"<{name}{attributes}>", *(f"    {line}" for line in inside), f"</{name}>"]
