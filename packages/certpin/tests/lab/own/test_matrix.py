"""The chains of the lab's standard cases, exported as PEM: other tools reach the same verdicts."""

from __future__ import annotations

import json
import ssl
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.own.matrix import write_matrix
from certpin.lab.own.writer import new_folder
from certpin.lab.scenario import Scenario
from certpin.lab.server.tls import load
from certpin.pins import Pin
from certpin.x509.certificate import read_certificates

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.pki import TestPKI

HOST = "api.shop.example"
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix") / "chains"
    with new_folder(folder):
        write_matrix(folder, (CONTROL, *CASES), HOST, NOW)
    return folder


@pytest.fixture(scope="module")
def index(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "index.json").read_text("utf-8"))
    return found


@pytest.mark.slow
def test_every_case_is_written_or_left_out_with_a_reason(index: dict[str, Any]) -> None:
    written = [case["name"] for case in index["cases"]]
    left_out = [case["name"] for case in index["left_out"]]
    assert sorted(written + left_out) == sorted(case.name for case in (CONTROL, *CASES))
    assert {"control-good", "untrusted-ca", "expired", "rot-cross-signed"} <= set(written)
    assert {"pool-reuse", "old-tls", "pin-set-expired", "compromised-key"} <= set(left_out)
    assert "rot-roots-of-one-name" in left_out
    assert {"stolen-certificate-tls13", "starttls-strip", "redirect-to-http"} <= set(left_out)
    assert all(case["reason"] for case in index["left_out"])


@pytest.mark.medium
def test_a_server_can_load_every_chain_with_its_key(folder: Path, index: dict[str, Any]) -> None:
    for case in index["cases"]:
        chain, key = (folder / case[name] for name in ("chain", "key"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # short keys, and SHA-1
        load(context, chain.read_bytes(), key.read_bytes())
        assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.medium
def test_no_key_of_an_authority_is_written(folder: Path, index: dict[str, Any]) -> None:
    anchors = read_certificates((folder / index["anchors"]).read_bytes())
    assert len(anchors) == 2
    keys = {
        path for path in folder.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()
    }
    assert keys == {folder / case["key"] for case in index["cases"]}


@pytest.mark.slow
@pytest.mark.peer("openssl")
def test_openssl_reaches_the_expected_verdicts(folder: Path, index: dict[str, Any]) -> None:
    seen = {case["name"]: _verify(folder, index, case) for case in index["cases"]}
    expected = {case["name"]: case["expected"]["none"] for case in index["cases"]}
    wrong = {name for name, did in seen.items() if expected[name] not in {did, *_UNDECIDED}}
    assert wrong == set()
    assert seen["rogue-ca-in-store"] == "accept"
    assert seen["untrusted-ca"] == "reject"


_UNDECIDED = ("either", "reject or warn", "policy")


def _verify(folder: Path, index: dict[str, Any], case: dict[str, Any]) -> str:
    name = "-verify_ip" if ":" in case["host"] or case["host"][-1].isdigit() else "-verify_hostname"
    words = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-purpose", "sslserver"]
    words += ["-auth_level", "1", "-attime", str(int(NOW.timestamp())), name, case["host"]]
    words += ["-CAfile", str(folder / index["anchors"])]
    words += ["-untrusted", str(folder / case["chain"]), str(folder / case["chain"])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "accept" if done.returncode == 0 else "reject"


@pytest.mark.medium
def test_the_pins_are_those_of_the_honest_server(folder: Path, index: dict[str, Any]) -> None:
    control = next(case for case in index["cases"] if case["name"] == "control-good")
    leaf, intermediate = read_certificates((folder / control["chain"]).read_bytes())
    root = read_certificates((folder / index["anchors"]).read_bytes())[0]
    pins = [str(Pin.of_key(each.spki_sha256)) for each in (leaf, intermediate, root)]
    assert control["pins"]["leaf"][0] == pins[0]
    assert control["pins"]["ca"] == pins[1:]
    rogue = next(case for case in index["cases"] if case["name"] == "rogue-ca-in-store")
    assert rogue["pins"] == control["pins"]


@pytest.mark.medium
def test_certificates_are_for_the_host_and_the_time(folder: Path, index: dict[str, Any]) -> None:
    control = next(case for case in index["cases"] if case["name"] == "control-good")
    leaf = read_certificates((folder / control["chain"]).read_bytes())[0]
    assert control["host"] == HOST == leaf.dns_names[0]
    assert datetime.fromisoformat(index["time"]) == NOW
    assert leaf.not_before < NOW < leaf.not_after


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="has files"), new_folder(tmp_path):
        pytest.fail("it was used")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"), new_folder(tmp_path / "a" / "b"):
        pytest.fail("it was used")


def test_a_server_with_another_key_is_left_out(tmp_path: Path) -> None:
    def stolen(pki: TestPKI) -> Scenario:
        return Scenario.of(pki.honest.but(key_pem=pki.unpinned_leaf.key_pem))

    with new_folder(tmp_path / "chains"):
        written = write_matrix(tmp_path / "chains", [replace(CONTROL, scenario=stolen)], HOST, NOW)
    assert written.cases == ()
    assert "signs with another key" in written.left_out[0].reason


def test_a_case_with_another_trust_store_is_left_out(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "rot-roots-of-one-name")
    (left_out,) = write_matrix(tmp_path, [case], HOST, NOW).left_out
    assert left_out.reason == "it changes the client's trust store"
