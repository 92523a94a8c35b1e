"""Exports as source code in Go, Node.js, .NET and Ktor, and their import."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS
from certpin.formats._program import fill
from certpin.pins import HostPin, HostPolicy
from certpin.pins.hosts import HostPattern
from certpin.pins.policy import meaning
from tests.formats._sets import DATES, KEYS, WHOLE, anchors, compromised
from tests.formats._syntax import errors, names
from tests.formats._text import exported, imported
from tests.formats.flutter import vectors as dart
from tests.kit import pin_set, policy

VECTORS = Path(__file__).parents[1] / "vectors" / "keys.json"
HOST = "api.bank.example"
# A table with every field.
FULL = pin_set(
    policy(HOST, *KEYS[:2], *WHOLE[:1], match="leaf", trust=anchors()[1], expires=DATES[1]),
    policy("**.bank.example", *KEYS[2:4], match="leaf", mode="report", on_expiry="report"),
    compromised(policy("pay.example", *KEYS[2:4], match="leaf"), KEYS[6], WHOLE[1]),
    policy("2001:db8::7", *KEYS[4:6], match="leaf", expires=DATES[0], on_expiry="fail-open"),
)


@pytest.mark.parametrize("name", ["go", "node", "dotnet"])
def test_all_fields_are_read_back(name: str) -> None:
    export = FORMATS[name].export(FULL)
    assert not export.omissions
    assert meaning(imported(name, export.files[0].text)) == meaning(FULL)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("go", f'var pins = []string{{"{KEYS[0]}"}}'),
        ("node", f"const pins = ['{KEYS[0]}'];"),
        ("dotnet", f'class Pins {{ static readonly string[] All = {{ "{KEYS[0]}" }}; }}'),
        ("node", ""),
    ],
)
def test_the_pins_of_other_code_are_refused_with_the_command_for_them(name: str, code: str) -> None:
    with pytest.raises(FormatError, match="the file contains no pins of a certpin export") as found:
        imported(name, code)
    assert found.value.fix == (
        "if it is code of your app, and not an export: certpin add HOST --pin PIN --backup-pin PIN"
    )


@pytest.mark.medium
@pytest.mark.parametrize("name", ["go", "node", "dotnet", "flutter-pins"])
def test_every_value_of_an_export_must_be_literal(name: str) -> None:
    pins = FULL if name != "flutter-pins" else replace(FULL, debug=anchors()[0])
    text = exported(name, pins)
    assert imported(name, text).policies
    table = text[text.index(HOST, text.index("olicies")) - 1 : text.index("fail-open") + 12]
    for literal in re.findall(r'"""[^"]*"""|`[^`]*`|\'\'\'[^\']*\'\'\'|"[^"]*"|\'[^\']*\'', table):
        for instead in ("computed", f"{literal} + x"):
            with pytest.raises(FormatError, match=r"line \d+: .* is not written literally"):
                imported(name, text.replace(table, table.replace(literal, instead, 1)))


@pytest.mark.parametrize("anchors_of", ["mine", "'x'", "mine ? 'x' : null", "f('x')"])
def test_computed_debug_anchors_of_dart_are_refused(anchors_of: str) -> None:
    """A release build could trust them."""
    text = exported("flutter-pins", replace(FULL, debug=anchors()[0]))
    changed = re.sub(r"debugAnchors: [^,]*,", f"debugAnchors: {anchors_of},", text)
    with pytest.raises(FormatError, match=r"line \d+: debugAnchors is not written literally"):
        imported("flutter-pins", changed)


@pytest.mark.parametrize("name", ["go", "node", "dotnet", "ktor"])
def test_notes_and_names_cannot_end_a_comment(name: str) -> None:
    entries = tuple(HostPin(pin, note="*/ secret") for pin in KEYS[:2])
    pins = pin_set(HostPolicy(HostPattern.parse(HOST), entries))
    text = exported(name, pins)
    assert "secret" not in text
    assert '"test", version 1' in text


def test_inserted_parts_are_not_expanded_again() -> None:
    assert fill("a\n  //= x\nb //= y\n", {"x": "//= x\n", "y": ""}) == "a\n//= x\nb //= y\n"


@pytest.mark.slow
@pytest.mark.peer("go")
def test_gofmt_and_go_vet_accept_the_export(tmp_path: Path) -> None:
    (tmp_path / "pins.go").write_text(exported("go", FULL), encoding="utf-8")
    (tmp_path / "go.mod").write_text("module example/pins\n\ngo 1.21\n", encoding="utf-8")
    for words in (["gofmt", "-d", "."], ["go", "vet", "."]):
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.peer("go")
def test_go_does_not_use_connections_of_the_base_transport(tmp_path: Path) -> None:
    program = """
        package pins

        import ("crypto/tls"; "net/http"; "testing")

        type protocols = map[string]func(string, *tls.Conn) http.RoundTripper

        func of(t *testing.T, base *http.Transport) protocols {
            request, _ := http.NewRequest("GET", "https://api.bank.example/", nil)
            inner, err := Transport(base).(*transport).of(request)
            if err != nil { t.Fatal(err) }
            return inner.TLSNextProto
        }

        func TestProtocols(t *testing.T) {
            shared := func(string, *tls.Conn) http.RoundTripper { return nil }
            if len(of(t, &http.Transport{TLSNextProto: protocols{"h2": shared}})) > 0 {
                t.Error("the connections of HTTP/2 are those of the base")
            }
            if of(t, &http.Transport{TLSNextProto: protocols{}}) == nil {
                t.Error("the base speaks no HTTP/2, and this does")
            }
        }
    """
    (tmp_path / "pins.go").write_text(exported("go", FULL), encoding="utf-8")
    (tmp_path / "pins_test.go").write_text(program, encoding="utf-8")
    (tmp_path / "go.mod").write_text("module example/pins\n\ngo 1.21\n", encoding="utf-8")
    done = subprocess.run(
        ["go", "test", "."], cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout


def _keys_in_node(folder: Path, certificates: dict[str, str]) -> dict[str, str | None]:
    """Return the SHA-256 of the key that Node.js finds in each certificate.

    The result is ``None`` for a certificate that the exported module refuses.

    Args:
        folder: where to write the program.
        certificates: DER in base64, by name.
    """
    (folder / "pins.mjs").write_text(exported("node", FULL), encoding="utf-8")
    program = """
        import crypto from "node:crypto";
        import fs from "node:fs";
        import { publicKeyOf } from "./pins.mjs";
        const found = JSON.parse(fs.readFileSync(0));
        const digest = (der) => crypto.createHash("sha256").update(publicKeyOf(der));
        for (const name in found) {
          try {
            found[name] = digest(Buffer.from(found[name], "base64")).digest("base64");
          } catch {
            found[name] = null;
          }
        }
        console.log(JSON.stringify(found));
    """
    (folder / "run.mjs").write_text(program, encoding="utf-8")
    done = subprocess.run(
        ["node", "run.mjs"],
        cwd=folder,
        input=json.dumps(certificates),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


@pytest.mark.peer("node")
def test_node_extracts_the_unchanged_key(tmp_path: Path) -> None:
    made = json.loads(VECTORS.read_text(encoding="utf-8"))
    found = _keys_in_node(tmp_path, {name: each["certificate"] for name, each in made.items()})
    assert found == {name: each["spki_sha256"] for name, each in made.items()}


@pytest.mark.peer("node")
def test_node_refuses_the_certificates_that_certpin_refuses(tmp_path: Path) -> None:
    """The certificates are the vectors of the Dart package, most of them damaged."""
    ders = {name: base64.b64encode(der).decode() for name, der in dart.certificates().items()}
    pins = {name: dart.expected_pins(der) for name, der in dart.certificates().items()}
    assert _keys_in_node(tmp_path, ders) == {
        name: each[0].removeprefix("sha256/") if each else None for name, each in pins.items()
    }


def test_node_compares_only_the_leaf() -> None:
    with pytest.raises(ConfigError, match="none of its pins can match a leaf"):
        FORMATS["node"].export(pin_set(policy(HOST, *KEYS[:2], match="ca")))


@pytest.mark.until_python("3.14")
def test_dotnet_export_parses() -> None:
    text = exported("dotnet", FULL)
    assert errors("c_sharp", text) == []
    assert "#nullable enable\n" in text  # without it, string? causes a warning
    assert names("c_sharp", text, "class_declaration") == [
        "PinException",
        "PinnedHandler",
    ]


def test_dotnet_refuses_chains_that_dotnet_refuses() -> None:
    text = exported("dotnet", FULL)
    verify = text.partition("private bool Verify(")[2].partition("private PinException")[0]
    assert verify.index("errors != SslPolicyErrors.None") < verify.index("return false;")
    assert verify.index("return false;") < verify.index("Decide(")
    assert text.count("RemoteCertificateValidationCallback =") == 1


def test_dotnet_compares_addresses_and_not_their_spelling() -> None:
    """.NET writes ``::192.0.2.7``, and certpin ``::c000:207``, for the same address."""
    text = exported("dotnet", FULL)
    find = text.partition("Policy? Find(")[2].partition("PinException? Decide(")[0]
    assert find.index("pinned.Equals(address)") < find.index("each.Pattern == pattern")


def test_dotnet_lowers_no_stricter_version_of_the_app() -> None:
    text = exported("dotnet", FULL)
    handler = text.partition("SocketsHttpHandler HandlerOf(")[2]
    lines = [line.strip() for line in handler.splitlines() if "EnabledSslProtocols" in line]
    ending = "configured == SslProtocols.None ? Protocols : configured;"
    assert lines[0].startswith(
        "SslProtocols configured = handler.SslOptions.EnabledSslProtocols & Protocols;"
    )
    assert lines[1:] == [f"handler.SslOptions.EnabledSslProtocols = {ending}"]
    assert handler.index("_configure?.Invoke(handler);") < handler.index("EnabledSslProtocols")
    assert "Protocols = SslProtocols.Tls12 | SslProtocols.Tls13;" in text


@pytest.mark.until_python("3.14")
def test_ktor_export_parses() -> None:
    text = exported("ktor", FULL)
    assert errors("kotlin", text) == []
    assert names("kotlin", text, "function_declaration") == ["pinnedHttpClient"]


def test_ktor_checks_the_address_of_a_websocket() -> None:
    """OkHttp runs only application interceptors for WebSockets, and follows their redirects."""
    text = exported("ktor", FULL)
    settings = text.partition("engine {")[2]
    for line in (
        "webSocketFactory = null ",
        "followRedirects(false)",
        "followSslRedirects(false)",
        "addInterceptor(onlyPinned) ",
        "addNetworkInterceptor(onlyPinned) ",
    ):
        assert settings.count(line) == 1


@pytest.mark.until_python("3.14")
@pytest.mark.parametrize("grammar", ["c_sharp", "kotlin"])
def test_the_grammar_check_finds_errors(grammar: str) -> None:
    assert errors(grammar, "class A { fun ( } )")
