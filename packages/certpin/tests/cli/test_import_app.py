"""``certpin import dart``: the pins in real apps' code, a real server, and each form of output."""

from __future__ import annotations

import re
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.apps.rules import RULES
from certpin.formats import FORMATS
from certpin.lab import Authority, LabServer
from certpin.pinfile import PinSet
from certpin.pins import Pin, pins_of
from tests import _sarif
from tests.apps._project import write
from tests.cli import _documented
from tests.cli._apps import BAD, HOST, TWO, WHOLE, colons, dart_code, imported
from tests.cli._terminal import on_terminal
from tests.kit import NOBODY, NOBODY_ELSE, pin_set, policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity
    from certpin.pins.policy import PinKind
    from tests.cli.conftest import Run

pytestmark = pytest.mark.until_python("3.14")  # tree-sitter has no wheels for a newer one

PUBSPEC = "name: bank\ndependencies:\n  dio: ^5.4.0\n  dio_certificate_pinning: ^4.1.0\n"


def test_the_pins_of_an_app_are_written_with_file_and_line(run: Run) -> None:
    done = imported(run, TWO)
    assert (done.code, done.err) == (0, "")
    [policy] = PinSet.load("pins.toml").policies
    assert [(entry.pin, entry.role, entry.note) for entry in policy.pins] == [
        (NOBODY, "leaf", "lib/api.dart:3 pins"),
        (WHOLE, "backup", "lib/api.dart:4 pins"),
    ]
    assert (str(policy.pattern), policy.mode, policy.expires) == (HOST, "enforce", None)
    for text in (
        f"pins.toml (version 1):\n  added  {HOST}\n    leaf         {NOBODY}\n",
        "a whole certificate, which changes at each renewal: pin its key (--live --pin-keys, into",
        "Not known from the code:",
        "which pin is the backup?",
        "Next:  certpin lint, then certpin check\n",
    ):
        assert text in done.out
    again = run("import", "dart", "lib", "--json").json
    assert (again["added"], again["kept"], again["version"]) == ([], [HOST], 1)


@pytest.mark.parametrize("kind", ["ed25519", "p521"])
def test_a_backup_that_no_public_authority_certifies_is_not_imported(run: Run, kind: str) -> None:
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    private = (
        ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else ec.generate_private_key(ec.SECP521R1())
    )
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write(Path(), {"lib/api.dart": dart_code(NOBODY, host=HOST), "lib/backup.pem": pem.decode()})
    done = run("import", "dart", "lib", "--host", HOST)
    assert (done.code, "no public authority" in done.err) == (2, True)
    assert not Path("pins.toml").exists()


def test_the_unknown_types_of_backups_are_open_questions(run: Run) -> None:
    done = imported(run, dart_code(NOBODY, NOBODY_ELSE, host=HOST))
    assert f"of which type are the keys of its backups ({NOBODY_ELSE})?" in done.out
    [policy] = PinSet.load("pins.toml").policies
    assert [entry.state for entry in policy.pins] == ["active", "published"]


def test_an_absolute_path_does_not_appear_in_the_pin_file(run: Run, tmp_path: Path) -> None:
    write(tmp_path, {"app/lib/api.dart": TWO + BAD})
    done = run("import", "dart", tmp_path / "app", "--json")
    assert done.json["findings"][0]["file"] == str(tmp_path / "app/lib/api.dart")
    [policy] = PinSet.load("pins.toml").policies
    assert policy.pins[0].note == "lib/api.dart:3 pins"
    Path("pins.toml").unlink()
    assert run("import", "dart", f"{tmp_path}/x/../app/lib/api.dart").code == 2  # no folder x
    assert run("import", "dart", f"{tmp_path}/app/../app/lib/api.dart").code == 1
    [policy] = PinSet.load("pins.toml").policies
    assert policy.pins[0].note == "api.dart:3 pins"


def test_files_that_are_not_read_are_named(run: Run) -> None:
    write(Path(), {"lib/api.dart": TWO, "pubspec.yaml": "name: a", "test/t.dart": ""})
    for number in range(7):
        Path(f"lib/link{number}").symlink_to("api.dart")
    out = run("import", "dart", ".").out
    assert "Not read: tests (test). Name the folder to read it.\n" in out
    shown = ", ".join(f"lib/link{number}" for number in range(5))
    assert f"Not followed: 7 links or special files ({shown}, …)\n" in out


def test_questions_are_printed_if_the_import_is_refused(run: Run) -> None:
    done = imported(run, "const fingerprint = 'YOUR_SHA256_FINGERPRINT';\n")
    assert done.code == 2
    assert "Not known from the code:\n  - lib/api.dart:1: " in done.out


def test_hosts_are_added_to_an_existing_pin_file(run: Run) -> None:
    imported(run, TWO)
    before = Path("pins.toml").read_text()
    done = imported(run, dart_code(NOBODY, NOBODY_ELSE, host="b.example"), "--json")
    assert (done.json["added"], done.json["version"]) == (["b.example"], 2)
    text = Path("pins.toml").read_text()
    assert text.startswith(before.replace("version = 1", "version = 2"))
    done = imported(run, dart_code(NOBODY, NOBODY_ELSE, host=HOST))
    assert (done.code, "already has another policy" in done.err) == (2, True)
    assert Path("pins.toml").read_text() == text


def test_pins_without_a_host_need_one_and_the_error_lists_those_of_the_code(run: Run) -> None:
    code = dart_code(NOBODY, WHOLE) + f"final url = 'https://{HOST}/v1';\n"
    done = imported(run, code)
    assert done.code == 2
    assert f"    --host {HOST}    (lib/api.dart:5)" in done.err
    assert not Path("pins.toml").exists()
    error = imported(run, code, "--json").document["error"]
    assert (error["key"], HOST in error["fix"]) == ("--host", True)
    done = imported(run, code, "--host", HOST, "--host", "b.example:8443", "--name", "bank")
    pins = PinSet.load("pins.toml")
    assert [str(policy.pattern) for policy in pins.policies] == [HOST, "b.example"]
    assert (pins.name, pins.policies[1].servers[0].port, done.code) == ("bank", 8443, 0)


def test_one_pin_is_refused_unless_it_is_only_reported(run: Run) -> None:
    done = imported(run, dart_code(WHOLE, host=HOST))
    assert done.code == 2
    for option in ("--mode report", f"certpin add {HOST} --backup-key"):
        assert option in done.err
    assert f"Not written:\n  found  {HOST}\n    leaf         {WHOLE}\n" in done.out
    assert not Path("pins.toml").exists()
    assert imported(run, dart_code(WHOLE, host=HOST), "--mode", "report").code == 0
    assert PinSet.load("pins.toml").policies[0].mode == "report"


def test_the_parts_of_other_builds_are_listed_if_there_are_no_others(run: Run) -> None:
    pins = FORMATS["apple"].export(pin_set(policy(HOST, NOBODY, NOBODY_ELSE, match="leaf")))
    write(Path(), {"ios/Runner/Info-Debug.plist": pins.files[0].text})
    write(Path(), {"assets/staging_ca.pem": Authority("Staging CA").pem})
    done = run("import", "dart", ".", "--host", HOST)
    assert "only pins and certificates of other builds than those of the app store" in done.err
    assert f"{NOBODY}: only debug builds use it" in done.err
    assert "Not written" not in done.out
    document = run("import", "dart", ".", "--host", HOST, "--json").document
    assert {each.partition(" ")[2] for each in document["dropped"]} >= {
        f"{NOBODY}: only debug builds use it",
        f"{NOBODY_ELSE}: only debug builds use it",
        "the certificate of CN=Staging CA: only builds of the flavour 'staging' use it",
    }
    assert (done.code, document["error"]["type"]) == (2, "FormatError")
    assert len(document["pins"]) == 2
    assert not Path("pins.toml").exists()


def test_an_app_without_pins_is_refused_but_its_mistakes_are_reported(run: Run) -> None:
    done = imported(run, "void main() {}", **{"pubspec.yaml": PUBSPEC})
    assert (done.code, "no pin and no certificate" in done.err) == (2, True)
    assert "missing-plugin" in done.out
    document = imported(run, "void main() {}", "--json", **{"pubspec.yaml": PUBSPEC}).document
    assert [finding["rule"] for finding in document["findings"]] == ["missing-plugin"]
    assert document["error"]["type"] == "FormatError"


def test_certificates_become_anchors_beside_the_pin_file(run: Run, root: Authority) -> None:
    write(Path(), {"assets/ca.pem": root.pem})
    done = run("import", "dart", "assets", "--host", HOST, "--mode", "report")
    assert done.code == 0
    assert f"  trust  {HOST}-anchors.pem\n" in done.out
    assert "does the app trust only CN=Test Root (assets/ca.pem:1 certificate)?" in done.out
    [policy] = PinSet.load("pins.toml").policies
    assert policy.trust is not None
    assert policy.trust.der == (root.certificate.der,)


def test_nothing_is_left_behind_if_the_pin_file_cannot_be_written(
    run: Run, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    from certpin.errors import PinFileError
    from certpin.pinfile.editor import PinFileEditor

    def refuse(_editor: PinFileEditor) -> None:
        raise PinFileError("the disk is full")

    write(Path(), {"assets/ca.pem": root.pem})
    monkeypatch.setattr(PinFileEditor, "save", refuse)
    assert run("import", "dart", "assets", "--host", HOST, "--mode", "report").code == 2
    assert [path.name for path in Path().iterdir()] == ["assets"]


def test_elements_that_are_not_imported_are_warnings(run: Run, intermediate: Authority) -> None:
    other = intermediate.issue("*.other.example")
    write(Path(), {"assets/a\nb.pem": ssl.DER_cert_to_PEM_cert(other.certificate.der)})
    write(Path(), {"lib/api.dart": dart_code(NOBODY, WHOLE)})
    done = run("import", "dart", ".", "--host", HOST, "--json")
    what = ":1: a certificate for *.other.example, not for a host of --host"
    assert f"certpin: warning: not imported: assets/a\\nb.pem{what}\n" in done.err
    assert done.json["dropped"] == [f"assets/a\nb.pem{what}"]


# --check and the outputs

HTTP = "final url = Uri.parse('http://api.bank.example/v1');\n"


@pytest.mark.parametrize(
    ("code", "words", "code_of_exit"),
    [
        ("void main() {}", (), 0),
        (BAD, (), 1),
        (HTTP, (), 0),
        (HTTP, ("--fail-on", "warning"), 1),
        (HTTP, ("--fail-on", "note"), 1),
        (f"// certpin: allow plain-http because it is a test\n{HTTP}", ("--fail-on", "note"), 0),
        (BAD, ("--host", HOST), 1),
        (BAD, ("--mode", "report"), 2),
        (BAD, ("--live",), 2),
        (BAD, ("--pin-keys",), 2),
        (BAD, ("--connect", "127.0.0.1"), 2),
    ],
)
@pytest.mark.parametrize("output", ["text", "json", "sarif", "github"])
def test_check_writes_nothing_and_its_exit_code_depends_on_the_severity(
    run: Run, code: str, words: tuple[str, ...], code_of_exit: int, output: str
) -> None:
    done = imported(run, code, "--check", "--format", output, *words)
    assert done.code == code_of_exit
    assert [path.name for path in Path().iterdir()] == ["lib"]


def test_an_app_with_all_exports_of_certpin_has_no_mistake(run: Run) -> None:
    pins = pin_set(policy("**.bank.example", match="leaf"), policy("pay.example", match="leaf"))
    exports = {"flutter": "lib/pinning", "android": "android/app/src/main", "apple": "ios"}
    for name, folder in exports.items():
        files = FORMATS[name].export(pins).files
        write(Path(folder), {file.path: file.text for file in files})
    check = ("import", "dart", ".", "--check", "--fail-on", "warning")
    unused = run(*check)
    assert (unused.code, unused.out.count("platform-pins-ignored: ")) == (1, 2)
    write(Path(), {"lib/api.dart": "final client = PinnedHttpClient(pins);\n"})
    assert run(*check).code == 0
    other = FORMATS["android"].export(pin_set(policy("other.example"))).files[0].text
    write(Path("android/app/src/free/res/xml"), {"network_security_config.xml": other})
    assert run(*check).out.count("platform-pins-ignored: ") == 1


def test_an_import_with_mistakes_is_written_and_its_exit_code_is_1(run: Run) -> None:
    done = imported(run, TWO + BAD)
    assert done.code == 1
    assert PinSet.load("pins.toml").policies
    lines = done.out.splitlines()
    assert lines[0] == "lib/api.dart"
    assert re.match(r" +8  error    accept-any-certificate: ", lines[1])
    assert lines[2].startswith("        fix: ")
    assert lines[3] == "1 error, 0 warnings, 0 notes in 1 file"
    assert "Why is that a mistake? certpin explain accept-any-certificate" in lines
    assert run("explain", "accept-any-certificate").code == 0


def test_the_json_is_as_documented(run: Run) -> None:
    allowed = f"// certpin: allow plain-http because it is a test\n{HTTP}"
    write(Path(), {"x.der": b"junk"})
    Path("link.dart").symlink_to("lib/api.dart")
    write(Path(), {"lib/api.dart": TWO + BAD + allowed, "pubspec.yaml": PUBSPEC, "test/t.dart": ""})
    done = run("import", "dart", ".", "--json")
    read = done.json
    _documented.check("import dart", read)
    assert (done.code, read["files"], read["skipped"]) == (1, 3, ["link.dart", "test"])
    assert [finding["rule"] for finding in read["findings"]] == [
        *("accept-any-certificate", "missing-plugin"),
    ]
    [finding] = read["allowed"]
    assert (finding["rule"], finding["allowed"]) == ("plain-http", "it is a test")
    [unread] = read["unread"]
    assert (unread["file"], unread["line"]) == ("x.der", 1)
    assert [(pin["host"], pin["places"], pin["presented"]) for pin in read["pins"]] == [
        (HOST, ["lib/api.dart:3 pins"], None),
        (HOST, ["lib/api.dart:4 pins"], None),
    ]
    checked = run("import", "dart", ".", "--check", "--json").json
    _documented.check("import dart", checked)
    assert (checked["file"], checked["pins"]) == (None, [])


@pytest.mark.medium
@pytest.mark.parametrize("code", ["", BAD, BAD + HTTP])
def test_the_sarif_is_valid_by_the_schema_of_oasis(run: Run, code: str) -> None:
    done = imported(run, code, "--check", "--format", "sarif", **{"pubspec.yaml": PUBSPEC})
    log = done.document
    assert not _sarif.complaints(log)
    [only] = log["runs"]
    rules = only["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in only["results"])
    assert len(only["results"]) == 1 + ("bad" in code) + ("http:" in code)


def test_a_result_has_its_file_line_and_a_stable_fingerprint(run: Run) -> None:
    def result(code: str) -> Any:
        done = imported(run, code, "--check", "--format", "sarif")
        return done.document["runs"][0]["results"][0]

    found = result(BAD)
    assert found["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "lib/api.dart"},
        "region": {"startLine": 2},
    }
    moved = result(f"\n\n{BAD}")
    assert found["partialFingerprints"] == moved["partialFingerprints"]
    allowed = BAD.replace("  c.", "  // certpin: allow accept-any-certificate because x\n  c.")
    assert result(allowed)["suppressions"] == [{"kind": "inSource", "justification": "x"}]


def test_annotations_and_terminals_are_safe_from_file_names(run: Run) -> None:
    name = "lib/\n::error::x\x1b[31m.dart"
    write(Path(), {name: BAD})
    done = run("import", "dart", "lib", "--check", "--format", "github")
    first, last = done.out.splitlines()
    assert first.startswith("::error file=lib/\\n%3A%3Aerror%3A%3Ax\\x1b[31m.dart,line=2,title=")
    assert last == "1 error, 0 warnings, 0 notes in 1 file"
    text = run("import", "dart", "lib", "--check").out
    assert "\x1b" not in done.out + text
    assert not any(line.startswith("::") for line in text.splitlines())


def test_a_file_that_cannot_be_read_makes_the_result_inconclusive(run: Run) -> None:
    write(Path(), {"lib/a.dart": "", "x.pem": "-----BEGIN CERTIFICATE-----\n"})
    done = run("import", "dart", ".", "--check")
    assert done.code == 3
    assert "not read: x.pem:1: a PEM block is incomplete" in done.err
    write(Path(), {"lib/a.dart": BAD})
    assert run("import", "dart", ".", "--check").code == 1


def test_many_warnings_are_summed_up(run: Run) -> None:
    write(Path(), {f"{number:02}.pem": "" for number in range(25)})
    done = run("import", "dart", ".", "--check", "--json")
    assert (done.code, len(done.json["unread"])) == (3, 25)
    assert done.err.count("not read: ") == 20
    assert 'warning: 5 more of these: "unread" of --json has all' in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing",), "No such file"),
        ((), "Missing argument 'PATH...'"),
        (("lib", "--name", "x"), "--name is for a new file"),
        (("lib", "--ca-file", "pins.toml"), "--connect, --ca-file and --pin-keys need --live"),
        (("lib", "--live", "--ca-file", "pins.toml"), "pins.toml is not a file of certificates"),
    ],
)
def test_wrong_usage_is_refused(run: Run, words: tuple[str, ...], said: str) -> None:
    imported(run, TWO)
    done = run("import", "dart", *words)
    assert (done.code, said in done.err) == (2, True)


@pytest.mark.medium
def test_a_terminal_shows_colours_and_folded_lines(run: Run) -> None:
    write(Path(), {"lib/api.dart": TWO + BAD})
    code, screen = on_terminal("import", "dart", "lib", columns=100)
    assert code == 1
    assert "\x1b[31merror  \x1b[0m" in screen
    assert "added  api.bank.example" in screen
    assert "reading" in screen  # the progress bar


# --live


@pytest.fixture(scope="module")
def server(intermediate: Authority) -> Iterator[tuple[LabServer, Identity]]:
    identity = intermediate.issue(HOST)
    with LabServer(identity) as running:
        yield running, identity


@pytest.fixture
def live(server: tuple[LabServer, Identity], trusted_root: Path) -> tuple[str, ...]:
    assert trusted_root.exists()
    return ("--live", "--connect", f"127.0.0.1:{server[0].port}")


@pytest.mark.medium
def test_live_distinguishes_the_certificates_of_the_chain(
    run: Run,
    live: tuple[str, ...],
    server: tuple[LabServer, Identity],
    root: Authority,
    intermediate: Authority,
) -> None:
    key, whole = pins_of(server[1].certificate)
    pins = (NOBODY, pins_of(root.certificate)[0], pins_of(intermediate.certificate)[1], whole)
    done = imported(run, dart_code(*pins, host=HOST), *live, "--json")
    assert done.code == 0
    _documented.check("import dart", done.json)
    assert [(pin["role"], pin["presented"]) for pin in done.json["pins"]] == [
        *(("backup", False), ("root", True), ("intermediate", True), ("leaf", True)),
    ]
    assert done.json["pins"][3]["key_pin"] == str(key)
    assert done.json["live"] == [{"host": HOST, "verified": True, "problem": None}]
    [policy] = PinSet.load("pins.toml").policies
    assert [entry.role for entry in policy.pins] == ["backup", "root", "intermediate", "leaf"]
    out = run("import", "dart", "lib", *live).out
    assert "presented by the server (leaf)" in out
    assert "NOT presented" in out
    assert f"its key: {key} stays the same at a renewal; --pin-keys pins it" in out


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["sha256", "cert-sha256"])
def test_live_names_a_digest_of_the_wrong_kind(
    kind: PinKind, run: Run, live: tuple[str, ...], server: tuple[LabServer, Identity]
) -> None:
    key, whole = pins_of(server[1].certificate)
    wrong = Pin(kind, (whole if kind == "sha256" else key).digest)
    done = imported(run, dart_code(wrong, WHOLE, host=HOST), *live)
    assert done.code == 1
    text = " ".join(done.out.split())
    assert text.count(f"{wrong} has the ") == 2  # beside the pin, and as a question
    assert f"which of the two does the app compare? {wrong} has the " in text
    assert f": write {key} instead" in text
    assert f"{wrong} is not presented by the server" not in text
    assert f"{WHOLE} is not presented by the server. Is it a backup" in text


@pytest.mark.medium
def test_the_key_is_pinned_instead_of_the_certificate_on_request(
    run: Run, live: tuple[str, ...], server: tuple[LabServer, Identity]
) -> None:
    key, whole = pins_of(server[1].certificate)
    done = imported(run, dart_code(whole, WHOLE, host=HOST), *live, "--pin-keys", "--json")
    assert (done.code, done.json["pins"][0]["replaces"]) == (0, str(whole))
    [policy] = PinSet.load("pins.toml").policies
    assert [entry.pin for entry in policy.pins] == [key, WHOLE]
    assert policy.pins[0].note == (f"lib/api.dart:3 pins (key of the certificate {colons(whole)})")


@pytest.mark.medium
def test_a_server_that_presents_none_of_the_pins_is_a_problem(
    run: Run, live: tuple[str, ...]
) -> None:
    done = imported(run, TWO, *live)
    assert done.code == 1
    assert "the server presents NONE of these pins" in done.out
    assert PinSet.load("pins.toml").policies


@pytest.mark.medium
def test_a_chain_that_does_not_verify_is_not_compared(
    run: Run, server: tuple[LabServer, Identity], trusted_root: Path
) -> None:
    """The server is an attacker's: it presents the pinned key under an untrusted authority."""
    assert trusted_root.exists()
    rogue = Authority("Rogue").issue(HOST)
    with LabServer(rogue) as attacker:
        words = ("--live", "--connect", f"127.0.0.1:{attacker.port}")
        done = imported(run, dart_code(rogue.pin, WHOLE, host=HOST), *words, "--json")
    assert done.code == 3
    assert [pin["presented"] for pin in done.json["pins"]] == [None, None]
    [live] = done.json["live"]
    assert (live["verified"], "did not verify" in live["problem"]) == (False, True)
    assert server


@pytest.mark.medium
def test_a_private_authority_is_trusted_if_ca_file_names_it(run: Run) -> None:
    private = Authority("Private")
    leaf = private.issue(HOST)
    identity = replace(leaf, chain=(*leaf.chain, private.x509))
    Path("root.pem").write_bytes(private.pem)
    with LabServer(identity) as running:
        words = ("--live", "--connect", f"127.0.0.1:{running.port}")
        refused = imported(run, dart_code(identity.pin, WHOLE, host=HOST), *words)
        done = run("import", "dart", "lib", *words, "--ca-file", "root.pem", "--json")
    assert refused.code == 3
    assert "not compared with the server: the chain did not verify: " in refused.out
    assert "      fix: this machine does not trust the root of the chain. " in refused.out
    assert "--ca-file ROOT.pem" in refused.out
    assert "are the pins those of the server? No chain was compared" in refused.out
    assert "--live" not in refused.out
    assert done.json["live"] == [{"host": HOST, "verified": True, "problem": None}]
    assert (done.code, done.json["pins"][0]["presented"]) == (0, True)
    assert "trust" not in Path("pins.toml").read_text()


@pytest.mark.medium
def test_ca_file_replaces_the_authorities_of_the_machine(
    run: Run, live: tuple[str, ...], server: tuple[LabServer, Identity]
) -> None:
    Path("root.pem").write_bytes(Authority("Other").pem)
    code = dart_code(server[1].pin, WHOLE, host=HOST)
    done = imported(run, code, *live, "--ca-file", "root.pem", "--json")
    assert (done.code, done.json["live"][0]["verified"]) == (3, False)


@pytest.mark.medium
def test_a_host_that_does_not_answer_leaves_the_result_inconclusive(run: Run) -> None:
    done = imported(run, TWO, "--live", "--connect", "127.0.0.1:1")
    assert done.code == 3
    assert "not compared with the server: no connection to 127.0.0.1 port 1" in done.out
    assert PinSet.load("pins.toml").policies
    wild = dart_code(NOBODY, WHOLE, host="*.bank.example")
    Path("pins.toml").unlink()
    done = imported(run, wild, "--live", "--json")
    assert (done.code, done.json["live"][0]["problem"]) == (3, "a wildcard names no host")


@pytest.mark.medium
def test_anchors_of_the_app_verify_the_chain(
    run: Run, server: tuple[LabServer, Identity], root: Authority
) -> None:
    write(Path(), {"assets/ca.pem": root.pem})
    words = ("--live", "--connect", f"127.0.0.1:{server[0].port}", "--host", HOST, "--json")
    done = run("import", "dart", ".", "--mode", "report", *words)
    assert done.json["live"] == [{"host": HOST, "verified": True, "problem": None}]
    assert (done.code, done.json["pins"][0]["presented"]) == (0, True)
