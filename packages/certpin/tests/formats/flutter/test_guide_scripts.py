"""The shell blocks of the pages about Flutter: those of each page run as one script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority
from certpin.pinfile import PinSet
from tests.apps._dart import NEEDS_PARSER
from tests.documentation._blocks import shell_script
from tests.documentation._scripts import run, run_with_hosts, write_program
from tests.formats.flutter import _vm, example

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Identity

pytestmark = pytest.mark.timeout(300)

HOSTS = ("api.bank.example", "www.bank.example")
APP = """
const baseUrl = 'https://api.bank.example/v1';
const pins = {{
  'api.bank.example': ['{pin}'],
}};
"""


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority("Trusted Root")


@pytest.fixture(scope="module")
def served(root: Authority) -> dict[str, Identity]:
    issuer = root.intermediate("Intermediate")
    return {host: issuer.issue(host) for host in HOSTS}


@pytest.mark.slow
@pytest.mark.peer("dart", "unshare", "ip")
def test_the_quick_start_ends_with_a_refused_attacker(
    root: Authority, served: dict[str, Identity], tmp_path: Path
) -> None:
    """The quick start's script runs, and the app at its end refuses an attack.

    ``dart run FILE`` needs pub, so a substitute named ``dart`` runs the compiled file.
    """
    packages = _vm.package_config(tmp_path, {"bank_app": example.APP / "lib"})
    program = tmp_path / "prove.dill"
    assert _vm.compile_kernel(example.APP / "tool/prove.dart", packages, program) == ""
    start = f'shift 2; exec "{_vm.NEWEST.program}" "{program}" "$@"'
    write_program(tmp_path, "dart", f"#!/bin/sh\n{start}\n")
    done = run_with_hosts(shell_script("guides/flutter.md"), tmp_path, root, served)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nThe one attack did not get through.\n" in done.stdout
    pins = PinSet.load(tmp_path / "pins.toml")
    assert [str(each.pattern) for each in pins.policies] == list(HOSTS)
    assert all(each.match == "leaf" for each in pins.policies)
    assert (tmp_path / "lib/pinning/pins.dart").exists()
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("api.key", "www.key")] == [
        0o600,
        0o600,
    ]


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip")
@NEEDS_PARSER
def test_an_app_with_pins_of_its_own_is_moved(
    root: Authority, served: dict[str, Identity], tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    pin = served["api.bank.example"].pin
    (tmp_path / "lib/api.dart").write_text(APP.format(pin=pin), encoding="utf-8")
    done = run_with_hosts(shell_script("guides/flutter-moving.md"), tmp_path, root, served)
    assert done.returncode == 0, done.stdout + done.stderr
    old, new = (PinSet.load(tmp_path / name) for name in ("pins.imported.toml", "pins.toml"))
    assert [each.mode for each in (*old.policies, *new.policies)] == ["report", "enforce"]
    for name in (
        "lib/pinning/pins.dart",
        "android/app/src/main/res/xml/network_security_config.xml",
        "ios/Runner/NSPinnedDomains.plist",
    ):
        assert (tmp_path / name).exists()


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip")
def test_flavours_and_the_debug_override_are_exported(
    root: Authority, served: dict[str, Identity], tmp_path: Path
) -> None:
    (tmp_path / "charles-ca.pem").write_bytes(Authority("Proxy").pem)
    before = """
    certpin add api.bank.example --match leaf --backup-key api.key
    certpin export flutter --out lib/pinning/
    certpin add www.bank.example --match leaf --backup-key dev.key --file pins.development.toml
    """
    script = shell_script("guides/flutter-debugging.md", before)
    done = run_with_hosts(script, tmp_path, root, served)
    assert done.returncode == 0, done.stdout + done.stderr
    files = {path.name: path.read_text("utf-8") for path in (tmp_path / "lib/pinning").iterdir()}
    assert {name for name, text in files.items() if "debugAnchors" in text} == {"pins_debug.dart"}
    assert "www.bank.example" in files["pins_development.dart"]


@pytest.mark.slow
@pytest.mark.peer("openssl")
def test_the_source_of_signed_updates_is_exported(tmp_path: Path) -> None:
    pin = "sha256/2gJ5xHsFzFxA3Wc4aq0DkYk1Rz1m8xT8u6JrJvQmB9A="
    before = f"""
    certpin add pins.bank.example --match leaf --backup-key backup.key --pin {pin}
    certpin publish init --root-key root.key --targets-key t.key --online-key o.key --url www
    """
    done = run(shell_script("guides/flutter-updates.md", before), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    source = (tmp_path / "lib/pinning/signed_source.dart").read_text("utf-8")
    assert "https://pins.bank.example/app/" in source
