"""Exported trust anchors replace the platform's roots in real clients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.client import Command, write_client_files
from certpin.lab.lab import Lab
from certpin.lab.target import Exports
from certpin.pins import TrustAnchors
from tests.formats.interop import _programs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certpin.lab import Authority
    from certpin.lab.client import ClientUnderTest

pytestmark = pytest.mark.slow


def beside(name: str, line: str) -> ClientUnderTest:
    """Return a client that runs a shell command in the folder of the exported files.

    Args:
        name: the format of the export.
        line: the command; ``$1`` is the exported file, and ``$2`` the URL.
    """
    words = ("sh", "-c", f'cd "$(dirname "$1")" && {line}', "sh")
    return Command((*words, f"{{export:{name}}}", "{url}"))


def curl() -> ClientUnderTest:
    return beside("curl", 'curl -sS --config "$1" "$2"')


_ANCHORED = [
    pytest.param(curl, id="curl", marks=pytest.mark.peer("curl")),
    pytest.param(_programs.go, id="go", marks=pytest.mark.peer("go")),
    pytest.param(_programs.node, id="node", marks=pytest.mark.peer("node")),
]


_ANYWHERE = [
    pytest.param("curl", ("curl", "-sS", "--config", "{export:curl}", "{url}"), id="curl"),
    pytest.param("wget", ("wget", "--config={export:wget}", "-qO-", "{url}"), id="wget"),
]


def content(
    lab: Lab, client: ClientUnderTest, anchor: Authority, roots: Authority, folder: Path
) -> bool:
    """Return whether a client with correct pins accepts the honest server.

    Args:
        lab: the servers.
        client: the client under test.
        anchor: the trust anchor in the client's policy.
        roots: the authority that the client's platform trusts.
        folder: where to write the client's files.
    """
    stage = lab.case_server(CONTROL)
    target = stage.open()
    try:
        write_client_files(folder, roots.pem)
        cast = lab.pki(lab.host)
        assert cast.pins is not None
        trust = TrustAnchors((anchor.certificate.der,), "anchor.pem")
        policies = tuple(replace(policy, trust=trust) for policy in cast.pins.policies)
        exports = Exports(folder / "exports", replace(cast.pins, policies=policies), cast)
        return client.run(replace(target, exports=exports, folder=folder)).content
    finally:
        stage.close()


@pytest.mark.parametrize("make", _ANCHORED)
def test_an_exported_anchor_is_trusted(make: Callable[[], ClientUnderTest], tmp_path: Path) -> None:
    with Lab() as lab:
        roots = lab.authorities
        assert content(lab, make(), roots.root, roots.untrusted, tmp_path)


@pytest.mark.parametrize("make", _ANCHORED)
def test_an_intermediate_is_an_anchor_if_its_root_is_none(
    make: Callable[[], ClientUnderTest], tmp_path: Path
) -> None:
    with Lab() as lab:
        roots = lab.authorities
        assert content(lab, make(), roots.intermediate, roots.untrusted, tmp_path)


@pytest.mark.parametrize("make", _ANCHORED)
def test_platform_roots_are_not_trusted_with_anchors(
    make: Callable[[], ClientUnderTest], tmp_path: Path
) -> None:
    with Lab() as lab:
        roots = lab.authorities
        assert not content(lab, make(), roots.rogue, roots.root, tmp_path)


@pytest.mark.peer("curl")
def test_curl_verifies_the_chain_whatever_the_settings_of_the_user(tmp_path: Path) -> None:
    line = 'echo insecure > .curlrc && CURL_HOME=. curl -sS --config "$1" "$2"'
    with Lab() as lab:
        roots = lab.authorities
        assert not content(lab, beside("curl", line), roots.rogue, roots.root, tmp_path)


@pytest.mark.peer("curl", "wget")
@pytest.mark.parametrize(("name", "words"), _ANYWHERE)
def test_a_client_elsewhere_finds_the_exported_anchor(
    name: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs look for the anchors in the working folder, which is that of the user."""
    monkeypatch.chdir(tmp_path)
    with Lab() as lab:
        roots = lab.authorities
        assert content(lab, Command(words), roots.root, roots.untrusted, tmp_path)
    assert (tmp_path / f"exports/{name}/{name}-anchors.pem").exists()


@pytest.mark.peer("wget")
def test_wget_also_trusts_platform_roots(tmp_path: Path) -> None:
    client = beside("wget", 'wget --config="$1" -qO- --tries=1 "$2"')
    with Lab() as lab:
        roots = lab.authorities
        assert content(lab, client, roots.root, roots.untrusted, tmp_path)
