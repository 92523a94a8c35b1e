"""The registry of the rules: one file a rule, and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin.lint.rule import Rule

# In the order of the documentation: what clients refuse, what locks out, what exposes, what is
# easily misread, what only the network or other files can tell, and the comments that allow.
NAMES = (
    "refused",
    "no-host",
    "version-too-low",
    "duplicate-host",
    "public-suffix",
    "no-live-pin",
    "no-backup",
    "duplicate-pin",
    "placeholder-pin",
    "expiry-without-zone",
    "report-not-https",
    "trust-unreadable",
    "expired",
    "expires-too-soon",
    "expires-too-late",
    "no-expiry",
    "whole-certificate-pin",
    "role-contradicts-match",
    "pin-out-of-reach",
    "roles-of-one-chain",
    "no-spare",
    "no-active-pin",
    "leaf-pins-under-wildcard",
    "anchor-expired",
    "anchor-expires-soon",
    "distrusted-root",
    "fail-open-without-reason",
    "debug-section",
    "report-only-too-long",
    "report-only-to-nobody",
    "dead-pin-elsewhere",
    "private-key",
    "report-loop",
    "report-to-this-machine",
    "overlapping-patterns",
    "host-spelling",
    "misspelt-key",
    "unknown-key",
    "live-mismatch",
    "live-unverified",
    "dead-pin-in-service",
    "one-chain",
    "backup-in-chain",
    "leaf-only-short-lived",
    "renewal-overdue",
    "authority-expires-soon",
    "not-asked",
    "drift",
    "allow-without-reason",
    "unused-allow",
)


def _load(name: str) -> Rule:
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    rule: Rule = module.RULE
    return rule


RULES = {name: _load(name) for name in NAMES}
