"""The effects of the mistakes that docs/guides/flutter-moving.md lists, observed on Dart VMs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import PinFileError
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins.policy import pins_of
from tests.formats.flutter import _vm
from tests.kit import NOBODY

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.dart import DartVM

PROGRAM = _vm.HERE / "mistakes.dart"

# The mistakes of the page, each with its tests. The last two are cases of the lab's matrix.
MISTAKES: dict[str, tuple[str, ...]] = {
    "The callback that switches off the checks": (
        "test_a_bad_certificate_callback_is_not_called_for_a_rogue_authority",
        "test_a_callback_that_accepts_ignores_name_dates_and_authority",
    ),
    "The context without roots and without anchors": (
        "test_without_roots_the_callback_gets_the_intermediate",
    ),
    "`cert.sha256`": ("test_dart_has_no_sha256_of_a_certificate",),
    "The fingerprint of a certificate": (
        "test_a_renewal_with_the_same_key_keeps_the_key_pin_only",
    ),
    "The root's fingerprint in a list for leaves": (
        "test_the_response_has_only_the_certificate_of_the_server",
    ),
    "The interceptor that checks another connection": (
        "test_a_check_on_another_connection_protects_nothing",
    ),
    "The check that comes too late": ("test_a_check_of_the_response_comes_after_the_request",),
    "The debug branch that returns true": (
        "test_a_debug_branch_accepts_everything_in_a_debug_build",
    ),
    "The pin from the environment": (
        "test_a_build_option_replaces_a_pin_that_comes_from_the_environment",
    ),
    "The leaf pin alone": ("test_a_single_pin_is_refused",),
    "Errors found by searching a string": (
        "test_the_message_of_a_refused_handshake_does_not_name_the_certificate",
    ),
    "The test that cannot fail": ("test_a_test_that_prints_the_error_passes_at_a_forged_server",),
    "Falling back": (),
    "`http://` somewhere": (),
}


@pytest.fixture(scope="module", params=_vm.VERSIONS, ids=lambda vm: vm.version)
def vm(request: pytest.FixtureRequest) -> DartVM:
    """Return each Dart VM in turn."""
    chosen: DartVM = request.param
    return chosen


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trusted root, and the certificates and keys of three servers.

    The honest and the rogue one chain to the root. The forged one does not, has another name, and
    has expired.
    """
    folder = tmp_path_factory.mktemp("certificates")
    root = Authority("Trusted Root")
    (folder / "root.pem").write_bytes(root.pem)
    root.intermediate("Intermediate").issue("localhost").write(folder, "honest")
    root.intermediate("Other Intermediate").issue("localhost").write(folder, "rogue")
    then = datetime.now(UTC) - timedelta(days=3000)
    unknown = Authority("Unknown Root", now=then).intermediate("Unknown Intermediate")
    unknown.issue("other.example", days=90).write(folder, "forged")
    return folder


def observe(vm: DartVM, certificates: Path, folder: Path, *defines: str) -> dict[str, Any]:
    """Run the Dart program that makes each mistake of pinning at a real server.

    Returns:
        For each mistake, what the client did, and what server and callback received.
    """
    packages = _vm.package_config(folder, {})
    done = _vm.run(PROGRAM, packages, str(certificates), vm=vm, defines=defines)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def seen(
    vm: DartVM, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return the observations for each mistake in a debug build, by the mistake's name."""
    return observe(vm, certificates, tmp_path_factory.mktemp("debug"))


pytestmark = [pytest.mark.slow, pytest.mark.peer("dart")]


def test_a_bad_certificate_callback_is_not_called_for_a_rogue_authority(
    seen: dict[str, Any],
) -> None:
    case = seen["callback at a rogue authority"]
    assert case == {"result": "accepted", "received": True, "given": []}


def test_without_roots_the_callback_gets_the_intermediate(seen: dict[str, Any]) -> None:
    case = seen["callback without roots"]
    assert case["given"] == ["/CN=Intermediate"]
    assert (case["result"], case["received"]) == ("refused", False), "the honest server"


def test_a_callback_that_accepts_ignores_name_dates_and_authority(seen: dict[str, Any]) -> None:
    case = seen["callback that accepts"]
    assert (case["result"], case["received"]) == ("accepted", True)


def test_the_response_has_only_the_certificate_of_the_server(seen: dict[str, Any]) -> None:
    assert seen["certificate of the response"]["given"] == ["/CN=localhost"]


def test_a_check_on_another_connection_protects_nothing(seen: dict[str, Any]) -> None:
    case = seen["check on another connection"]
    assert (case["result"], case["received"]) == ("accepted", True)


def test_a_check_of_the_response_comes_after_the_request(seen: dict[str, Any]) -> None:
    case = seen["check of the response"]
    assert (case["result"], case["received"]) == ("refused", True)


def test_a_debug_branch_accepts_everything_in_a_debug_build(
    seen: dict[str, Any], vm: DartVM, certificates: Path, tmp_path: Path
) -> None:
    release = observe(vm, certificates, tmp_path, "dart.vm.product=true")
    assert seen["debug branch"]["received"] is True
    assert release["debug branch"]["received"] is False


def test_a_build_option_replaces_a_pin_that_comes_from_the_environment(
    seen: dict[str, Any], vm: DartVM, certificates: Path, tmp_path: Path
) -> None:
    options = ("dart.vm.product=true", "CERT_FINGERPRINT=ANOTHER")
    release = observe(vm, certificates, tmp_path, *options)
    assert seen["environment"]["fingerprint"] == "DEVELOPMENT"
    assert release["environment"]["fingerprint"] == "ANOTHER"


def test_the_message_of_a_refused_handshake_does_not_name_the_certificate(
    seen: dict[str, Any],
) -> None:
    case = seen["message"]
    assert case["result"] == "refused"
    assert "certificate" not in case["given"][-1]


def test_a_test_that_prints_the_error_passes_at_a_forged_server(seen: dict[str, Any]) -> None:
    assert seen["test that cannot fail"]["result"] == "passed"


def test_dart_has_no_sha256_of_a_certificate(vm: DartVM, tmp_path: Path) -> None:
    program = tmp_path / "fingerprint.dart"
    program.write_text(
        "import 'dart:io';\nString of(X509Certificate cert) => cert.sha256;\nvoid main() {}\n",
        encoding="utf-8",
    )
    problem = _vm.compile_kernel(program, _vm.package_config(tmp_path, {}), tmp_path / "f.dill", vm)
    assert "The getter 'sha256' isn't defined" in problem


def test_a_renewal_with_the_same_key_keeps_the_key_pin_only() -> None:
    root = Authority("Root")
    first = root.issue("api.bank.example")
    second = root.issue("api.bank.example", key=first.key)
    (key, certificate), (same, other) = (pins_of(each.certificate) for each in (first, second))
    assert key == same
    assert certificate != other


def test_a_single_pin_is_refused(tmp_path: Path) -> None:
    text = (
        'schema = 1\nname = "a"\nversion = 1\n[[host]]\nname = "a.example"\n'
        f'[[host.pin]]\npin = "{NOBODY}"\nrole = "leaf"\nstate = "active"\n'
    )
    with pytest.raises(PinFileError, match="backup"):
        PinSet.parse(text, path=tmp_path / "pins.toml")
