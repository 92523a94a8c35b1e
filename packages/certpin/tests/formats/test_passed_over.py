"""An import of any format warns about each setting of the file that it does not import."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS, FormatWarning, ImportOptions, Source
from tests.formats._sets import KEYS, authorities

if TYPE_CHECKING:
    from collections.abc import Sequence

HASHES = [str(pin).partition("/")[2] for pin in KEYS[:2]]
PINS = "".join(f'<pin digest="SHA-256">{each}</pin>' for each in HASHES)
QUIET = '<trustkit-config enforcePinning="true" disableDefaultReportUri="true"/>'
EVERYBODY = '<trust-anchors><certificates src="user"/></trust-anchors>'
OWN = EVERYBODY.replace("/></", ' overridePins="false"/></')
SYSTEM_TOO = EVERYBODY.replace("<certificates", '<certificates src="system"/><certificates')


def android(inner: str = "", debug: str = "") -> str:
    return (
        f"<network-security-config><domain-config><domain>bank.example</domain>"
        f"<pin-set>{PINS}</pin-set>{inner}</domain-config>"
        f"<debug-overrides>{debug}</debug-overrides></network-security-config>"
    )


CLEAR = android().replace("<domain-config", '<domain-config cleartextTrafficPermitted="true"')
OPEN = android().replace(
    "<debug", "<domain-config><domain>open.example</domain></domain-config><debug"
)


def ios(flags: str = "") -> str:
    hashes = "".join(f"<string>{each}</string>" for each in HASHES)
    return (
        '<plist version="1.0"><dict><key>TSKPinnedDomains</key><dict><key>bank.example</key>'
        f"<dict><key>TSKPublicKeyHashes</key><array>{hashes}</array>{flags}</dict>"
        "</dict></dict></plist>"
    )


def apple(flags: str = "") -> str:
    keys = "".join(
        f"<dict><key>SPKI-SHA256-BASE64</key><string>{each}</string></dict>" for each in HASHES
    )
    return (
        '<plist version="1.0"><dict><key>CFBundleName</key><string>Bank</string>'
        f"<key>NSAppTransportSecurity</key><dict>{flags}<key>NSPinnedDomains</key><dict>"
        "<key>bank.example</key><dict><key>NSPinnedCAIdentities</key>"
        f"<array>{keys}</array></dict></dict></dict></dict></plist>"
    )


OKHTTP = f'CertificatePinner.Builder().add("bank.example", "{KEYS[0]}", "{KEYS[1]}")'


NGINX = """\
proxy_ssl_verify on;
location / {
    proxy_pass https://bank.example;
    proxy_ssl_trusted_certificate own.pem;
    proxy_ssl_name bank.example;
}
"""
HAPROXY = """\
backend bank
    default-server ssl ca-file own.pem
    server one 192.0.2.7:443 verify required verifyhost bank.example
"""
STREAM = """\
stream {
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate own.pem;
    server {
        proxy_ssl on;
        proxy_ssl_name bank.example;
        proxy_pass 192.0.2.7:443;
    }
}
"""
PLAIN = """\
server {
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate own.pem;
    proxy_ssl_name bank.example;
    location / { proxy_pass http://192.0.2.7; }
}
"""
SERVERS = """\
backend bank
    server one a.example:443 ssl verify required ca-file own.pem sni str(bank.example)
    server two a.example:443 ssl verify none
    server three a.example:80 backup
"""
SPELLED = f'pinnedpubkey = "{";".join(str(pin).replace("/", "//", 1) for pin in KEYS[:2])}"\n'
ENVOY = f"""\
"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
sni: bank.example
common_tls_context:
  validation_context:
    trusted_ca: {{filename: /etc/ssl/certs/ca-certificates.crt}}
    match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: bank.example}}}}]
    verify_certificate_spki: ["{HASHES[0]}", "{HASHES[1]}"]
"""
UNTYPED = ENVOY.replace(
    "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: bank.example}}]",
    "match_subject_alt_names: [{exact: bank.example}]",
)


TOLD = [
    (
        "android",
        android(SYSTEM_TOO),
        "authorities installed by the user are trusted too",
    ),
    ("android", android(debug=EVERYBODY), "debug builds trust every authority of the device"),
    ("android", android('<certificateTransparency mode="x"/>'), "mode of certificateTransparency"),
    ("android", android('<domainEncryption mode="enabled"/>'), "domainEncryption of domain-config"),
    ("android", android(QUIET), "trustkit-config of domain-config"),
    ("android", android(debug=OWN), "trust user for pinned keys"),
    ("android", CLEAR, "cleartextTrafficPermitted of domain-config"),
    ("android", OPEN, "open.example, which has no pins"),
    ("trustkit-android", android(), "bank.example reports to TrustKit's vendor too"),
    ("trustkit-ios", ios(), "bank.example reports to TrustKit's vendor too"),
    ("trustkit-ios", ios("<key>TSKFuture</key><true/>"), "TSKPinnedDomains.bank.example.TSKFuture"),
    ("apple", apple("<key>NSAllowsArbitraryLoads</key><true/>"), "NSAllowsArbitraryLoads"),
    ("apple", apple(), "keys unrelated to pins: CFBundleName"),
    ("okhttp-kotlin", OKHTTP + f'.add(HOST, "{KEYS[2]}")', "a call of add with arguments"),
    ("okhttp-kotlin", OKHTTP + f'; val backup = "{KEYS[2]}"', "which is not in a call of add"),
    ("nginx", NGINX.replace(" on;", " off;"), "line 2: proxy_ssl_verify is not on"),
    ("nginx", NGINX.partition("\n")[2], "line 1: proxy_ssl_verify is not on"),
    ("haproxy", HAPROXY.replace("required", "none"), "line 3: verify none, so HAProxy"),
    ("curl", SPELLED + "insecure", "insecure, so curl verifies no chain"),
    ("curl", "--no-insecure\n-k\n" + SPELLED, "insecure, so curl verifies no chain"),
    ("wget", SPELLED + "Check-Certificate = OFF", "check_certificate = OFF, so wget"),
    ("wget", SPELLED + "check_certificate = quiet", "check_certificate = quiet, so wget"),
    ("envoy", f"{ENVOY}    trust_chain_verification: ACCEPT_UNTRUSTED", "verification, so Envoy"),
    ("envoy", f"{ENVOY}    allow_expired_certificate: true", "certificate, so Envoy"),
    ("curl", "-sk\n" + SPELLED, "insecure, so curl verifies no chain"),
    (
        "haproxy",
        "global\n    ssl-server-verify none\n" + HAPROXY.replace("verify required ", ""),
        "verify none, so HAProxy",
    ),
    ("haproxy", HAPROXY.replace("ssl ", ""), "line 3: no ssl, so HAProxy connects without TLS"),
    ("haproxy", HAPROXY.replace("ssl ", "no-ssl "), "line 3: no ssl, so HAProxy"),
    ("haproxy", HAPROXY.rstrip() + " crl-file a.pem", "line 3: crl-file"),
    ("haproxy", HAPROXY.rstrip() + " sni str(a.example)", "verifyhost bank.example, which is not"),
    ("nginx", "proxy_ssl_crl a.pem;\n" + NGINX, "line 3: proxy_ssl_crl"),
    ("envoy", f"{ENVOY}    crl: {{filename: a.pem}}", "validation_context.crl"),
    ("envoy", f"{ENVOY}    max_verify_depth: 1", "validation_context.max_verify_depth"),
    ("envoy", ENVOY.replace("match_typed_s", "s"), "so Envoy verifies no name"),
    ("envoy", ENVOY.replace("exact: bank", "suffix: bank"), "Envoy accepts several names"),
    ("curl", SPELLED + "crlfile = a.pem", "crlfile"),
    ("curl", SPELLED + "capath = /etc/ssl/certs", "capath, so curl also trusts"),
    ("curl", SPELLED + "ca-native", "ca-native"),
    ("curl", SPELLED + "config = other.conf", "config"),
    ("nginx", NGINX + "include conf.d/*.conf;", "line 7: include conf.d/*.conf, another file"),
    ("curl", SPELLED + "--cert-status", "cert-status"),
    ("wget", SPELLED + "CRLFile = a.pem", "crl_file"),
    ("wget", SPELLED + "ca_directory = /etc/ssl/certs", "ca_directory"),
    ("curl", SPELLED + "-K other.conf", "config"),
    ("curl", SPELLED + "-sKother.conf", "config"),
    ("haproxy", HAPROXY.replace("verify req", "no-ssl verify req"), "line 3: no ssl, so HAProxy"),
    ("haproxy", HAPROXY.replace("ssl ", "ssl no-ssl "), "line 3: no ssl, so HAProxy"),
    (
        "envoy",
        f"{ENVOY}    match_subject_alt_names: [{{suffix: bank.example}}]",
        "Envoy accepts bank.example, several names",
    ),
    *(
        ("curl", f"{SPELLED}-{letters}k", "insecure, so curl verifies no chain")
        for letters in ("4", "#", "0", "4v", "#0")
    ),
    ("curl", f"{SPELLED}expand-insecure", "insecure, so curl verifies no chain"),
    ("curl", SPELLED + "-4Kother.conf", "config"),
    ("curl", f'{SPELLED}capath = "/dev/null"\n--expand-capath "{{{{x}}}}"', "capath, so curl also"),
    *(("curl", f"{SPELLED}expand-{name} = a", name) for name in ("config", "crlfile")),
    ("curl", f"{SPELLED}expand-ca-native", "ca-native"),
    *(
        (
            "haproxy",
            f"global\n    {line}\n{HAPROXY.replace('verify required ', '')}",
            "verify none, so",
        )
        for line in ('ssl-server-verify "none"', "'ssl-server-verify' none # old")
    ),
    ("haproxy", SERVERS, "line 3: verify none, so HAProxy verifies no chain"),
    ("haproxy", SERVERS, "line 4: no ssl, so HAProxy connects without TLS"),
    (
        "haproxy",
        HAPROXY.replace(
            "default-server ssl ca-file", "server two 192.0.2.8:80\ndefault-server ssl ca-file"
        ),
        "line 2: no ssl, so HAProxy connects without TLS",
    ),
    (
        "haproxy",
        HAPROXY.replace("    default", "server two 192.0.2.8:443 ssl\n    default"),
        "line 2: no ca-file, so HAProxy trusts other authorities",
    ),
    (
        "nginx",
        NGINX.replace("https:", "http:"),
        "proxy_pass http://bank.example, so nginx connects",
    ),
    ("nginx", NGINX.replace("https:", "$scheme:"), "proxy_pass $scheme://bank.example, so nginx"),
    ("nginx", NGINX.replace("proxy", "grpc").replace("https", "grpc"), "line 2: grpc_pass grpc://"),
    ("nginx", PLAIN, "line 5: proxy_pass http://192.0.2.7, so nginx connects without TLS"),
    ("nginx", STREAM.replace("proxy_ssl on;", ""), "line 4: proxy_pass 192.0.2.7:443, so nginx"),
    ("nginx", STREAM.replace("proxy_ssl on;", "proxy_ssl off;"), "without TLS"),
    ("nginx", STREAM.replace("verify on", "verify off"), "line 4: proxy_ssl_verify is not on"),
    *(
        ("wget", f"{SPELLED}check_certificate = on\n{name} = off", "check_certificate = off, so")
        for name in ("c-heck_certificate", "check__certificate")
    ),
    ("wget", SPELLED + "crl__file = a.pem", "crl_file"),
    *(
        ("nginx", NGINX.replace("}", f"{inner} }}"), "line 6: proxy_pass http://a, so nginx")
        for inner in (
            "if ($arg_debug) { proxy_pass http://a; }",
            "limit_except GET { proxy_pass http://a; }",
            "location /d { proxy_pass http://a; }",
            "location /d { if ($x) { set $y 1; } limit_except GET { proxy_pass http://a; } }",
        )
    ),
    (
        "nginx",
        PLAIN.replace("location", "location /a { proxy_pass https://a; } location", 1),
        "line 5: proxy_pass http://192.0.2.7, so nginx connects without TLS",
    ),
    (
        "nginx",
        NGINX.replace("proxy_ssl_name bank.example;", "if ($x) { proxy_pass http://a; }"),
        "line 5: proxy_pass http://a, so nginx connects without TLS",
    ),
]
QUIETLY = [
    ("nginx", NGINX),
    ("nginx", NGINX + "include /etc/nginx/mime.types;"),
    ("nginx", STREAM),
    ("nginx", NGINX.replace("https://bank.example", "$upstream")),
    ("nginx", NGINX + "location /other { proxy_pass http://a; }"),
    ("nginx", NGINX.replace("}", "if ($x) { return 403; } }")),
    ("haproxy", f"{HAPROXY}backend other\n    server two 192.0.2.8:80\n"),
    ("haproxy", HAPROXY),
    ("haproxy", HAPROXY.replace("ssl ", "no-ssl ").replace("verify req", "ssl verify req")),
    ("haproxy", HAPROXY.replace("ssl ", "no-ssl ssl ")),
    ("curl", SPELLED + "insecure\nno-insecure\nproxy-insecure"),
    *(("curl", SPELLED + line) for line in ("-ok", "-sHK", '-w "-k"', "expand-url = {{x}}")),
    ("curl", SPELLED + 'ca-native\nno-ca-native\ncapath = "/dev/null"'),
    ("wget", SPELLED + "check_certificate = on"),
    ("envoy", f"{ENVOY}    trust_chain_verification: VERIFY_TRUST_CHAIN"),
    ("envoy", f"{ENVOY}    allow_expired_certificate: false"),
    ("envoy", UNTYPED),
    ("android", android()),
    ("trustkit-android", android(QUIET)),
    ("trustkit-ios", ios("<key>TSKDisableDefaultReportUri</key><true/>")),
    ("okhttp-kotlin", OKHTTP),
    ("android", CLEAR.replace('"true"', '"false"')),
]


def _ids(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"{row[0]}-{number}" for number, row in enumerate(rows)]


def load(name: str, text: str) -> None:
    pem = b"".join(each.pem for each in authorities())
    options = ImportOptions(host="bank.example" if name in {"curl", "wget"} else "")
    FORMATS[name].load(Source(text.encode(), lambda _: pem), options)


@pytest.mark.parametrize(("name", "text", "told"), TOLD, ids=_ids(TOLD))
def test_skipped_settings_are_reported(name: str, text: str, told: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(name, text)
    found = [str(each.message) for each in caught if issubclass(each.category, FormatWarning)]
    assert [each for each in found if each.startswith("not imported: ") and told in each], found


@pytest.mark.parametrize(("name", "text"), QUIETLY, ids=_ids(QUIETLY))
def test_imported_settings_cause_no_warning(name: str, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(name, text)
