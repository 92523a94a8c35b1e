"""The certificate of the servers of these tests, made when they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.probe.starttls._play import HOST

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority


class ServerIdentity(NamedTuple):
    """The chain and key of a server, and the root that a client needs to verify it."""

    certificate: Path  # PEM, the chain for HOST, leaf first
    key: Path  # PEM
    root: Path  # PEM
    leaf: bytes  # DER


@pytest.fixture(scope="session")
def server_identity(
    root: Authority, intermediate: Authority, tmp_path_factory: pytest.TempPathFactory
) -> ServerIdentity:
    directory = tmp_path_factory.mktemp("identity")
    identity = intermediate.issue(HOST)
    anchor = directory / "root.pem"
    anchor.write_bytes(root.pem)
    return ServerIdentity(*identity.write(directory), anchor, identity.certificate.der)
