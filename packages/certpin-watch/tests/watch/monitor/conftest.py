"""A monitor of servers on this machine, with a clock that the test sets."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from certpin.pinfile.file import Table
from certpin.probe.scan import ScanLimits
from certpin_watch.context import Watch
from certpin_watch.monitor import probing
from certpin_watch.monitor.evidence import gather_probes
from certpin_watch.monitor.scheduler import Scheduler
from certpin_watch.settings import MonitorSettings, ServiceSettings
from certpin_watch.settings.reader import read_table
from certpin_watch.snapshot import PinFiles
from certpin_watch.store.queries import hosts
from tests import kit
from tests.watch.rules._probes import findings_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab import Authority, Identity
    from certpin.pins import Pin
    from certpin_watch.rules.rule import AlertFinding
    from certpin_watch.store import Store
    from certpin_watch.store.queries.hosts import Host


@dataclass
class Scene:
    """A monitoring service without its web server. A test controls its probes and pins."""

    watch: Watch
    folder: Path
    now: list[datetime] = field(default_factory=list)

    def pass_time(self, **passed: float) -> None:
        self.now[0] += timedelta(**passed)

    def round(self) -> int:
        """Probe every target that is due once, with a new scheduler. Return the number of stored
        results.
        """
        scheduler = Scheduler(self.watch, threading.Event())
        try:
            return scheduler.run_round()
        finally:
            scheduler.release()

    def confirm(self) -> None:
        """Run two rounds of probes, 61 seconds apart: the service believes a change after two
        probes.
        """
        self.round()
        self.pass_time(seconds=61)
        self.round()

    def configure(self, **data: Any) -> None:
        """Replace the settings of the monitor, as a restart of the service does."""
        settings = ServiceSettings(
            monitor=read_table(MonitorSettings, Table({"timeout": "5s"} | data, "monitor"))
        )
        watched = PinFiles([self.folder / "pins.toml"])
        self.watch = Watch(settings, self.watch.store, watched, self.watch.clock)

    def host(self) -> Host:
        """Return the host as the pages and the API show it."""
        snapshot = self.watch.pin_files.snapshot()
        with self.watch.store.read() as connection:
            (found,) = hosts.describe_hosts(connection, snapshot, self.watch.clock(), ["localhost"])
        return found

    def found(self) -> list[AlertFinding]:
        return findings_of(gather_probes(self.watch, self.watch.clock()))

    def rules(self) -> set[str]:
        return {finding.rule for finding in self.found()}

    def pin(self, *pins: Pin, host: str = "localhost", version: int = 1) -> None:
        """Write the pin file with these pins and a backup pin that matches no key."""
        wanted = [*pins, kit.NOBODY]
        entries = "".join(f'[[host.pin]]\npin = "{pin}"\n' for pin in wanted)
        (self.folder / "pins.toml").write_text(
            f'schema = 1\nname = "bank"\nversion = {version}\n'
            f'[[host]]\nname = "{host}"\ntrust = "root.pem"\n{entries}'
        )


@pytest.fixture
def watch_over(
    sqlite_store: Store, root: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Scene]:
    """Return a function that makes a ``Scene``.

    Its arguments are the identities with their keys in the pin file, all for ``localhost``, and
    settings of the monitor.
    """
    monkeypatch.setattr(probing, "ScanLimits", partial(ScanLimits, pause=0.01))
    return lambda *identities, **data: scene_of(sqlite_store, root, tmp_path, identities, data)


def scene_of(
    store: Store,
    root: Authority,
    folder: Path,
    identities: tuple[Identity, ...],
    data: dict[str, Any],
) -> Scene:
    (folder / "root.pem").write_bytes(root.pem)
    more = {name: data.pop(name) for name in ("listen", "tls") if name in data}
    settings = ServiceSettings(
        monitor=read_table(MonitorSettings, Table({"timeout": "5s"} | data, "monitor")), **more
    )
    now = [datetime.now(UTC).replace(microsecond=0)]
    watched = PinFiles([folder / "pins.toml"])
    scene = Scene(Watch(settings, store, watched, lambda: now[0]), folder, now)
    scene.pin(*(identity.pin for identity in identities))
    return scene
