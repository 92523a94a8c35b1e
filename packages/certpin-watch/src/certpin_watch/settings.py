"""``watch.toml``: every setting of the watch. A part's own table is read beside that part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, HostError, PinFileError
from certpin.pinfile.fields import Table
from certpin.pinfile.reader import load_toml, locate_errors
from certpin.probe import split_address
from certpin_watch import logs, telemetry
from certpin_watch.alerts import settings as alerts
from certpin_watch.auth import settings as access
from certpin_watch.collector import settings as collector
from certpin_watch.monitor import settings as monitor
from certpin_watch.secret import Secret, read_secret
from certpin_watch.store import retention
from certpin_watch.store.queries.base import IntakeBounds, Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DEFAULT_PORT = 8460
DEFAULT_STORE = "sqlite:///watch.db"
_MOST_BYTES = 1024 * 1024

# A new table is one line here, one field below, and a module that reads it.
TABLES: dict[str, tuple[tuple[str, ...], Callable[[Table], Any]]] = {
    "access": (access.KNOWN, access.read),
    "alerts": (alerts.KNOWN, alerts.read),
    "collector": (collector.KNOWN, collector.read),
    "log": (logs.KNOWN, logs.read),
    "monitor": (monitor.KNOWN, monitor.read),
    "retention": (retention.KNOWN, retention.read),
    "telemetry": (telemetry.KNOWN, telemetry.read),
}
_TEXTS = ("listen", "nats", "pins", "public_url", "store", "tls_certificate", "tls_key")
KNOWN: tuple[str, ...] = (*_TEXTS, *TABLES)


@dataclass(frozen=True)
class ServiceSettings:
    """What ``certpin serve`` and its helpers work by. Everything has a default.

    ``listen`` is host and port. ``pins`` are the pin files that are watched. ``store`` is the
    address of the database, ``nats`` that of a NATS server with JetStream, if there is one.
    ``public_url`` is how people reach the pages, for the links of alerts. ``tls`` are the files
    of certificate chain and key, both or none. ``folder`` is where a database file is looked for
    that has no folder in its name; ``None`` is where the program runs.
    """

    folder: Path | None = None
    listen: tuple[str, int] = ("127.0.0.1", DEFAULT_PORT)
    pins: tuple[Path, ...] = (Path("pins.toml"),)
    store: Secret = field(default_factory=lambda: Secret(DEFAULT_STORE))
    nats: Secret | None = None
    public_url: str = ""
    tls: tuple[Path, Path] | None = None
    access: access.AuthSettings = field(default_factory=access.AuthSettings)
    alerts: alerts.AlertSettings = field(default_factory=alerts.AlertSettings)
    collector: collector.CollectorSettings = field(default_factory=collector.CollectorSettings)
    log: logs.LogSettings = field(default_factory=logs.LogSettings)
    monitor: monitor.MonitorSettings = field(default_factory=monitor.MonitorSettings)
    retention: retention.RetentionSettings = field(default_factory=retention.RetentionSettings)
    telemetry: telemetry.TelemetrySettings = field(default_factory=telemetry.TelemetrySettings)

    @property
    def thresholds(self) -> Thresholds:
        """When expiries are near and probe results stale, and what reports may add to the store."""
        monitor, collector = self.monitor, self.collector
        return Thresholds(
            monitor.certificate_warning,
            monitor.pins_warning,
            monitor.interval * monitor.silent_after,
            IntakeBounds(
                collector.budget,
                collector.chains_per_hour,
                collector.groups_per_hour,
                collector.groups_per_day,
                collector.most_identities,
                collector.client_days,
                self.retention.identities,
            ),
        )


def load(path: Path) -> ServiceSettings:
    """Read the file; paths in it are relative to its folder. Raises ``PinFileError``."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise PinFileError(f"it cannot be read: {exc}", path=path) from exc
    if len(data) > _MOST_BYTES:
        raise PinFileError(f"it has more than {_MOST_BYTES} bytes", path=path)
    with locate_errors(text, path):
        return _settings(Table(load_toml(text, path)), path.parent)


def parse_listen(text: str, key: str = "listen") -> tuple[str, int]:
    """Host and port to listen on. Raises ``ConfigError``."""
    try:
        return split_address(text, DEFAULT_PORT)
    except HostError as exc:
        raise ConfigError(exc.problem, key=key, fix=f"as in 127.0.0.1:{DEFAULT_PORT}") from exc


def _settings(top: Table, folder: Path) -> ServiceSettings:
    _refuse_unknown(top, KNOWN)
    found: dict[str, Any] = {"folder": folder, "public_url": top.text("public_url", "")}
    if "listen" in top.data:
        found["listen"] = parse_listen(top.text("listen"))
    if "pins" in top.data:
        found["pins"] = tuple(folder / name for name in top.texts("pins"))
    found |= {name: read_secret(top, name) for name in ("store", "nats") if name in top.data}
    found["tls"] = _tls(top, folder)
    for name, (known, read) in TABLES.items():
        if table := top.table(name):
            _refuse_unknown(table, known)
            found[name] = read(table)
    if "access" in found:
        found["access"] = _beside(found["access"], folder)
    return ServiceSettings(**found)


def _beside(found: access.AuthSettings, folder: Path) -> access.AuthSettings:
    """The same, with its one file found where all others are."""
    oidc = found.oidc
    if oidc is None or oidc.ca_file is None:
        return found
    return replace(found, oidc=replace(oidc, ca_file=folder / oidc.ca_file))


def _tls(top: Table, folder: Path) -> tuple[Path, Path] | None:
    names = [top.text(name, "") for name in ("tls_certificate", "tls_key")]
    if not any(names):
        return None
    if not all(names):
        raise ConfigError("one without the other", key="tls_key", fix="name both files, or none")
    return folder / names[0], folder / names[1]


def _refuse_unknown(table: Table, known: tuple[str, ...]) -> None:
    """A setting that is misspelt would watch over nothing."""
    if unknown := sorted(table.data.keys() - set(known)):
        raise ConfigError(
            "this is not known here",
            key=table.under(unknown[0]),
            fix=f"known are {', '.join(sorted(known))}" if known else "take it out",
        )
