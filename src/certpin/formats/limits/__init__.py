"""The limitations of platforms. Each format lists those that apply to it."""

from __future__ import annotations

from certpin.formats.limits.addresses import PlainAddresses
from certpin.formats.limits.anchors import LeafOrAnchors
from certpin.formats.limits.dates import FailOpenDate, NoExpiry
from certpin.formats.limits.hosts import ApexAndBelow, ApexAndOneLabel, OneHost
from certpin.formats.limits.matching import AnywhereInChain, LeafOnly, LeafOrAuthority
from certpin.formats.limits.names import NamesOnly, NoWildcard
from certpin.formats.limits.overlap import OneDateInOverlaps, United
from certpin.formats.limits.pins import KeysOnly, NoCompromised, TwoPins
from certpin.formats.limits.settings import NoDebug, NoReportOnly, NoReports, NoTrust
from certpin.formats.limits.trust import AnchorsOnly

__all__ = [
    "AnchorsOnly",
    "AnywhereInChain",
    "ApexAndBelow",
    "ApexAndOneLabel",
    "FailOpenDate",
    "KeysOnly",
    "LeafOnly",
    "LeafOrAnchors",
    "LeafOrAuthority",
    "NamesOnly",
    "NoCompromised",
    "NoDebug",
    "NoExpiry",
    "NoReportOnly",
    "NoReports",
    "NoTrust",
    "NoWildcard",
    "OneDateInOverlaps",
    "OneHost",
    "PlainAddresses",
    "TwoPins",
    "United",
]
