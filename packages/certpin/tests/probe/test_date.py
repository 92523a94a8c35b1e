"""The time that a server reports: in UTC, or None for everything that is no time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.probe import Endpoint, dial, observe, probe_context, server_time, url_time
from certpin.support.network import Deadline
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


@pytest.mark.parametrize(("timeout", "limit"), [(60, 2), (0.5, 0.5)])
def test_a_server_without_http_delays_a_command_by_two_seconds_at_most(
    files: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch, timeout: float, limit: float
) -> None:
    certificate, key, root = files
    context, limits = probe_context(root), []

    def deadline(step: float, total: float) -> Deadline:
        limits.append((step, total))
        return Deadline(step, total)

    monkeypatch.setattr(dial, "Deadline", deadline)
    with dated(certificate, key, _HEADER) as port:
        seen = observe(Endpoint("localhost", port), context)
        assert server_time(seen, context, timeout=timeout) == _NOON
    assert limits == [(limit, limit)]


_HEADER = "Mon, 01 Mar 2027 12:00:00 GMT"


def test_a_server_at_another_address_is_asked_there(files: tuple[Path, Path, str]) -> None:
    certificate, key, root = files
    context = probe_context(root)
    with dated(certificate, key, _HEADER) as port:
        seen = observe(Endpoint("localhost", 443, ("127.0.0.1", port)), context)
        assert seen.verified is not None
        assert server_time(seen, context) == _NOON


@pytest.mark.parametrize("connect", [None, "127.0.0.1"])
def test_an_attacker_who_answers_only_the_second_connection_is_not_believed(
    files: tuple[Path, Path, str], tmp_path: Path, connect: str | None
) -> None:
    certificate, key, root = files
    context = probe_context(root)
    stranger = Authority("Stranger").issue("localhost")
    fake = tmp_path / "fake.pem", tmp_path / "fake.key"
    fake[0].write_bytes(stranger.chain_pem)
    fake[1].write_bytes(stranger.key_pem)
    with dated(certificate, key, _HEADER) as good, dated(*fake, _HEADER) as bad:
        at = (connect, good) if connect else None
        seen = observe(Endpoint("localhost", good, at), context)
        assert seen.verified is not None
        taken = Endpoint("localhost", bad, (connect, bad) if connect else None)
        assert server_time(replace(seen, endpoint=taken), context) is None


@pytest.mark.parametrize(
    ("age", "seconds"),
    [("7200", 7200), ("0", 0), (" 7 ", 7), ("-1", 0), ("x", 0), ("1" * 11, 0), ("\xb2", 0)],
)
def test_the_time_in_a_cache_is_added(
    files: tuple[Path, Path, str], age: str, seconds: int
) -> None:
    """A CDN answers with the ``Date`` of the first answer, and its age (RFC 9111)."""
    certificate, key, root = files
    context = probe_context(root)
    with dated(certificate, key, _HEADER, age=age) as port:
        seen = observe(Endpoint("localhost", port), context)
        assert server_time(seen, context) == _NOON + timedelta(seconds=seconds)


def test_the_time_at_a_url_needs_a_verified_server(files: tuple[Path, Path, str]) -> None:
    certificate, key, root = files
    with dated(certificate, key, _HEADER) as port:
        url = f"https://localhost:{port}/pins/"
        assert url_time(url, probe_context(root)) == _NOON
        assert url_time(url, probe_context()) is None
        assert url_time("https://localhost:1/", probe_context(root)) is None
