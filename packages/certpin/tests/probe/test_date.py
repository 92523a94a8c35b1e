"""The time that a server reports: in UTC, or None for everything that is no time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.probe import Endpoint, observe, probe_context, server_time
from tests.servers.listeners import dated, silent

if TYPE_CHECKING:
    from pathlib import Path

_NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, str]:
    """Return the files of a server's chain and key, and its root as PEM."""
    root = Authority("Root")
    identity = root.issue("localhost")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    certificate.write_bytes(identity.chain_pem)
    key.write_bytes(identity.key_pem)
    return certificate, key, root.pem.decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Mon, 01 Mar 2027 12:00:00 GMT", _NOON),
        ("Mon, 01 Mar 2027 13:00:00 +0100", _NOON),
        ("Mon, 01 Mar 2027 12:00:00 -0000", _NOON),
        ("", None),
        ("yesterday", None),
        ("Mon, 01 Mar 99999999999999999999 12:00:00 GMT", None),
        ("Mon, 31 Feb 2027 12:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_the_time_of_a_server_is_read_from_its_header(
    files: tuple[Path, Path, str], header: str, expected: datetime | None, trusted: bool
) -> None:
    certificate, key, root = files
    context = probe_context(root if trusted else None)
    with dated(certificate, key, header) as port:
        seen = observe(Endpoint("localhost", port), context)
        assert (seen.verified is not None) == trusted
        assert server_time(seen, context) == expected


def test_a_server_without_http_has_no_time(files: tuple[Path, Path, str]) -> None:
    certificate, key, root = files
    context = probe_context(root)
    with silent(certificate, key) as port:
        assert server_time(observe(Endpoint("localhost", port), context), context) is None


def test_a_server_at_another_address_is_asked_there(files: tuple[Path, Path, str]) -> None:
    certificate, key, root = files
    context = probe_context(root)
    with dated(certificate, key, "Mon, 01 Mar 2027 12:00:00 GMT") as port:
        seen = observe(Endpoint("localhost", 443, ("127.0.0.1", port)), context)
        assert seen.verified is not None
        assert server_time(seen, context) == _NOON
