"""Command line of certpin's update client for tuf-conformance, the test suite of the TUF project.

The suite drives a client as a program, and looks at its exit code, its stored metadata and its
requests (CLIENT-CLI.md of the suite). No package contains the suite; to run it, from a clone of its
repository in another folder, with its requirements installed:

    pytest tuf_conformance --entrypoint "PYTHON PATH/OF/THIS/adapter.py"

The adapter leaves out the rules that come after TUF's own: the content of a pin set, its name and
its version. Otherwise it runs the code of ``PinUpdater``: ``fetch.follow``, ``Store.follow``,
``trust.verify_roles``, ``trust.require_bounded`` and ``fetch.fetch_target``. The suite's server has
no TLS, so the adapter's connection has neither TLS nor pins.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tuf.api.exceptions import RepositoryError

from certpin.errors import UpdateError
from certpin.support.network import Connection, Deadline
from certpin.updates import Limits, trust
from certpin.updates.cache import Store
from certpin.updates.fetch import Channel, UpdateSource, fetch_target, follow
from certpin.updates.refusals import update_errors
from certpin.updates.settings import Address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuf.api.metadata import TargetFile
    from tuf.ngclient import FetcherInterface

LIMITS = Limits()
_PATIENCE = 20.0  # seconds for one command


class ConformanceClient:
    """Client of a TUF repository, without the rules for pin sets.

    Args:
        folder: the folder of the trusted metadata; its subfolder ``cache`` is laid out as the
            cache of a ``PinUpdater``.
        root: the root that the client trusts at first.
        address: the paths on the server.
        channel: the connection to the server.
    """

    def __init__(
        self, folder: Path, root: bytes, address: Address, channel: FetcherInterface
    ) -> None:
        self._folder = folder
        self._store = Store(folder / "cache", LIMITS)
        self._source = UpdateSource("", root, address, LIMITS, self._store)
        self._channel = channel

    def refresh(self) -> Mapping[str, TargetFile]:
        """Fetch and verify the newest metadata. Return the targets by name.

        The expiry is checked with the clock of ``tuf.ngclient``. A ``PinUpdater`` also checks it
        with its own clock. Raises the errors of tuf.
        """
        with self._shown():
            follow(self._source, self._channel)
            root = self._store.follow(self._source.root, self._source.name)[-1]
            targets, _ = trust.verify_roles(root, self._store.read())
            return targets

    def download(self, targets: Mapping[str, TargetFile], name: str, folder: Path) -> None:
        """Fetch the target ``name`` into ``folder``, unless the right file is there.

        Raises the errors of tuf.
        """
        trust.require_bounded(targets, LIMITS)
        if name not in targets:
            raise RepositoryError(f"no target has the name {name!r}")
        file = folder / quote(name, safe="")
        if file.exists() and _is(targets[name], file.read_bytes()):
            return
        data = fetch_target(self._source.address, self._channel, name, targets[name])
        targets[name].verify_length_and_hashes(data)
        file.write_bytes(data)

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """Copy the trusted metadata to the folder that the suite reads, also after an error.

        The copy is made at the end of the `with` block.
        """
        try:
            yield
        finally:
            for path in self._store.metadata.glob("*.json"):
                shutil.copyfile(path, self._folder / path.name)


def _is(info: TargetFile, data: bytes) -> bool:
    try:
        info.verify_length_and_hashes(data)
    except RepositoryError:
        return False
    return True


class _PlainChannel(Channel):
    """The connection of an update client to its server, in clear text instead of TLS."""

    def _connect(self) -> Connection:
        return Connection(self._address.host, self._address.port, self._deadline, None)


class _TargetsElsewhere(Address):
    """An address of a server whose metadata and targets can have unrelated paths."""

    targets = "targets/"

    @property
    def metadata(self) -> str:
        return self.path

    def target(self, name: str, digest: str) -> str:
        return self.targets + super().target(name, digest).removeprefix(f"{self.path}targets/")


def main() -> int:
    """Run one command of the suite: init, refresh or download.

    Returns: The exit code: 1 if the client refused anything, otherwise 0.
    """
    parser = argparse.ArgumentParser()
    for option in ("--metadata-url", "--target-base-url"):
        parser.add_argument(option, default="http://localhost/")
    for option in ("--metadata-dir", "--target-dir"):
        parser.add_argument(option, type=Path, default=Path())
    parser.add_argument("--target-name", action="append", default=[])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    given = parser.parse_args()
    trusted = given.metadata_dir / "cache" / "initial"
    if given.command == "init":
        trusted.parent.mkdir()
        shutil.copyfile(given.root, trusted)
        return 0
    url = urlsplit(given.metadata_url)
    address = _TargetsElsewhere(str(url.hostname), url.port or 80, url.path)
    address.targets = urlsplit(given.target_base_url).path
    channel = _PlainChannel(address, LIMITS, (), Deadline(_PATIENCE, _PATIENCE), None)
    client = ConformanceClient(given.metadata_dir, trusted.read_bytes(), address, channel)
    try:
        with update_errors():
            targets = client.refresh()
            for name in given.target_name:
                client.download(targets, name, given.target_dir)
    except UpdateError as refused:
        sys.stderr.write(f"{refused.reason}: {refused.problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
