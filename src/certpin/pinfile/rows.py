"""Policies and pins as the tables of a pin file, for whoever writes one."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certpin.pins import HostPattern, HostPin, HostPolicy, HostServer


def host_table(policy: HostPolicy, trust: str) -> dict[str, Any]:
    """A policy; ``trust`` is the file of its anchors."""
    table: dict[str, Any] = {
        "name": str(policy.pattern),
        "mode": policy.mode,
        "match": policy.match,
    }
    if policy.expires is not None:
        table["expires"] = _expiry(policy.expires)
    if policy.on_expiry != "fail-closed":
        table["on_expiry"] = policy.on_expiry
    if trust != "system":
        table["trust"] = trust
    if policy.trust is not None and policy.trust.strict is not None:
        table["strict_x509"] = policy.trust.strict
    if policy.report_to:
        table["report_to"] = list(policy.report_to)
    if policy.servers:
        table["server"] = [server_table(policy.pattern, server) for server in policy.servers]
    return table | {"pin": [pin_table(entry) for entry in policy.pins]}


def _expiry(moment: datetime) -> date:
    """A date where it means the same: its first moment in UTC."""
    moment = moment.astimezone(UTC)
    return moment if moment.time() != time.min else moment.date()


def pin_table(entry: HostPin) -> dict[str, Any]:
    """A pin of a policy."""
    table = {"pin": str(entry.pin), "role": entry.role, "state": entry.state}
    return table | {"note": entry.note} if entry.note else table


def server_table(pattern: HostPattern, server: HostServer) -> dict[str, Any]:
    """A server of a policy."""
    table = {
        "address": server.address_text(pattern),
        "region": server.region,
        "starttls": server.starttls,
    }
    return {key: value for key, value in table.items() if value}
