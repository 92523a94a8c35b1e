"""The limitations of export platforms: pin settings that a platform can't express.

Each format lists the limitations of its platform.
"""

from __future__ import annotations

from certpin.formats.limits.hosts import (
    ApexAndBelow,
    ApexAndOneLabel,
    NamesOnly,
    NoWildcard,
    OneDateInOverlaps,
    OneHost,
    United,
)
from certpin.formats.limits.pins import (
    AnchorsOnly,
    AnywhereInChain,
    DartKeys,
    KeysOnly,
    LeafOnly,
    LeafOrAnchors,
    LeafOrAuthority,
    NoCompromised,
    NoCompromisedAnchors,
    TwoPins,
    lacks_anchors,
    with_anchors,
)
from certpin.formats.limits.policy import (
    FailOpenDate,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    NoTransparency,
    NoTrust,
    PlainAddresses,
    PlatformTransparency,
    RootsOnly,
)

__all__ = [
    "AnchorsOnly",
    "AnywhereInChain",
    "ApexAndBelow",
    "ApexAndOneLabel",
    "DartKeys",
    "FailOpenDate",
    "KeysOnly",
    "LeafOnly",
    "LeafOrAnchors",
    "LeafOrAuthority",
    "NamesOnly",
    "NoCompromised",
    "NoCompromisedAnchors",
    "NoDebug",
    "NoExpiry",
    "NoReportOnly",
    "NoReports",
    "NoTransparency",
    "NoTrust",
    "NoWildcard",
    "OneDateInOverlaps",
    "OneHost",
    "PlainAddresses",
    "PlatformTransparency",
    "RootsOnly",
    "TwoPins",
    "United",
    "lacks_anchors",
    "with_anchors",
]
