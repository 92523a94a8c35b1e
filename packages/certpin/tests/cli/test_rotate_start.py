"""``certpin rotate start``: adds the next key's pin to the next version, and prints the dates."""

from __future__ import annotations

import shlex
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import Pin, utc_now
from certpin.rotation import contradictions
from tests import kit
from tests.cli._pinfiles import write
from tests.cli._rotating import (
    APP,
    JOURNAL,
    days_pass,
    history,
    invariants,
    journal,
    next_number,
    ship_long_ago,
    states,
    stepped,
)
from tests.cli._team import printed_commands
from tests.cli.conftest import HOST, Run
from tests.x509._authorities import without

OFFLINE = ("--offline",)
LEAF, BACKUP = Pin("sha256", bytes(range(7, 39))), kit.NOBODY


@pytest.fixture
def out(run: Run) -> Run:
    """Publish version 3 a hundred days ago. Return the function that runs commands."""
    write(kit.policy(HOST, LEAF, BACKUP))
    ship_long_ago(run)
    return run


def before() -> tuple[bytes, bytes]:
    return Path("pins.toml").read_bytes(), JOURNAL.read_bytes()


def test_a_new_key_is_in_the_next_version_with_its_request(out: Run) -> None:
    done, facts = stepped(out, "start", "--new", "next.key", "--csr", "next.csr")
    assert (done.code, facts["step"], facts["version"]) == (0, "start", 4)
    assert [event["step"] for event in facts["events"]] == ["generate", "stage"]
    entry = PinSet.load("pins.toml").policies[0].pins[-1]
    assert (str(entry.pin), entry.role, entry.note) == (facts["pin"], "backup", "key file next.key")
    assert PinSet.load("pins.toml").version == 4
    assert stat.S_IMODE(Path("next.key").stat().st_mode) == 0o600
    request = x509.load_pem_x509_csr(Path("next.csr").read_bytes())
    assert request.is_signature_valid
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    assert facts["later"] == "certpin rotate switch next.key"
    moment = utc_now() + timedelta(days=32, hours=2)
    assert facts["later_from"][:13] == moment.isoformat()[:13]
    assert [event.step for event in journal()] == ["publish", "generate", "stage"]


def test_a_new_key_is_kept_off_the_servers_until_they_switch_to_it(out: Run) -> None:
    done = out("rotate", "start", "--new", "next.key")
    assert "Keep it off the server and out of version control until servers switch" in done.out


def test_the_same_key_again_changes_nothing_and_says_so(out: Run) -> None:
    assert out("rotate", "start", "--new", "next.key").code == 0
    text = before()
    for words in (("next.key",), ("--new", "next.key")):
        done = out("rotate", "start", *words)
        assert (done.code, "already: nothing was changed" in done.out) == (0, True)
        assert before() == text
    assert out("rotate", "start", "next.key", "--json").json["events"] == []


def test_a_key_that_is_in_use_is_no_new_key(out: Run) -> None:
    """Otherwise a person, or a timer, would believe that a backup was made."""
    assert out("rotate", "start", "--new", "next.key").code == 0
    assert out("rotate", "shipped", next_number(), *OFFLINE).code == 0
    text = before()
    done = out("rotate", "start", "--new", "next.key")
    assert (done.code, "is in the pin file already: none was made" in done.err) == (2, True)
    assert "--new next-2.key" in done.err
    Path("my keys").mkdir()
    Path("next.key").rename("my keys/next.key")
    assert "--new 'my keys/next-2.key';" in out("rotate", "start", "--new", "my keys/next.key").err
    assert before() == text


def test_a_new_key_of_one_host_is_no_new_key_of_another(run: Run) -> None:
    """Otherwise both hosts would have the same backup, and would lose it at the same time."""
    other = "other.bank.example"
    write(kit.policy(HOST, LEAF, BACKUP), kit.policy(other, kit.NOBODY_ELSE, BACKUP))
    ship_long_ago(run)
    words = ("rotate", "start", "--new", "next.key")
    assert run(*words, "--host", HOST).code == 0
    text = before()
    for hosts in ((other,), (HOST, other)):
        done = run(*words, *(word for host in hosts for word in ("--host", host)))
        assert (done.code, "is in the pin file already: none was made" in done.err) == (2, True)
        assert "--new next-2.key; for the key in next.key, leave out --new" in done.err
        assert before() == text
    again = run(*words, "--host", HOST)
    assert (again.code, "already: nothing was changed" in again.out) == (0, True)
    shared = run("rotate", "start", "next.key", "--host", other)  # on purpose
    assert (shared.code, f"for {other}." in shared.out) == (0, True)


def test_no_switch_is_advised_to_a_key_that_is_active(out: Run) -> None:
    assert out("rotate", "start", "--new", "next.key").code == 0
    assert out("rotate", "shipped", next_number(), *OFFLINE).code == 0
    days_pass(100)
    assert out("rotate", "switch", "next.key", *OFFLINE).code == 0
    done, facts = stepped(out, "start", "next.key")
    assert (done.code, facts["next"]) == (0, "certpin rotate status")
    assert "It is ACTIVE: servers may use it already." in out("rotate", "start", "next.key").out


def test_the_number_rises_only_if_it_is_recorded(out: Run) -> None:
    for name in ("a.key", "b.key"):
        assert out("rotate", "start", "--new", name).code == 0
        assert PinSet.load("pins.toml").version == 4
    assert out("rotate", "shipped", next_number(), *OFFLINE).code == 0
    assert out("rotate", "start", "--new", "c.key").code == 0
    assert PinSet.load("pins.toml").version == 5


@pytest.mark.parametrize("kind", ["key", "certificate", "pin"])
def test_a_key_is_taken_from_every_kind_of_file(out: Run, kind: str) -> None:
    identity = Authority("Some Root").issue(HOST)
    Path("key").write_bytes(identity.key_pem)
    Path("certificate").write_bytes(identity.chain_pem)
    assert out("rotate", "start", str(identity.pin) if kind == "pin" else kind).code == 0
    entry = PinSet.load("pins.toml").policies[0].pins[-1]
    assert (entry.pin, entry.role, entry.state) == (identity.pin, "backup", "staged")
    assert entry.note == ("" if kind == "pin" else f"key file {kind}")


@pytest.mark.parametrize("what", ["no-such-file", "sha256/abc", "pins.toml", ".", "a\0b"])
def test_an_argument_without_a_key_is_a_typed_error(out: Run, what: str) -> None:
    done = out("rotate", "start", what)
    assert (done.code, "names no key" in done.err) == (2, True)


@pytest.mark.parametrize(
    "words",
    [(), ("a.key", "--new", "b.key"), ("a.key", "--ask-passphrase"), ("--new", "pins.toml")],
)
def test_a_wrong_use_makes_no_key(out: Run, words: tuple[str, ...]) -> None:
    text = before()
    assert out("rotate", "start", *words).code == 2
    assert before() == text
    assert not Path("b.key").exists()


def test_the_backup_may_be_switched_to_at_once(out: Run) -> None:
    _, facts = stepped(out, "start", str(BACKUP))
    assert (facts["events"], facts["next"]) == ([], f"certpin rotate switch {BACKUP}")
    text = out("rotate", "start", str(BACKUP)).out
    assert "Every client accepts it: servers may switch to it now." in text
    assert "No backup is left" in text


def test_a_version_of_a_clock_slightly_ahead_is_out_already(out: Run) -> None:
    days_pass(-100 - 2 / (24 * 60))
    assert "Every client accepts it" in out("rotate", "start", str(BACKUP)).out
    simulated = out("rotate", "simulate", "--to", str(BACKUP), "--clients", "50", *OFFLINE)
    assert simulated.code == 0, simulated.err


def test_a_key_that_no_public_authority_certifies_is_refused(out: Run) -> None:
    text = before()
    done = out("rotate", "start", "--new", "next.key", "--key-type", "ed25519")
    assert (done.code, "no public authority issues" in done.err) == (2, True)
    assert before() == text
    assert not Path("next.key").exists()


def test_a_servers_key_is_refused_if_only_authorities_are_compared(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP, match="ca"))
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    Path("leaf.pem").write_bytes(Authority("Some Root").issue(HOST).chain_pem)
    for words in (("--new", "next.key"), ("leaf.pem",)):
        done = run("rotate", "start", *words)
        assert (done.code, "compare only authorities" in done.err) == (2, True)
    said = run("rotate", "start", str(BACKUP)).out
    assert "The key of a server is no backup there." in said
    Path("ca.pem").write_bytes(Authority("Other Root").pem)
    named = run("rotate", "start", "ca.pem")
    assert (named.code, "is no backup there" in named.out) == (0, False)
    assert not Path("next.key").exists()


def test_an_authority_is_no_backup_if_only_leaves_are_compared(run: Run) -> None:
    """It would count as a backup that every client accepts, and no client accepts it."""
    write(kit.policy(HOST, LEAF, BACKUP, match="leaf"))
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    root = Authority("Some Root")
    for authority in (root, root.intermediate("Issuer")):
        Path("ca.pem").write_bytes(authority.pem)
        done = run("rotate", "start", "ca.pem")
        assert (done.code, "compare only the server's own certificate" in done.err) == (2, True)
    # A server's self-signed certificate is one of an authority, too.
    names = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    own = Authority(HOST, change=lambda builder: builder.add_extension(names, critical=False))
    Path("own.pem").write_bytes(own.pem)
    assert run("rotate", "start", "own.pem").code == 0


def test_a_self_issued_authority_is_no_root(run: Run) -> None:
    """Its new key is certified by its old one, under the same name (RFC 4210 section 4.4).

    OpenSSL takes a root without basicConstraints for an authority, and no other certificate.
    """
    write(kit.policy(HOST, LEAF, BACKUP, match="ca"))
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    bare = without(x509.BasicConstraints)
    old = Authority("Root", change=bare)
    new = Authority("Root", issuer=old, change=bare)
    for authority, code in ((new, 2), (old, 0)):
        Path("ca.pem").write_bytes(authority.pem)
        done = run("rotate", "start", "ca.pem")
        assert (done.code, "it has no basicConstraints" in done.err) == (code, code == 2)


def test_a_published_pin_that_a_merge_dropped_comes_back(out: Run) -> None:
    """Two people published at once, and the merge kept the pin file without the new pin."""
    kept = Path("pins.toml").read_text(encoding="utf-8")
    assert out("rotate", "start", "--new", "a.key").code == 0
    assert out("rotate", "shipped", next_number(), *OFFLINE).code == 0
    steps = [event.step for event in journal()]
    Path("pins.toml").write_text(kept, encoding="utf-8")
    done, facts = stepped(out, "start", "a.key")
    assert (done.code, facts["events"], facts["version"]) == (
        0,
        [],
        PinSet.load("pins.toml").version,
    )
    assert states()[-1] in {"staged", "published"}
    assert [event.step for event in journal()] == steps
    assert contradictions(history()) == ()
    Path("pins.toml").write_text(kept, encoding="utf-8")
    assert out("rotate", "emergency", "a.key", "--lost", *OFFLINE).code == 0
    Path("pins.toml").write_text(kept, encoding="utf-8")
    assert out("rotate", "start", "a.key").code != 0
    assert PinSet.load("pins.toml").version == 3


def test_a_removed_or_compromised_key_is_never_started(out: Run) -> None:
    assert out("rotate", "start", "--new", "a.key").code == 0
    assert out("rotate", "emergency", "a.key", "--stolen", *OFFLINE).code == 0
    text = before()
    assert out("rotate", "start", "a.key").code != 0
    assert before() == text


def test_a_compromised_key_is_refused_at_another_host(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP), kit.policy("other.example", kit.NOBODY_ELSE, BACKUP))
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    assert run("rotate", "start", "--new", "a.key", "--host", HOST).code == 0
    assert run("rotate", "emergency", "a.key", "--stolen", *OFFLINE).code == 0
    _, facts = stepped(run, "start", "a.key", "--host", "other.example")
    assert invariants(facts) == ["compromised"]


def test_the_key_and_its_request_are_deleted_if_the_journal_cannot_be_written(out: Run) -> None:
    text = JOURNAL.read_bytes()
    real = Path("pins.toml").read_bytes()
    JOURNAL.unlink()
    JOURNAL.mkdir()
    done = out("rotate", "start", "--new", "next.key", "--csr", "next.csr")
    assert (done.code, "pins.journal.jsonl" in done.err) == (2, True)
    assert not Path("next.key").exists()
    assert not Path("next.csr").exists()
    assert Path("pins.toml").read_bytes() == real
    JOURNAL.rmdir()
    JOURNAL.write_bytes(text)


def test_an_existing_request_is_not_overwritten(out: Run) -> None:
    Path("next.csr").write_text("mine")
    text = before()
    done = out("rotate", "start", "--new", "next.key", "--csr", "next.csr")
    assert (done.code, "--csr" in done.err) == (2, True)
    assert (before(), Path("next.csr").read_text()) == (text, "mine")
    assert not Path("next.key").exists()


def test_nothing_is_started_before_a_version_is_recorded(run: Run) -> None:
    write(kit.policy(HOST, LEAF, BACKUP))
    done = run("rotate", "start", "--new", "next.key")
    assert (done.code, "has no published version" in done.err) == (2, True)
    assert not Path("next.key").exists()


@pytest.mark.parametrize(("same", "hosts"), [(True, [HOST, "other.example"]), (False, None)])
def test_a_key_is_for_all_hosts_only_if_servers_use_the_same_keys(
    run: Run, same: bool, hosts: list[str] | None
) -> None:
    other = kit.policy("other.example", LEAF if same else kit.NOBODY_ELSE, BACKUP)
    write(kit.policy(HOST, LEAF, BACKUP), other)
    assert run("rotate", "shipped", next_number(), *OFFLINE).code == 0
    done = run("rotate", "start", "--new", "next.key", "--json")
    assert done.code == (0 if same else 2)
    assert Path("next.key").exists() == same
    if same:
        assert done.json["hosts"] == hosts
        return
    assert "--host" in done.out
    _, facts = stepped(run, "start", "--new", "next.key", "--host", "other.example")
    assert facts["hosts"] == ["other.example"]
    _, facts = stepped(run, "start", "next.key", "--host", HOST)
    assert [event["host"] for event in facts["events"]] == [HOST]


def test_a_binary_without_an_end_has_no_date(out: Run) -> None:
    assert out("rotate", "shipped", next_number(), *APP, *OFFLINE).code == 0
    _, facts = stepped(out, "start", "--new", "next.key")
    assert (facts["later"], facts["later_from"]) == (None, None)
    assert "its end is not recorded" in out("rotate", "start", "next.key").out


def test_printed_commands_are_quoted_and_name_the_pin_file(run: Run) -> None:
    folder = Path("my pins")
    folder.mkdir()
    path = folder / "bank.toml"
    write(kit.policy(HOST, LEAF, BACKUP), path=str(path))
    assert run("rotate", "shipped", next_number(str(path)), *OFFLINE, "--file", path).code == 0
    made = run("rotate", "start", "--new", folder / "next key", "--file", path)
    assert made.code == 0
    commands = [shlex.split(command) for command in printed_commands(made.out)]
    assert ["--file", str(path)] == commands[0][-2:]
    assert commands[1][2:4] == ["switch", str(folder / "next key")]
    assert run(*commands[0][1:], *OFFLINE).code == 0
    refused = run(*commands[1][1:], *OFFLINE)
    assert (refused.code, "is not adopted" in refused.err) == (1, True)
