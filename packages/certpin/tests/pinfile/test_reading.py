"""Read pins.toml: its meaning, the files that it names, and the warnings."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import ssl
import warnings
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import certpin
from certpin.errors import ConfigError, PinFileError
from certpin.lab import Authority
from certpin.pinfile import PINS_VARIABLE, PinFileWarning, PinSet, file
from certpin.pinfile.reader import DEBUG_KEYS, HOST_KEYS, PIN_KEYS, TOP_KEYS
from certpin.pinfile.spelling import closest_key
from certpin.pins import HostPattern, HostPin, HostPolicy
from tests import kit
from tests.pinfile._files import FULL, GOOD, HEAD, HOST, ONE, PINS, TWO, WHOLE


def test_every_setting_is_read() -> None:
    pins = PinSet.parse(FULL)
    assert (pins.name, pins.version, pins.debug) == ("bank-app", 12, None)
    assert pins.policies == (
        HostPolicy(
            HostPattern("", "api.bank.example"),
            (
                HostPin(ONE, "leaf", "active", "KMS key bank-2026-a"),
                HostPin(TWO, "backup", "published"),
            ),
            expires=datetime(2027, 6, 1, tzinfo=UTC),
            on_expiry="fail-open",
            report_to=("https://pins.bank.example/reports",),
        ),
        HostPolicy(
            HostPattern("**.", "bank.example"),
            (HostPin(WHOLE, "root"),),
            mode="report",
            match="ca",
            expires=datetime(2027, 6, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        ),
    )


def test_providers_of_roots_are_read() -> None:
    entry = f'pin = "{ONE}"\nrole = "root"\nprovider = "one"\nnot_after = 2036-06-22\n'
    other = f'pin = "{TWO}"\nrole = "root"\nprovider = ["one", "cdn"]\n'
    host = f"{HOST}provider_edition = 2026-11-28\n"
    (policy,) = PinSet.parse(f"{HEAD}{host}\n[[host.pin]]\n{entry}[[host.pin]]\n{other}").policies
    assert policy.provider_edition == date(2026, 11, 28)
    assert [each.provider for each in policy.pins] == [("one",), ("one", "cdn")]
    assert [each.not_after for each in policy.pins] == [date(2036, 6, 22), None]


@pytest.mark.parametrize(
    "line", ["provider = 1", "provider = [1]", "not_after = 2036-06-22T00:00:00Z", "not_after = 1"]
)
def test_a_wrong_provider_or_expiry_of_a_root_is_refused(line: str) -> None:
    with pytest.raises(PinFileError, match="is not allowed for"):
        PinSet.parse(f"{GOOD}{line}\n")


def test_defaults_are_strict() -> None:
    (policy,) = PinSet.parse(GOOD).policies
    assert (policy.mode, policy.match, policy.on_expiry) == ("enforce", "any", "fail-closed")
    assert (policy.expires, policy.trust, policy.report_to) == (None, None, ())
    assert (policy.pins[0].role, policy.pins[0].state, policy.pins[0].note) == (
        "leaf",
        "active",
        "",
    )


SPELLINGS = {
    "inline tables": HEAD
    + f'host = [{{ name = "api.bank.example", pin = [{{ pin = "{ONE}" }}, '
    + f'{{ pin = "{TWO}", role = "backup" }}] }}]\n',
    "pins in a list": HEAD
    + HOST
    + f'pin = [\n  {{ pin = "{ONE}" }},  # one\n  {{ pin = "{TWO}", role = "backup" }},\n]\n',
    "comments everywhere": re.sub(r"$", "  # [[host]] name = 3", GOOD, flags=re.MULTILINE),
    "DOS line ends": GOOD.replace("\n", "\r\n"),
    "indented": re.sub(r"^", "    ", GOOD, flags=re.MULTILINE),
    "quoted keys": GOOD.replace("[[host.pin]]", "[[ 'host' . \"pin\" ]]").replace(
        "pin =", "'pin' ="
    ),
    "another order": f'version = 12\nname = "bank-app"\nschema = 1\n{HOST}{PINS}',
    "without a last line end": GOOD.rstrip(),
    "in capitals": GOOD.replace("api.bank.example", "API.Bank.Example."),
    "as curl writes pins": GOOD.replace("sha256/", "sha256//"),
}


@pytest.mark.parametrize("what", SPELLINGS)
def test_equivalent_notations_give_the_same_pin_set(what: str) -> None:
    assert PinSet.parse(SPELLINGS[what]) == PinSet.parse(GOOD)


def test_load_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    for text in (FULL, FULL.replace("\n", "\r\n")):
        path.write_bytes(text.encode())
        assert PinSet.load(path) == PinSet.load(str(path)) == PinSet.parse(FULL)


def test_certpin_exports_the_pin_set_of_files() -> None:
    assert certpin.PinSet is PinSet


def _anchored(trust: str = "", debug: str = "") -> str:
    line = f"trust = {trust!r}\n" if trust else ""
    return HEAD + HOST + line + PINS + (f"\n[debug]\nanchors = {debug!r}\n" if debug else "")


@pytest.mark.parametrize("name", ["roots.pem", "ca/roots.der", "../roots.pem"])
def test_files_are_relative_to_the_pin_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority("Private")
    path = tmp_path / "app" / "pins.toml"
    path.parent.mkdir()
    anchors = path.parent / name
    anchors.parent.mkdir(exist_ok=True)
    anchors.write_bytes(authority.certificate.der if name.endswith(".der") else authority.pem)
    path.write_text(_anchored(trust=name, debug=name), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for spelling in (path, Path("app/pins.toml")):
        pins = PinSet.load(spelling)
        for trust in (pins.policies[0].trust, pins.debug):
            assert trust is not None
            assert trust.der == (authority.certificate.der,)
            assert trust.source == name


def test_an_absolute_path_to_anchors_is_accepted(tmp_path: Path) -> None:
    authority = Authority("Private")
    anchors = tmp_path / "roots.pem"
    anchors.write_bytes(authority.pem + Authority("Second").pem)
    (policy,) = PinSet.parse(_anchored(trust=str(anchors))).policies
    assert policy.trust is not None
    assert len(policy.trust.der) == 2


def test_a_loaded_pin_set_never_reads_the_disk(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_bytes(Authority("Private").pem)
    pins = PinSet.parse(_anchored(trust="roots.pem"), path=tmp_path / "pins.toml")
    (tmp_path / "roots.pem").unlink()
    policy = pins.policy_for("api.bank.example")
    assert policy is not None
    assert policy.trust is not None
    assert pickle.loads(pickle.dumps(pins)) == pins


def test_an_anchor_that_openssl_cannot_read_is_refused(tmp_path: Path) -> None:
    """Otherwise the first connection ends in an error of OpenSSL, which names no file."""
    anchor = Authority("Bank Root")
    unreadable = kit.unreadable_to_openssl(anchor.certificate.der)
    (tmp_path / "roots.pem").write_bytes(anchor.pem + ssl.DER_cert_to_PEM_cert(unreadable).encode())
    (tmp_path / "pins.toml").write_text(f'{HEAD}{HOST}trust = "roots.pem"\n{PINS}')
    digest = hashlib.sha256(unreadable).hexdigest()
    with pytest.raises(PinFileError, match=f"OpenSSL cannot read .* SHA-256 {digest}") as caught:
        PinSet.load(tmp_path / "pins.toml")
    assert caught.value.key == "host[0].trust"


def test_without_trust_the_roots_of_the_platform_are_used() -> None:
    assert PinSet.parse(_anchored(trust="system")) == PinSet.parse(GOOD)


@pytest.mark.parametrize(
    ("line", "strict"),
    [("", None), ("strict_x509 = true\n", True), ("strict_x509 = false\n", False)],
)
def test_strict_x509_is_read(line: str, strict: bool | None) -> None:
    text = HEAD + HOST + 'trust = "ca.pem"\n' + line + PINS
    (policy,) = PinSet.parse(text, files={"ca.pem": Authority("Private").pem}).policies
    assert policy.trust is not None
    assert policy.trust.strict is strict


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("strict_x509 = false\n", "it is for hosts with trust = FILE"),
        ('trust = "system"\nstrict_x509 = true\n', "it is for hosts with trust = FILE"),
        ('trust = "ca.pem"\nstrict_x509 = "no"\n', "'no' is not allowed for"),
    ],
)
def test_strict_x509_without_a_trust_file_is_refused(lines: str, problem: str) -> None:
    with pytest.raises(PinFileError, match=problem) as caught:
        PinSet.parse(HEAD + HOST + lines + PINS, files={"ca.pem": b""})
    assert caught.value.key == "host[0].strict_x509"


UNKNOWN = {
    "color": (HEAD + 'color = "red"\n' + HOST + PINS, "color", 4),
    "a table": (GOOD + "[tool.mine]\nx = 1\n", "tool", 14),
    "host": (HEAD + HOST + "lifetime = 2027-06-01\n" + PINS, "host[0].lifetime", 7),
    "pin": (GOOD + 'owner = "x"\n', "host[0].pin[1].owner", 14),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_key_causes_a_warning_and_nothing_else(what: str) -> None:
    text, key, line = UNKNOWN[what]
    words = f"mine.toml:{line}: {key} is not known here"
    with pytest.warns(PinFileWarning, match=re.escape(words)) as caught:
        pins = PinSet.parse(text, path="mine.toml")
    assert "(known: " in str(caught[0].message)
    assert pins == PinSet.parse(GOOD)


def test_an_unknown_key_of_many_hosts_causes_one_warning() -> None:
    hosts = [f'[[host]]\nname = "h{n}.example"\nlifetime = 1\n{PINS}' for n in range(20)]
    with pytest.warns(PinFileWarning, match=r":7: host\[0\]\.lifetime is not known") as caught:
        PinSet.parse(HEAD + "\n" + "\n".join(hosts))
    assert len(caught) == 1


def test_few_of_many_unknown_keys_cause_warnings() -> None:
    text = GOOD + "".join(f"[x{n}]\n" for n in range(1000))
    with pytest.warns(PinFileWarning) as caught:
        PinSet.parse(text)
    assert len(caught) == 11
    assert "990 more keys are not known here" in str(caught[-1].message)


def test_very_many_unknown_keys_are_refused() -> None:
    """A signed set with them would hold up each start of an app."""
    text = GOOD + "".join(f"[x{n}]\n" for n in range(1001))
    with pytest.raises(ConfigError, match="more than 1000 different keys are not known"):
        PinSet.parse(text)


def test_an_unknown_key_of_the_debug_table_causes_a_warning(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority("Debug").pem)
    text = _anchored(debug="ca.pem") + "on = true\n"
    with pytest.warns(PinFileWarning, match=r"debug\.on is not known here"):
        PinSet.parse(text, path=tmp_path / "pins.toml")


MISSPELT = {
    "trust": (HEAD + HOST + 'truts = "ca.pem"\n' + PINS, "host[0].truts", 7, "'trust'"),
    "expires": (HEAD + HOST + "expiry = 2027-06-01\n" + PINS, "host[0].expiry", 7, "'expires'"),
    "on_expiry": (
        HEAD + HOST + 'On-Expiry = "report"\n' + PINS,
        "host[0].On-Expiry",
        7,
        "'on_expiry'",
    ),
    "role": (GOOD + 'rule = "leaf"\n', "host[0].pin[1].rule", 14, "'role'"),
    "host": (GOOD + "[[hots]]\n", "hots", 14, "'host'"),
    "a host's in a pin": (GOOD + 'trust = "ca.pem"\n', "host[0].pin[1].trust", 14, "[[host]]"),
    "a host's at the top": (HEAD + 'mode = "report"\n' + HOST + PINS, "mode", 4, "[[host]]"),
}


@pytest.mark.parametrize("what", MISSPELT)
def test_a_key_that_resembles_a_known_one_is_refused(what: str) -> None:
    text, key, line, meant = MISSPELT[what]
    with pytest.raises(PinFileError, match=r"is not a key of this table") as caught:
        PinSet.parse(text)
    assert (caught.value.key, caught.value.line) == (key, line)
    assert meant in caught.value.fix


TABLES = (TOP_KEYS, HOST_KEYS, PIN_KEYS, DEBUG_KEYS)
KNOWN = [(name, keys) for keys in TABLES for name in keys]


@given(st.sampled_from(KNOWN), st.data())
def test_every_slip_resembles_the_known_key(
    known: tuple[str, tuple[str, ...]], data: st.DataObject
) -> None:
    name, keys = known
    at, letter = data.draw(st.integers(0, len(name) - 1)), data.draw(st.sampled_from("abexyz_"))
    slips = (
        name[:at] + name[at + 1 :],
        name[:at] + letter + name[at:],
        name[:at] + letter + name[at + 1 :],
        name[:at] + name[at + 1 : at + 2] + name[at] + name[at + 2 :],
    )
    for slip in slips:
        if slip not in keys:
            assert closest_key(slip, keys)


def test_no_known_key_resembles_another() -> None:
    for keys in TABLES:
        for name in keys:
            assert not closest_key(name, [each for each in keys if each != name])


def test_a_file_of_another_schema_gives_no_warnings_about_its_keys() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PinFileError, match="reads schema 1, and the file has 2") as caught:
            PinSet.parse(GOOD.replace("schema = 1", "schema = 2\nnew = true"))
    assert (caught.value.key, caught.value.line) == ("schema", 1)
    assert "newer" in caught.value.fix


def test_from_env_reads_the_named_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv(PINS_VARIABLE, str(path))
    assert PINS_VARIABLE == "CERTPIN_PINS"
    assert PinSet.from_env() == PinSet.parse(GOOD)


@pytest.mark.parametrize("value", [None, ""])
def test_from_env_without_a_file_is_an_error(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv(PINS_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(PINS_VARIABLE, value)
    with pytest.raises(PinFileError, match="CERTPIN_PINS names no file") as caught:
        PinSet.from_env()
    assert "set CERTPIN_PINS" in caught.value.fix


def test_a_missing_file_is_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(PinFileError, match="cannot be read: No such file") as caught:
        PinSet.load(tmp_path / "none.toml")
    assert "certpin add HOST" in caught.value.fix
    assert caught.value.path == str(tmp_path / "none.toml")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PinFileError, match="cannot be read"):
        PinSet.load(tmp_path)


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(PinFileError, match="cannot be read"):
        PinSet.load("pins\0.toml")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(PinFileError, match="not UTF-8 text") as caught:
        PinSet.load(path)
    assert "UTF-8" in caught.value.fix


def test_a_byte_order_mark_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_bytes(GOOD.encode("utf-8-sig"))
    with pytest.raises(PinFileError, match="byte order mark") as caught:
        PinSet.load(path)
    assert caught.value.line == 1


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(GOOD, encoding="utf-8")
    monkeypatch.setattr(file, "MAX_PIN_FILE_BYTES", os.path.getsize(path) - 1)  # noqa: PTH202
    with pytest.raises(PinFileError, match="more than"):
        PinSet.load(path)


def test_a_pin_set_from_a_file_is_frozen() -> None:
    with pytest.raises(AttributeError):
        PinSet.parse(GOOD).name = "other"  # type: ignore[misc]
