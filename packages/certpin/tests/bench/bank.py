"""A bank that publishes signed pin sets, and its app: the setup of two benchmarks."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from certpin import PinSet
from certpin.lab import Authority
from certpin.updates import PinUpdater
from tests import kit
from tests.updates._publisher import CHANNEL, Repository, pin_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity


class Bank(NamedTuple):
    """A publisher of signed pin sets, with what its app and server need.

    ``repository`` holds the signed sets, ``identity`` is the server's certificate and key,
    ``folder`` has room for caches, and ``hosts`` is the number of pinned hosts.
    """

    repository: Repository
    identity: Identity
    folder: Path
    hosts: int

    def text(self, version: int) -> str:
        """Return the text of the bank's pin file with this version number."""
        hosts = {f"h{number}.bank.example": kit.NOBODY_ELSE for number in range(self.hosts)}
        return pin_file(version, {CHANNEL: self.identity.pin, **hosts})

    def publish(self, version: int) -> None:
        """Sign the pin set with this version number and publish it as the newest."""
        self.repository.publish(self.text(version))

    def app(self, port: int) -> PinUpdater:
        """Return the update client of an app that contains version 1 and updates from this port."""
        return PinUpdater(
            pins=PinSet.parse(self.text(1)),
            root=self.repository.first_root,
            url=f"https://{CHANNEL}:{port}/",
            cache=self.folder / "cache",
        )


@contextmanager
def bank(hosts: int = 50) -> Iterator[Bank]:
    """Create a bank with this many pinned hosts, as a context manager.

    Until the block ends, the bank's root is the only one that this process trusts.
    """
    logging.getLogger("certpin").addHandler(logging.NullHandler())
    root = Authority("Bench Root")
    identity = root.intermediate("Bench Intermediate").issue(CHANNEL)
    before = os.environ.get("SSL_CERT_FILE")
    with TemporaryDirectory(prefix="certpin-bench-") as name:
        folder = Path(name)
        (folder / "roots.pem").write_bytes(root.pem)
        os.environ["SSL_CERT_FILE"] = str(folder / "roots.pem")
        try:
            yield Bank(Repository(folder / "site"), identity, folder, hosts)
        finally:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before
