"""Envoy's transport socket: exported fields, imports of whole configurations, and hostile YAML."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest
import yaml

from certpin.errors import ConfigError, FormatError
from certpin.formats.parsed import UnrelatedWarning
from certpin.support import yaml as yaml_reader
from tests.formats._sets import KEYS, WHOLE, anchors, authorities
from tests.formats._text import exported, imported
from tests.kit import pin_set, policy

HOST = "api.bank.example"
# The fields of the API, from its documentation
# (api-v3/extensions/transport_sockets/tls/v3: tls.proto, common.proto; config/core/v3/base.proto).
CONTEXT = {
    *("common_tls_context", "sni", "auto_host_sni", "auto_sni_san_validation"),
    *("allow_renegotiation", "max_session_keys", "enforce_rsa_key_usage", "@type"),
}
VALIDATION = {
    *("trusted_ca", "verify_certificate_spki", "verify_certificate_hash"),
    *("match_typed_subject_alt_names", "crl", "allow_expired_certificate"),
}


def socket(pattern: str = HOST, **fields: Any) -> dict[str, Any]:
    pins = pin_set(policy(pattern, *KEYS[:2], WHOLE[0], match="leaf", **fields))
    loaded: dict[str, Any] = yaml.safe_load(exported("envoy", pins))
    return loaded


def validation(**fields: Any) -> Any:
    return socket(**fields)["typed_config"]["common_tls_context"]["validation_context"]


@pytest.mark.parametrize("pattern", [HOST, "*.bank.example", "192.0.2.7", "2001:db8::7"])
def test_all_fields_belong_to_the_api(pattern: str) -> None:
    loaded = socket(pattern=pattern)
    assert loaded["name"] == "envoy.transport_sockets.tls"
    assert loaded["typed_config"].keys() <= CONTEXT
    assert loaded["typed_config"]["max_session_keys"] == 0
    assert validation(pattern=pattern).keys() <= VALIDATION


def test_each_kind_of_pin_has_its_list() -> None:
    found = validation()
    assert found["verify_certificate_spki"] == [str(pin)[7:] for pin in KEYS[:2]]
    assert found["verify_certificate_hash"] == [WHOLE[0].digest.hex()]


def test_the_name_is_requested_and_verified() -> None:
    assert socket()["typed_config"]["sni"] == HOST
    assert validation()["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": HOST}}
    ]


def test_an_address_is_not_sent_as_server_name() -> None:
    assert "sni" not in socket(pattern="192.0.2.7")["typed_config"]
    assert validation(pattern="192.0.2.7")["match_typed_subject_alt_names"] == [
        {"san_type": "IP_ADDRESS", "matcher": {"exact": "192.0.2.7"}}
    ]


def test_for_wildcards_the_requested_name_is_verified() -> None:
    context = socket(pattern="**.bank.example")["typed_config"]
    assert context["auto_host_sni"] is True
    assert context["auto_sni_san_validation"] is True


def test_trusted_roots_are_always_set() -> None:
    assert validation()["trusted_ca"] == {"filename": "/etc/ssl/certs/ca-certificates.crt"}
    own = validation(trust=anchors()[0])["trusted_ca"]
    assert own == {"inline_string": authorities()[0].pem.decode()}


CLUSTERS = """
static_resources:
  clusters:
  - name: bank
    transport_socket: &name
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: api.bank.example
        common_tls_context:
          validation_context:
            trusted_ca: {filename: own.pem}
            match_typed_subject_alt_names:
            - {san_type: DNS, matcher: {exact: API.bank.example, ignore_case: true}}
            verify_certificate_spki: [ONE, TWO]
  - name: other
    transport_socket:
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: other.example
        common_tls_context: {validation_context: {trusted_ca: {filename: /etc/ssl/cert.pem}}}
  - name: clear
    typed_config: {"@type": 7}
""".replace("ONE", str(KEYS[0])[7:]).replace("TWO", str(KEYS[1])[7:])


def test_all_pinned_clusters_are_read() -> None:
    [only] = imported("envoy", CLUSTERS, own=authorities()[0].pem).policies
    assert (str(only.pattern), only.match, only.trust) == (HOST, "leaf", anchors()[0])
    assert set(only.live_pins) == set(KEYS[:2])


MATCHERS = f"""\
      match_typed_subject_alt_names:
      - san_type: DNS
        matcher:
          exact: "{HOST}"
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (f'exact: "{HOST}"', 'exact: "evil.example"', "Envoy verifies evil.example and sends api"),
        (f'exact: "{HOST}"', 'suffix: ".example"', "Envoy verifies several names"),
        ("san_type: DNS", "san_type: URI", "Envoy verifies several names"),
        (MATCHERS, "", "Envoy verifies no literal name"),
        (f'sni: "{HOST}"', 'sni: "evil.example"', "and sends evil.example"),
        (
            MATCHERS,
            MATCHERS + MATCHERS.partition("\n")[2].replace(HOST, "evil.example"),
            f"Envoy verifies {HOST}, evil.example",
        ),
    ],
)
def test_an_export_that_verifies_another_name_is_refused(old: str, new: str, problem: str) -> None:
    text = exported("envoy", pin_set(policy(HOST, *KEYS[:2], match="leaf")))
    assert str(imported("envoy", text.replace("\n", "\r\n")).policies[0].pattern) == HOST
    assert old in text
    with pytest.raises(FormatError, match=f"the file is for {HOST}, but ") as caught:
        imported("envoy", text.replace(old, new))
    assert problem in caught.value.problem


@pytest.mark.parametrize("field", ["auto_host_sni: true", "auto_sni_san_validation: true"])
def test_an_export_for_a_wildcard_verifies_the_requested_name(field: str) -> None:
    text = exported("envoy", pin_set(policy("*.bank.example", *KEYS[:2], match="leaf")))
    for new in ("", field.replace("true", "false")):
        with pytest.raises(FormatError, match="but Envoy verifies no literal name"):
            imported("envoy", text.replace(field, new))


def test_a_comment_of_another_file_names_no_host() -> None:
    own = CLUSTERS.replace(CLUSTERS.partition("  - name: other\n")[2], "").replace(
        "  - name: other\n", ""
    )
    text = "# for production" + own
    [only] = imported("envoy", text, own=authorities()[0].pem).policies
    assert str(only.pattern) == HOST


def test_the_name_of_a_certificate_is_the_host_without_sni() -> None:
    text = CLUSTERS.replace("sni: api", "x: api")
    [only] = imported("envoy", text, own=authorities()[0].pem).policies
    assert str(only.pattern) == HOST


def test_a_server_name_that_envoy_does_not_verify_is_refused() -> None:
    text = CLUSTERS.replace("exact: API.bank", "exact: other")
    with pytest.raises(FormatError, match=f"sni is {HOST}, and Envoy requires .* other.example"):
        imported("envoy", text, own=authorities()[0].pem)


@pytest.mark.parametrize("name", ["*.bank.example", "*.BANK.example"])
def test_a_matcher_may_have_the_wildcard_of_the_certificate(name: str) -> None:
    text = CLUSTERS.replace("exact: API.bank.example", f'exact: "{name}"')
    [only] = imported("envoy", text, own=authorities()[0].pem).policies
    assert str(only.pattern) == HOST


@pytest.mark.parametrize("name", ["*.other.example", "**.bank.example", "*.example", "x y"])
def test_a_matcher_of_other_hosts_is_refused(name: str) -> None:
    text = CLUSTERS.replace("exact: API.bank.example", f'exact: "{name}"')
    with pytest.raises(FormatError, match=f"sni is {HOST}, and Envoy requires "):
        imported("envoy", text, own=authorities()[0].pem)


TYPED = "match_typed_subject_alt_names:\n            - {san_type: DNS, matcher: {exact: API"
OLD = "match_subject_alt_names:\n            - {exact: API"


def test_the_deprecated_matchers_are_read() -> None:
    assert TYPED in CLUSTERS
    text = CLUSTERS.replace(TYPED, OLD).replace("ignore_case: true}}", "ignore_case: true}")
    for matchers in (text, text.replace("sni: api", "x: api")):
        [only] = imported("envoy", matchers, own=authorities()[0].pem).policies
        assert str(only.pattern) == HOST
    with pytest.raises(FormatError, match=r"Envoy requires the name other\.bank\.example"):
        imported("envoy", text.replace("exact: API", "exact: other"), own=authorities()[0].pem)


def test_json_is_accepted_as_yaml() -> None:
    text = json.dumps(yaml.safe_load(CLUSTERS))
    assert len(imported("envoy", text, own=authorities()[0].pem).policies) == 1


def test_only_files_in_the_same_folder_are_read() -> None:
    with pytest.raises(FormatError, match="is not a plain file name"):
        imported("envoy", CLUSTERS.replace("own.pem", "/etc/passwd"))


@pytest.mark.parametrize(
    "name", ["combined_validation_context", "validation_context_sds_secret_config"]
)
def test_settings_in_another_place_are_refused(name: str) -> None:
    text = CLUSTERS.replace(
        "validation_context:\n", f"{name}: {{}}\n          validation_context:\n"
    )
    assert text != CLUSTERS
    problem = f"UpstreamTlsContext of {HOST}: {name} takes settings from another place"
    with pytest.raises(FormatError, match=problem):
        imported("envoy", text, own=authorities()[0].pem)
    pins = re.sub(r"verify_certificate_spki: .*", "", text)
    with pytest.raises(FormatError, match=f"{name} takes settings from another place"):
        imported("envoy", pins, own=authorities()[0].pem)


UNPINNED = "common_tls_context: {validation_context: {trusted_ca: {filename: /etc/ssl/cert.pem}}}"


@pytest.mark.parametrize(
    "instead",
    [
        "",
        "common_tls_context: {alpn_protocols: [h2]}",
        "common_tls_context: {validation_context: {}}",
        UNPINNED.replace("/etc/ssl/cert.pem", "/etc/own.pem"),
        UNPINNED.replace("filename", "environment_variable"),
    ],
)
def test_a_cluster_without_pins_is_skipped(instead: str) -> None:
    assert UNPINNED in CLUSTERS
    text = CLUSTERS.replace(UNPINNED, instead)
    [only] = imported("envoy", text, own=authorities()[0].pem).policies
    assert str(only.pattern) == HOST


@pytest.mark.parametrize(
    "name", ["combined_validation_context", "validation_context_sds_secret_config"]
)
def test_another_cluster_with_settings_in_another_place_is_reported(name: str) -> None:
    text = CLUSTERS.replace(UNPINNED, f"common_tls_context: {{{name}: {{name: a}}}}")
    with pytest.warns(UnrelatedWarning, match=f"{name} of other.example: its settings are not"):
        [only] = imported("envoy", text, own=authorities()[0].pem).policies
    assert str(only.pattern) == HOST


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("common_tls_context:\n", "commonTlsContext:\n", "pins that are not in common_tls_context"),
        (" validation_context:\n", " validationContext:\n", "pins that are not in common_tls_cont"),
        ("verify_certificate_spki", "verifyCertificateSpki", "pins in another spelling"),
        (
            "filename: own.pem",
            "inline_bytes: AAAA",
            "trusted_ca has neither filename nor inline_str",
        ),
        (
            "filename: own.pem",
            "environment_variable: A",
            "trusted_ca has neither filename nor inlin",
        ),
    ],
)
def test_an_error_about_one_of_several_clusters_names_it(old: str, new: str, problem: str) -> None:
    assert old in CLUSTERS
    with pytest.raises(FormatError, match=f"UpstreamTlsContext of {HOST}: .*{problem}") as caught:
        imported("envoy", CLUSTERS.replace(old, new, 1), own=authorities()[0].pem)
    assert str(caught.value.fix).startswith("import a copy of the file with the ")


def test_a_context_without_verification_is_refused() -> None:
    text = CLUSTERS.replace("trusted_ca: {filename: own.pem}", "allow_expired_certificate: true")
    with pytest.raises(FormatError, match="Envoy would verify nothing"):
        imported("envoy", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x]\nb: *a\n", "the file uses an alias"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "line 2: a mapping repeats a key"),
        ("a: &a [" + "*b," * 9 + "]", "the file uses an alias"),
        ("a: [1", "the file is not YAML"),
        ("a: 1\n---\nb: 2\n", "the file is not YAML"),
        ("[" * 100_000, "the file is not YAML"),
        ("- " * 50_000, "the file is not YAML"),
        ("? [a]\n: b\n", "the file is not YAML"),
        ('a: "\\UFFFFFFFF"', "the file is not YAML"),
        ("a: 2001-99-99\nb: " + "9" * 5000, "the file contains no pins"),
        ("a: !!python/object/apply:os.system [true]", "the file contains no pins"),
        ("x" * (2 * 1024 * 1024), "more than 1048576 characters"),
    ],
    ids=lambda value: value[:20],
)
def test_hostile_yaml_raises_format_error(text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        imported("envoy", text, HOST)


def test_missing_pyyaml_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    yaml_reader._parser.cache_clear()
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match=r"certpin\[yaml\]"):
        imported("envoy", CLUSTERS)
    yaml_reader._parser.cache_clear()
