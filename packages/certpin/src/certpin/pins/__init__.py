"""Pins, hosts, policies, and the verdict on a verified chain. No network and no files."""

from __future__ import annotations

from certpin.pins.hosts import HostPattern, HostServer, StartTLS, normalise
from certpin.pins.policy import (
    HostPin,
    HostPolicy,
    Match,
    Mode,
    OnExpiry,
    Pin,
    PinKind,
    PinSet,
    Role,
    State,
    TrustAnchors,
    pins_of,
    require_clock,
    utc_now,
)
from certpin.pins.verdict import Verdict, verify

__all__ = [
    "HostPattern",
    "HostPin",
    "HostPolicy",
    "HostServer",
    "Match",
    "Mode",
    "OnExpiry",
    "Pin",
    "PinKind",
    "PinSet",
    "Role",
    "StartTLS",
    "State",
    "TrustAnchors",
    "Verdict",
    "normalise",
    "pins_of",
    "require_clock",
    "utc_now",
    "verify",
]
