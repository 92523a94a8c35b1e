"""The reference pages of the monitoring service: settings, alert rules and HTTP API."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from datetime import timedelta
from inspect import getdoc
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from certpin.rotation import format_duration
from certpin_watch import settings
from certpin_watch.api.resources import RESOURCES
from certpin_watch.rules.engine import RULES
from certpin_watch.secret import Secret
from certpin_watch.settings.reader import known_keys, setting_key
from scripts.docs.markdown import code, fill, page, prose, table
from scripts.docs.tree import ROOT

if TYPE_CHECKING:
    from dataclasses import Field

    from certpin_watch.api.protocol import Parameter
    from certpin_watch.api.resources import Resource
    from certpin_watch.rules.rule import AlertRule

_SETTINGS = """\
The tables of `watch.toml`, the file of [`certpin serve`](commands/serve.md) and [`certpin
watch`](commands/watch.md). [The monitoring service](../operate/service.md#settings) describes the
file, and its settings outside of tables. All settings with a default are optional, and an unknown
one is an error. Durations are written as `90s`, `6h` or `1d12h`. A
[secret](../operate/service.md#secrets) may be `env:NAME` or `file:PATH`."""

# The class of each table, and the page that explains it.
TABLES: dict[str, tuple[type[Any], str]] = {
    "[access]": (settings.AuthSettings, "operate/access.md"),
    "[access.oidc]": (
        settings.OpenIDSettings,
        "operate/access.md#single-sign-on-with-openid-connect",
    ),
    "[alerts]": (settings.AlertSettings, "operate/alerts.md"),
    "[[alerts.tell]]": (settings.NotificationSettings, "operate/alerts.md#services"),
    "[collector]": (settings.CollectorSettings, "operate/collector.md"),
    "[log]": (settings.LogSettings, "operate/operations.md#the-log"),
    "[monitor]": (settings.MonitorSettings, "operate/monitor.md"),
    "[[monitor.host]]": (settings.HostSettings, "operate/monitor.md#which-hosts-it-probes"),
    "[retention]": (settings.RetentionSettings, "operate/operations.md#retention"),
    "[telemetry]": (settings.TelemetrySettings, "reference/metrics.md#opentelemetry"),
}

_RULES = """\
The alerts of [the monitoring service](../operate/service.md). `needs` is the evidence that a rule
evaluates: [probes](../operate/monitor.md), [reports](../operate/collector.md), or the state of the
service itself. The settings of the thresholds are [those of `[alerts]`](settings.md#alerts) and
[`[monitor]`](settings.md#monitor). Each alert names the next command. [What becomes of an
alert](../operate/alerts.md#what-becomes-of-an-alert), and who is notified, is on the page Alerts.

**An alert based on reports describes claims.** Every machine that reaches the collector can make
one fire with `few` reports. Compare it with the locations' results."""

# The parameters of the number of reports are those of all queries of reports.
(_FILTERS,) = (item.parameters for item in RESOURCES if item.path == "/failures/total")
_API_NOTES = ROOT / "docs/reference/service-api.notes.md"
_ENTRY = re.compile(r"(?m)^    (\w+): (.*(?:\n        .*)*)")


def settings_page() -> dict[str, str]:
    """Return the text of the page of the settings in watch.toml, by its path below ``docs``."""
    parts = [_table(name, kind, about) for name, (kind, about) in TABLES.items()]
    return {"reference/settings.md": page("Settings of watch.toml", _SETTINGS, *parts)}


def alert_rules_page() -> dict[str, str]:
    """Return the text of the page of the alert rules, by its path below ``docs``."""
    rows = map(_rule, sorted(RULES.values(), key=lambda rule: rule.id))
    shown = table(("rule", "severity", "needs", "meaning"), rows)
    return {"reference/alert-rules.md": page("Alert rules", _RULES, shown)}


def api_page() -> dict[str, str]:
    """Return the text of the page of the HTTP API, by its path below ``docs``."""
    # Parameters with one name may have several meanings: the states of alerts and of silences.
    meanings = {_parameter(each) for item in RESOURCES for each in item.parameters}
    tables = {
        "addresses": table(("address", "content", "parameters"), map(_address, RESOURCES)),
        "filters": f"*Filters* are {', '.join(code(each.name) for each in _FILTERS)}.",
        "parameters": table(("parameter", "meaning"), sorted(meanings)),
    }
    text = fill(_API_NOTES.read_text(encoding="utf-8"), tables)
    return {"reference/service-api.md": page("The API of the monitoring service", text)}


def descriptions(kind: type[Any]) -> dict[str, str]:
    """Return the description of each field, from ``Attributes:`` in the class's docstring."""
    text = (getdoc(kind) or "").partition("Attributes:\n")[2]
    return {name: " ".join(about.split()) for name, about in _ENTRY.findall(text)}


def _table(name: str, kind: type[Any], about: str) -> str:
    described = descriptions(kind)
    shown = [item for item in fields(kind) if setting_key(item) in known_keys(kind)]
    if missing := [item.name for item in shown if item.name not in described]:
        raise ValueError(f"the docstring of {kind.__name__} describes no {', '.join(missing)}")
    rows = [_setting(item, described[item.name]) for item in shown if not _is_table(item)]
    more = f"Its use: [{PurePosixPath(about).name.partition('.')[0]}](../{about})."
    return f"## {code(name)}\n\n{more}\n\n{table(('setting', 'default', 'meaning'), rows)}"


def _setting(item: Field[Any], description: str) -> tuple[str, ...]:
    default = "" if item.default is MISSING and "by default" in description else _default(item)
    meaning = prose(description.replace("``", "`").rstrip("."))
    return code(setting_key(item)), default, meaning


def _is_table(item: Field[Any]) -> bool:
    """Return True if a field of a settings class is a table of watch.toml with its own section."""
    return item.name in {"oidc", "tell"} or setting_key(item) == "host"


def _default(item: Field[Any]) -> str:
    """Return the default of a setting as TOML, or ``required`` if there is none.

    An empty text means that the default is empty, or that only the description gives it.
    """
    value = item.default
    if value is MISSING:
        return "required"
    if isinstance(value, timedelta):
        return code(json.dumps(format_duration(value)))
    if value in (None, "", (), frozenset()) or isinstance(value, Path | Secret):
        return ""
    if isinstance(value, tuple):
        return code(json.dumps(list(map(str, value))))
    return code(json.dumps(value))


def _rule(rule: AlertRule) -> tuple[str, ...]:
    meaning = f"{rule.summary[0].upper()}{rule.summary[1:]}. {rule.why}"
    needs = "service" if rule.needs == "failures" else rule.needs
    return code(rule.id), ", ".join(rule.severities), needs, prose(meaning)


def _address(resource: Resource) -> tuple[str, ...]:
    names = [each.name for each in resource.parameters if each not in _FILTERS]
    filters = ["filters"] if all(each in resource.parameters for each in _FILTERS) else []
    return code(resource.path), prose(resource.about), " ".join([*map(code, names), *filters])


def _parameter(parameter: Parameter) -> tuple[str, str]:
    choices = ", ".join(code(str(each)) for each in parameter.schema.get("enum", ()))
    about = prose(parameter.about.rstrip("."))
    return code(parameter.name), f"{about}: {choices}" if choices else about
