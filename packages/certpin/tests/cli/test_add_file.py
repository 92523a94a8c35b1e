"""``certpin add``: changes of an existing pin file, and the path of its trust anchors."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, Identity, LabServer
from certpin.pinfile import PinSet
from certpin.pins import Pin, utc_now
from certpin.rotation import Event, format_journal
from tests import kit
from tests.cli._pinfiles import dead, write
from tests.cli._rotating import next_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Run

KEY = ("--backup-key", "backup.key")
STOLEN = Pin("sha256", bytes(range(2, 34)))


@pytest.fixture
def server(identity: Identity) -> Iterator[LabServer]:
    with LabServer(identity) as running:
        yield running


@pytest.fixture
def target(server: LabServer) -> str:
    return f"localhost:{server.port}"


def test_a_second_host_raises_the_version_and_keeps_comments_order_and_unknown_keys(
    run: Run, target: str, ca: Path
) -> None:
    before = (
        "# Ours. Ask Ada before you touch it.\n"
        'name = "bank"  # in every report\nversion = 7\nschema = 1\n\n'
        f'[[host]]\nname = "old.example"   # the mainframe\ntrust = "{ca}"\n'
        f'[[host.pin]]\npin = "{kit.NOBODY}"\n[[host.pin]]\npin = "{kit.NOBODY_ELSE}"\n'
    )
    Path("pins.toml").write_text(before)
    done = run("add", target, "--ca-file", ca, *KEY, "--json")
    assert (done.code, done.json["version"]) == (0, 8)
    assert Path("pins.toml").read_text().startswith(before.replace("version = 7", "version = 8"))
    assert [str(policy.pattern) for policy in PinSet.load("pins.toml").policies] == [
        "old.example",
        "localhost",
    ]


def test_a_wildcard_with_a_port_is_named_in_full(run: Run) -> None:
    refused = run("add", "*.bank.example:8443", "--backup-key", "b.key", "--file", "w.toml")
    assert (refused.code, Path("b.key").exists()) == (2, False)
    assert "*.bank.example is a wildcard: it names no server to connect to" in refused.err
    assert "such as www.bank.example:8443; then" in refused.err
    assert 'address = "www.bank.example:8443"' in refused.err
    assert "certpin add" not in refused.err


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("*.a..b", "'*.a..b' is not a host name"),
        ("**.a..b:8443", "'**.a..b:8443' is not a host with a port"),
        ("*.a.b:1:2", "'*.a.b:1:2' is not a host with a port"),
        ("*.anna:secret@b.example", "an address with a user name or a password is not"),
    ],
)
def test_an_invalid_wildcard_is_shown_as_it_was_typed(run: Run, typed: str, shown: str) -> None:
    refused = run("add", typed, *KEY)
    assert (refused.code, refused.err.startswith(f"certpin: {shown}")) == (2, True)


@pytest.mark.parametrize("wildcard", ["*.bank.example", "**.bank.example"])
def test_a_wildcard_is_refused_and_the_fix_makes_it(run: Run, wildcard: str) -> None:
    pins = ("--pin", str(kit.NOBODY), "--backup-pin", str(kit.NOBODY_ELSE))
    refused = run("add", wildcard, *pins)
    assert (refused.code, f"{wildcard} is a wildcard" in refused.err) == (2, True)
    [host] = re.findall(r"such as (\S+);", refused.err)
    [name] = re.findall(r"name = \S+", refused.err)
    [address] = re.findall(r"address = \S+", refused.err)
    assert run("add", host, *pins).code == 0
    text = Path("pins.toml").read_text().replace(f'name = "{host}"\n', f"{name.rstrip(',')}\n")
    Path("pins.toml").write_text(f"{text}[[host.server]]\n{address}\n")
    [policy] = PinSet.load("pins.toml").policies
    assert (str(policy.pattern), policy.servers[0].address) == (wildcard, host)
    assert run("lint").code == 0


def test_through_a_link_to_another_folder_no_trust_file_is_named(
    run: Run, target: str, ca: Path
) -> None:
    """`trust` is relative to the folder of the name by which the pin file is opened."""
    Path("real").mkdir()
    Path("pins.toml").symlink_to("real/pins.toml")
    refused = run("add", target, "--ca-file", ca, *KEY)
    assert (refused.code, "pins.toml is a link to" in refused.err) == (2, True)
    assert not Path("real/pins.toml").exists()
    [place] = re.findall(r"--file (\S+)", refused.err)
    assert run("add", target, "--ca-file", ca, *KEY, "--file", place).code == 0
    assert run("check", "real/pins.toml").code == 0


def test_an_existing_host_is_refused_and_the_file_is_unchanged(
    run: Run, target: str, ca: Path
) -> None:
    run("add", target, "--ca-file", ca, *KEY)
    before = Path("pins.toml").read_bytes()
    done = run("add", target, "--ca-file", ca, "--backup-key", "other.key")
    assert (done.code, "already has a policy in pins.toml" in done.err) == (2, True)
    generate = "certpin rotate start --new other.key --host localhost"
    assert f"fix: to add another key: {generate}; then certpin rotate plan --to" in done.err
    assert Path("pins.toml").read_bytes() == before
    assert not Path("other.key").exists()
    assert run("rotate", "shipped", next_number()).code == 0
    assert run(*generate.split()[1:]).code == 0
    assert run("rotate", "plan", "--to", "other.key", "--host", "localhost").code == 0


def test_for_an_existing_host_the_fix_names_a_new_file(run: Run, target: str, ca: Path) -> None:
    run("add", target, "--ca-file", ca, *KEY)
    generate = "certpin rotate start --new {} --host localhost;"
    assert generate.format("next.key") in run("add", target, "--ca-file", ca, *KEY).err
    Path("next.key").touch()
    assert generate.format("next-2.key") in run("add", target, "--ca-file", ca, *KEY).err


def test_for_an_existing_host_the_fix_starts_the_key(run: Run, target: str, ca: Path) -> None:
    run("add", target, "--ca-file", ca, *KEY, "--file", "other.toml")
    done = run("add", target, "--backup-pin", str(kit.NOBODY), "--file", "other.toml")
    start = f"certpin rotate start {kit.NOBODY} --host localhost --file other.toml"
    assert (done.code, f"fix: to add another key: {start}" in done.err) == (2, True)
    assert run("rotate", "shipped", next_number("other.toml"), "--file", "other.toml").code == 0
    assert run(*start.split()[1:]).code == 0


def test_before_clients_have_the_pin_file_the_fix_needs_no_release(run: Run) -> None:
    """`rotate start` needs a recorded version, and there is none yet."""
    pins = ("--pin", str(kit.NOBODY), "--backup-pin", str(kit.NOBODY_ELSE))
    assert run("add", "mail.test", *pins).code == 0
    by_hand = "While no client has the pin file, write the key's pin into the [[host]] table"
    assert by_hand in run("add", "mail.test", *pins).err
    assert run("rotate", "shipped", "1", "--offline").code == 0
    assert by_hand not in run("add", "mail.test", *pins).err


@pytest.mark.parametrize(
    ("first", "second", "tables"),
    [
        (
            ("mail.test:8443",),
            ("mail.test:8025", "--starttls", "smtp"),
            ['address = "mail.test:8025"\nstarttls = "smtp"'],
        ),
        (
            ("mail.test",),
            ("mail.test", "--starttls", "smtp"),
            ['starttls = "smtp"', 'address = "mail.test:443"'],
        ),
        (("mail.test:8443",), ("mail.test:8443",), []),
        (("mail.test", "--starttls", "smtp"), ("mail.test:25", "--starttls", "smtp"), []),
        (("mail.test:8443",), ("mail.test",), []),
        (("mail.test",), ("mail.test:443",), []),
    ],
)
def test_for_another_server_of_a_host_the_fix_lists_it(
    run: Run, first: tuple[str, ...], second: tuple[str, ...], tables: list[str]
) -> None:
    pins = ("--pin", str(kit.NOBODY), "--backup-pin", str(kit.NOBODY_ELSE))
    assert run("add", *first, *pins).code == 0
    before = len(PinSet.load("pins.toml").policies[0].servers)
    done = run("add", *second, *pins)
    assert (done.code, "to add another key: certpin rotate start" in done.err) == (2, True)
    found = re.findall(r"\[\[host\.server\]\] with (.+?)[;,]", done.err)
    assert [each.replace(" and ", "\n") for each in found] == tables
    with Path("pins.toml").open("a") as file:
        file.writelines(f"\n[[host.server]]\n{table}\n" for table in tables)
    assert len(PinSet.load("pins.toml").policies[0].servers) == before + len(tables)


@pytest.mark.parametrize("option", ["--pin", "--backup-pin"])
def test_a_key_that_is_compromised_at_another_host_is_refused(run: Run, option: str) -> None:
    write(dead(kit.policy("pay.bank.example"), STOLEN))
    before = Path("pins.toml").read_bytes()
    pins = {"--pin": kit.NOBODY, "--backup-pin": kit.NOBODY_ELSE, option: STOLEN}
    options = [str(word) for pair in pins.items() for word in pair]
    done = run("add", "api.bank.example", *options)
    assert done.code == 2
    text = " ".join(done.err.split())
    assert f"{STOLEN} is compromised (pay.bank.example), and api.bank.example" in text
    assert "fix: pin another key under api.bank.example" in text
    assert Path("pins.toml").read_bytes() == before


def test_a_key_that_only_the_journal_records_as_compromised_is_refused(run: Run) -> None:
    """Before a version is recorded, ``rotate emergency`` leaves the pin file as it is."""
    write(kit.policy("pay.bank.example", kit.NOBODY, STOLEN))
    run("rotate", "emergency", str(STOLEN), "--stolen", "--offline")
    before = Path("pins.toml").read_bytes()
    assert b"compromised" not in before
    pins = ("--pin", str(kit.NOBODY_ELSE), "--backup-pin", str(STOLEN))
    done = run("add", "api.bank.example", *pins)
    assert done.code == 2
    assert f"{STOLEN} is compromised (pins.journal.jsonl), and" in " ".join(done.err.split())
    assert Path("pins.toml").read_bytes() == before


def test_the_certificate_of_a_stolen_key_is_refused_at_another_host(run: Run) -> None:
    """A server showed it with the key, before the theft was recorded."""
    write(kit.policy("pay.bank.example", kit.NOBODY, STOLEN))
    certificate = Pin("cert-sha256", kit.NOBODY.digest)
    seen = Event(utc_now(), "ada", "observe", "pay.bank.example", STOLEN, server="192.0.2.1:443")
    line = format_journal([replace(seen, certificate=certificate)])
    Path("pins.journal.jsonl").write_text(line, encoding="utf-8")
    run("rotate", "emergency", str(STOLEN), "--stolen", "--offline")
    pins = ("--pin", str(kit.NOBODY_ELSE), "--backup-pin", str(certificate))
    done = run("add", "api.bank.example", *pins)
    assert done.code == 2
    assert f"{certificate} is compromised (pins.journal.jsonl), and" in " ".join(done.err.split())


def test_an_existing_file_keeps_its_name(run: Run, target: str, ca: Path) -> None:
    run("add", "nobody.invalid", "--pin", str(kit.NOBODY), "--mode", "report")
    done = run("add", target, "--ca-file", ca, *KEY, "--name", "other")
    assert (done.code, "--name is for a new file" in done.err) == (2, True)
    assert not Path("backup.key").exists()


@pytest.mark.parametrize("words", [["-f", "other.toml"], ["--file", "other.toml"], []])
def test_the_option_names_the_pin_file(run: Run, target: str, ca: Path, words: list[str]) -> None:
    done = run("add", target, "--ca-file", ca, *KEY, *words, CERTPIN_PINS="other.toml")
    assert done.code == 0
    assert not Path("pins.toml").exists()
    assert PinSet.load("other.toml").policies
    assert done.out.splitlines()[-1] == "Next:  certpin check --file other.toml"


def test_the_authority_is_relative_to_the_pin_file(
    run: Run, server: LabServer, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("config", "certs", "elsewhere"):
        Path(folder).mkdir()
    Path("certs/root.pem").write_bytes(root.pem)
    monkeypatch.chdir("certs")
    target = f"localhost:{server.port}"
    options = ("--ca-file", "root.pem", "--file", "../config/pins.toml")
    done = run("add", target, *options, "--backup-key", "../backup.key", "--json")
    assert (done.code, done.json["trust"]) == (0, "../certs/root.pem")
    assert done.err.splitlines() == [
        (
            'certpin: warning: trust = "../certs/root.pem" names a file outside of the folder of '
            "../config/pins.toml: a server or a package that gets only this folder can't read it"
        ),
        (
            '  fix: write trust = "root.pem" in ../config/pins.toml, and copy the file: '
            "cp root.pem ../config/root.pem"
        ),
    ]
    monkeypatch.chdir("../elsewhere")
    assert run("check", "../config/pins.toml", "--host", target).code == 0


def test_the_policy_is_for_the_requested_name(run: Run, server: LabServer, ca: Path) -> None:
    target = f"127.0.0.1:{server.port}"
    done = run("add", target, "--server-name", "api.bank.example", "--ca-file", ca, *KEY)
    assert done.out.startswith("api.bank.example is in pins.toml")
    assert done.out.splitlines()[-1] == "Next:  certpin check"
    (server_of,) = PinSet.load("pins.toml").policies[0].servers
    assert (server_of.address, server_of.port) == ("127.0.0.1", server.port)
    assert run("check").code == 0


@pytest.mark.parametrize("content", [b"\xff\xfe", b"schema = 2\n", b"[[", b"", b'name = "x"\n'])
def test_an_invalid_pin_file_is_unchanged(run: Run, target: str, ca: Path, content: bytes) -> None:
    Path("pins.toml").write_bytes(content)
    done = run("add", target, "--ca-file", ca, *KEY)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("certpin: pins.toml")
    assert Path("pins.toml").read_bytes() == content
    assert not Path("backup.key").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff"])
def test_a_file_without_authorities_is_refused(run: Run, target: str, content: bytes) -> None:
    Path("ca.pem").write_bytes(content)
    done = run("add", target, "--ca-file", "ca.pem", *KEY)
    assert (done.code, done.err.startswith("certpin: ca.pem is not a file of certificates")) == (
        2,
        True,
    )


def test_a_trusted_certificate_of_openssl_has_its_own_fix(run: Run, target: str) -> None:
    Path("ca.pem").write_text(
        "-----BEGIN TRUSTED CERTIFICATE-----\nMAA=\n-----END TRUSTED CERTIFICATE-----\n"
    )
    done = run("add", target, "--ca-file", "ca.pem", *KEY)
    assert done.code == 2
    assert "'TRUSTED CERTIFICATE'" in done.err
    assert "fix: convert it: openssl x509 -in FILE" in done.err


def test_without_an_answer_no_file_is_written(run: Run) -> None:
    assert run("add", "nobody.invalid", *KEY).code == 3
    assert list(Path().iterdir()) == []
