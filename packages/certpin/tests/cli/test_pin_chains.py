"""``certpin pin`` and ``certpin add`` for chains with flaws, and for unusual valid chains."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.pins import Pin
from tests.cli import _chains, _documented
from tests.servers.nginx import Nginx, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from certpin.lab import Authority, Identity
    from tests.cli.conftest import Run

pytestmark = pytest.mark.peer("nginx")

# OpenSSL's error for each flawed chain, and a part of the fix.
FLAWS = {
    "expired.example": ("certificate has expired", "renew it"),
    "early.example": ("certificate is not yet valid", "is behind, set it"),
    "self.example": ("self-signed certificate", "--ca-file CERTIFICATE.pem"),
    "private.example": ("self-signed certificate in certificate chain", "--ca-file ROOT.pem"),
    "unknown.example": ("unable to get local issuer certificate", "--ca-file ROOT.pem"),
    "missing.example": ("unable to get local issuer certificate", "intermediate certificates too"),
    "other.example": ("Hostname mismatch", "its names: right.example, 192.0.2.1"),
}
# The number of certificates in the verified path of each unusual chain.
PATHS = {
    "reordered.example": 4,
    "extra.example": 3,
    "twice.example": 3,
    "withroot.example": 2,
    "crossed.example": 4,
}


@pytest.fixture(scope="session")
def identities(root: Authority, intermediate: Authority) -> dict[str, Identity]:
    return {**_chains.flawed(root, intermediate), **_chains.unusual(root, intermediate)}


@pytest.fixture(scope="session")
def server(identities: Mapping[str, Identity]) -> Iterator[Nginx]:
    with nginx(identities) as running:
        yield running


@pytest.fixture
def options(server: Nginx, ca: Path) -> tuple[str | Path, ...]:
    return ("--connect", f"127.0.0.1:{server.port}", "--ca-file", ca)


@pytest.mark.parametrize("host", FLAWS)
def test_a_chain_that_does_not_verify_is_shown_and_no_pin_is_suggested(
    run: Run, options: tuple[str, ...], identities: Mapping[str, Identity], host: str
) -> None:
    done = run("pin", host, *options)
    problem, advice = FLAWS[host]
    assert (done.code, done.err) == (1, "")
    assert f"The chain did NOT verify: {problem}" in done.out
    assert advice in done.out
    assert "certpin add" not in done.out
    titles = [line for line in done.out.splitlines() if line.startswith("served, ")]
    assert len(titles) == len(identities[host].chain)
    assert all(title.startswith("served, not on a verified path: ") for title in titles)


def test_the_fix_for_another_name_has_the_contacted_address(
    run: Run, server: Nginx, options: tuple[str, ...]
) -> None:
    out = " ".join(run("pin", "other.example", *options).out.split())
    words = f"certpin pin NAME --connect 127.0.0.1:{server.port}"
    assert out.endswith(words)


@pytest.mark.parametrize("host", FLAWS)
def test_as_json_a_chain_that_does_not_verify_has_its_problem(
    run: Run, options: tuple[str, ...], host: str
) -> None:
    done = run("pin", host, *options, "--json")
    (found,) = done.json["targets"]
    problem, advice = FLAWS[host]
    assert done.code == 1
    _documented.check("server", found)
    assert (found["verified"], found["verified_chain"]) == (False, None)
    assert found["problem"].startswith(problem)
    assert advice in found["fix"]


@pytest.mark.parametrize("host", FLAWS)
def test_a_chain_that_does_not_verify_is_not_pinned_and_nothing_is_written(
    run: Run, options: tuple[str, ...], host: str
) -> None:
    done = run("add", host, *options, "--backup-key", "backup.key")
    assert (done.code, done.out) == (2, "")
    assert FLAWS[host][0] in done.err
    assert FLAWS[host][1] in done.err
    assert list(Path().iterdir()) == []


def test_with_insecure_the_leaf_is_suggested_with_a_warning(
    run: Run, options: tuple[str, ...], identities: Mapping[str, Identity]
) -> None:
    done = run("pin", "expired.example", *options, "--insecure")
    pin = identities["expired.example"].pin
    assert done.code == 0
    assert "The chain did NOT verify" in done.out
    assert "INSECURE: this key is not verified" in done.out
    assert f"certpin add expired.example --pin {pin} --backup-key" in done.out


def test_a_self_signed_certificate_verifies_if_it_is_the_authority(
    run: Run, server: Nginx, identities: Mapping[str, Identity], tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    own.write_bytes(identities["self.example"].chain_pem)
    address = f"127.0.0.1:{server.port}"
    done = run("pin", "self.example", "--connect", address, "--ca-file", own, "--json")
    assert (done.code, len(done.json["targets"][0]["verified_chain"])) == (0, 1)


@pytest.mark.parametrize("host", PATHS)
def test_an_odd_chain_is_shown_along_its_verified_path(
    run: Run, options: tuple[str, ...], identities: Mapping[str, Identity], host: str
) -> None:
    done = run("pin", host, *options, "--json")
    (found,) = done.json["targets"]
    path = found["verified_chain"]
    assert (done.code, len(path)) == (0, PATHS[host])
    assert path[0]["pin"] == str(identities[host].pin)
    assert path[-1]["subject"] == "CN=Test Root"
    for below, above in pairwise(path):
        assert below["issuer"] == above["subject"]


def test_a_certificate_outside_the_path_is_marked(run: Run, options: tuple[str, ...]) -> None:
    done = run("pin", "extra.example", *options)
    assert "served, not on a verified path: CN=stray.example" in done.out.splitlines()


def test_a_cross_signed_chain_ends_at_the_root_that_is_trusted(
    run: Run, server: Nginx, identities: Mapping[str, Identity], tmp_path: Path
) -> None:
    # The cross-signed certificate, used as a root.
    crossed = tmp_path / "crossed.pem"
    chain = identities["crossed.example"].chain
    crossed.write_bytes(_chains.pem(chain[-1]))
    address = f"127.0.0.1:{server.port}"
    done = run("pin", "crossed.example", "--connect", address, "--ca-file", crossed, "--json")
    assert [
        certificate["subject"] for certificate in done.json["targets"][0]["verified_chain"]
    ] == [
        "CN=crossed.example",
        "CN=New Intermediate",
        "CN=New Root",
    ]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_hostile_subject_does_not_reach_the_terminal(
    run: Run, options: tuple[str, ...], words: list[str]
) -> None:
    done = run("pin", "hostile.example", *options, *words)
    assert done.code == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(done.out)
    assert "leaf, verified" not in done.out.splitlines()
    shown = done.json["targets"][0]["served_chain"][0]["subject"] if words else done.out
    assert r"bank\x1b[2J" in shown


def test_a_hostile_subject_does_not_reach_the_terminal_through_an_error(
    run: Run, server: Nginx, identities: Mapping[str, Identity], tmp_path: Path
) -> None:
    own, hostile = tmp_path / "own.pem", identities["hostile.example"]
    own.write_bytes(_chains.pem(hostile.chain[0]))
    Path("pins.toml").write_text(
        'schema = 1\nname = "x"\nversion = 1\n[[host]]\nname = "hostile.example"\n'
        f'trust = "{own}"\n[[host.pin]]\npin = "{Pin("sha256", bytes(range(32)))}"\n'
        f'[[host.pin]]\npin = "{Pin("sha256", bytes(range(1, 33)))}"\n'
    )
    address = f"127.0.0.1:{server.port}"
    for words in (["check"], ["get", "https://hostile.example/"]):
        done = run(*words, "--connect", address)
        assert done.code == 1
        assert r"bank\x1b[2J" in done.out + done.err
        assert not {"\x1b", "\x07", "\u202e"} & set(done.out + done.err)


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_an_invalid_field_does_not_hide_the_others(
    run: Run, options: tuple[str, ...], identities: Mapping[str, Identity], words: list[str]
) -> None:
    done = run("pin", "nonsense.example", *options, *words)
    assert done.code == 1
    assert str(identities["nonsense.example"].pin) in done.out
    if words:
        _documented.check("server", done.json["targets"][0])
        assert done.json["targets"][0]["served_chain"][0]["names"] is None
