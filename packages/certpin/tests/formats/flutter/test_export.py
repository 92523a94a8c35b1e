"""The exported files do not bypass the pins. ``test_compiles`` checks that they compile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from certpin.formats import SignedSource
from certpin.formats.flutter import FLUTTER, LIBRARY, SIGNED
from tests.formats._sets import anchors
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

ROOT = Path(__file__).parents[5]
WRITTEN = (*LIBRARY, *SIGNED)
SOURCES = {
    file.path: file.text
    for file in FLUTTER.export(
        pin_set(policy("api.bank.example", NOBODY, NOBODY_ELSE, match="leaf"), debug=anchors()[0]),
        signed=SignedSource("https://pins.bank.example/", b"{}" * 100),
    ).files
}


def test_all_library_files_are_exported_with_a_header() -> None:
    folder = ROOT / "packages/certpin-dart/lib"
    assert sorted(WRITTEN) == sorted(path.name for path in folder.iterdir())
    for name in WRITTEN:
        assert SOURCES[name].startswith("// Written by: certpin export flutter."), name
        assert max(map(len, SOURCES[name].splitlines())) <= 80, name


def test_the_library_imports_only_documented_packages() -> None:
    allowed = {"package:crypto/crypto.dart"}
    adapters = {
        "pinned_dio.dart": {"package:dio/dio.dart", "package:dio/io.dart"},
        "pinned_http.dart": {"package:http/http.dart", "package:http/io_client.dart"},
        "signed_verifier.dart": {
            *("package:pointycastle/api.dart", "package:pointycastle/ecc/api.dart"),
            *(f"package:pointycastle/digests/sha{bits}.dart" for bits in (256, 384)),
            *(f"package:pointycastle/ecc/curves/secp{bits}r1.dart" for bits in (256, 384)),
            "package:pointycastle/signers/ecdsa_signer.dart",
        },
    }
    for name, source in SOURCES.items():
        lines = [line for line in source.splitlines() if line.startswith(("import ", "export "))]
        named = {line.split("'")[1] for line in lines}
        others = {each for each in named if not each.startswith("dart:") and each not in SOURCES}
        assert others <= allowed | adapters.get(name, set()), name


@pytest.mark.parametrize("name", WRITTEN)
def test_no_callback_accepts_refused_certificates(name: str) -> None:
    """Only comments and refusing setters may name them."""
    code = [line for line in SOURCES[name].splitlines() if "//" not in line]
    weak = ("onBadCertificate", "..badCertificateCallback", "validateCertificate", "allowLegacy")
    assert not [line for line in code if any(word in line for word in weak)]


def test_override_anchors_depend_on_a_constant() -> None:
    """Unselected constants are not compiled in, so releases do not contain the proxy's anchor."""
    assert "debugAnchors: debugOverride ? '''" in SOURCES["pins.dart"]
    switch = SOURCES["debug.dart"].partition("const bool debugOverride =")[2]
    assert [part.strip(" ;\n") for part in switch.split("&&")] == [
        "!bool.fromEnvironment('dart.vm.product')",
        "!bool.fromEnvironment('dart.vm.profile')",
        "bool.fromEnvironment('CERTPIN_DEBUG')",
    ]
    assert SOURCES["connector.dart"].count("_context(anchors)") == 1
    assert "!debugOverride || anchors == null" in SOURCES["connector.dart"]


def test_without_debug_section_the_export_does_not_mention_it() -> None:
    source = FLUTTER.export(pin_set(policy("a.example", match="leaf"))).files[0].text
    assert "debug" not in source


# At the beginning of a line: a type and a name, or one of the words for types.
_DEFINED = re.compile(
    r"^(?:(?:abstract |final |sealed |interface )*(?:class|enum|typedef|extension) (\w+)"
    r"|(?:const )?[\w(][\w<>?, ()]* (\w+)(?:\(| =))",
    re.MULTILINE,
)
PUBLIC = {
    name: {
        word for pair in _DEFINED.findall(SOURCES[name]) for word in pair if word and word[0] != "_"
    }
    for name in WRITTEN
}


@pytest.mark.parametrize("name", WRITTEN)
def test_there_are_no_unused_imports(name: str) -> None:
    """The compiler accepts it, but the analyzer of an app warns."""
    imported = set(re.findall(r"^import '(\w+\.dart)'", SOURCES[name], re.MULTILINE))
    used = set(_words(SOURCES[name])) - PUBLIC[name]
    assert {other for other in imported if not PUBLIC[other] & used} == set()


def _words(source: str) -> list[str]:
    return re.findall(r"[A-Za-z_]\w*", re.sub(r"//[^\n]*", "", source))
