"""Settings of the monitoring service: the file ``watch.toml``.

- ``file``: ``load``, which reads the whole file into ``ServiceSettings``; checks of addresses
- ``tables``, ``access``: a class for each table; its fields declare defaults and limits
- ``reader``: reads a table into such a class; its errors name the key in the file, and a fix

Every part of the service may import these modules, because they import no other part.
"""

from certpin_watch.settings.access import AuthSettings, OpenIDSettings
from certpin_watch.settings.file import (
    DEFAULT_THRESHOLDS,
    ServiceSettings,
    Thresholds,
    load,
    nats_address,
    nats_authorities,
    parse_listen,
    require_nats,
)
from certpin_watch.settings.tables import (
    SEVERITIES,
    AlertSettings,
    CollectorSettings,
    HostSettings,
    LogSettings,
    MonitorSettings,
    NotificationSettings,
    RetentionSettings,
    Severity,
    TelemetrySettings,
)

__all__ = [
    "DEFAULT_THRESHOLDS",
    "SEVERITIES",
    "AlertSettings",
    "AuthSettings",
    "CollectorSettings",
    "HostSettings",
    "LogSettings",
    "MonitorSettings",
    "NotificationSettings",
    "OpenIDSettings",
    "RetentionSettings",
    "ServiceSettings",
    "Severity",
    "TelemetrySettings",
    "Thresholds",
    "load",
    "nats_address",
    "nats_authorities",
    "parse_listen",
    "require_nats",
]
