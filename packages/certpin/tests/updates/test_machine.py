"""Stateful test of updates: a publisher, an attacker, and an app that is restarted.

The attacker controls the network and has one online key. In any order of actions: only sets of the
publisher are ever in force, no version goes back, and after the attack the app gets the newest set.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from certpin import PinSet, UpdateError
from certpin.updates import PinUpdater, checker
from tests import kit
from tests.updates._publisher import CHANNEL, HOST, Repository, pin_file

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = st.sampled_from(["root", "targets", "online"])


def text_of(version: int) -> str:
    return pin_file(version, {CHANNEL: kit.NOBODY_ELSE, HOST: kit.NOBODY_ELSE})


class FolderChannel(FetcherInterface):
    """Connection of an updater that reads the served folder, without a network."""

    site: Path

    def __init__(self, *_: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self.site / url.lstrip("/")
        if not path.is_file():
            raise DownloadHTTPError(url, 404)
        yield path.read_bytes()


class Updates(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="certpin-machine-"))
        self.repository = Repository(self.folder / "site")
        self.stolen = self.repository.online
        self.repository.publish(text_of(2))
        self.newest = 2
        self.published = {1, 2}
        self.held = 1  # the highest version that was in force, on this disk
        self.copies = [self.repository.copy(self.folder / "copy0")]
        self.served = self.repository.folder
        channel = type("Channel", (FolderChannel,), {"site": property(lambda _: self.served)})
        self.patched = patch.object(checker, "Channel", channel)
        self.patched.start()
        self.start()

    def teardown(self) -> None:
        self.patched.stop()
        self.app.close()
        shutil.rmtree(self.folder)

    @rule()
    def start(self) -> None:
        """Restart the app with the same cache folder; it must begin with its previous version."""
        self.app = PinUpdater(
            pins=PinSet.parse(text_of(1)),
            root=self.repository.first_root,
            url="https://localhost/",
            cache=self.folder / "cache",
        )
        assert self.app.status.cache_error is None
        assert self.app.status.version == self.held

    @rule()
    def publish(self) -> None:
        self.newest += 1
        self.published.add(self.newest)
        self.repository.publish(text_of(self.newest))

    @rule()
    def renew(self) -> None:
        self.repository.publish_timestamp()

    @rule(roles=st.sets(ROLES))
    def rotate(self, roles: set[str]) -> None:
        """Replace the keys of these roles, and sign all other metadata again."""
        self.repository.rotate(*roles)
        self.repository.resign()

    @rule()
    def keep_a_copy(self) -> None:
        copy = self.folder / f"copy{len(self.copies)}"
        self.copies.append(self.repository.copy(copy))

    @rule()
    def refresh(self) -> None:
        with suppress(UpdateError):
            self.app.refresh()

    @rule(choice=st.integers(0, 99))
    def replay(self, choice: int) -> None:
        """Serve all files of an earlier repository, as an attacker, for one refresh."""
        self.served = self.copies[choice % len(self.copies)]
        self.refresh()
        self.served = self.repository.folder

    @rule(
        choice=st.integers(0, 99),
        part=st.sampled_from(["root", "snapshot", "targets", "timestamp"]),
    )
    def mix(self, choice: int, part: str) -> None:
        """Serve an earlier file of one role and the current files of all others."""
        old = self.copies[choice % len(self.copies)]
        mixed = self.repository.copy(self.folder / "mixed")
        for path in old.glob(f"metadata/*{part}.json"):
            shutil.copy(path, mixed / "metadata" / path.name)
        self.serve_once(mixed)

    @rule(
        part=st.sampled_from(["root", "snapshot", "targets", "timestamp"]), place=st.floats(0, 0.99)
    )
    def damage(self, part: str, place: float) -> None:
        mixed = self.repository.copy(self.folder / "mixed")
        for path in mixed.glob(f"metadata/*{part}.json"):
            data = bytearray(path.read_bytes())
            data[int(place * len(data))] ^= 1
            path.write_bytes(data)
        self.serve_once(mixed)

    @rule(version=st.integers(1, 50))
    def forge(self, version: int) -> None:
        """Serve a set that the attacker signed with a stolen online key and an own targets key."""
        mixed = self.repository.copy(self.folder / "mixed")
        theirs = Repository.__new__(Repository)
        vars(theirs).update(vars(self.repository))
        theirs.folder, theirs.versions = mixed, dict(self.repository.versions)
        theirs.keys = {"targets": [CryptoSigner.generate_ecdsa()]}
        theirs.online = self.stolen
        evil = pin_file(version, {CHANNEL: kit.NOBODY_ELSE}).encode()
        theirs.publish(evil)
        self.serve_once(mixed)

    @rule(place=st.floats(0, 0.99))
    def lose_the_cache(self, place: float) -> None:
        """Flip a bit of the cached set and restart the app.

        In the worst case, the app then starts with the bundled set.
        """
        path = self.folder / "cache" / "last-known-good.json"
        if path.exists():
            data = bytearray(path.read_bytes())
            data[int(place * len(data))] ^= 1
            path.write_bytes(data)
            self.held = 1
            self.app = PinUpdater(
                pins=PinSet.parse(text_of(1)),
                root=self.repository.first_root,
                url="https://localhost/",
                cache=self.folder / "cache",
            )
            self.held = self.app.status.version

    @precondition(lambda self: self.served == self.repository.folder)
    @rule()
    def get_through(self) -> None:
        """End the attack and refresh; the app must get the newest set.

        If the stolen online key blocks the update, the publisher replaces it first.
        """
        try:
            status = self.app.refresh()
        except UpdateError:
            # Only metadata signed with the stolen key while it was valid can block an update.
            assert self.repository.online is self.stolen
            self.repository.rotate("online")
            self.repository.resign()
            status = self.app.refresh()
        assert (status.version, status.state) == (self.newest, "fresh")

    def serve_once(self, folder: Path) -> None:
        self.served = folder
        self.refresh()
        self.served = self.repository.folder
        shutil.rmtree(folder)

    @invariant()
    def what_is_in_force_was_published(self) -> None:
        pins = self.app.context.pins
        assert pins.version in self.published
        assert pins == PinSet.parse(text_of(pins.version))

    @invariant()
    def no_version_goes_back(self) -> None:
        assert self.app.status.version >= self.held
        self.held = self.app.status.version


TestUpdates = pytest.mark.slow(Updates.TestCase)
TestUpdates.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
