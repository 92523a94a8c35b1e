"""Pins and certificates of builds that are not for the app store: they are listed, not imported."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.apps.builds import (
    DEBUG_BUILDS,
    builds_of,
    builds_of_flavours,
    builds_of_source,
    is_for_debug,
)
from certpin.apps.merge import draft_policies
from certpin.apps.model import FileFindings, FoundCertificate, FoundPin, Place
from certpin.apps.usage import Acceptance
from certpin.formats import FORMATS
from certpin.lab import Authority
from certpin.pins import Pin, pins_of
from certpin.x509 import name_of
from tests.apps._project import read, write
from tests.cli._chains import self_signed
from tests.kit import NOBODY, NOBODY_ELSE, anchors, pin_set, policy

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.apps.model import SourceFile

HOST = "api.bank.example"
MAIN = "android/app/src/main/res/xml/network_security_config.xml"
OTHER = Pin.of_key(bytes(range(9, 41)))
BANK = Authority("Bank CA").pem
STAGING = "builds of the flavour 'staging'"
OVERRIDING = """\
  <base-config><trust-anchors>
    <certificates src="user" overridePins="true"/>
  </trust-anchors></base-config>
"""


@pytest.fixture(autouse=True)
def _in_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def proxy() -> Authority:
    return Authority("Proxy CA")


def _config(pin: Pin) -> str:
    return f"""\
<network-security-config>
{OVERRIDING}  <domain-config>
    <domain>{HOST}</domain>
    <pin-set><pin digest="SHA-256">{str(pin).removeprefix("sha256/")}</pin></pin-set>
  </domain-config>
</network-security-config>
"""


def _plist(*pins: Pin) -> str:
    return FORMATS["apple"].export(pin_set(policy(HOST, *pins, match="leaf"))).files[0].text


def _imported(*hosts: str) -> tuple[list[Pin], list[str]]:
    """Return the pins of ``HOST`` that an import writes, and the list of skipped parts."""
    draft = draft_policies(read(".").findings, hosts)
    assert list(draft.hosts) == [HOST]
    return list(draft.hosts[HOST].pins), [each.what for each in draft.dropped]


@pytest.mark.parametrize(
    ("source_set", "builds"),
    [
        *((name, DEBUG_BUILDS) for name in ("debug", "stagingDebug", "developmentDebug")),
        *((name, DEBUG_BUILDS) for name in ("profile", "bankProfile", "test", "testStaging")),
        *((name, DEBUG_BUILDS) for name in ("androidTest", "androidTestBank", "screenshotTest")),
        *((name, STAGING) for name in ("staging", "stagingRelease", "bankStaging")),
        ("debugRelease", "builds of the flavour 'debug'"),
        ("dev", "builds of the flavour 'dev'"),
    ],
)
def test_pins_of_other_builds_are_not_imported(source_set: str, builds: str) -> None:
    other = MAIN.replace("/main/", f"/{source_set}/")
    write(Path(), {MAIN: _config(NOBODY), other: _config(NOBODY_ELSE)})
    pins, dropped = _imported()
    assert pins == [NOBODY]
    assert f"{NOBODY_ELSE}: only {builds} use it" in dropped
    # A release of a flavour may reach users, so its weaknesses are mistakes.
    rule = "platform-pins-overridden"
    weak = {each.place.file for each in read(".").findings.mistakes if each.rule == rule}
    assert weak == ({MAIN} if builds == DEBUG_BUILDS else {MAIN, other})


@pytest.mark.parametrize(
    ("name", "builds"),
    [
        ("Info-Debug.plist", DEBUG_BUILDS),
        ("DebugInfo.plist", DEBUG_BUILDS),
        ("Info-Prod-Debug.plist", DEBUG_BUILDS),
        ("Info-Profile.plist", DEBUG_BUILDS),
        ("debug/Info.plist", DEBUG_BUILDS),
        ("RunnerTests/Info.plist", DEBUG_BUILDS),
        ("Info-Staging.plist", STAGING),
        ("staging/Info.plist", STAGING),
        ("Info-StagingRelease.plist", STAGING),
    ],
)
def test_a_property_list_of_other_builds_is_not_imported(name: str, builds: str) -> None:
    released, others = _plist(NOBODY, NOBODY_ELSE), _plist(NOBODY_ELSE, OTHER)
    write(Path(), {"ios/Runner/Info.plist": released, f"ios/Runner/{name}": others})
    pins, dropped = _imported()
    assert pins == [NOBODY, NOBODY_ELSE]
    assert f"{OTHER}: only {builds} use it" in dropped


@pytest.mark.parametrize(
    ("name", "builds"),
    [
        ("lib/env_dev.dart", "builds of the flavour 'dev'"),
        ("lib/environment.staging.dart", STAGING),
        ("lib/pinsDev.dart", "builds of the flavour 'dev'"),
        ("lib/staging/pins.dart", STAGING),
        ("lib/debug/pins.dart", DEBUG_BUILDS),
        ("lib/pins_debug.dart", DEBUG_BUILDS),
    ],
)
def test_a_source_file_of_other_builds_is_not_imported(name: str, builds: str) -> None:
    others = f"{NOBODY_ELSE}\n{OTHER}\n"
    files = {"pubspec.yaml": "name: bank\n", "lib/pins.dart": f"{NOBODY}\n{NOBODY_ELSE}\n"}
    write(Path(), {**files, name: others})
    pins, dropped = _imported(HOST)
    assert pins == [NOBODY, NOBODY_ELSE]
    assert dropped == [f"{pin}: only {builds} use it" for pin in (NOBODY_ELSE, OTHER)]
    # The user asks for that build.
    assert list(draft_policies(read(name).findings, [HOST]).hosts[HOST].pins) == [
        NOBODY_ELSE,
        OTHER,
    ]


def test_the_name_of_a_pin_says_more_than_that_of_its_file() -> None:
    def reader(file: SourceFile, _now: datetime) -> FileFindings:
        place = Place(file.path, 1)
        pins = {"prodPins": NOBODY, "apiPins": OTHER}
        return FileFindings(pins=[FoundPin(pin, place, name) for name, pin in pins.items()])

    write(Path(), {"lib/dev/pins.dart": ""})
    found = read(".", reader=reader).findings.pins
    assert [each.builds for each in found] == ["", "builds of the flavour 'dev'"]


def test_the_name_of_a_certificate_says_more_than_that_of_its_file(root: Authority) -> None:
    def reader(file: SourceFile, _now: datetime) -> FileFindings:
        place, names = Place(file.path, 1), ("prodCertificate", "certificate")
        found = [FoundCertificate(root.certificate, place, name=name) for name in names]
        return FileFindings(certificates=found)

    write(Path(), {"lib/dev/pins.dart": ""})
    found = read(".", reader=reader).findings.certificates
    assert [each.builds for each in found] == ["", "builds of the flavour 'dev'"]


@pytest.mark.parametrize(
    "named", ["lib/../lib/env_dev.dart", "./lib/env_dev.dart", "{cwd}/lib/env_dev.dart"]
)
def test_a_named_file_is_imported_however_it_is_spelled(named: str) -> None:
    write(Path(), {"lib/env_dev.dart": f"{NOBODY}\n"})
    for paths in ([named], ["lib", named]):
        [pin] = read(*(path.format(cwd=Path.cwd()) for path in paths)).findings.pins
        assert pin.builds == ""


def test_a_named_file_outside_of_the_working_folder_is_imported(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    other = tmp_path_factory.mktemp("other")
    write(other, {"env_dev.dart": f"{NOBODY}\n"})
    [pin] = read(f"{other}/../{other.name}/env_dev.dart").findings.pins
    assert pin.builds == ""


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        ("untrusted_certificate_handler.dart", "bankPins", "accepts"),
        ("untrusted_certificate_handler.dart", "values", "unclear"),
        ("revoked_certificates.dart", "values", "refuses"),
        ("revoked_pins.dart", "pins", "unclear"),
        ("revoked_pins.dart", "stolenKeys", "refuses"),
    ],
)
def test_the_nearest_name_decides_before_that_of_the_file(file: str, name: str, kind: str) -> None:
    def reader(file: SourceFile, _now: datetime) -> FileFindings:
        said = Acceptance().inside(name, is_outer=False)
        return FileFindings([FoundPin(NOBODY, Place(file.path, 1), name, acceptance=said)])

    write(Path(), {f"lib/{file}": ""})
    [found] = read(".", reader=reader).findings.pins
    assert found.acceptance.kind == kind


@pytest.mark.parametrize(
    "path",
    ["lib/user_profile.dart", "lib/profile/pins.dart", "lib/contest.dart", "lib/env_non_dev.dart"],
)
def test_other_source_files_are_those_of_the_store(path: str) -> None:
    assert builds_of_source(path) == ""


def test_keys_in_a_file_of_refused_keys_are_not_imported() -> None:
    write(Path(), {"lib/pins.dart": f"{NOBODY}\n{OTHER}\n", "lib/revoked_pins.dart": f"{OTHER}\n"})
    pins, dropped = _imported(HOST)
    assert pins == [NOBODY]
    assert len(dropped) == 2
    assert all("'revoked_pins'" in each for each in dropped)


@pytest.mark.parametrize(
    "path",
    [
        "home/src/debug/res/app/src/main/res/xml/a.xml",
        "home/src/debug/bank/android/app/src/main/res/xml/a.xml",
        "src/debug/bank/ios/Runner/Info.plist",
        "test/bank/ios/Runner/Info.plist",
        "BankTests/app/ios/Runner/Info.plist",
        "android/app/src/release/res/xml/a.xml",
        "android/app/src/bankRelease/res/xml/a.xml",
        "android/app/src/contest/res/xml/a.xml",
        "android/app/src/testers/res/xml/a.xml",
        "ios/Runner/ProfileInfo.plist",
        "ios/TestFlightSupport/Info.plist",
        "assets/contested.pem",
        "lib/src/debug/assets/ca.pem",
        "",
    ],
)
def test_the_builds_of_other_files_are_those_of_the_store(path: str) -> None:
    assert builds_of(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "res/xml/network_security_config_no_debug.xml",
        "res/raw/non_debug_ca.pem",
        "res/raw/non_dev_ca.pem",
        "android/app/src/nonDebug/res/xml/a.xml",
        "android/app/src/bankNotDebug/res/xml/a.xml",
        "android/app/src/nonStaging/res/xml/a.xml",
        "ios/Runner/Info-NotDebug.plist",
    ],
)
def test_a_negated_name_is_that_of_a_release(path: str) -> None:
    assert (builds_of(path), is_for_debug(path)) == ("", False)


@pytest.mark.parametrize("source_set", ["casinoDebug", "canonDebug", "testNonDebug"])
def test_another_name_of_debug_builds_is_not_negated(source_set: str) -> None:
    assert is_for_debug(f"android/app/src/{source_set}/res/xml/a.xml")


def test_the_names_of_flavours_that_are_printed_have_a_limit() -> None:
    assert builds_of_flavours("x" * 1000) == "builds of the flavour '" + "x" * 199
    assert builds_of_flavours("x" * 198) == f"builds of the flavour '{'x' * 198}'"


def test_a_certificate_of_debug_builds_is_no_trust_anchor(proxy: Authority) -> None:
    """The guide for Android exports the authority of a proxy into the debug source set."""
    debug = pin_set(policy(HOST, NOBODY, NOBODY_ELSE), debug=anchors(proxy))
    [_, anchor] = FORMATS["android"].export(debug).files
    write(Path(), {f"android/app/src/debug/{anchor.path}": anchor.text, MAIN: _config(NOBODY)})
    write(Path(), {"assets/ca.pem": Authority("Bank CA").pem})
    findings = read(".").findings
    assert {each.builds for each in findings.certificates} == {DEBUG_BUILDS, ""}
    draft = draft_policies(findings, ["www.bank.example"])
    [trusted] = draft.hosts["www.bank.example"].anchors
    assert name_of(trusted) == "CN=Bank CA"
    dropped = [each.what for each in draft.dropped]
    assert f"the certificate of {name_of(proxy.certificate)}: only debug builds use it" in dropped


@pytest.mark.parametrize(
    "name",
    ["assets/staging.pem", "ios/Runner/staging_ca.cer", "android/app/src/main/res/raw/staging.pem"],
)
def test_a_certificate_with_the_name_of_a_flavour_is_that_of_the_flavour(
    name: str, proxy: Authority
) -> None:
    write(Path(), {name: proxy.pem})
    assert [each.builds for each in read(".").findings.certificates] == [STAGING]


PUBSPEC = """\
flutter:
  assets:
    - assets/
    - path: assets/own/
      flavors: [{}]
    - path: assets/own/api.pem
      flavors: [{}]
"""


@pytest.mark.parametrize(
    "flavours", ["staging", "beta", "dev, nonProd", "dev, notProd", "dev, preProd"]
)
def test_an_asset_of_other_flavours_is_no_trust_anchor(flavours: str) -> None:
    """A self-signed certificate for the production host would be its only trust anchor."""
    own = {
        name: self_signed(HOST).certificate
        for name in ("assets/own/api.pem", "assets/own/other.pem")
    }
    files = {name: ssl.DER_cert_to_PEM_cert(each.der) for name, each in own.items()}
    write(Path(), {MAIN: _config(NOBODY), "pubspec.yaml": PUBSPEC.format(flavours, flavours)})
    write(Path(), files)
    draft = draft_policies(read(".").findings, [])
    assert list(draft.hosts[HOST].pins) == [NOBODY]
    assert draft.hosts[HOST].anchors == {}
    quoted = ", ".join(f"'{name}'" for name in flavours.split(", "))
    kept = [each.place.file for each in draft.dropped if each.what.endswith(f"{quoted} use it")]
    assert sorted(kept) == sorted(files)


def test_an_asset_of_the_flavour_of_the_store_is_imported() -> None:
    own = self_signed(HOST).certificate
    pem = ssl.DER_cert_to_PEM_cert(own.der)
    write(Path(), {"pubspec.yaml": PUBSPEC.format("dev, prod", "prod"), "assets/own/api.pem": pem})
    [host] = draft_policies(read(".").findings, []).hosts.values()
    assert list(host.anchors) == [own]


def test_an_anchor_of_debug_overrides_is_for_debug_builds_only(proxy: Authority) -> None:
    pins = pin_set(policy(HOST, NOBODY, NOBODY_ELSE), debug=anchors(proxy))
    files = FORMATS["android"].export(pins).files
    write(Path(), {f"android/app/src/main/{file.path}": file.text for file in files})
    assert [each.builds for each in read(".").findings.certificates] == [DEBUG_BUILDS]
    pinned, dropped = _imported("other.example")
    assert pinned == [NOBODY, NOBODY_ELSE]
    assert f"the certificate of {name_of(proxy.certificate)}: only debug builds use it" in dropped


def test_an_anchor_of_a_release_may_be_in_debug_overrides_too(proxy: Authority) -> None:
    trust = anchors(proxy)
    pins = pin_set(policy(HOST, pins_of(proxy.certificate)[0], trust=trust), debug=trust)
    files = FORMATS["android"].export(pins).files
    write(Path(), {f"android/app/src/main/{file.path}": file.text for file in files})
    assert [each.builds for each in read(".").findings.certificates] == [""]


RAW = '<certificates src="@raw/ca"/>'
RAW_FOLDER = "android/app/src/main/res/raw"


def _trusting(*elements: str) -> str:
    """Return a configuration in which each element trusts the authority in ``res/raw/ca.pem``."""
    inside = "".join(
        f"<{each}><trust-anchors>{RAW}</trust-anchors></{each.partition('>')[0]}>"
        for each in elements
    )
    return f"<network-security-config>{inside}</network-security-config>"


def _anchored() -> tuple[list[str], list[str]]:
    """Return the files of the trust anchors that an import writes, and those that it drops."""
    draft = draft_policies(read(".").findings, [HOST])
    anchors = [where.partition(":")[0] for where in draft.hosts[HOST].anchors.values()]
    end = "only debug builds use it"
    return anchors, [each.place.file for each in draft.dropped if each.what.endswith(end)]


@pytest.mark.parametrize(
    "element",
    ["base-config", f"domain-config><domain>{HOST}</domain>"],
    ids=["base-config", "domain-config"],
)
def test_an_anchor_of_hosts_without_pins_may_be_in_debug_overrides_too(
    element: str, proxy: Authority
) -> None:
    """It was taken for one of debug builds only, so that the app had no trust anchor."""
    write(Path(), {MAIN: _trusting(element, "debug-overrides"), f"{RAW_FOLDER}/ca.pem": proxy.pem})
    assert _anchored() == ([f"{RAW_FOLDER}/ca.pem"], [])


def test_an_anchor_of_nested_hosts_may_be_in_debug_overrides_too(proxy: Authority) -> None:
    host = _trusting(f"domain-config><domain>{HOST}</domain>")
    outer = host.replace(
        "<domain-config>",
        "<domain-config><domain>bank.example</domain><domain-config>",
    ).replace("</domain-config>", "</domain-config></domain-config>")
    overrides = _trusting("debug-overrides").removeprefix("<network-security-config>")
    files = {MAIN: outer.removesuffix("</network-security-config>") + overrides}
    write(Path(), {**files, f"{RAW_FOLDER}/ca.pem": proxy.pem})
    assert _anchored() == ([f"{RAW_FOLDER}/ca.pem"], [])


def test_another_configuration_of_a_release_may_trust_an_anchor_of_debug_overrides(
    proxy: Authority,
) -> None:
    newer = MAIN.replace("/xml/", "/xml-v28/")
    files = {MAIN: _trusting("debug-overrides"), newer: _trusting("base-config")}
    write(Path(), {**files, f"{RAW_FOLDER}/ca.pem": proxy.pem})
    assert _anchored() == ([f"{RAW_FOLDER}/ca.pem"], [])


def test_a_configuration_of_debug_builds_makes_no_anchor_that_of_a_release(
    proxy: Authority,
) -> None:
    named = MAIN.replace("config.xml", "config_debug.xml")
    files = {MAIN: _trusting("debug-overrides"), named: _trusting("base-config")}
    write(Path(), {**files, f"{RAW_FOLDER}/ca.pem": proxy.pem, "assets/bank.pem": BANK})
    assert _anchored() == (["assets/bank.pem"], [f"{RAW_FOLDER}/ca.pem"])


def test_a_copy_of_an_anchor_of_debug_overrides_is_that_of_a_release(proxy: Authority) -> None:
    """The app trusts its asset in every build, whatever the authority in ``res/raw`` is for."""
    raw = [f"{RAW_FOLDER}/ca.pem", f"{RAW_FOLDER}-v28/ca.crt"]
    files = dict.fromkeys((*raw, "assets/ca.pem"), proxy.pem)
    write(Path(), files)
    write(Path(), {MAIN: _trusting("debug-overrides")})
    anchors, dropped = _anchored()
    assert anchors == ["assets/ca.pem"]
    assert sorted(dropped) == sorted(raw)


def test_the_anchors_of_debug_overrides_are_found_if_the_pins_cannot_be_read(
    proxy: Authority,
) -> None:
    pinned = _config(NOBODY).replace("SHA-256", "SHA-1").removeprefix("<network-security-config>\n")
    overrides = _trusting("debug-overrides").removesuffix("</network-security-config>")
    write(Path(), {MAIN: overrides + pinned, f"{RAW_FOLDER}/ca.pem": proxy.pem})
    write(Path(), {"assets/bank.pem": BANK})
    assert _anchored() == (["assets/bank.pem"], [f"{RAW_FOLDER}/ca.pem"])


def test_a_name_is_no_proof_that_a_release_lacks_the_file() -> None:
    """Its pins are not imported, but its mistakes are reported."""
    named = MAIN.replace("config.xml", "config_debug.xml")
    write(Path(), {MAIN: _config(NOBODY), named: _config(NOBODY_ELSE)})
    keys = ["android/app/src/main/res/raw/debug.p12", "ios/Runner/debug/client.p12"]
    write(Path(), dict.fromkeys(keys, b"\x30\x82\x01"))
    pins, dropped = _imported()
    assert pins == [NOBODY]
    assert f"{NOBODY_ELSE}: only debug builds use it" in dropped
    found = {(each.rule, each.place.file) for each in read(".").findings.mistakes}
    assert ("platform-pins-overridden", named) in found
    assert {("private-key-in-app", key) for key in keys} <= found


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
@pytest.mark.parametrize(
    "place", ["src/bank-test-client", "src/profile", "src/dev-portal", "test", "src/debug"]
)
def test_the_place_of_a_project_does_not_matter(place: str, *, absolute: bool) -> None:
    """Its assets were taken for those of a source set with the name of the checkout's folder."""
    project = Path(place).absolute() if absolute else Path(place)
    manifest = "flutter:\n  assets:\n    - assets/\n"
    write(project, {"pubspec.yaml": manifest, MAIN: _config(NOBODY), "assets/ca.pem": BANK})
    write(project, {"assets/client.p12": b"\x30\x82\x01", "ca.pem": Authority("Other CA").pem})
    for named in (".", place.partition("/")[0], place):
        findings = read(Path(named).absolute() if absolute else named).findings
        assert [each.builds for each in findings.certificates] == ["", ""]
        rules = {each.rule for each in findings.mistakes}
        assert {"private-key-in-app", "platform-pins-overridden"} <= rules


@pytest.mark.parametrize("folder", ["dev", "test", "home/debug", "src/profile/assets"])
def test_the_folder_of_a_named_file_does_not_matter(folder: str) -> None:
    write(Path(folder), {"ca.pem": BANK})
    for named in (f"{folder}/ca.pem", folder, Path(folder, "ca.pem").absolute()):
        assert [each.builds for each in read(named).findings.certificates] == [""]


@pytest.mark.parametrize("named", ["src/debug", "src", "src/debug/res", "src/debug/res/raw"])
def test_a_named_folder_in_a_source_set_has_its_builds(named: str) -> None:
    write(Path("app"), {"src/debug/res/raw/ca.pem": BANK})
    for folder in (Path("app", named), Path("app", named).absolute()):
        assert [each.builds for each in read(folder).findings.certificates] == [DEBUG_BUILDS]


def test_a_private_key_is_a_mistake_unless_only_debug_builds_have_it() -> None:
    folders = ("main/res/raw", "main/assets", "bank/assets", "staging/res/raw")
    debug = ("debug/res/raw", "bankDebug/assets", "androidTest/assets")
    names = {name: f"android/app/src/{name}/client.p12" for name in (*folders, *debug)}
    write(Path(), dict.fromkeys(names.values(), b"\x30\x82\x01"))
    found = read(".").findings.mistakes
    assert {each.place.file for each in found} == {names[name] for name in folders}
