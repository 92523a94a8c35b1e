"""``certpin import``: from another platform's file into the pin file."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.pinfile import PinSet
from certpin.pins import Pin
from certpin.pins.policy import meaning
from tests.cli import _documented
from tests.cli._pinfiles import dead, write
from tests.formats._sets import authorities, logs
from tests.kit import NOBODY, NOBODY_ELSE, policy

if TYPE_CHECKING:
    from tests.cli.conftest import Run

HOST = "api.bank.example"
STOLEN = Pin("sha256", bytes(range(2, 34)))


def moved(run: Run, chosen: str = "json", name: str = "pins.json") -> PinSet:
    """Export the pin file to a file ``name`` in ``old/``, and move the pin file there too.

    Return the exported pin set. ``chosen`` is the format of the export.
    """
    assert run("export", chosen, "--out", "old/").code == 0
    pins = PinSet.load("pins.toml")
    Path("pins.toml").rename("old/pins.toml")
    assert Path("old", name).exists()
    return pins


def test_an_imported_export_has_the_same_name_version_and_meaning(run: Run, ca: Path) -> None:
    write(policy(HOST), policy("*.pay.example", mode="report"), trust=ca)
    with Path("pins.toml").open("a") as file:
        file.write(f'[debug]\nanchors = "{ca}"\n')
    pins = moved(run)
    done = run("import", "json", "old/pins.json")
    assert done.code == 0
    found = PinSet.load("pins.toml")
    assert meaning(found) == meaning(pins)
    assert (found.name, found.version) == ("bank", 3)
    assert done.out == (
        "pins.toml (version 3):\n"
        f"  added  {HOST}\n  added  *.pay.example\n"
        f"  trust  {HOST}-anchors.pem\n  trust  pay.example-anchors.pem\n"
        "  trust  debug-anchors.pem\nNext:  certpin check\n"
    )


@pytest.mark.parametrize("mode", ["report", "enforce"])
def test_the_way_from_one_pin_to_a_backup_is_printed(run: Run, mode: str) -> None:
    """In both modes, the printed commands end with a pin file that has a backup."""
    _android("localhost", str(NOBODY).removeprefix("sha256/"))
    done = run("import", "android", "a.xml", "--file", "own.toml", "--mode", mode)
    if mode == "report":
        lines = done.out.splitlines()
        at = lines.index("    certpin rotate shipped --file own.toml 1")
        assert lines[at - 1].startswith("No backup: there is only one pin for localhost. Record ")
        commands = lines[at : at + 2]
    else:
        fix = done.err.partition("fix: ")[2].strip()
        assert "certpin pin KEY prints it; or import it with --mode report" in fix
        commands = [fix.rpartition(": ")[2]]
    for command in commands:
        words = shlex.split(command.strip())[1:]
        offline = ("--offline",) if "shipped" in words else ()
        assert run(*words, *offline).code == 0
    (policy,) = PinSet.load("own.toml").policies
    assert [entry.role for entry in policy.pins] == ["leaf", "backup"]
    assert policy.pins[0].pin == NOBODY


def test_the_next_command_names_the_written_file(run: Run) -> None:
    """`certpin check` without `--file` would look at another file, and say that it holds."""
    write(policy(HOST))
    moved(run)
    done = run("import", "json", "old/pins.json", "--file", "new.toml")
    assert done.out.endswith("Next:  certpin check --file new.toml\n")


def _android(domain: str, *digests: str) -> None:
    pins = "".join(f'<pin digest="SHA-256">{digest}</pin>' for digest in digests)
    Path("a.xml").write_text(
        f"<network-security-config><domain-config>\n<domain>{domain}</domain>\n"
        f"<pin-set>{pins}</pin-set></domain-config></network-security-config>"
    )


BARE = [str(pin).removeprefix("sha256/") for pin in (NOBODY, NOBODY_ELSE)]


def test_an_error_names_file_and_line_and_what_to_write(run: Run) -> None:
    _android(f"https://{HOST}/", *BARE)
    done = run("import", "android", "a.xml")
    assert done.code == 2
    assert f"a.xml: line 2: 'https://{HOST}/' is not a host name" in done.err
    assert f"  fix: write {HOST}\n" in done.err
    _android(HOST, BARE[0], f"sha256/{BARE[1]}")
    done = run("import", "android", "a.xml")
    assert f"a.xml: line 3: 'sha256/{BARE[1]}' has a prefix" in done.err
    assert f"  fix: remove sha256/: write {BARE[1]}\n" in done.err


def test_the_roles_are_to_be_checked_unless_the_file_names_a_backup(run: Run) -> None:
    said = "Check the roles: the file did not name the backup pin.\n"
    write(policy(HOST))
    moved(run)
    assert said not in run("import", "json", "old/pins.json").out
    unnamed = Path("old/pins.json").read_text().replace('"backup"', '"leaf"')
    Path("unnamed.json").write_text(unnamed)
    assert said in run("import", "json", "unnamed.json", "--file", "unnamed.toml").out
    _android(HOST, *BARE)
    assert said in run("import", "android", "a.xml", "--file", "android.toml").out


def test_a_key_of_several_hosts_is_one_line(run: Run) -> None:
    _android(f"{HOST}</domain><domain>pay.bank.example", *BARE)
    done = run("import", "android", "a.xml")
    assert done.out.count("added") == 2
    assert done.out.count("Not known: the type of the key of ") == 1


def test_skipped_elements_are_reported_if_the_import_is_refused(run: Run) -> None:
    _android(HOST)
    done = run("import", "android", "a.xml")
    assert done.code == 2
    assert f"warning: not imported: {HOST}, which has no pins" in done.err
    assert "a.xml: the file contains no pins" in done.err


@pytest.mark.parametrize(
    ("chosen", "name"), [("android", "*.xml"), ("okhttp-kotlin", "*.kt"), ("json", "pins.json")]
)
def test_an_imported_backup_is_not_active(run: Run, chosen: str, name: str) -> None:
    write(policy(HOST))
    assert run("export", chosen, "--out", "old/").code == 0
    [file] = Path("old").rglob(name)
    if chosen == "json":
        document = json.loads(file.read_text())
        for pin in document["hosts"][0]["pins"]:
            del pin["state"]
        file.write_text(json.dumps(document))
    Path("pins.toml").unlink()
    done = run("import", chosen, file, "--json")
    assert done.code == 0, done.err
    [found] = PinSet.load("pins.toml").policies
    roles = [(entry.role, entry.state) for entry in found.pins]
    assert roles == [("leaf", "active"), ("backup", "published")]
    [unknown] = done.json["unknown"]
    assert str(found.pins[1].pin) in unknown
    assert "neither Ed25519 nor P-521" in unknown


def test_hosts_are_added_to_an_existing_file(run: Run) -> None:
    write(policy("new.example"), policy(HOST))
    moved(run)
    write(policy(HOST))
    before = Path("pins.toml").read_text()
    done = run("import", "json", "old/pins.json", "--json")
    _documented.check("import", done.json)
    assert (done.json["added"], done.json["kept"], done.json["version"]) == (
        *(["new.example"], [HOST], 4),
    )
    assert Path("pins.toml").read_text().startswith(before.replace("version = 3", "version = 4"))
    done = run("import", "json", "old/pins.json", "--json")
    assert (done.json["added"], done.json["version"]) == ([], 4)


def test_other_debug_anchors_are_refused(run: Run) -> None:
    """The anchors of the imported file would be lost."""
    for name, made in zip("ab", authorities(), strict=True):
        Path(f"{name}.pem").write_bytes(made.pem)
    write(policy("new.example"))
    with Path("pins.toml").open("a") as file:
        file.write('[debug]\nanchors = "a.pem"\n')
    run("export", "json", "--out", "old.json")
    write(policy(HOST))
    with Path("pins.toml").open("a") as file:
        file.write('[debug]\nanchors = "b.pem"\n')
    before = Path("pins.toml").read_text()
    done = run("import", "json", "old.json")
    assert done.code == 2
    assert "debug: the pin file has other trust anchors for debug builds" in done.err
    assert Path("pins.toml").read_text() == before
    Path("b.pem").write_bytes(authorities()[0].pem)
    assert run("import", "json", "old.json").code == 0


def test_a_host_with_another_policy_is_refused(run: Run) -> None:
    write(policy(HOST, match="leaf"))
    moved(run)
    write(policy(HOST, mode="report"))
    before = Path("pins.toml").read_text()
    done = run("import", "json", "old/pins.json")
    assert (done.code, "which differs in: mode, match" in done.err) == (2, True)
    assert Path("pins.toml").read_text() == before


@pytest.mark.parametrize("existing", ["marks it", "accepts it"])
def test_a_key_that_is_compromised_at_another_host_is_refused(run: Run, existing: str) -> None:
    """Lint reports such a key, and the next command that the import names is not lint."""
    accepting, marking = policy("new.example", STOLEN), dead(policy(HOST), STOLEN)
    new, old = (accepting, marking) if existing == "marks it" else (marking, accepting)
    write(new)
    moved(run)
    write(old)
    before = Path("pins.toml").read_bytes()
    done = run("import", "json", "old/pins.json")
    text = " ".join(done.err.split())
    assert (done.code, f"{STOLEN} is compromised ({HOST}), and new.example" in text) == (
        2,
        True,
    )
    fix = (
        "pin another key under new.example" if new is accepting else f"emergency {STOLEN} --stolen"
    )
    assert fix in text.partition("fix: ")[2]
    assert Path("pins.toml").read_bytes() == before


def test_a_known_contradiction_of_two_hosts_stops_no_import(run: Run) -> None:
    write(policy("new.example"))
    moved(run)
    write(policy("pay.example", STOLEN), dead(policy(HOST), STOLEN))
    assert run("import", "json", "old/pins.json").code == 0


def test_existing_anchors_are_never_changed(run: Run, ca: Path) -> None:
    write(policy(HOST), trust=ca)
    moved(run)
    Path(f"{HOST}-anchors.pem").write_bytes(authorities()[0].pem)
    done = run("import", "json", "old/pins.json")
    assert (done.code, "exists, and has other certificates" in done.err) == (2, True)
    assert not Path("pins.toml").exists()
    Path(f"{HOST}-anchors.pem").write_bytes(ca.read_bytes())
    assert run("import", "json", "old/pins.json").code == 0


def test_a_wildcard_and_its_apex_keep_their_own_anchors(run: Run, ca: Path) -> None:
    other = Path("other.pem")
    other.write_bytes(authorities()[0].pem)
    write(policy("bank.example"), trust=ca)
    write(policy("*.bank.example"), trust=other, path="second.toml")
    text = Path("second.toml").read_text().partition("[[host]]")
    with Path("pins.toml").open("a") as file:
        file.write("".join(text[1:]))
    pins = moved(run)
    assert run("import", "json", "old/pins.json").code == 0
    assert meaning(PinSet.load("pins.toml")) == meaning(pins)


def test_a_file_without_a_host_and_with_one_pin_needs_options(run: Run) -> None:
    Path("curlrc").write_text(f"pinnedpubkey = {str(NOBODY).replace('/', '//', 1)}\n")
    assert "the file names no host" in run("import", "curl", "curlrc").err
    assert "only one pin" in run("import", "curl", "curlrc", "--host", HOST).err
    done = run(*("import", "curl", "curlrc", "--host", HOST, "--mode", "report", "--name", "mine"))
    assert done.code == 0
    found = PinSet.load("pins.toml")
    assert (found.name, found.version, found.policies[0].mode) == ("mine", 1, "report")


_DOMAIN = (
    '<domain-config><domain>{}</domain><pin-set><pin digest="SHA-256">{}</pin></pin-set>'
    "</domain-config>"
)


@pytest.mark.parametrize(
    ("pin", "problem", "fix"),
    [
        (NOBODY, "there is only one pin", "import it with --mode report"),
        (Pin("sha256", bytes(32)), "is an example from some documentation", "certpin pin HOST"),
    ],
    ids=["one pin", "placeholder"],
)
def test_an_unsafe_policy_is_reported_with_file_line_and_host(
    run: Run, pin: Pin, problem: str, fix: str
) -> None:
    """The file has several hosts, and there is no [[host.pin]] table to edit yet."""
    first, second, third = (str(each).removeprefix("sha256/") for each in (NOBODY, STOLEN, pin))
    both = f'{first}</pin><pin digest="SHA-256">{second}'
    domains = [_DOMAIN.format(HOST, both), _DOMAIN.format("pay.example", third)]
    text = "\n".join(["<network-security-config>", *domains, "</network-security-config>"])
    Path("n.xml").write_text(text)
    done = run("import", "android", "n.xml")
    assert (done.code, list(Path().iterdir())) == (2, [Path("n.xml")])
    printed = " ".join(done.err.split())
    assert "certpin: n.xml:3: pay.example: " in printed
    assert problem in printed
    assert fix in printed.partition("fix: ")[2]
    assert "[[host.pin]]" not in printed
    error = run("import", "android", "n.xml", "--json").error
    assert (error["file"], error["line"], error["host"]) == ("n.xml", 3, "pay.example")


def test_a_file_with_two_policies_of_a_host_is_named(run: Run) -> None:
    write(policy(HOST))
    moved(run)
    exported = json.loads(Path("old/pins.json").read_text())
    exported["hosts"] *= 2
    Path("old/pins.json").write_text(json.dumps(exported))
    error = run("import", "json", "old/pins.json", "--json").error
    assert error["message"] == f"{HOST} has two policies"
    assert (error["file"], error["host"], error["key"]) == ("old/pins.json", HOST, None)


def test_a_host_without_a_live_pin_is_named(run: Run) -> None:
    write(policy(HOST))
    moved(run)
    exported = json.loads(Path("old/pins.json").read_text())
    for entry in exported["hosts"][0]["pins"]:
        entry["state"] = "removed"
    Path("old/pins.json").write_text(json.dumps(exported))
    error = run("import", "json", "old/pins.json", "--json").error
    assert error["message"] == f"{HOST}: there is no pin that could match"
    assert error["fix"].startswith("add the pin of the key that the server uses to this file")


def test_a_name_is_for_a_new_file(run: Run) -> None:
    write(policy(HOST))
    moved(run)
    write(policy(HOST))
    done = run("import", "json", "old/pins.json", "--name", "x")
    assert (done.code, "--name is for a new file" in done.err) == (2, True)


def test_standard_input_is_read(run: Run) -> None:
    text = f"pinnedpubkey = {NOBODY};{NOBODY_ELSE}\n"
    assert run("import", "curl", "-", "--host", HOST, typed=text).code == 0
    done = run("import", "curl", "-", "--host", HOST, typed=text + "cacert = x.pem\n")
    assert (done.code, "standard input has no folder" in done.err) == (2, True)


@pytest.mark.parametrize("name", ["missing", ".", "a\0b"])
def test_an_unreadable_file_is_reported(run: Run, name: str) -> None:
    done = run("import", "json", name)
    assert (done.code, "cannot be read" in done.err) == (2, True)


def test_hostile_bytes_are_a_typed_error(run: Run) -> None:
    for junk in (b"", b"\xff\xfe", os.urandom(200), b"[" * 200_000):
        Path("junk").write_bytes(junk)
        done = run("import", "json", "junk")
        assert (done.code, done.err.startswith("certpin: ")) == (2, True)
    assert not Path("pins.toml").exists()


def required() -> None:
    """Write a pin file with two hosts, of which one requires Certificate Transparency."""
    write(policy(HOST), policy("www.bank.example"))
    text = Path("pins.toml").read_text(encoding="utf-8")
    text = text.replace("version = ", 'ct_logs = "logs.json"\nversion = ', 1)
    named = f'name = "{HOST}"\n'
    assert named in text
    Path("pins.toml").write_text(text.replace(named, f"{named}require_ct = true\n"), "utf-8")
    Path("logs.json").write_text(json.dumps(logs().to_json()), encoding="utf-8")


def test_the_list_of_logs_is_imported_with_the_hosts(run: Run) -> None:
    required()
    pins = moved(run)
    done = run("import", "json", "old/pins.json", "--json")
    assert (done.code, done.json["log_list"]) == (0, "log_list.json")
    assert meaning(PinSet.load("pins.toml")) == meaning(pins)
    assert run("import", "json", "old/pins.json", "--json").json["kept"] == [
        HOST,
        "www.bank.example",
    ]


def test_another_list_of_logs_is_refused(run: Run) -> None:
    required()
    moved(run)
    Path("log_list.json").write_text("{}", encoding="utf-8")
    done = run("import", "json", "old/pins.json")
    assert done.code == 2
    assert "log_list.json exists, and has other content" in done.err
    assert not Path("pins.toml").exists()


def test_certificate_transparency_of_android_needs_a_list_of_the_user(run: Run) -> None:
    required()
    config = "old/res/xml/network_security_config.xml"
    assert run("export", "android", "--out", "old/").code == 0
    assert run("import", "android", config, "--json").json["dropped"] == []  # it is required
    Path("pins.toml").rename("old/pins.toml")
    done = run("import", "android", config, "--json")
    assert done.code == 0
    [dropped] = done.json["dropped"]
    assert dropped.startswith(f"certificateTransparency of {HOST}: name a list of logs (ct_logs)")
    assert PinSet.load("pins.toml").ct_logs is None
