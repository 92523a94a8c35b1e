"""The Dart package on the web: it compiles, and its first use fails with a clear message.

No compiler for the web is available here. So the tests compare the package's conditional imports
with the documented condition, and run the files for the web on a VM. dart2js, DDC and dart2wasm
compile ``dart:io`` and ``dart:isolate`` to stubs that throw
(``sdk/lib/_internal/js_runtime/lib/io_patch.dart`` and ``sdk/lib/_internal/wasm/lib/io_patch.dart``
of the SDK). Even the constructor of ``HttpClient`` throws there, because it reads the version of
the VM, so the package's check must come before it.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.formats.flutter import _vm

if TYPE_CHECKING:
    from pathlib import Path

# Of integers in JavaScript: a larger literal is an error of its compilers.
MAX_SAFE_INTEGER = 2**53 - 1

SOURCES = {
    str(path.relative_to(_vm.library())): path.read_text(encoding="utf-8")
    for path in sorted(_vm.library().rglob("*.dart"))
}
FIRST_USES = {
    "PinnedHttpClient": "PinnedHttpClient(pins)",
    "PinnedHttpOverrides": "PinnedHttpOverrides(pins)",
    "PinnedHttpOverrides.runInIsolate": "PinnedHttpOverrides.runInIsolate(pins, () => 1)",
    "PinnedHttpOverrides in compute": (
        "PinnedHttpOverrides.pinnedComputation<int, int>(pins, (n) => n)(1)"
    ),
    "PinnedSecureSocket.connect": "PinnedSecureSocket.connect('a', 1, pins: pins)",
    "PinnedSecureSocket.startConnect": "PinnedSecureSocket.startConnect('a', 1, pins: pins)",
    "PinnedSecureSocket.secure": ("PinnedSecureSocket.secure(_NoSocket(), host: 'a', pins: pins)"),
    "pinnedSecurityContext": "pinnedSecurityContext(pins, host: 'a')",
    "PinUpdates": """PinUpdates(
        bundled: pins,
        source: const SignedSource(url: '', root: ''),
        storage: FilePinStorage(File('none')),
        verifier: _NoVerifier(),
      )""",
}


def test_the_condition_is_the_documented_one() -> None:
    """The conditional imports test ``dart.library.js_interop``.

    It is true for JavaScript and for Wasm, and false on a VM:
    https://dart.dev/tools/pub/create-packages#conditionally-importing-and-exporting-library-files
    """
    found = [
        (name, condition)
        for name, source in SOURCES.items()
        for condition in re.findall(
            r"^(?:import|export) [^;]*?\bif (.*?);", source, re.MULTILINE | re.DOTALL
        )
    ]
    assert len(found) > 3
    for name, condition in found:
        up = "../" * (name.count("/") - 1)
        assert condition == f"(dart.library.js_interop) '{up}platform_web.dart'", name


def test_the_two_halves_have_the_same_names() -> None:
    web, io = SOURCES["src/platform_web.dart"], SOURCES["src/platform_io.dart"]
    for half in (web, io):
        assert re.findall(r"^(?:void|Never) (\w+)\(String name\)", half, re.MULTILINE) == [
            "requireSockets"
        ]
    assert "dart:" not in "".join(re.findall(r"^import .*$", web, re.MULTILINE))


def test_no_integer_is_too_large_for_javascript() -> None:
    for name, source in SOURCES.items():
        for literal in re.findall(r"\b(0x[0-9a-fA-F]+|[1-9][0-9]{5,})\b", source):
            assert int(literal, 0) <= MAX_SAFE_INTEGER, (name, literal)


@pytest.mark.slow
@pytest.mark.peer("dart")
def test_each_first_use_fails_with_a_clear_message(tmp_path: Path) -> None:
    """The test runs a copy of the package in which the file for the web replaces that for VMs."""
    library = tmp_path / "lib"
    shutil.copytree(_vm.library(), library)
    shutil.copy(library / "src/platform_web.dart", library / "src/platform_io.dart")
    lines = [
        "import 'dart:io';",
        "import 'dart:typed_data';",
        "import 'package:certpin/certpin.dart';",
        "import 'package:certpin/updates.dart';",
        "const pins = PinSet(name: 'a', version: 1, policies: []);",
        "class _No { @override dynamic noSuchMethod(Invocation i) => throw StateError('used'); }",
        "final class _NoSocket extends _No implements Socket {}",
        "final class _NoVerifier extends _No implements SignatureVerifier {}",
        "Future<void> main() async {",
        "  final uses = <Object? Function()>[",
        *(f"    () => {use}," for use in FIRST_USES.values()),
        "  ];",
        "  for (final use in uses) {",
        "    try { print('no error: ${await use()}'); }",
        "    on UnsupportedError catch (error) { print(error.message); }",
        "    on Object catch (error) { print('another error: $error'); }",
        "  }",
        "}",
    ]
    program = tmp_path / "uses.dart"
    program.write_text("\n".join(lines), encoding="utf-8")
    done = _vm.run(program, _vm.package_config(tmp_path, {"certpin": library}))
    assert done.returncode == 0, done.stderr
    messages = done.stdout.splitlines()
    assert len(messages) == len(FIRST_USES), done.stdout
    for use, message in zip(FIRST_USES, messages, strict=True):
        name = use.removesuffix(" in compute")
        assert message.startswith((f"{name}: a browser", f"{name.partition('.')[0]}: a browser"))
        assert "fix: use the HTTP client of the web there" in message
