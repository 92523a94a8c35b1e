"""``certpin publish``: signed pin sets, from the first signing key to a lost one."""

from __future__ import annotations

import shutil
import stat
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from certpin.formats.flutter.published import published
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, utc_now
from certpin.publish import folder, roots
from certpin.publish.settings import load
from certpin.updates import Limits
from certpin.x509.certificate import read_certificates
from certpin.x509.keys import new_private_key
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli._rotating import APP, journal, next_number, record_signed
from tests.cli._signed_sets import FOLDER, INIT, KEYS, NEW, documented, follow, out
from tests.cli._terminal import on_terminal
from tests.cli.conftest import HOST
from tests.formats.flutter._app import App, verdict
from tests.publish._firm import Firm
from tests.servers.softhsm import softhsm

if TYPE_CHECKING:
    from tests.cli.conftest import Run

SITE = FOLDER / "site"
OF_AUTHORITIES = HostPolicy(
    HostPattern.parse(HOST),
    tuple(HostPin(pin, "intermediate") for pin in (kit.NOBODY, kit.NOBODY_ELSE)),
    match="ca",
)


def site_files() -> dict[str, bytes]:
    """Return the content of each published file, by path."""
    paths = [path for path in SITE.rglob("*") if path.is_file()]
    return {str(path.relative_to(SITE)): path.read_bytes() for path in paths}


def test_a_version_that_cannot_be_signed_is_not_recorded(begun: Run) -> None:
    anchors = Path("../outside.pem")
    anchors.write_bytes(Authority("Outside Root").pem)
    write(kit.policy(HOST), trust=anchors)
    _edited("version = 3", "version = 4")
    recorded = len(journal())
    done = begun("publish", "sign", *KEYS, "--offline")
    assert done.code == 2
    assert "cannot be published" in done.err
    assert len(journal()) == recorded
    anchors.unlink()


@pytest.mark.medium
def test_a_pin_file_under_two_names_has_one_folder(begun: Run) -> None:
    """The commands of ``status`` are the same under both names, and sign the same files."""
    Path("app").mkdir()
    Path("app/pins.toml").symlink_to("../pins.toml")
    link = ("--file", "app/pins.toml")
    assert begun("publish", "sign", *KEYS, "--offline", *link).code == 0
    assert follow() == 3
    assert begun("publish", "push", *link).code == 0
    assert Path("www/metadata/timestamp.json").is_file()
    assert documented(begun, "status", *link)["delivered"]
    Path("app/publish").symlink_to("../publish")
    assert begun("publish", "status", *link).code == 0
    Path("app/publish").unlink()
    shutil.copytree(FOLDER, "app/publish")
    for words in (("status",), ("sign", *KEYS, "--offline"), ("push",), ("init", *INIT)):
        done = begun("publish", *words, *link)
        assert (done.code, "app/publish is not read" in done.err) == (2, True), words


@pytest.mark.parametrize("name", ["pins.toml", "app/pins.toml"])
def test_both_names_of_a_pin_file_lead_to_its_first_signed_version(run: Run, name: str) -> None:
    write(kit.policy(HOST))
    Path("app").mkdir()
    Path("app/pins.toml").symlink_to("../pins.toml")
    assert run("rotate", "shipped", "3", "--offline", "--force", "--reason", "old").code == 0
    documented(run, "init", *INIT)
    assert run("rotate", "start", str(NEW), "--file", name).code == 0
    (host,) = run("rotate", "status", "--offline", "--json", "--file", name).json["hosts"]
    option = "" if name == "pins.toml" else f" --file {name}"
    commands = [f"certpin publish {words}{option}" for words in ("sign KEY…", "push")]
    assert host["next"]["commands"] == commands


@pytest.mark.medium
@pytest.mark.peer("dart")
def test_a_flutter_app_follows_what_is_signed(begun: Run) -> None:
    assert begun("publish", "sign", *KEYS).code == 0
    app = App(published(PinSet.load("pins.toml"))[0], site_files()["metadata/1.root.json"])
    out(begun, NEW)
    assert begun("publish", "sign", *KEYS).code == 0
    assert verdict(app, site_files(), utc_now()) == ("", 4)


@pytest.mark.medium
def test_omissions_for_flutter_apps_are_printed_once(begun: Run) -> None:
    policy = kit.policy(HOST)
    write(replace(policy, pins=(*policy.pins, HostPin(NEW, "intermediate"))))
    for shown_now in (True, False):
        record_signed()
        signed = begun("publish", "sign", *KEYS)
        assert signed.code == 0
        assert (f"Flutter apps: {HOST}:" in signed.err) == shown_now
        text = Path("pins.toml").read_text()
        Path("pins.toml").write_text(text.replace('mode = "enforce"', 'mode = "report"'))


def test_pins_that_flutter_cannot_express_are_not_signed(begun: Run) -> None:
    write(OF_AUTHORITIES)
    record_signed()
    refused = begun("publish", "sign", *KEYS)
    assert (refused.code, "flutter = false" in " ".join(refused.err.split())) == (2, True)
    settings = FOLDER / "publish.toml"
    settings.write_text(settings.read_text().replace("flutter = true", "flutter = false"))
    assert begun("publish", "sign", *KEYS).code == 0
    assert not list(SITE.glob("targets/*.pins.json"))


@pytest.mark.parametrize("command", ["status", "emergency"])
def test_what_sign_refuses_for_flutter_is_not_called_safe(begun: Run, command: str) -> None:
    assert begun("publish", "sign", *KEYS).code == 0
    assert begun("publish", "push").code == 0
    spare = HostPin(Pin("sha256", bytes(range(9, 41))), "root", "published")
    write(replace(OF_AUTHORITIES, pins=(*OF_AUTHORITIES.pins, HostPin(NEW, "root"), spare)))
    path = Path("pins.toml")
    text = path.read_text(encoding="utf-8").replace("version = 3", "version = 4")
    path.write_text(text, encoding="utf-8")
    words = [command, *((str(NEW), "--lost") if command == "emergency" else ())]
    done = begun("rotate", *words, "--offline", "--json")
    host = done.json["hosts"][0]
    breaches = host["next"]["breaches"] if command == "status" else [{"problem": host["refused"]}]
    refused = begun("publish", "sign", *KEYS, "--offline", "--force", "--reason", "none")
    assert refused.code == 2
    problem = breaches[-1]["problem"]
    assert problem.startswith("certpin publish sign will refuse pins.toml: Flutter apps cannot")
    assert problem.removeprefix("certpin publish sign will refuse pins.toml: ") in refused.err
    settings = FOLDER / "publish.toml"
    settings.write_text(settings.read_text().replace("flutter = true", "flutter = false"))
    host = begun("rotate", *words, "--offline", "--json").json["hosts"][0]
    assert "Flutter" not in str(host)


def test_init_excludes_flutter_if_it_cannot_express_the_pins(run: Run) -> None:
    write(OF_AUTHORITIES)
    made = run("publish", "init", *INIT)
    assert "Flutter apps can't use these pin sets" in made.out
    assert "NOT encrypted" in " ".join(made.out.split())
    assert not load(FOLDER / "publish.toml").flutter


@pytest.mark.medium
def test_a_publisher_from_the_first_key_to_a_lost_one(begun: Run) -> None:
    signed = documented(begun, "sign", *KEYS)
    assert signed["version"] == 3
    assert [entry["role"] for entry in signed["signed"]] == ["targets", "snapshot", "timestamp"]
    assert (signed["waits"], signed["next"]) == ([], "certpin publish push")
    assert follow() == 3
    done = begun("publish", "status", "--json")
    _documented.check("publish status", done.json)
    status = done.json
    assert (status["published"], status["signed"], status["pushed"]) == (3, 3, False)
    assert (done.code, status["delivered"]) == (1, False)
    (first,) = [role["keys"][0]["key"] for role in status["roles"] if role["role"] == "root"]
    added = documented(begun, "add-key", "new-root.key", "--role", "root", "--replace", first[:12])
    assert (added["made"], added["root"]) == (True, 2)
    assert {wait["role"] for wait in added["waits"]} == {"root"}
    documented(begun, "sign", "root.key", "new-root.key", "online.key")
    assert (SITE / "metadata" / "2.root.json").exists()
    assert follow() == 3
    out(begun, kit.NOBODY_ELSE, kit.NOBODY, NEW)
    documented(begun, "sign", "targets.key", "online.key")
    assert follow() == 4


def test_only_the_owner_can_read_the_keys(run: Run) -> None:
    write(kit.policy(HOST))
    made = documented(run, "init", *INIT, "--expires", "root=30", "--expires", "timestamp=1")
    assert made["ready"]
    assert [(key["role"], key["made"]) for key in made["keys"]] == [
        ("root", True), ("targets", True), ("online", True),
    ]  # fmt: skip
    for name in KEYS:
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600
        assert b"ENCRYPTED" not in Path(name).read_bytes()
    text = (FOLDER / "publish.toml").read_text()
    assert "root = 30" in text
    assert "timestamp = 1" in text
    assert "PRIVATE" not in "".join(
        path.read_text() for path in FOLDER.rglob("*") if path.is_file()
    )


def test_root_and_targets_may_be_one_key(run: Run) -> None:
    write(kit.policy(HOST))
    words = ("--root-key", "one.key", "--targets-key", "one.key", "--online-key", "online.key")
    documented(run, "init", *words)
    record_signed()
    documented(run, "sign", "one.key", "online.key")
    assert follow() == 3


@pytest.mark.medium
def test_a_passphrase_encrypts_them_and_is_needed_to_sign(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(kit.policy(HOST))
    secret = {"CERTPIN_PASSPHRASE": "very secret"}
    documented(run, "init", *INIT, **secret)
    assert all(b"ENCRYPTED" in Path(name).read_bytes() for name in KEYS)
    record_signed()
    refused = run("publish", "sign", *KEYS)
    assert refused.code == 2
    assert refused.err.startswith(f"certpin: {KEYS[0]}: its private key is encrypted\n")
    assert "set CERTPIN_PASSPHRASE" in refused.err
    wrong = run("publish", "sign", *KEYS, CERTPIN_PASSPHRASE="not so secret")
    assert wrong.code == 2
    assert f"{KEYS[0]}: the passphrase of its private key is wrong" in wrong.err
    assert "not so secret" not in wrong.out + wrong.err
    signed = run("publish", "sign", *KEYS, **secret)
    assert signed.code == 0
    assert "very secret" not in signed.out + signed.err


@pytest.mark.medium
def test_a_passphrase_is_asked_for_once(run: Run) -> None:
    write(kit.policy(HOST))
    done = run("publish", "init", *INIT, "--ask-passphrase", typed="secret\nsecret\n")
    assert done.code == 0
    assert done.err.count("Passphrase for the new keys") == 1
    assert all(b"ENCRYPTED" in Path(name).read_bytes() for name in KEYS)


def test_sign_requires_the_other_signer_first(run: Run) -> None:
    write(kit.policy(HOST))
    pem, _ = new_private_key("p256", None)
    Path("theirs.key").write_bytes(pem)
    private = serialization.load_pem_private_key(pem, None)
    Path("theirs.pub").write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    words = (*INIT, "--root-key", "theirs.pub", "--root-threshold", "2")
    made = documented(run, "init", *words)
    assert not made["ready"]
    assert [(wait["role"], wait["missing"]) for wait in made["waits"]] == [("root", 1)]
    assert not SITE.exists()
    assert "only the public key" in _again(run, words)
    documented(run, "sign", "theirs.key")
    assert (SITE / "metadata" / "1.root.json").exists()
    assert [path.name for path in (FOLDER / "drafts").iterdir()] == []


@pytest.mark.medium
def test_the_online_key_is_the_next_one_if_only_its_signature_is_missing(run: Run) -> None:
    write(kit.policy(HOST))
    words = (*INIT, "--targets-key", "more.key", "--targets-threshold", "2", "--url", "www")
    documented(run, "init", *words)
    signed = documented(run, "sign", "targets.key", "--offline")
    assert signed["next"] is None  # another signer's
    signed = documented(run, "sign", "more.key")
    assert signed["next"] == "certpin publish sign KEY"
    assert [wait["role"] for wait in signed["waits"]] == ["timestamp"]
    refused = run("publish", "push")
    assert refused.code == 1
    assert "with targets keys and the online key" in " ".join(refused.err.split())
    assert documented(run, "sign", "online.key")["next"] == "certpin publish push"
    assert documented(run, "push")["waits"] == []


@pytest.mark.medium
def test_a_push_reports_a_version_that_waits_for_the_online_key(begun: Run) -> None:
    documented(begun, "sign", *KEYS)
    out(begun, NEW)
    documented(begun, "sign", "targets.key")
    pushed = begun("publish", "push", "--json")
    assert (pushed.code, pushed.json["version"]) == (0, 3)
    assert [wait["why"] for wait in pushed.json["waits"]] == ["targets 2 are signed"]
    warning = " ".join(begun("publish", "push").err.split())
    assert "does not have the newest metadata: timestamp 2 waits for the key" in warning
    documented(begun, "sign", "online.key")
    assert documented(begun, "push")["waits"] == []


def _again(run: Run, words: tuple[str, ...]) -> str:
    shutil.rmtree(FOLDER)
    return run("publish", "init", *words).out


@pytest.mark.medium
@pytest.mark.parametrize("name", ["bbo.pub", "bbo.CRT", "bbo.cer", "bbo.csr"])
def test_no_key_is_made_under_a_mistyped_public_key_name(begun: Run, name: str) -> None:
    done = begun("publish", "add-key", name, "--role", "targets")
    assert (done.code, "check the name" in " ".join(done.err.split())) == (2, True)
    assert not Path(name).exists()
    assert not [*FOLDER.glob("drafts/*")]


@pytest.mark.medium
@pytest.mark.medium
def test_the_moved_keys_of_a_root_are_named_until_they_are_replaced(
    begun: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root is from a release of certpin that compared with the last root only."""
    with monkeypatch.context() as patch:
        patch.setattr(roots, "moved_keys", lambda *_: frozenset())
        assert begun("publish", "sign", *KEYS, "--offline").code == 0
        documented(begun, "add-key", "online2.key", "--role", "online")
        moved = documented(begun, "add-key", "online.key", "--role", "root")["key"]
        assert begun("publish", "sign", *KEYS, "online2.key", "--offline").code == 0
        documented(begun, "add-key", "online.key", "--role", "targets")
        assert begun("publish", "sign", *KEYS, "online2.key", "--offline").code == 0
    signed = begun("publish", "sign", "root.key", "online2.key", "--renew", "root")
    assert signed.code == 0, signed.err
    commands = [
        f"certpin publish add-key NEW.key --role {role} --replace {moved}"
        for role in ("root", "targets")
    ]
    warned = [line for line in signed.err.splitlines() if "was online, under an earlier" in line]
    assert [line.rpartition(": ")[2] for line in warned] == commands
    words = ("--renew", "root", "--json", "--file", "pins.toml")
    signed = begun("publish", "sign", "root.key", "online2.key", *words, CERTPIN_PINS="x.toml")
    named = [command.replace(" NEW", " --file pins.toml NEW") for command in commands]
    assert [line.rpartition(": ")[2] for line in signed.json["warnings"]] == named
    added = documented(begun, "add-key", "new.key", "--role", "root", "--replace", moved)
    assert added["next"] == commands[1]
    added = documented(begun, "add-key", "new2.key", "--role", "targets", "--replace", moved)
    assert added["next"].startswith("certpin publish sign")
    signed = begun("publish", "sign", "root.key", "new.key", "new2.key", "online2.key", "--yes")
    assert (signed.code, "was online" in signed.err) == (0, False)


def test_a_key_with_a_passphrase_has_no_warning(begun: Run) -> None:
    secret = {"CERTPIN_PASSPHRASE": "very secret"}
    added = begun("publish", "add-key", "new.key", "--role", "root", **secret)
    assert "It is new." in " ".join(added.out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*INIT, "--root-key", "bbo.pub"), "check the name"),
        ((*INIT, "--online-key", "root.key"), "must not be among"),
        ((*INIT, "--root-key", "root.key"), "twice"),
        ((*INIT, "--root-threshold", "2"), "root needs signatures of 2 keys"),
        ((*INIT, "--expires", "root"), "not ROLE=DAYS"),
        ((*INIT, "--expires", "roots=3"), "1 to 3650 days"),
        ((*INIT, "--expires", "root=9999"), "1 to 3650 days"),
        ((*INIT, "--url", "s3://AKIA:hunter2@bucket/x"), "passwords"),
        ((*INIT, "--root-key", "nowhere/at.key"), "cannot be written"),
        ((*INIT, "--root-key", "pins.toml"), "no private key"),
    ],
)
def test_a_failed_init_leaves_no_key(run: Run, words: tuple[str, ...], said: str) -> None:
    write(kit.policy(HOST))
    done = run("publish", "init", *words)
    assert done.code == 2
    assert said in done.err
    assert "hunter2" not in done.out + done.err
    assert sorted(path.name for path in Path().iterdir()) == ["pins.toml"]


def test_one_key_with_two_names_is_refused_for_online_and_root(run: Run) -> None:
    write(kit.policy(HOST))
    pem, _ = new_private_key("p256", None)
    Path("root.key").write_bytes(pem)
    Path("online.key").write_bytes(pem)
    done = run("publish", "init", *INIT)
    assert (done.code, "online key is among" in done.err) == (2, True)
    assert not FOLDER.exists()


def test_a_second_init_is_refused(begun: Run) -> None:
    before = Path("root.key").read_bytes()
    done = begun("publish", "init", *INIT)
    assert (done.code, "already exists" in done.err) == (2, True)
    assert Path("root.key").read_bytes() == before


def test_a_second_pin_file_in_the_folder_is_refused(begun: Run) -> None:
    documented(begun, "sign", *KEYS)
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("b.toml").write_text(text.replace('name = "bank"', 'name = "casino"'), encoding="utf-8")
    before = site_files()
    Path("publish/publish.toml").write_text('url = "site-copy"\n', encoding="utf-8")
    for words in (
        *(["status"], ["sign", *KEYS], ["init", *INIT], ["add-key", "k", "--role", "root"]),
        ["push"],
    ):
        done = begun("publish", *words, "--file", "b.toml")
        said = " ".join(done.err.split())
        assert done.code == 2
        assert "belongs to the pin set 'bank', and b.toml is 'casino'" in said
        assert "put b.toml into another folder" in said
    Path("app").mkdir()
    Path("b.toml").rename("app/b.toml")
    shutil.copytree(FOLDER, "app/publish")
    done = begun("publish", "status", "--file", "app/b.toml")  # as typed in that folder
    assert "run there: certpin publish init --file b.toml; if" in " ".join(done.err.split())
    assert site_files() == before


def test_without_init_every_command_names_it(run: Run) -> None:
    write(kit.policy(HOST))
    for words in (["status"], ["sign", "root.key"], ["add-key", "new.key", "--role", "root"]):
        done = run("publish", *words)
        assert (done.code, "certpin publish init" in done.err) == (2, True)
    assert sorted(path.name for path in Path().iterdir()) == ["pins.toml"]


@pytest.mark.medium
def test_the_text_output_of_each_command(begun: Run) -> None:
    status = begun("publish", "status")
    assert "No version is signed yet." in status.out
    assert "targets 1 waits for the key (version 3 was published)" in status.out
    signed = begun("publish", "sign", *KEYS)
    assert f"  {HOST}: sha256/" in signed.err
    assert "bank version 3 is in publish/site, valid until" in signed.out
    status = begun("publish", "status")
    assert "not pushed yet: certpin publish push" in status.out
    again = begun("publish", "sign", "targets.key")
    assert "Nothing needs a signature of these keys now." in again.out
    added = begun("publish", "add-key", "new.key", "--role", "online")
    said = " ".join(added.out.split())
    assert "becomes valid with root 2. It is new, NOT encrypted; see --ask-passphrase." in said
    signed = begun("publish", "sign", "root.key", "new.key")
    assert "of online is out" in signed.err


@pytest.mark.medium
def test_changes_are_printed_before_signing(begun: Run) -> None:
    documented(begun, "sign", *KEYS)
    out(begun, kit.NOBODY_ELSE, kit.NOBODY, NEW)
    done = begun("publish", "sign", "targets.key", "online.key")
    assert "bank version 4; version 3 is signed" in done.err
    assert str(NEW) in done.err


def terms(mode: str, report: str) -> None:
    """Set the mode and the reporting address of the host in the pin file."""
    text = Path("pins.toml").read_text().replace('mode = "enforce"', f'mode = "{mode}"', 1)
    Path("pins.toml").write_text(text.replace("match =", f'report_to = ["{report}"]\nmatch =', 1))


def test_the_policies_of_a_first_version_are_printed(run: Run, ca: Path) -> None:
    shutil.copy(ca, "ca.pem")
    end = utc_now() + timedelta(days=500)
    policy = kit.policy(HOST, match="leaf", expires=end, on_expiry="fail-open")
    write(policy, trust=Path("ca.pem"))
    terms("report", "https://evil.example/r")
    documented(run, "init", *INIT)
    record_signed()
    said = " ".join(run("publish", "sign", *KEYS).err.split())
    assert f"{HOST}: {kit.NOBODY}, {kit.NOBODY_ELSE}" in said
    assert f"{HOST}: mode report (no connection is refused), match leaf" in said
    assert f"{HOST}: its pins expire on {end:%Y-%m-%d %H:%M} UTC, then fail-open" in said
    assert f"{HOST}: failures are reported to https://evil.example/r" in said
    assert anchor_line(ca) in said


@pytest.mark.medium
def test_the_policy_of_a_new_host_and_changed_anchors_are_printed(begun: Run, ca: Path) -> None:
    documented(begun, "sign", *KEYS)
    write(kit.policy("new.bank.example"), kit.policy(HOST))
    terms("report", "https://evil.example/r")
    record_signed()
    said = " ".join(begun("publish", "sign", *KEYS).err.split())
    assert f"new.bank.example: {kit.NOBODY}, {kit.NOBODY_ELSE}" in said
    assert "new.bank.example: mode report (no connection is refused), match any" in said
    assert "new.bank.example: its pins never expire" in said
    assert "new.bank.example: failures are reported to https://evil.example/r" in said
    assert f"{HOST}: mode" not in said
    shutil.copy(ca, "ca.pem")
    write(kit.policy("new.bank.example"), kit.policy(HOST), trust=Path("ca.pem"))
    record_signed()
    said = " ".join(begun("publish", "sign", *KEYS).err.split())
    assert anchor_line(ca) in said
    assert f"{HOST}: mode" not in said


def anchor_line(ca: Path) -> str:
    (anchor,) = read_certificates(ca.read_bytes())
    return f"{HOST}: trust ca.pem: {anchor.subject}, SHA-256 {anchor.sha256.hex(':').upper()}"


@pytest.mark.slow
def test_a_terminal_is_asked_before_signing(begun: Run) -> None:
    code, said = on_terminal("publish", "sign", *KEYS, typing=[("Sign this?", "n")])
    assert (code, "To sign: targets 1" in said) == (130, True)
    assert not (SITE / "metadata" / "timestamp.json").exists()
    assert on_terminal("publish", "sign", *KEYS, "--yes")[0] == 0
    assert (SITE / "metadata" / "timestamp.json").exists()


@pytest.mark.medium
def test_status_warns_before_expiry(begun: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    documented(begun, "sign", *KEYS)
    documented(begun, "push")
    assert begun("publish", "status").code == 0
    assert begun("publish", "status", "--within", "2").code == 0
    assert begun("publish", "status", "--within", "3").code == 1
    assert begun("publish", "status", "--within", "99999999999").code == 2
    later(monkeypatch, days=2.5)
    done = begun("publish", "status", "--json")
    _documented.check("publish status", done.json)
    assert done.code == 1
    assert {role["role"]: role["ends_soon"] for role in done.json["roles"]} == {
        "root": False, "targets": False, "snapshot": False, "timestamp": True,
    }  # fmt: skip
    assert [(wait["role"], wait["missing"]) for wait in done.json["waits"]] == [("timestamp", 1)]
    later(monkeypatch, days=5)
    assert "EXPIRED on" in begun("publish", "status").out
    documented(begun, "sign", "online.key")
    documented(begun, "push")
    assert begun("publish", "status").code == 0


@pytest.mark.medium
def test_a_conflict_in_a_draft_does_not_stop_the_daily_job(begun: Run) -> None:
    documented(begun, "sign", *KEYS)
    added = documented(begun, "add-key", "new-root.key", "--role", "root")
    draft = FOLDER / "drafts" / "root.json"
    draft.write_text("<<<<<<< HEAD\n" + draft.read_text())
    signed = documented(begun, "sign", "online.key")
    assert [entry["role"] for entry in signed["signed"]] == ["timestamp"]
    documented(begun, "push")
    status = documented(begun, "status")
    (problem,) = [wait["problem"] for wait in status["waits"]]
    assert "drafts/root.json: this draft cannot be read" in problem
    assert "root must not be signed" in " ".join(begun("publish", "status").out.split())
    assert begun("publish", "sign", "root.key").code == 2
    draft.unlink()
    again = documented(begun, "add-key", "new-root.key", "--role", "root")
    assert again["key"] == added["key"]
    documented(begun, "sign", "root.key", "online.key")
    assert (SITE / "metadata" / "2.root.json").exists()


def later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    monkeypatch.setattr("certpin.pins.utc_now", lambda: utc_now() + timedelta(days=days))


def test_pins_that_expire_before_their_signatures_are_reported(run: Run) -> None:
    write(kit.policy(HOST, expires=utc_now() + timedelta(days=60)))
    documented(run, "init", *INIT)
    record_signed()
    signed = run("publish", "sign", *KEYS)
    assert f"the pins of {HOST} expire on" in signed.err
    assert documented(run, "sign", "online.key")["warnings"] != []


@pytest.mark.medium
def test_a_version_that_was_published_unsigned_can_be_signed(run: Run) -> None:
    write(kit.policy(HOST))
    assert run("rotate", "shipped", "3", "--offline").code == 0
    documented(run, "init", *INIT)
    assert run("publish", "sign", "online.key").code == 0
    assert len(journal()) == 1  # only a targets key signs, and so records, a version
    signed = documented(run, "sign", "targets.key", "--offline")
    assert signed["recorded"] == 3
    assert [(event.version, event.signed) for event in journal()] == [(3, False), (3, True)]
    assert documented(run, "sign", *KEYS)["version"] == 3
    assert documented(run, "sign", *KEYS)["recorded"] is None


def _edited(old: str, new: str) -> None:
    text = Path("pins.toml").read_text(encoding="utf-8")
    assert old in text
    Path("pins.toml").write_text(text.replace(old, new), encoding="utf-8")


def test_a_number_of_clients_that_the_journal_cannot_hold_is_refused(run: Run) -> None:
    write(kit.policy(HOST))
    documented(run, "init", *INIT)
    done = run("publish", "sign", *KEYS, "--offline", "--clients", str(10**20))
    assert (done.code, "--clients" in done.err) == (2, True)


def test_the_first_signer_of_a_version_checks_and_records_it(run: Run) -> None:
    write(kit.policy(HOST))
    _edited('role = "backup"\nstate = "active"', 'role = "backup"\nstate = "staged"')
    documented(run, "init", *INIT)
    signed = documented(run, "sign", *KEYS, "--offline", "--clients", "7", "--opened", "9d")
    assert (signed["recorded"], signed["breaches"]) == (3, [])
    (event,) = journal()
    assert (event.step, event.version, event.signed, event.clients) == ("publish", 3, True, 7)
    assert event.timing
    assert event.timing.opened == timedelta(days=9)
    assert 'state = "published"' in Path("pins.toml").read_text(encoding="utf-8")
    assert follow() == 3
    assert documented(run, "sign", *KEYS)["recorded"] is None  # and no server is contacted


def test_a_version_that_the_gate_refuses_is_neither_signed_nor_recorded(begun: Run) -> None:
    assert begun("publish", "sign", *KEYS).code == 0
    before = site_files(), journal()
    write(kit.policy(HOST, expires=utc_now() + timedelta(days=3)))
    _edited("version = 3", "version = 4")
    refused = begun("publish", "sign", *KEYS, "--offline", "--json")
    assert (refused.code, refused.json["recorded"], refused.json["signed"]) == (1, None, [])
    assert [breach["invariant"] for breach in refused.json["breaches"]] == ["expiry"]
    assert (site_files(), journal()) == before
    words = ("--offline", "--force", "--reason", "the app ends this week")
    assert begun("publish", "sign", *KEYS, *words).code == 0
    assert journal()[-1].reason == "the app ends this week"


def test_a_version_is_not_signed_if_a_server_does_not_answer(begun: Run) -> None:
    assert begun("publish", "sign", *KEYS).code == 0
    before = site_files(), journal()
    write(kit.policy(HOST, kit.NOBODY, kit.NOBODY_ELSE, NEW))
    _edited("version = 3", "version = 4")
    words = ("--connect", "127.0.0.1:9", "--timeout", "1")
    assert begun("publish", "sign", *KEYS, *words).code == 3
    assert (site_files(), journal()) == before
    assert begun("publish", "sign", "online.key").code == 0  # the daily job goes on


def test_a_file_that_changed_under_its_number_is_not_signed(begun: Run) -> None:
    assert begun("publish", "sign", *KEYS).code == 0
    recorded = len(journal())
    write(kit.policy(HOST, kit.NOBODY, NEW))
    done = begun("publish", "sign", *KEYS, "--offline")
    assert (done.code, "write version = 4 into it" in " ".join(done.err.split())) == (1, True)
    assert ("The pin file was NOT signed." in done.out, "Next:" in done.out) == (True, False)
    again = begun("publish", "sign", "targets.key", "--offline", "--json")  # has nothing to sign
    _documented.check("publish sign", again.json)
    assert (again.code, again.json["signed"], again.json["next"]) == (1, [], None)
    assert "write version = 4 into it" in " ".join(again.json["warnings"])
    assert begun("publish", "sign", "online.key").code == 0  # the daily job goes on
    assert (len(journal()), follow()) == (recorded, 3)
    assert (SITE / "targets").exists()
    assert all(str(NEW).encode() not in data for data in site_files().values())


def test_a_file_whose_version_went_back_gets_a_warning(begun: Run) -> None:
    assert begun("publish", "sign", *KEYS).code == 0
    _edited("version = 3", "version = 2")
    done = begun("publish", "sign", *KEYS)
    assert done.code == 0  # the timestamp is renewed
    assert "says version = 2, and version 3 with the same pins" in " ".join(done.err.split())
    assert follow() == 3
    write(kit.policy(HOST, kit.NOBODY, NEW))
    _edited("version = 3", "version = 2")
    older = begun("publish", "sign", *KEYS)
    assert (older.code, "write version = 4 into it" in " ".join(older.err.split())) == (1, True)


def test_a_file_that_changed_since_it_was_built_in_is_not_signed_under_its_number(run: Run) -> None:
    write(kit.policy(HOST))
    assert run("rotate", "shipped", next_number(), "--offline", *APP).code == 0
    documented(run, "init", *INIT)
    write(kit.policy(HOST, kit.NOBODY, NEW))
    done = run("publish", "sign", *KEYS, "--offline")
    assert (done.code, "write version = 4 into it" in " ".join(done.err.split())) == (2, True)
    assert (len(journal()), (SITE / "targets").exists()) == (1, False)


def test_a_version_that_only_signers_refuse_is_not_recorded(begun: Run) -> None:
    assert begun("publish", "sign", *KEYS).code == 0
    recorded = len(journal())
    write(OF_AUTHORITIES)
    _edited("version = 3", "version = 4")
    assert begun("publish", "sign", *KEYS, "--offline").code == 2
    assert len(journal()) == recorded


@pytest.mark.parametrize("keys", [("targets.key",), ("targets.key", "online.key")])
def test_a_mistyped_version_is_not_recorded(begun: Run, keys: tuple[str, ...]) -> None:
    """The journal is append-only: a recorded number can't be corrected."""
    assert begun("publish", "sign", *KEYS).code == 0
    recorded = len(journal())
    _edited("version = 3", "version = 20261201")
    done = begun("publish", "sign", *keys, "--offline")
    assert (done.code, "write version = 4 into the pin file" in " ".join(done.err.split())) == (
        2,
        True,
    )
    assert len(journal()) == recorded
    _edited("version = 20261201", "version = 4")
    assert documented(begun, "sign", *KEYS[1:], "--offline")["version"] == 4


def test_comments_and_notes_are_not_published(begun: Run) -> None:
    file = Path("pins.toml")
    text = file.read_text(encoding="utf-8")
    noted = text.replace("[[host.pin]]\n", '[[host.pin]]\nnote = "safe xylophone"\n')
    file.write_text(f"# the word is xylophone\n{noted}", encoding="utf-8")
    documented(begun, "sign", *KEYS)
    assert [data for data in site_files().values() if b"xylophone" in data] == []
    assert b"xylophone" in file.read_bytes()


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["root", "targets", "online"])
def test_the_same_command_completes_an_interrupted_one(
    begun: Run, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is interrupted after the new root was written, before its timestamp.

    The old key, which has to sign the new root or the targets with it, then signs nothing any more.
    """
    documented(begun, "sign", *KEYS)
    documented(begun, "push")
    old = Firm(Path(), utc_now()).state.root
    assert old is not None
    keyid = old.roles["timestamp" if kind == "online" else kind].keyids[0]
    words = ["new.key", "--role", kind, *(["--replace", keyid] if kind != "online" else [])]
    assert begun("publish", "add-key", *words).code == 0
    put = folder._put

    def killed(path: Path, data: bytes) -> None:
        if path.name == "timestamp.json":
            raise KeyboardInterrupt
        put(path, data)

    keys = ("new.key", *KEYS)
    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(folder, "_put", killed)
        begun("publish", "sign", *keys, "--yes")
    assert (SITE / "metadata/2.root.json").exists()
    waits = begun("publish", "status", "--json").json["waits"] if kind == "root" else []
    for wait in waits:
        assert "signing was interrupted: the draft of root 2 is still there" in wait["why"]
    assert bool(waits) == (kind == "root")
    if kind == "root":
        assert "does not have the newest metadata" in " ".join(begun("publish", "push").err.split())
    done = begun("publish", "sign", *keys, "--yes")
    assert done.code == 0, done.err
    said = f"the key {kind}.key ({keyid[:12]}…) signs nothing any more"
    assert said in " ".join(done.err.split())
    documented(begun, "push")
    assert documented(begun, "status")["waits"] == []
    assert list((FOLDER / "drafts").iterdir()) == []
    assert follow() == 3
    assert begun("publish", "sign", f"{kind}.key").code == 2  # only beside another key


BINARY = ("rotate", "shipped", "3", *APP, "--offline")


@pytest.fixture
def in_an_app(run: Run) -> Run:
    """Return the function that runs commands, after an app's binary got version 3, before sets."""
    write(kit.policy(HOST))
    documented(run, "init", *INIT, "--url", "www")
    assert run(*BINARY, "--force", "--reason", "no server").code == 0
    return run


@pytest.mark.medium
def test_a_version_too_far_above_one_in_an_app_is_refused(in_an_app: Run) -> None:
    """Each step is small, but a new installation of the app has only the first version."""
    run = in_an_app
    for version in (3, 900):
        _edited("version = 3", f"version = {version}")
        documented(run, "sign", *KEYS[1:], "--offline")
        documented(run, "push")
    done = run("publish", "status")
    warned = "clients with version 3 take no version above 1003 under this root"
    assert (done.code, warned in " ".join(done.err.split())) == (0, True)
    recorded = len(journal())
    _edited("version = 900", "version = 1004")
    done = run("publish", "sign", *KEYS[1:], "--offline")
    said = " ".join(done.err.split())
    assert done.code == 2
    assert "version 1004 is more than 1000 above version 3, which clients may hold" in said
    assert "write version = 901 into the pin file" in said
    assert "record that: certpin rotate shipped 3 --ended" in said
    assert len(journal()) == recorded
    documented(run, "sign", *KEYS, "--offline", "--renew", "root")
    documented(run, "push")
    assert documented(run, "status")["lowest"] == 1004
    _edited("version = 1004", "version = 1800")  # under the new root
    documented(run, "sign", *KEYS[1:], "--offline")


def test_a_version_of_the_day_of_the_root_is_not_older_than_the_root(begun: Run) -> None:
    """A client that has the new root and version 3 refuses 1803, which comes without a root."""
    documented(begun, "sign", *KEYS, "--offline")
    documented(begun, "push")
    documented(begun, "sign", *KEYS, "--renew", "root")
    documented(begun, "push")
    _edited("version = 3", "version = 903")
    documented(begun, "sign", *KEYS[1:], "--offline")
    documented(begun, "push")
    assert documented(begun, "status")["lowest"] == 3
    _edited("version = 903", "version = 1803")
    done = begun("publish", "sign", *KEYS[1:], "--offline")
    said = " ".join(done.err.split())
    assert (done.code, "more than 1000 above version 3, which clients may hold" in said) == (
        2,
        True,
    )


def test_the_first_signed_version_is_not_too_far_above_one_in_an_app(in_an_app: Run) -> None:
    _edited("version = 3", "version = 2000")
    done = in_an_app("publish", "sign", *KEYS[1:], "--offline")
    said = " ".join(done.err.split())
    assert (done.code, "write version = 4 into the pin file" in said) == (2, True)
    documented(in_an_app, "sign", *KEYS, "--offline", "--renew", "root")


def test_a_version_that_no_client_holds_does_not_count(in_an_app: Run) -> None:
    assert in_an_app("rotate", "shipped", "3", "--ended", "--offline").code == 0
    _edited("version = 3", "version = 2000")
    documented(in_an_app, "sign", *KEYS[1:], "--offline")


def test_status_reports_that_clients_refuse_the_signed_version(in_an_app: Run) -> None:
    """The version in the binary was recorded after the jump."""
    before = Path("pins.journal.jsonl").read_bytes()
    Path("pins.journal.jsonl").unlink()
    _edited("version = 3", "version = 2000")
    documented(in_an_app, "sign", *KEYS[1:], "--offline")
    documented(in_an_app, "push")
    after = Path("pins.journal.jsonl").read_bytes()
    Path("pins.journal.jsonl").write_bytes(before + after)
    done = in_an_app("publish", "status")
    warned = "clients with version 3 refuse version 2000 under this root: sign a new root"
    assert (done.code, warned in " ".join(done.err.split())) == (1, True)
    known = set(Path("publish/site/metadata").glob("*.targets.json"))
    documented(in_an_app, "sign", *KEYS[1:], "--renew", "targets")  # signatures are renewed
    assert len(set(Path("publish/site/metadata").glob("*.targets.json")) - known) == 1


def test_nothing_is_recorded_if_clients_would_refuse_the_result(
    begun: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert begun("publish", "sign", *KEYS).code == 0
    recorded, before = len(journal()), site_files()
    _edited("version = 3", "version = 4")
    monkeypatch.setattr("certpin.publish.sign.LIMITS", Limits(targets=100))
    done = begun("publish", "sign", *KEYS, "--offline")
    assert (done.code, "nothing was written" in " ".join(done.err.split())) == (2, True)
    assert (len(journal()), site_files()) == (recorded, before)


def test_printed_commands_name_the_pin_file_and_the_missing_keys(begun: Run) -> None:
    """`certpin publish push` without `--file` would push another pin set."""
    Path("team").mkdir()
    for name in ("publish", "pins.toml", "pins.journal.jsonl"):
        shutil.move(name, "team")
    file = ("--file", "team/pins.toml")
    added = begun("publish", "add-key", "new.key", "--role", "online", *file)
    assert "Next:  certpin publish sign KEY… --file team/pins.toml" in added.out
    keys = {"CERTPIN_SIGNING_KEYS": "root.key new.key targets.key"}
    added = begun("publish", "add-key", "newer.key", "--role", "online", *file, **keys)
    assert "Next:  certpin publish sign --file team/pins.toml" in added.out
    assert begun("publish", "sign", *KEYS, "newer.key", *file).code == 0
    status = " ".join(begun("publish", "status", *file).out.split())
    assert "not pushed yet: certpin publish push --file team/pins.toml" in status
    assert "no timestamp is there: certpin publish push --file team/pins.toml" in status
    rotation = begun("rotate", "status", "--offline", *file).out
    assert "not pushed yet (certpin publish push --file team/pins.toml)" in rotation


def test_the_keys_may_be_named_in_the_environment(begun: Run) -> None:
    Path("targets.key").rename("my targets.key")
    keys = {"CERTPIN_SIGNING_KEYS": "'my targets.key' online.key"}
    assert begun("publish", "sign", **keys).code == 0
    assert follow() == 3
    without = begun("publish", "sign")
    assert (without.code, "CERTPIN_SIGNING_KEYS" in without.err) == (2, True)
    broken = begun("publish", "sign", CERTPIN_SIGNING_KEYS="'open")
    assert (broken.code, "CERTPIN_SIGNING_KEYS" in broken.err) == (2, True)


@pytest.mark.medium
def test_the_journal_keeps_trust_files_and_all_other_fields(run: Run, ca: Path) -> None:
    shutil.copy(ca, "ca.pem")
    policy = kit.policy(
        "*.bank.example", mode="report", match="any", expires=utc_now() + timedelta(days=500)
    )
    write(policy, kit.policy(HOST, on_expiry="report"), trust=Path("ca.pem"))
    documented(run, "init", *INIT)
    record_signed()
    signed = documented(run, "sign", *KEYS)
    assert [path for path in signed["written"] if path.endswith(".ca.pem")]
    assert follow() == 3
    documented(run, "sign", "targets.key", "online.key", "--renew", "targets")
    Path("ca.pem").write_bytes(ca.read_bytes() * 2)
    assert documented(run, "sign", "online.key")["version"] == 3


def test_a_key_without_a_role_is_reported(begun: Run) -> None:
    pem, _ = new_private_key("p256", None)
    Path("other.key").write_bytes(pem)
    done = begun("publish", "sign", "targets.key", "other.key")
    said = " ".join(done.err.split())
    assert (done.code, "signs nothing here" in said) == (2, True)
    assert "the key other.key (" in said
    assert not [*FOLDER.glob("drafts/*")]


def test_a_weak_key_signs_nothing(run: Run) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    write(kit.policy(HOST))
    weak = rsa.generate_private_key(65537, 1024)
    Path("root.key").write_bytes(
        weak.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    done = run("publish", "init", *INIT)
    assert (done.code, "1024 bits" in done.err) == (2, True)


def test_without_the_extra_its_name_is_printed(begun: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("certpin.publish")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("certpin.publish", raising=False)
    monkeypatch.setitem(sys.modules, "tuf.api.metadata", None)
    monkeypatch.setitem(sys.modules, "tuf", None)
    for words in (["init", *INIT], ["status"], ["sign", "x"], ["add-key", "x", "--role", "root"]):
        done = begun("publish", *words)
        assert (done.code, "pip install 'certpin[publish]'" in done.err) == (2, True)


@pytest.mark.peer("softhsm2")
def test_keys_may_be_on_a_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write(kit.policy(HOST))
    with softhsm(monkeypatch) as hsm:
        pin = {"CERTPIN_PKCS11_PIN": hsm.pin}
        root, targets = hsm.uri("root"), hsm.uri("targets")
        words = ("--root-key", root, "--targets-key", targets, "--online-key", "online.key")
        made = documented(run, "init", *words, **pin)
        assert [key["made"] for key in made["keys"]] == [True, True, True]
        record_signed()
        documented(run, "sign", root, targets, "online.key", **pin)
        assert follow() == 3
        shutil.rmtree(FOLDER)
        again = documented(run, "init", *words, **pin)  # existing keys are used
        assert [key["made"] for key in again["keys"]] == [False, False, False]
        assert [key["key"] for key in again["keys"]] == [key["key"] for key in made["keys"]]
        shutil.rmtree(FOLDER)
        new = ("--root-key", hsm.uri("root2"), "--root-threshold", "1", *words[2:-1], "pins.toml")
        assert run("publish", "init", *new, **pin).code == 2
        with hsm.session() as session:
            assert "root2" not in " ".join(str(obj) for obj in session.get_objects())


@pytest.mark.parametrize(
    ("uri", "reason", "fix"),
    [
        ("sigstore:me@bank.example", "Fulcio and Rekor", "use a key in a file"),
        ("gnupg:0123", "are not supported", "give a file, a PKCS#11 URI"),
        ("hv:key", "not the URI of a key in Vault", "hv:NAME/VERSION"),
        ("awskms:arn:aws:kms:x", "not the URI of a key in AWS KMS", "awskms:alias/"),
        ("gcpkms:projects/x", "not the URI of a key in Google Cloud KMS", "cryptoKeyVersions/1"),
    ],
)
def test_a_key_of_an_unknown_scheme_is_refused_and_no_file_is_made(
    begun: Run, uri: str, reason: str, fix: str
) -> None:
    before = sorted(Path().rglob("*"))
    for words in (
        ("publish", "add-key", uri, "--role", "root"),
        ("publish", "sign", uri),
        ("add", "other.example", "--backup-key", uri),
    ):
        done = begun(*words)
        assert done.code == 2, words
        assert reason in done.err
        assert fix in done.err
    assert sorted(Path().rglob("*")) == before


def test_a_file_name_like_a_uri_needs_its_folder(begun: Run) -> None:
    assert begun("publish", "add-key", "./hv:key", "--role", "root").code == 0
    assert Path("hv:key").is_file()
