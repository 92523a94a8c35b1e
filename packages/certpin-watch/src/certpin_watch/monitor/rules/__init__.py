"""What the monitor finds: one file a rule or a pair of them, one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.monitor.rules import (
    certificate_expires,
    chain_unverified,
    field_mismatch,
    host_unreachable,
    issuer_changed,
    key_changed,
    logged,
    no_backup,
    not_probed,
    pin_file,
    pin_mismatch,
    pins_expire,
    silence,
    vantages_disagree,
)

if TYPE_CHECKING:
    from certpin_watch.monitor.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    pin_mismatch.RULE,
    field_mismatch.RULE,
    chain_unverified.RULE,
    certificate_expires.RULE_EXPIRED,
    certificate_expires.RULE,
    pins_expire.RULE_EXPIRED,
    pins_expire.RULE,
    host_unreachable.RULE,
    vantages_disagree.RULE,
    key_changed.RULE,
    issuer_changed.RULE,
    no_backup.RULE,
    not_probed.RULE,
    silence.RULE_MONITOR,
    silence.RULE,
    pin_file.RULE,
    logged.RULE,
    logged.RULE_ISSUER,
    logged.RULE_MALFORMED,
)
