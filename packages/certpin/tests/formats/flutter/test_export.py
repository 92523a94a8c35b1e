"""The Dart code of an export has nothing that bypasses the pins.

``test_compiles`` checks that the code compiles.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError
from certpin.formats import FORMATS, SignedSource
from certpin.formats.flutter import FLUTTER
from tests.formats._sets import anchors
from tests.formats.flutter._vm import PACKAGE
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

if TYPE_CHECKING:
    from certpin.formats import Format

PINS = pin_set(policy("api.bank.example", NOBODY, NOBODY_ELSE, match="leaf"), debug=anchors()[0])
SIGNED = SignedSource("https://pins.bank.example/", b"{}" * 100)
SOURCES = {
    file.path: file.text for file in FLUTTER.export(PINS, signed=SIGNED, vendored=True).files
}
WRITTEN = sorted(SOURCES.keys() - {"pins.dart", "signed_source.dart"})


def test_the_vendored_library_is_the_package_with_a_header() -> None:
    folder = PACKAGE / "lib"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.dart")) == WRITTEN
    for name in WRITTEN:
        header, _, rest = SOURCES[name].partition("\n\n")
        assert header.startswith("// Copied by: certpin export flutter."), name
        assert rest == (folder / name).read_text(encoding="utf-8")
        assert max(map(len, SOURCES[name].splitlines())) <= 80, name


def test_the_pins_are_the_same_with_and_without_the_library() -> None:
    [alone] = FLUTTER.export(PINS).files
    assert "import 'package:certpin/certpin.dart';" in alone.text
    assert SOURCES["pins.dart"] == alone.text.replace("package:certpin/certpin", "certpin")
    _, other = FLUTTER.export(PINS, signed=SIGNED).files
    assert SOURCES["signed_source.dart"] == other.text.replace("package:certpin/", "")


@pytest.mark.parametrize("chosen", [FORMATS["android"], FORMATS["json"]], ids=lambda it: it.name)
def test_other_formats_have_no_library(chosen: Format) -> None:
    with pytest.raises(ConfigError, match="needs no library"):
        chosen.export(PINS, vendored=True)


@pytest.mark.parametrize("name", WRITTEN)
def test_no_callback_accepts_refused_certificates(name: str) -> None:
    """Only comments, and setters that refuse a callback, may have the names of such callbacks."""
    code = [line for line in SOURCES[name].splitlines() if "//" not in line]
    weak = ("onBadCertificate", "..badCertificateCallback", "validateCertificate", "allowLegacy")
    assert not [line for line in code if any(word in line for word in weak)]


def test_override_anchors_depend_on_a_constant() -> None:
    """The anchors for debugging with a proxy depend on a constant of the build.

    The compiler removes the unused branch, so that a release does not contain the proxy's anchor.
    """
    assert "debugAnchors: debugOverride ? '''" in SOURCES["pins.dart"]
    switch = SOURCES["src/debug.dart"].partition("const bool debugOverride =")[2]
    assert [part.strip(" ;\n") for part in switch.split("&&")] == [
        "!bool.fromEnvironment('dart.vm.product')",
        "!bool.fromEnvironment('dart.vm.profile')",
        "bool.fromEnvironment('CERTPIN_DEBUG')",
    ]
    assert SOURCES["src/connector.dart"].count("_context(anchors)") == 1
    assert "!debugOverride || anchors == null" in SOURCES["src/connector.dart"]


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
    """The compiler accepts an unused import, but the analyzer of an app warns."""
    here = PurePosixPath(name).parent
    imported = {
        posixpath.normpath(here / other)
        for other in re.findall(r"^import '([\w./]+\.dart)'", SOURCES[name], re.MULTILINE)
    }
    used = set(_words(SOURCES[name])) - PUBLIC[name]
    assert {other for other in imported if not PUBLIC[other] & used} == set()


def _words(source: str) -> list[str]:
    return re.findall(r"[A-Za-z_]\w*", re.sub(r"//[^\n]*", "", source))
