"""The types of keys that Dart's TLS can use: measured on the VMs, as ``dart_can_use`` says."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from certpin.pins import pins_of
from certpin.x509.certificate import read_certificates
from certpin.x509.keys import dart_can_use
from tests.formats.flutter import _vm
from tests.servers.listeners import silent
from tests.x509._openssl import ALGORITHMS, openssl

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.x509 import Certificate
    from scripts.dart import DartVM

TYPES = ("p256", "p384", "rsa2048", "rsa4096", "p521", "ed25519", "ed448", "rsa-pss")
CASES = {f"{place} {name}": (place, name) for place in ("server", "root") for name in TYPES}


def _certify(folder: Path, name: str, algorithm: str, issuer: str = "") -> Certificate:
    """Make a key and a certificate in a folder: a root, or for localhost if there is an issuer."""
    kind, *options = ALGORITHMS[algorithm]
    words = [word for each in options for word in ("-pkeyopt", each)]
    key, target = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("genpkey", "-algorithm", kind, *words, "-out", key)
    use = "critical,keyCertSign" if not issuer else "critical,digitalSignature"
    extensions = [f"keyUsage={use}", f"basicConstraints=critical,CA:{str(not issuer).upper()}"]
    by: list[str | Path] = []
    if issuer:
        extensions.append("subjectAltName=DNS:localhost")
        by = ["-CA", folder / f"{issuer}.pem", "-CAkey", folder / f"{issuer}.key"]
    added = [word for each in extensions for word in ("-addext", each)]
    request = ["req", "-x509", "-new", "-subj", f"/CN={name}", "-days", "30", *added]
    openssl(*request, *by, "-key", key, "-out", target)
    [certificate] = read_certificates(target.read_bytes())
    return certificate


@pytest.fixture(scope="module", params=_vm.VERSIONS, ids=lambda vm: vm.version)
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, str]]:
    """Connect a Dart VM to a server of each case; return the type of its key, and the result."""
    vm: DartVM = request.param
    cases, types = {}, {}
    with ExitStack() as running:
        for name, (place, algorithm) in CASES.items():
            folder = tmp_path_factory.mktemp("keys")
            root = _certify(folder, "root", algorithm if place == "root" else "p256")
            leaf = _certify(folder, "leaf", algorithm if place == "server" else "p256", "root")
            port = running.enter_context(silent(folder / "leaf.pem", folder / "leaf.key"))
            cases[name] = (port, str(pins_of(leaf)[0]), (folder / "root.pem").read_text())
            types[name] = (root if place == "root" else leaf).key
        folder = tmp_path_factory.mktemp("program")
        file = folder / "cases.json"
        file.write_text(json.dumps(cases), encoding="utf-8")
        done = _vm.run(
            _vm.HERE / "key_types.dart", _vm.package_config(folder, {}), str(file), vm=vm
        )
    assert done.returncode == 0, done.stderr
    return {name: (types[name], result) for name, result in json.loads(done.stdout).items()}


@pytest.mark.slow
@pytest.mark.peer("dart", "openssl")
def test_dart_can_use_exactly_the_types_that_certpin_says(
    seen: dict[str, tuple[str, str]],
) -> None:
    results = {name: result == "accepted" for name, (_, result) in seen.items()}
    expected = {
        name: dart_can_use(seen[name][0], signs=place == "root")
        for name, (place, _) in CASES.items()
    }
    assert results == expected
    assert [name for name, usable in results.items() if not usable] == [
        *("server p521", "server ed25519", "server ed448", "server rsa-pss"),
        *("root ed448", "root rsa-pss"),
    ]
