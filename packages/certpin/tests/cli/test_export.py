"""``certpin export``: files are written, compared or refused, and every omission is reported."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.cli.main import COMMANDS
from certpin.formats import FORMATS
from certpin.lab import Authority
from certpin.pins import HostPattern, HostPin, HostPolicy
from certpin.providers import load_providers, root_pins
from tests._calls import calls_of
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.formats._sets import KEYS
from tests.kit import policy

if TYPE_CHECKING:
    from certpin.pins import Mode, OnExpiry
    from tests.cli.conftest import Run

HOST = "api.bank.example"
LEAF = policy(HOST, match="leaf")


@pytest.fixture(autouse=True)
def _pins(run: Run) -> None:
    write(LEAF)


def test_without_a_path_the_export_is_printed(run: Run) -> None:
    done = run("export", "json")
    assert done.code == 0
    assert done.out.startswith('{\n  "schema": "certpin-pins/1",\n  "name": "bank"')
    assert done.err == ""


def test_an_export_of_a_root_set_says_what_the_clients_need(run: Run) -> None:
    roots = root_pins([load_providers().providers["letsencrypt"]], date(2026, 11, 28))
    write(HostPolicy(HostPattern("", HOST), roots, match="ca"))
    done = run("export", "android", "--out", "app")
    assert "\nNote:  A root set works: the whole verified chain is compared. " in done.out
    write(LEAF)
    assert "root set" not in run("export", "android", "--out", "app").out


def test_certificates_of_a_root_set_are_taken_from_a_bundle(run: Run) -> None:
    roots = [Authority(name) for name in ("One", "Two", "Unpinned")]
    bundle = b"".join(each.pem for each in (roots[2], roots[0]))
    Path("bundle.pem").write_bytes(bundle)
    pins = tuple(HostPin(each.pin, "root") for each in roots[:2])
    write(HostPolicy(HostPattern("", HOST), pins, match="ca"))
    words = ("export", "curl", "--out", "out/")
    done = run(*words)
    assert (done.code, "--ca-file FILE" in done.err) == (2, True)
    done = run(*words, "--ca-file", "bundle.pem")
    assert done.code == 0
    assert f"{roots[1].pin} (root) has no certificate in 'bundle.pem'" in done.err
    assert Path("out/curl-anchors.pem").read_bytes() == roots[0].pem
    assert run(*words, "--ca-file", "bundle.pem", "--check").code == 0
    assert run(*words, "--ca-file", "bundle.pem", "--strict").code == 1
    assert run("export", "go", "--out", "a", "--ca-file", "bundle.pem").code == 2


@pytest.mark.parametrize(
    ("name", "pinned"),
    [
        ("trustkit-android", policy(HOST, mode="report", match="leaf")),
        ("node", policy("*.bank.example", *KEYS[:2])),
        ("apple", policy("*.bank.example", *KEYS[:2])),
    ],
)
def test_the_fix_for_a_missing_backup_can_be_pasted(
    run: Run, name: str, pinned: HostPolicy
) -> None:
    first, second = pinned.pins[0], replace(pinned.pins[1], role="root")
    write(replace(pinned, pins=(first,) if pinned.mode == "report" else (first, second)))
    refused = run("export", name)
    assert refused.code == 2
    assert "there is only one pin" in refused.err
    [command] = re.findall(r"certpin (rotate start [^;]*);", refused.err)
    assert run("rotate", "shipped", "3", "--offline").code == 0
    assert run(*shlex.split(command)).code == 0
    assert run("export", name).code == 0


def test_the_host_in_the_fix_for_several_hosts_is_quoted(run: Run) -> None:
    write(policy("*.bank.example", match="leaf"), LEAF)
    done = run("export", "wget")
    assert (done.code, done.err.endswith("--host '*.bank.example'\n")) == (2, True)


@pytest.mark.parametrize(("chosen", "name"), [("go", "pins.go"), ("curl", "curl-pins.conf")])
def test_line_ends_of_windows_are_named(run: Run, chosen: str, name: str) -> None:
    """A diff would have every line twice, with the same text."""
    run("export", chosen, "--out", "made/")
    file = Path("made", name)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    done = run("export", chosen, "--out", "made/", "--check")
    assert done.code == 1
    assert f"differs    {file}\nonly the line ends differ: " in done.out
    assert f"  fix: write *{file.suffix} text eol=lf into .gitattributes" in done.out
    assert "\n-" not in done.out
    # A compiler reads such a file, and curl doesn't.
    assert run("lint", "--exported", f"{chosen}=made").code == FORMATS[chosen].refuses_crlf
    assert run("export", chosen, "--out", "made/").code == 0
    assert run("lint", "--exported", f"{chosen}=made").code == 0
    assert run("export", chosen, "--out", "made/", "--check").code == 0


def test_an_unchanged_file_is_not_written_again(run: Run) -> None:
    done = run("export", "curl", "--out", ".")
    assert done.out.startswith("written    curl-pins.conf\nNext:  curl --disable --config ")
    before = Path("curl-pins.conf").stat().st_mtime_ns
    done = run("export", "curl", "--out", ".")
    assert done.out.startswith("unchanged  curl-pins.conf\nNote:")
    assert Path("curl-pins.conf").stat().st_mtime_ns == before


def test_folders_are_made_and_a_file_may_have_another_name(run: Run) -> None:
    assert run("export", "json", "--out", "a/b/mine.json").code == 0
    assert run("export", "json", "--out", "a/c/").code == 0
    assert Path("a/b/mine.json").read_text() == Path("a/c/pins.json").read_text()


def test_a_special_file_is_not_replaced(run: Run) -> None:
    """Root would replace /dev/null for every program of the machine."""
    write(policy("api.bank.example", *KEYS))
    os.mkfifo("null")
    done = run("export", "json", "--out", "null")
    assert (done.code, "it is not a regular file" in done.err) == (2, True)
    assert Path("null").is_fifo()


def test_one_file_of_a_format_with_several_may_have_another_name(run: Run) -> None:
    assert run("export", "flutter", "--out", "lib/bank_pins.dart").code == 0
    assert run("export", "flutter", "--out", "lib/pinning").code == 0
    assert Path("lib/bank_pins.dart").read_text() == Path("lib/pinning/pins.dart").read_text()
    done = run("export", "flutter", "--out", "lib/bank_pins.dart", "--vendored")
    assert done.code == 2
    assert "name a folder" in done.err


def test_several_files_are_not_written_into_a_folder_with_the_name_of_a_file(run: Run) -> None:
    done = run("export", "flutter", "--out", "lib/pins.dart", "--vendored")
    assert done.code == 2
    assert re.search(r"lib/pins\.dart names a file, and flutter writes \d\d files", done.err)
    assert "name a folder: lib/pins" in done.err
    assert not Path("lib").exists()
    assert run("export", "flutter", "--out", "lib/pins.dart/", "--vendored").code == 0


@pytest.mark.parametrize(
    ("name", "out", "fix"),
    [
        ("go", "pins", "pins.go, or a folder: pins/"),
        ("okhttp-kotlin", "a/Pinner.java", "a/Pinner.kt, or a folder: a/Pinner/"),
        ("okhttp-java", "a/Pinner.txt", "a/Pinner.java, or a folder: a/Pinner/"),
        ("envoy", "envoy.go", "envoy.yaml, or a folder: envoy/"),
        ("flutter", "lib/pins.txt", "lib/pins, or, if it has this name, lib/pins.txt/"),
    ],
)
def test_a_file_with_the_extension_of_another_is_refused(
    run: Run, name: str, out: str, fix: str
) -> None:
    done = run("export", name, "--out", out)
    assert (done.code, done.err.endswith(f": {fix}\n")) == (2, True)
    assert not Path(out).exists()
    suggested = fix.rpartition(" ")[2]
    assert run("export", name, "--out", suggested).code == 0
    assert Path(suggested).is_dir()


@pytest.mark.parametrize(
    ("name", "out"), [("envoy", "listeners"), ("json", "pins.lock"), ("node", "pins.js")]
)
def test_other_names_of_a_file_are_taken(run: Run, name: str, out: str) -> None:
    assert run("export", name, "--out", out).code == 0
    assert Path(out).is_file()


def test_the_folder_of_an_export_without_source_code_may_have_any_name(run: Run) -> None:
    assert run("export", "curl", "--out", "deploy/pins.curl").code == 0
    assert Path("deploy/pins.curl/curl-pins.conf").is_file()


def test_the_hook_of_the_documentation_checks_one_file_of_several_hosts(run: Run) -> None:
    hooks = (Path(__file__).parents[4] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    words = re.findall(r"args: \[(.*)\]", hooks)[0].split(", ")
    write(policy("api.bank.example"), policy("pay.bank.example"))
    assert run("export", *words).code == 0
    assert Path("deploy/api/curl-pins.conf").is_file()
    assert run("export", "--check", *words).code == 0
    with Path("deploy/api/curl-pins.conf").open("a") as file:
        file.write("insecure\n")
    assert run("export", "--check", *words).code == 1


def test_the_next_step_of_a_copied_library_is_not_the_package(run: Run) -> None:
    done = run("export", "flutter", "--out", "lib/pinning", "--vendored")
    assert "Next:  Add the package crypto to pubspec.yaml" in done.out
    assert "package certpin" not in done.out
    done = run("export", "flutter", "--out", "lib/other")
    assert "Next:  Add the package certpin to pubspec.yaml" in done.out


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("flutter",), "lib/pins.dart"),
        (("flutter", "--vendored"), "lib/src/updates/keys.dart"),
        (("android",), "lib/res/xml/network_security_config.xml"),
        (("curl",), "lib/curl-pins.conf"),
    ],
)
def test_a_file_that_certpin_did_not_make_is_not_replaced(
    run: Run, words: tuple[str, ...], name: str
) -> None:
    command = ("export", *words, "--out", "lib")
    assert run(*command).code == 0
    file = Path(name)
    exported = file.read_text()
    file.write_text("\n")
    assert run(*command).code == 0, "an empty file has nothing to lose"
    file.write_text(exported + "\n// changed\n")
    assert run(*command).code == 0, "certpin made it"
    by_hand = "// by hand\n" * 12 + exported
    file.write_text(by_hand)
    others = [each for each in Path("lib").rglob("*") if each.is_file() and each != file]
    for other in others:
        other.unlink()
    done = run(*command)
    assert (done.code, f"{name} exists, and certpin did not make it" in done.err) == (2, True)
    assert file.read_text() == by_hand
    assert not any(other.exists() for other in others)
    assert run(*command, "--check").code == 1


def test_the_export_of_another_format_is_not_replaced(run: Run) -> None:
    assert run("export", "flutter", "--out", "lib").code == 0
    kept = Path("lib/pins.dart").read_bytes()
    done = run("export", "flutter-pins", "--out", "lib")
    assert (done.code, Path("lib/pins.dart").read_bytes()) == (2, kept)
    assert "lib/pins.dart exists, and is of certpin export flutter\n" in done.err
    assert "fix: name another path; or delete the file" in done.err


def test_the_export_of_another_pin_set_is_not_replaced(run: Run) -> None:
    assert run("export", "curl", "--out", "curl-pins.conf").code == 0
    kept = Path("curl-pins.conf").read_bytes()
    pins = Path("pins.toml").read_text()
    name = re.search(r'(?m)^name = "(.+)"$', pins)
    assert name
    Path("debug.toml").write_text(pins.replace(name[0], 'name = "debug"', 1))
    done = run("export", "curl", "--file", "debug.toml", "--out", "curl-pins.conf")
    assert (done.code, Path("curl-pins.conf").read_bytes()) == (2, kept)
    assert f'curl-pins.conf exists, and is of the pin set "{name[1]}"\n' in done.err
    Path("pins.toml").write_text(pins.replace("version = ", "version = 1"))
    assert run("export", "curl", "--out", "curl-pins.conf").code == 0


def test_a_format_without_comments_is_always_replaced(run: Run) -> None:
    Path("pins.json").write_text("{}")
    assert run("export", "json", "--out", ".").code == 0
    assert "certpin-pins/1" in Path("pins.json").read_text()


@pytest.mark.parametrize("name", ["android", "curl"])
def test_only_flutter_has_a_library_to_copy(run: Run, name: str) -> None:
    done = run("export", name, "--out", "out", "--vendored")
    assert done.code == 2
    assert "--vendored" in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/reference/commands/export.notes.md",
        "packages/certpin/src/certpin/cli/export.py",
    ],
)
def test_the_android_example_is_written_to_the_path_of_its_build(run: Run, page: str) -> None:
    text = (Path(__file__).parents[4] / page).read_text(encoding="utf-8")
    outs = set(re.findall(r"certpin export android --out (\S+)", text))
    assert [run("export", "android", "--out", out).code for out in outs] == [0]
    assert Path("app/src/main/res/xml/network_security_config.xml").exists()


@pytest.mark.parametrize("name", ["android", "trustkit-android"])
def test_the_next_step_for_android_depends_on_the_path(run: Run, name: str) -> None:
    def said(out: str) -> str:
        return run("export", name, "--out", out).out.splitlines()[1]

    place = "Next:  Write it to `src/main/` of your app. Reference it in the manifest"
    assert said("new").startswith(place)
    assert said("pins.xml").startswith(place)
    assert '"@xml/pins"' in said("app/src/debug/res/xml/pins.xml")
    for placed in ("app/src/main", "app/src/debug/res/xml/network_security_config.xml"):
        line = said(placed)
        assert line.startswith("Next:  Reference it in the manifest")
        assert '"@xml/network_security_config"' in line


def test_a_note_on_the_expiry_date_needs_a_date(run: Run) -> None:
    note = "The expiry date depends on the clock"
    assert note not in run("export", "android", "--out", "app").out
    write(policy(HOST, expires=datetime(2027, 6, 1, tzinfo=UTC), on_expiry="fail-open"))
    assert note in run("export", "android", "--out", "app").out


def test_a_check_reports_whether_the_file_is_up_to_date(run: Run) -> None:
    assert run("export", "json", "--out", "x.json", "--check").code == 1
    assert not Path("x.json").exists()
    run("export", "json", "--out", "x.json")
    done = run("export", "json", "--out", "x.json", "--check")
    assert (done.code, done.out.splitlines()[0]) == (0, "current    x.json")
    write(LEAF, policy("new.example"))
    done = run("export", "json", "--out", "x.json", "--check")
    assert done.code == 1
    assert "differs    x.json\n--- x.json (existing)\n+++ x.json (from the pin file)" in done.out
    assert '+      "pattern": "new.example",' in done.out
    assert "new.example" not in Path("x.json").read_text()


def test_a_check_needs_something_to_compare_with(run: Run) -> None:
    done = run("export", "json", "--check")
    assert (done.code, "--check compares" in done.err) == (2, True)


@pytest.mark.medium
def test_work_grows_linearly_with_the_hosts(run: Run) -> None:
    counts = []
    for hosts in (300, 300, 600):  # the first run imports modules
        write(*(policy(f"h{number}.bank.example") for number in range(hosts)))
        counts.append(calls_of(lambda: run("export", "android")))
    _, few, many = counts
    assert many < 2.3 * few, counts


@pytest.mark.parametrize(
    ("name", "mode", "ends", "effect"),
    [
        ("flutter", "enforce", "fail-closed", "refuse every connection"),
        ("json", "enforce", "fail-closed", "refuse every connection"),
        ("json", "report", "fail-closed", "report every connection, and refuse none"),
        ("flutter", "enforce", "fail-open", "check no pins"),
        ("android", "enforce", "fail-open", "check no pins"),
        ("android", "enforce", "report", "check no pins"),
        ("flutter", "enforce", "report", "report mismatches, and refuse none"),
    ],
)
def test_expired_pins_are_a_warning_and_with_strict_an_error(
    run: Run, name: str, mode: Mode, ends: OnExpiry, effect: str
) -> None:
    past = datetime(2025, 6, 1, tzinfo=UTC)
    write(policy(HOST, match="leaf", expires=past, mode=mode, on_expiry=ends))
    said = f"{HOST}: its pins expired on 2025-06-01, so clients {effect}: give the host a later"
    done = run("export", name, "--release", "--strict", "--out", "out")
    assert (done.code, f"certpin: error: {said}" in " ".join(done.err.split())) == (1, True)
    assert not Path("out").exists()
    done = run("export", name, "--out", "out")
    assert (done.code, f"certpin: warning: {said}" in " ".join(done.err.split())) == (0, True)
    losses = run("export", name, "--json").json["losses"]
    [loss] = [each for each in losses if "expired" in each["problem"]]
    assert (loss["aspect"], loss["host"]) == ("expires", HOST)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reports_expired_pins_once(run: Run, ca: Path, name: str) -> None:
    past = datetime(2025, 6, 1, tzinfo=UTC)
    write(policy(HOST, match="leaf", expires=past), trust=ca)
    done = run("export", name, "--json")
    assert (done.code, done.err.count("its pins expired on 2025-06-01")) == (0, 1)
    said = [each["problem"] for each in done.json["losses"] if each["host"] == HOST]
    [problem] = [each for each in said if each.startswith("its pins expired on 2025-06-01")]
    is_dateless = any(each.startswith("expires is left out") for each in said)
    assert ("stay in force, because they have no date" in problem) == is_dateless


def test_an_omission_is_a_warning_and_with_strict_an_error(run: Run) -> None:
    write(policy(HOST, match="leaf", expires=datetime(2027, 6, 1, tzinfo=UTC)))
    done = run("export", "curl", "--out", ".")
    assert (done.code, done.err) == (
        0,
        (
            f"certpin: warning: {HOST}: expires is left out, so the pins stay in force after it: "
            "curl does not support expiry dates\n"
        ),
    )
    Path("curl-pins.conf").unlink()
    done = run("export", "curl", "--out", ".", "--strict")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"certpin: error: {HOST}: expires is left out")
    assert not Path("curl-pins.conf").exists()


def test_strict_succeeds_without_omissions(run: Run) -> None:
    assert run("export", "curl", "--out", ".", "--strict").code == 0


def test_a_release_refuses_a_debug_section(run: Run, ca: Path) -> None:
    with Path("pins.toml").open("a") as file:
        file.write(f'[debug]\nanchors = "{ca}"\n')
    assert run("export", "json").code == 0
    done = run("export", "json", "--release", "--out", "x.json")
    assert (done.code, "has a [debug] section" in done.err) == (2, True)
    assert "the traffic of a release build" in done.err
    done = run("export", "flutter", "--release", "--out", "x.dart")
    assert (done.code, "the debug builds of everyone" in done.err) == (2, True)
    assert not Path("x.json").exists()


def test_only_the_selected_policy_is_exported(run: Run) -> None:
    write(LEAF, policy("*.pay.example", match="leaf"))
    assert "there are 2 hosts" in run("export", "curl", "--out", ".").err
    done = run("export", "curl", "--out", ".", "--host", "*.PAY.example")
    assert done.code == 0
    assert "# for *.pay.example\n" in Path("curl-pins.conf").read_text()
    done = run("export", "curl", "--out", ".", "--host", "x.example")
    assert (done.code, "no policy of the pin file covers it" in done.err) == (2, True)


def test_only_the_named_host_of_a_wildcard_is_exported(run: Run) -> None:
    write(policy("*.pay.example", match="leaf"))
    done = run("export", "go", "--host", "eu.pay.example:8443")
    assert (done.code, 'pattern: "eu.pay.example"' in done.out) == (0, True)
    assert "*.pay.example" not in done.out
    assert run("export", "curl", "--out", ".", "--host", "eu.pay.example").code == 0
    assert run("lint", "--exported", "curl=curl-pins.conf").code == 0


def test_a_wildcard_is_not_exported_without_the_hosts_that_it_covers(run: Run) -> None:
    wide = policy("**.bank.example", match="leaf")
    words = ("export", "android", "--out", "app", "--host", "**.bank.example")
    write(wide, policy(HOST, *KEYS[:2]))
    done = run(*words, "--strict")
    assert (done.code, f"{HOST}: it is left out, so the pins of" in done.err) == (1, True)
    write(wide, policy(HOST, mode="report"))
    done = run(*words)
    assert (done.code, f'{HOST} has mode = "report" and is left out' in done.err) == (2, True)


def test_several_files_need_a_folder(run: Run, ca: Path) -> None:
    write(LEAF, trust=ca)
    done = run("export", "curl")
    assert (done.code, "--out names a folder" in done.err) == (2, True)
    Path("file").touch()
    done = run("export", "curl", "--out", "file")
    assert (done.code, "file is a file, and curl goes into a folder" in done.err) == (2, True)


def test_an_unwritable_path_is_reported(run: Run) -> None:
    Path("file").touch()
    done = run("export", "json", "--out", "file/x.json")
    assert (done.code, "cannot be" in done.err) == (2, True)
    Path("folder").mkdir()
    Path("folder/pins.json").mkdir()
    assert run("export", "json", "--out", "folder").code == 2


def test_an_invalid_pin_file_is_reported(run: Run) -> None:
    Path("pins.toml").write_text("schema = 1\n")
    assert run("export", "json").code == 2


def test_the_json_has_every_file_and_omission(run: Run) -> None:
    write(policy(HOST))
    done = run("export", "curl", "--json")
    _documented.check("export", done.json)
    assert [(file["path"], file["state"]) for file in done.json["files"]] == [
        ("curl-pins.conf", "printed")
    ]
    assert done.json["files"][0]["text"].startswith("# certpin pin set")
    assert [(loss["aspect"], loss["host"]) for loss in done.json["losses"]] == [("match", HOST)]
    done = run("export", "curl", "--json", "--out", ".")
    assert [(file["state"], file["text"]) for file in done.json["files"]] == [("written", None)]
    done = run("export", "curl", "--json", "--strict", "--out", ".")
    assert (done.code, done.json["files"]) == (1, [])


def test_the_formats_are_listed_and_an_unknown_one_names_the_list(run: Run) -> None:
    listed = run("export", "--list").out
    refused = run("export", "no-such-format").err
    assert all(name in listed for name in FORMATS)
    assert "`certpin export --list` lists them" in refused
    assert "export" in COMMANDS


@pytest.mark.parametrize("words", [("--list", "--json"), ("--json", "--list")])
def test_the_formats_are_listed_as_json(run: Run, words: tuple[str, ...]) -> None:
    done = run("export", *words)
    assert (done.code, done.err, list(done.json)) == (0, "", ["formats"])
    for entry in done.json["formats"]:
        _documented.check("export format", entry)
    assert [entry["format"] for entry in done.json["formats"]] == list(FORMATS)
    assert {entry["use"] for entry in done.json["formats"]} == {f.use for f in FORMATS.values()}


@pytest.mark.parametrize("name", ["wultra", "hpkp", "chromium"])
def test_a_removed_format_is_refused_as_unknown(run: Run, name: str) -> None:
    for words in (["export", name], ["import", name, "file"]):
        done = run(*words)
        assert done.code == 2
        assert f"there is no format '{name}'" in done.err
        assert "`certpin export --list` lists them" in done.err
    assert name not in run("export", "--list").out
