"""``certpin lint --exported FILE``: reports where a file differs from a new export of the pins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS
from tests.cli._pinfiles import write
from tests.formats._sets import KEYS, authorities, logs
from tests.kit import policy

if TYPE_CHECKING:
    from tests.cli.conftest import Run

HOST, OTHER = "api.bank.example", "pay.bank.example"


@pytest.fixture(autouse=True)
def _exported(run: Run) -> None:
    write(policy(HOST, *KEYS[:2], match="leaf"), policy(OTHER, *KEYS[2:4], match="leaf"))
    run("export", "json", "--out", "pins.json")
    run("export", "curl", "--out", "curl", "--host", HOST)


def drifts(run: Run, exported: str) -> list[str]:
    """Return the messages of the findings of the rule ``drift`` for an exported file."""
    found = run("lint", "--exported", exported, "--json").json
    return [finding["message"] for finding in found["findings"] if finding["rule"] == "drift"]


@pytest.mark.parametrize("exported", ["json=pins.json", "curl=curl/curl-pins.conf", "curl=curl"])
def test_a_new_export_has_no_difference(run: Run, exported: str) -> None:
    assert drifts(run, exported) == []


def test_every_difference_is_described(run: Run) -> None:
    write(policy(HOST, KEYS[0], KEYS[5], mode="report"), policy("new.example", *KEYS[2:4]))
    text = Path("pins.toml").read_text().replace("version = 3", "version = 4")
    Path("pins.toml").write_text(text)
    where = r"pins.json \(json\) differs from the pin file: "
    expected = [
        "it has version 3, and the pin file has version 4",
        "new.example is missing",
        f"{OTHER} is not in the pin file, or can't be exported",
        f"{HOST}: {re.escape(str(KEYS[5]))} is missing",
        f"{HOST}: {re.escape(str(KEYS[1]))} is not in the pin file, or is no longer accepted",
        f"{HOST}: mode differs",
        f"{HOST}: match differs",
    ]
    found = drifts(run, "json=pins.json")
    assert len(found) == len(expected)
    assert all(map(re.fullmatch, [where + difference for difference in expected], found))


def changed(run: Run, chosen: str, old: str, new: str) -> list[str]:
    """Export one host to a format, change the file, and return the messages of its drift."""
    run("export", chosen, "--out", f"{chosen}/", "--host", HOST)
    [file] = Path(chosen).glob(f"{FORMATS[chosen].file}")
    assert drifts(run, f"{chosen}:{HOST}={chosen}") == []
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return drifts(run, f"{chosen}:{HOST}={chosen}")


BOM = "\N{BOM}"


@pytest.mark.parametrize("chosen", ["curl", "wget", "nginx", "haproxy", "envoy", "json"])
def test_a_file_that_its_program_refuses_is_a_difference(run: Run, chosen: str) -> None:
    """interop/test_spoiled_files.py shows which program refuses which file."""
    Path("root.pem").write_bytes(authorities()[0].pem)
    write(policy(HOST, *KEYS[:2], match="leaf"), trust=Path("root.pem"))
    run("export", chosen, "--out", f"{chosen}/")
    file = Path(chosen) / FORMATS[chosen].file
    text = file.read_text()
    marked = f"it begins with a byte order mark, so {chosen} refuses it: save it without one"
    ends = f"its line ends are CR LF, so {chosen} refuses it: write *.conf text eol=lf into .gita"
    for changed_text, is_refused, problem in (
        (text, False, ""),
        (BOM + text, FORMATS[chosen].refuses_bom, marked),
        (text.replace("\n", "\r\n"), FORMATS[chosen].refuses_crlf, ends),
    ):
        file.write_bytes(changed_text.encode())
        found = drifts(run, f"{chosen}={chosen}")
        assert len(found) == is_refused
        assert not is_refused or problem in found[0]


SYSTEM_TOO = '<trust-anchors><certificates src="system"/><certificates src="user"/></trust-anchors>'


@pytest.mark.parametrize(
    ("chosen", "old", "new", "problem"),
    [
        ("curl", "no-insecure", "insecure", "insecure, so curl verifies no chain"),
        ("curl", "no-insecure", "# no-insecure", "the line 'no-insecure' is missing"),
        ("curl", 'proto = "=https"', "", "the line 'proto = \"=https\"' is missing"),
        ("wget", "check_certificate = on", "check_certificate = off", "so wget verifies no chain"),
        ("wget", "max_redirect = 0", "max_redirect = 9", "the line 'max_redirect = 0' is missing"),
        ("envoy", "max_session_keys: 0", "max_session_keys: 9", "the line 'max_session_keys: 0'"),
        ("okhttp-java", ".add(", f'.add(host, "{KEYS[5]}").add(', "arguments that are not strings"),
        (
            "envoy",
            "validation_context:\n",
            "validation_context:\n      trust_chain_verification: ACCEPT_UNTRUSTED\n",
            "trust_chain_verification, so Envoy",
        ),
        (
            "android",
            'cleartextTrafficPermitted="false"',
            'cleartextTrafficPermitted="true"',
            "cleartextTrafficPermitted of domain-config",
        ),
        (
            "android",
            '<domain-config cleartextTrafficPermitted="false">',
            '<base-config cleartextTrafficPermitted="true"/><domain-config>',
            "cleartextTrafficPermitted of base-config",
        ),
        (
            "android",
            "<domain-config",
            "<base-config><future/></base-config><domain-config",
            "future of base-config",
        ),
        ("android", "<pin-set>", "<future/><pin-set>", "future of domain-config"),
        (
            "android",
            "</domain-config>",
            f"{SYSTEM_TOO}</domain-config>",
            "authorities installed by the user are trusted too",
        ),
        ("okhttp-kotlin", ".add(", ".add(HOST, *PINS).add(", "arguments that are not strings"),
        (
            "okhttp-kotlin",
            "CertificatePinner.Builder()",
            "run { pinner.add(HOST, PIN) }\n        CertificatePinner.Builder()",
            "arguments that are not strings",
        ),
        ("curl", "no-insecure", "no-insecure\n-K other.conf", "it was changed: config"),
        ("curl", "no-insecure", "no-insecure\n-sKother.conf", "it was changed: config"),
        ("go", f'"{KEYS[0]}",', f'"{KEYS[0]}", evilPin,', "is not written literally"),
        (
            *("okhttp-kotlin", ".build()", f'.also {{ it.`add`("{OTHER}", evil) }}.build()'),
            "arguments that are not strings",
        ),
        (
            *("okhttp-kotlin", ".build()", f'.also {{ it.`add`("{HOST}", evil) }}.build()'),
            f"cannot be compared: line 13: {HOST} gets pins that are not literal strings",
        ),
        (
            *("okhttp-java", f'"{KEYS[0]}",', f'\\u002f\\u002a "{KEYS[0]}", \\u002a\\u002f'),
            "there is only one pin",
        ),
        (
            *("okhttp-java", f'"{KEYS[0]}",', f'"""\n\\""", "{KEYS[0]}", \\"""\n""",'),
            "is computed",
        ),
    ],
)
def test_a_setting_that_no_export_has_is_a_difference(
    run: Run, chosen: str, old: str, new: str, problem: str
) -> None:
    """In CI, a warning on standard error is in no report."""
    found = changed(run, chosen, old, new)
    assert any(problem in each for each in found), found
    done = run("lint", "--exported", f"{chosen}:{HOST}={chosen}")
    assert (done.code, done.err) == (1, "")


@pytest.mark.parametrize(
    ("chosen", "before"),
    [
        *(("okhttp-java", '"sha256/'), ("okhttp-kotlin", '"sha256/'), ("ktor", '"sha256/')),
        *(("flutter-pins", "'sha256/"), ("react-native", "'")),
        *(("node", '"sha256/'), ("dotnet", '"sha256/')),
    ],
)
def test_a_pin_behind_a_comment_that_a_carriage_return_ends_is_a_difference(
    run: Run, chosen: str, before: str
) -> None:
    ours, foreign = (before + str(key).removeprefix("sha256/") for key in (KEYS[0], KEYS[5]))
    new = f"// the current key\r{foreign}{before[0]},\n{ours}"
    problem = f"{HOST}: {KEYS[5]} is not in the pin file, or is no longer accepted"
    assert [each for each in changed(run, chosen, ours, new) if each.endswith(problem)]


@pytest.mark.parametrize(
    ("chosen", "line"),
    [
        *(("curl", f"-{letters}k") for letters in ("", "s", "4", "#", "0", "1", "4v", "#0")),
        *(("curl", line) for line in ("expand-insecure", 'proto = "=all"', "proto = +http")),
        ("curl", 'variable = "x=evil.pem"\nexpand-cacert = "{{x}}"'),
        ("curl", 'variable = "x=sha256//…"\nexpand-pinnedpubkey = "{{x}}"'),
        ("curl", "  --pinnedpubkey evil.pem"),
        *(("wget", f"{name} = evil.pem") for name in ("pinnedpub-key", "ca__certificate")),
        *(("wget", f"{name} = off") for name in ("c-heck_certificate", "check__certificate")),
        ("wget", "max_redirect = 20"),
        ("wget", "secureprotocol = auto"),
    ],
)
def test_a_line_that_an_export_has_not_is_a_difference(run: Run, chosen: str, line: str) -> None:
    before = {"curl": "no-insecure\n", "wget": "max_redirect = 0\n"}[chosen]
    assert changed(run, chosen, before, f"{before}{line}\n")


@pytest.mark.parametrize("name", ["tls_params", "tlsParams"])
def test_a_field_of_envoy_that_an_export_has_not_is_a_difference(run: Run, name: str) -> None:
    before = "  common_tls_context:\n"
    params = f"    {name}: {{tls_minimum_protocol_version: TLSv1_0}}\n"
    [found] = changed(run, "envoy", before, before + params)
    assert f"the line 'common_tls_context.{name}.tls_minimum_protocol" in found
    assert found.endswith("TLSv1_0' was added")


def test_the_client_certificate_of_envoy_is_no_difference(run: Run) -> None:
    before = "  common_tls_context:\n"
    own = "    tls_certificates: [{private_key: {filename: a.pem}}]\n    alpn_protocols: [h2]\n"
    assert changed(run, "envoy", before, before + own) == []


def anchored_export(run: Run, chosen: str) -> Path:
    """Export a policy that pins an authority, and return the main file in the folder ``made``."""
    authority = authorities()[0]
    write(policy(HOST, authority.pin, KEYS[0], match="ca"))
    Path("roots.pem").write_bytes(authority.pem)
    run("export", chosen, "--ca-file", "roots.pem", "--out", "made/")
    assert drifts(run, f"{chosen}=made") == []
    return Path("made") / FORMATS[chosen].file


CHAINED = "http {\nupstream a { server a.example:443; }\nserver {\n{}\n}\n}\n"
PASSING = "location / {\n{}proxy_pass https://a;\n}"


def chained(inside: str) -> str:
    return CHAINED.replace("{}", inside)


@pytest.mark.parametrize(
    ("chosen", "around", "problem"),
    [
        ("nginx", "location ~ /never/ {\n{}}\n", "the line 'location ~ /never/ {' was added"),
        ("nginx", PASSING, "the line 'location / {' was added"),
        ("nginx", "{}proxy_ssl_protocols TLSv1;\n", "the line 'proxy_ssl_protocols TLSv1;' was"),
        ("nginx", "{}proxy_ssl_ciphers DEFAULT@SECLEVEL=0;\n", "SECLEVEL=0;' was added"),
        ("nginx", "{}internal;\n", "the line 'internal;' was added"),
        ("nginx", chained("location /never/ {\n{}}"), "proxy_ssl_verify on;' is missing"),
        (
            "nginx",
            chained(PASSING.replace("{}", "{}proxy_ssl_ciphers DEFAULT@SECLEVEL=0;")),
            "SECLEVEL=0;' was added",
        ),
        (
            "nginx",
            chained("{}" + PASSING.replace("{}", "proxy_ssl_session_reuse on;")),
            "the line 'proxy_ssl_session_reuse off;' is missing",
        ),
        ("nginx", "stream {\nserver {\n{}proxy_pass a:443;\n}\n}\n", "connects without TLS"),
        *(
            (
                "nginx",
                chained(f"{PASSING[:-1]}{inner} {{ proxy_pass http://b; }} }}"),
                "http://b, so",
            )
            for inner in ("if ($arg_debug)", "limit_except GET", "location /d")
        ),
        ("haproxy", ".if 0\n{}.endif\n", "default-server in a block of .if, which HAProxy"),
        ("haproxy", "backend b\n.if 0\n{}.endif\nserver a 192.0.2.7:443\n", "block of .if"),
        ("haproxy", "{}default-server ssl-min-ver TLSv1.0\n", "TLSv1.0' was added"),
        ("haproxy", "backend never\n{}backend b\nserver a 192.0.2.7:443\n", "is missing"),
        ("haproxy", "backend b\n{}server a 192.0.2.7:443 ssl-min-ver TLSv1.0\n", "was added"),
        ("haproxy", "backend b\n{}server a 192.0.2.7:443 force-tlsv10\n", "was added"),
        ("haproxy", "backend b\n{}default-server ciphers A\nserver a 192.0.2.7:443\n", "added"),
        (
            "haproxy",
            "defaults\ndefault-server ciphers A\nbackend b\n{}server a 192.0.2.7:443\n",
            "the line 'default-server … ciphers A' was added",
        ),
    ],
)
def test_settings_around_an_export_of_a_proxy_are_a_difference(
    run: Run, chosen: str, around: str, problem: str
) -> None:
    file = anchored_export(run, chosen)
    file.write_text(around.replace("{}", file.read_text()))
    found = drifts(run, f"{chosen}=made")
    assert any(problem in each for each in found), found


@pytest.mark.parametrize(
    ("chosen", "around"),
    [
        ("nginx", chained(PASSING.replace("{}", "{}proxy_ssl_certificate own.pem;"))),
        ("nginx", chained("{}" + PASSING.replace("{}", ""))),
        ("nginx", chained(PASSING + "location /status { stub_status; }")),
        ("nginx", chained(PASSING + "location /other { proxy_pass http://b; }")),
        ("nginx", "stream {\nserver {\n{}proxy_ssl on;\nproxy_pass a:443;\n}\n}\n"),
        ("haproxy", "backend b\n{}server a 192.0.2.7:443 check crt own.pem\n"),
        ("haproxy", "backend b\n{}default-server inter 9s\nserver a 192.0.2.7:443\n"),
        ("haproxy", "defaults\n{}backend b\nserver a 192.0.2.7:443\n"),
        ("haproxy", "global\n.if 1\nlog stdout daemon\n.endif\nbackend b\n{}server a a:443\n"),
    ],
)
def test_a_whole_configuration_with_an_export_has_no_difference(
    run: Run, chosen: str, around: str
) -> None:
    file = anchored_export(run, chosen)
    file.write_text(around.replace("{}", file.read_text()))
    assert drifts(run, f"{chosen}=made") == []


def test_settings_beside_the_pins_in_a_file_of_an_app_are_no_difference(run: Run) -> None:
    """The pins of Apple's platforms are merged into the Info.plist of the app."""
    found = changed(
        run,
        "apple",
        "<key>NSAppTransportSecurity</key>\n\t<dict>",
        "<key>CFBundleName</key><string>Bank</string><key>NSAppTransportSecurity</key>\n\t<dict>"
        "<key>NSExceptionDomains</key><dict/>",
    )
    assert found == []


CLEAR = "<key>NSExceptionAllowsInsecureHTTPLoads</key><true/>"
STRICT = CLEAR.replace("true", "false")
BELOW = "<key>NSIncludesSubdomains</key><true/>"
ARBITRARY = "<key>NSAllowsArbitraryLoads</key><true/>"


def _exceptions(host: str, settings: str) -> str:
    return f"<key>NSExceptionDomains</key><dict><key>{host}</key><dict>{settings}</dict></dict>"


def _with_settings(run: Run, chosen: str, settings: str) -> list[str]:
    """Export pins for iOS, add settings of App Transport Security, and return the drift."""
    if chosen == "apple":
        before = "<key>NSAppTransportSecurity</key>\n\t<dict>"
        return changed(run, chosen, before, before + settings)
    before = "<key>TSKConfiguration</key>"
    security = f"<key>NSAppTransportSecurity</key><dict>{settings}</dict>"
    return changed(run, chosen, before, security + before)


@pytest.mark.parametrize("chosen", ["apple", "trustkit-ios"])
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (_exceptions(HOST, CLEAR), "InsecureHTTPLoads"),
        (_exceptions(HOST.upper(), CLEAR), "InsecureHTTPLoads"),
        (_exceptions(f"{HOST}.", CLEAR), "InsecureHTTPLoads"),
        (_exceptions("bank.example", BELOW + CLEAR), "InsecureHTTPLoads"),
        (_exceptions("example", BELOW + CLEAR), "InsecureHTTPLoads"),
        (_exceptions("bank.example", BELOW.replace("true/", "string>1</string") + CLEAR), "HTTP"),
        (_exceptions(HOST, CLEAR.replace("<true/>", "<string>NO</string>")), "InsecureHTTPLoads"),
        (_exceptions(HOST, CLEAR.replace("NSEx", "NSThirdPartyEx")), "NSThirdParty"),
        (
            _exceptions(HOST, "<key>NSExceptionMinimumTLSVersion</key><string>TLSv1.0</string>"),
            "MinimumTLSVersion",
        ),
        (
            _exceptions(HOST, "<key>NSExceptionRequiresForwardSecrecy</key><false/>"),
            "ForwardSecrecy",
        ),
        (ARBITRARY, "ArbitraryLoads"),
        (ARBITRARY + _exceptions("other.example", BELOW), "ArbitraryLoads"),
        (ARBITRARY + _exceptions("bank.example", STRICT), "ArbitraryLoads"),
        (ARBITRARY + _exceptions("example", BELOW), "ArbitraryLoads"),
        (ARBITRARY.replace("<true/>", "<integer>1</integer>"), "ArbitraryLoads"),
    ],
)
def test_an_exception_of_apple_for_a_pinned_host_is_a_difference(
    run: Run, chosen: str, settings: str, named: str
) -> None:
    found = _with_settings(run, chosen, settings)
    assert any(named in each for each in found), found
    assert all(each.endswith(", also for hosts with pins") for each in found)


@pytest.mark.parametrize("chosen", ["apple", "trustkit-ios"])
@pytest.mark.parametrize(
    "settings",
    [
        _exceptions("localhost", CLEAR),
        _exceptions("bank.example", CLEAR),
        _exceptions("bank.example", BELOW.replace("true", "false") + CLEAR),
        _exceptions(f"old.{HOST}", CLEAR),
        _exceptions(HOST, STRICT + BELOW),
        _exceptions(HOST, "<key>NSExceptionMinimumTLSVersion</key><string>TLSv1.3</string>"),
        _exceptions(HOST, ""),
        "<key>NSExceptionDomains</key><dict/>",
        ARBITRARY.replace("true", "false"),
        ARBITRARY + _exceptions(HOST, STRICT),
        ARBITRARY + _exceptions("bank.example", BELOW),
        f"{ARBITRARY}<key>NSAllowsLocalNetworking</key><true/>",
        f"{ARBITRARY}<key>NSAllowsArbitraryLoadsInWebContent</key><true/>",
        "<key>NSAllowsArbitraryLoadsForMedia</key><true/>",
    ],
)
def test_an_exception_of_apple_for_other_connections_is_no_difference(
    run: Run, chosen: str, settings: str
) -> None:
    assert _with_settings(run, chosen, settings) == []


@pytest.mark.parametrize(
    ("exception", "is_drift"),
    [
        (_exceptions("bank.example", BELOW + CLEAR), True),
        (_exceptions("api.bank.example", CLEAR), True),
        (_exceptions("example", CLEAR), False),
        (ARBITRARY + _exceptions("bank.example", BELOW), False),
        (ARBITRARY + _exceptions("bank.example", STRICT), True),
    ],
)
def test_an_exception_of_apple_for_a_host_of_a_pattern_is_a_difference(
    run: Run, exception: str, is_drift: bool
) -> None:
    write(policy("*.bank.example", *KEYS[:2], match="leaf"))
    run("export", "apple", "--out", "apple/")
    [file] = Path("apple").iterdir()
    before = "<key>NSAppTransportSecurity</key>\n\t<dict>"
    file.write_text(file.read_text().replace(before, before + exception))
    found = [each for each in drifts(run, "apple=apple") if "also for hosts with pins" in each]
    assert bool(found) == is_drift


OPEN = '<domain-config cleartextTrafficPermitted="true"><domain>localhost</domain>'
EVERYBODY = '<trust-anchors><certificates src="user"/></trust-anchors>'
TRANSPARENCY = '<certificateTransparency enabled="true"/>'


@pytest.mark.parametrize(
    ("chosen", "before", "more"),
    [
        ("android", "<domain-config", '<base-config cleartextTrafficPermitted="false"/>'),
        ("android", "<domain-config", '<base-config cleartextTrafficPermitted="true"/>'),
        ("android", "<domain-config", f"<base-config>{TRANSPARENCY}</base-config>"),
        ("android", "<domain-config", f"{OPEN}</domain-config>"),
        ("android", "<domain-config", f"{OPEN}<future/>{EVERYBODY}</domain-config>"),
        ("android", "<domain-config", f"<debug-overrides>{EVERYBODY}</debug-overrides>"),
        ("android", "<pin-set>", TRANSPARENCY),
        ("android", "<pin-set>", '<domainEncryption mode="enabled"/>'),
        ("trustkit-android", "<domain-config", f"{OPEN}</domain-config>"),
        (
            "trustkit-ios",
            "<key>api.bank.example</key>",
            "<key>localhost</key><dict><key>TSKExcludeSubdomainFromParentPolicy</key><true/></dict>",
        ),
        ("okhttp-kotlin", "val ", "fun log() { lines.add(line) }\n"),
        ("okhttp-kotlin", "val ", 'val form = FormBody.Builder().add("name", name)\n'),
        ("okhttp-java", "public static", "static void log() { lines.add(line); }\n"),
    ],
)
def test_settings_that_verify_nothing_less_are_no_difference(
    run: Run, chosen: str, before: str, more: str
) -> None:
    assert changed(run, chosen, before, more + before) == []


def test_transparency_that_the_pin_file_requires_must_not_be_missing(run: Run) -> None:
    Path("logs.json").write_text(json.dumps(logs().to_json()))
    text = Path("pins.toml").read_text().replace("match =", "require_ct = true\nmatch =")
    text = text.replace("version = ", 'ct_logs = "logs.json"\nversion = ', 1)
    Path("pins.toml").write_text(text)
    found = changed(run, "android", TRANSPARENCY, "")
    assert any(f"{HOST}: ct_logs differs" in each for each in found), found


@pytest.mark.parametrize(
    ("place", "is_drift"), [("", False), ("http {", False), ("location / {", True)]
)
def test_an_include_of_nginx_is_a_difference_beside_the_settings(
    run: Run, place: str, is_drift: bool
) -> None:
    authority = authorities()[0]
    write(policy(HOST, authority.pin, KEYS[0], match="ca"))
    Path("roots.pem").write_bytes(authority.pem)
    run("export", "nginx", "--ca-file", "roots.pem", "--out", "made/")
    file = Path("made/nginx-pins.conf")
    text = "http {\nlocation / {\n" + file.read_text() + "proxy_pass https://$up;\n}\n}\n"
    file.write_text(text)
    assert drifts(run, "nginx=made") == []
    include = "include /etc/nginx/modules-enabled/*.conf;\n"
    file.write_text(text.replace(place, f"{place}\n{include}", 1))
    assert bool(drifts(run, "nginx=made")) == is_drift


def test_another_order_of_the_pins_is_no_difference(run: Run) -> None:
    write(policy(HOST, KEYS[1], KEYS[0], match="leaf"), policy(OTHER, *KEYS[2:4], match="leaf"))
    assert drifts(run, "curl=curl") == []


def test_an_export_of_some_hosts_is_compared_with_these(run: Run) -> None:
    run("export", "go", "--host", HOST, "--out", "go/")
    [missing] = drifts(run, "go=go")
    assert missing.endswith(f"{OTHER} is missing")
    assert drifts(run, f"go:{HOST}=go") == []
    assert len(drifts(run, f"go:{OTHER}=go")) == 2
    [unknown] = drifts(run, "go:other.example=go")
    assert unknown == "go (go) cannot be compared: no policy has the pattern other.example"


@pytest.mark.parametrize("chosen", ["curl", "nginx", "haproxy", "flutter"])
def test_an_export_with_a_bundle_of_authorities_has_no_difference(run: Run, chosen: str) -> None:
    first, second = authorities()
    write(policy(HOST, first.pin, second.pin, match="ca"))
    Path("roots.pem").write_bytes(first.pem + second.pem)
    run("export", chosen, "--ca-file", "roots.pem", "--out", "made/")
    assert drifts(run, f"{chosen}=made") == []
    write(policy(HOST, first.pin, KEYS[0], match="ca"))
    found = "\n".join(drifts(run, f"{chosen}=made"))
    assert f"{second.pin} is not in the pin file" in found
    assert f"{KEYS[0]} is missing" in found
    assert f"{HOST}: trust differs" in found


def test_an_unsafe_export_is_reported_with_its_host(run: Run) -> None:
    run("export", "json", "--out", "made/")
    exported = json.loads(Path("made/pins.json").read_text())
    del exported["hosts"][1]["pins"][1:]
    Path("made/pins.json").write_text(json.dumps(exported))
    [message] = drifts(run, "json=made")
    assert f"cannot be compared: {OTHER}: there is only one pin" in message


@pytest.mark.parametrize("exported", ["json=missing", "json=pins.toml", "curl=pins.json"])
def test_an_unreadable_export_is_a_finding(run: Run, exported: str) -> None:
    [message] = drifts(run, exported)
    assert "cannot be compared" in message
    assert "fix:" not in message


@pytest.mark.parametrize("exported", ["nothing", "nothing=x", "json=", "go:a=", ":a=x"])
def test_an_invalid_option_is_reported(run: Run, exported: str) -> None:
    assert run("lint", "--exported", exported).code == 2
