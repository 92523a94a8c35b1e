"""The Dart package with platform roots, which the VM gets by ``--root-certs-file``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from tests.formats.flutter import _vm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.peer("dart")]

REFUSED_CHAIN = "TlsHandshakeException"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run ``vm/roots.dart``, which connects to servers with different roots and pins.

    Returns:
        "accepted" or the name of an exception, by the name of the case.
    """
    folder = tmp_path_factory.mktemp("roots")
    now = datetime.now(UTC)
    platform, own = Authority("Platform", now=now), Authority("Own", now=now)
    roots = folder / "platform-roots.pem"
    roots.write_bytes(platform.pem)
    (folder / "anchors.pem").write_bytes(own.pem)
    pins = [_write(folder, name, by) for name, by in (("platform", platform), ("own", own))]
    done = _vm.run(
        _vm.HERE / "roots.dart",
        _vm.package_config(folder, {}),
        *(str(folder), *pins),
        options=[f"--root-certs-file={roots}"],
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _write(folder: Path, name: str, issuer: Authority) -> str:
    """Issue a server's certificate, write it and its key into a folder, and return its pin."""
    server = issuer.issue("localhost")
    (folder / f"{name}.pem").write_bytes(server.chain_pem)
    (folder / f"{name}.key").write_bytes(server.key_pem)
    return str(server.pin)


def test_without_trust_the_roots_of_the_platform_are_used(results: dict[str, str]) -> None:
    assert results["platform root, pinned key"] == "accepted"
    assert results["platform root, other key"] == "PinMismatchException"
    assert results["unknown root, pinned key"] == REFUSED_CHAIN


def test_trust_excludes_the_roots_of_the_platform(results: dict[str, str]) -> None:
    assert results["trust as pins, its root"] == "accepted"
    assert results["trust as pins, platform root"] == REFUSED_CHAIN
    assert results["trust, pinned key under a platform root"] == REFUSED_CHAIN


def test_a_context_excludes_the_roots_of_the_platform(results: dict[str, str]) -> None:
    assert results["context, its root"] == "accepted"
    assert results["context, platform root"] == "HandshakeException"
