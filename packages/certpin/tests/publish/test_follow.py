"""An app with the updater of certpin follows signed sets over HTTPS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin import PinSet
from certpin.updates import PinUpdater, UpdateSettings
from tests import kit
from tests.publish._firm import Firm
from tests.updates._publisher import CHANNEL, HOST, pin_file
from tests.updates._server import FolderServer
from tests.updates.conftest import PATIENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Identity


@pytest.fixture
def app(trusted_root: Path, served: Identity, tmp_path: Path) -> Iterator[tuple[Firm, PinUpdater]]:
    """A firm, and an app that has its first root and version 1."""
    firm = Firm(tmp_path / "firm", datetime.now(UTC).replace(microsecond=0))
    publish(firm, served, 1)
    firm.begin()
    firm.sign("root", "targets", "online")
    with FolderServer(firm.site, served) as server:
        updater = PinUpdater(
            pins=PinSet.load(firm.here / "pins.toml"),
            root=firm.metadata("1.root.json").read_bytes(),
            url=server.url,
            cache=tmp_path / "cache",
            settings=UpdateSettings(PATIENT),
        )
        yield firm, updater
        updater.close()


def publish(firm: Firm, served: Identity, version: int) -> None:
    firm.publish(version, pin_file(version, {CHANNEL: served.pin, HOST: kit.NOBODY_ELSE}))


@pytest.mark.medium
def test_an_app_follows_new_versions_timestamps_and_roots(
    app: tuple[Firm, PinUpdater], served: Identity
) -> None:
    firm, updater = app
    assert (updater.refresh().version, updater.status.state) == (1, "fresh")
    publish(firm, served, 2)
    firm.sign("targets", "online")
    assert updater.refresh().version == 2
    until = updater.status.until
    firm.now += timedelta(hours=20)
    firm.sign("online")
    assert updater.refresh().until != until
    firm.add_key("root2", "root", "root")
    firm.add_key("targets2", "targets", "targets")
    firm.add_key("online2", "online")
    firm.sign("root", "root2", "targets2", "online2")
    status = updater.refresh()
    assert (status.version, status.state, status.error) == (2, "fresh", None)
    publish(firm, served, 3)
    firm.sign("targets2", "online2")
    assert updater.refresh().version == 3
