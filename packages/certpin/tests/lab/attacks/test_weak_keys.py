"""Weak keys and suites are really served, and only a client that allows them accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from certpin.lab.client import Call, Command
from certpin.lab.forge import small_rsa_key
from certpin.lab.pki import Style
from certpin.lab.report.words import verdict_line
from certpin.lab.scenario import Role
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import request, right_client, run_case, trusting
from tests.lab.attacks._forged import Forged
from tests.lab.gallery._gallery import CLIENTS, go_program

if TYPE_CHECKING:
    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

KEYS = ("weak-leaf-rsa-1024", "weak-leaf-dsa", "weak-leaf-p192")
SUITES = {
    "suite-static-rsa": "AES128-GCM-SHA256",
    "suite-cbc": "ECDHE-RSA-AES128-SHA",
    "dh-1024": "DHE-RSA-AES128-GCM-SHA256",
}


def test_the_keys_are_of_the_declared_sizes() -> None:
    for name, bits in (("weak-leaf-rsa-512", 512), ("weak-leaf-rsa-1024", 1024)):
        key = Forged(name).leaf.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == bits
    assert Forged("weak-leaf-rsa-512").leaf.public_key() == small_rsa_key().public_key()
    old = Forged("weak-leaf-dsa").leaf.public_key()
    assert isinstance(old, dsa.DSAPublicKey)
    assert old.key_size == 1024
    curve = Forged("weak-leaf-p192").leaf.public_key()
    assert isinstance(curve, ec.EllipticCurvePublicKey)
    assert curve.key_size == 192


@pytest.mark.peer("openssl")
def test_only_the_key_is_wrong() -> None:
    for name in ("weak-leaf-rsa-512", *KEYS):
        assert Forged(name).openssl("-auth_level", "0") == ""


def test_a_new_key_is_an_attack_on_pins_of_the_server_only() -> None:
    for name in KEYS:
        assert Forged(name, style=Style.LEAF).step.role is Role.ATTACKER
        assert Forged(name, style=Style.CA).step.role is Role.HONEST


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("name", KEYS)
def test_pins_on_the_server_refuse_a_new_key_and_others_have_a_policy(
    name: str, style: Style
) -> None:
    result = run_case(name, right_client(style), style)
    pinned = style is Style.LEAF
    assert result.verdict is Verdict.REJECT
    assert result.outcome is (Outcome.RIGHT if pinned else Outcome.TOLD)


def _lax(target: Target) -> str:
    context = trusting(target)
    context.set_ciphers(f"DEFAULT:{':'.join(SUITES.values())}:@SECLEVEL=0")
    return request(target, context)


@pytest.mark.parametrize(("name", "suite"), SUITES.items())
def test_a_client_that_allows_the_suite_gets_it(name: str, suite: str) -> None:
    result = run_case(name, Call(_lax), Style.NONE)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.TOLD)
    (seen,) = result.attempts[0].connections
    assert seen.cipher == suite


def test_a_client_without_a_minimum_accepts_the_small_keys() -> None:
    small = run_case("weak-leaf-rsa-512", Call(_lax), Style.NONE)
    assert (small.verdict, small.outcome) == (Verdict.ACCEPT, Outcome.WRONG)
    allowed = run_case("weak-leaf-rsa-1024", Call(_lax), Style.NONE)
    assert (allowed.verdict, allowed.outcome) == (Verdict.ACCEPT, Outcome.TOLD)


BY_HAND = ("suite-3des", "dh-512", "early-change-cipher-spec")
_GNUTLS = """
printf 'GET /%s HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' "$1" "$2" |
    gnutls-cli --x509cafile "$3" --sni-hostname "$2" --verify-hostname "$2" --port "$4" \
        --dh-bits "$6" --priority "$7" "$5"
"""
_DHE = "NORMAL:-VERS-TLS1.3:-KX-ALL:+ECDHE-ECDSA:+DHE-RSA:%PROFILE_VERY_WEAK"


def _gnutls(priority: str, bits: int = 512) -> Command:
    words = ("{canary}", "{host}", "{ca}", "{port}", "{address}", str(bits), priority)
    return Command(("sh", "-c", _GNUTLS, "gnutls", *words), via="port")


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("name", BY_HAND)
def test_openssl_refuses_records_made_by_hand(name: str, style: Style) -> None:
    result = run_case(name, right_client(style), style)
    assert result.verdict is Verdict.REJECT
    assert result.outcome is (Outcome.TOLD if name == "suite-3des" else Outcome.RIGHT)
    alerts = {
        "suite-3des": "this client does not offer 3DES",
        "dh-512": "alert handshake_failure",
        "early-change-cipher-spec": "alert unexpected_message",
    }
    assert alerts[name] in result.why


def test_the_report_says_that_a_client_does_not_offer_the_weakness() -> None:
    result = run_case("suite-3des", right_client(Style.NONE), Style.NONE)
    assert verdict_line(result) == (
        "the client refused: this client does not offer 3DES; your policy decides whether that is "
        "right"
    )


@pytest.mark.peer("gnutls-cli")
@pytest.mark.parametrize(
    ("priority", "suite"),
    [
        ("NORMAL:+3DES-CBC", "DES-CBC3-SHA"),
        ("NORMAL:+3DES-CBC:-RSA", "ECDHE-RSA-DES-CBC3-SHA"),
    ],
)
def test_gnutls_with_3des_accepts_it(priority: str, suite: str) -> None:
    result = run_case("suite-3des", _gnutls(priority), Style.NONE)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.TOLD)
    (seen,) = result.attempts[0].connections
    assert (seen.version, seen.cipher) == ("TLSv1.2", suite)


@pytest.mark.peer("gnutls-cli")
def test_gnutls_with_3des_by_dhe_only_proves_nothing() -> None:
    ciphers = "-CIPHER-ALL:+AES-128-GCM:+3DES-CBC:-RSA:-ECDHE-RSA"
    result = run_case("suite-3des", _gnutls(f"NORMAL:-VERS-TLS1.3:{ciphers}"), Style.NONE)
    assert result.outcome is Outcome.NOT_RUN
    assert "the client doesn't offer DES-CBC3-SHA or" in result.why


@pytest.mark.peer("gnutls-cli")
@pytest.mark.parametrize(
    ("ciphers", "suite"),
    [
        ("+AES-128-CBC:-MAC-ALL:+SHA1:+AEAD", "DHE-RSA-AES128-SHA"),
        ("+AES-256-CBC:-MAC-ALL:+SHA1:+AEAD", "DHE-RSA-AES256-SHA"),
        ("+AES-128-CBC:-MAC-ALL:+SHA256:+AEAD", "DHE-RSA-AES128-SHA256"),
        ("+AES-256-CBC:-MAC-ALL:+SHA256:+AEAD", "DHE-RSA-AES256-SHA256"),
        ("+AES-128-GCM", "DHE-RSA-AES128-GCM-SHA256"),
    ],
)
def test_gnutls_with_a_lower_minimum_accepts_the_small_group(ciphers: str, suite: str) -> None:
    # The honest server has a key for ECDSA.
    priority = f"{_DHE}:-CIPHER-ALL:+AES-256-GCM:{ciphers}"
    result = run_case("dh-512", _gnutls(priority), Style.NONE)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.WRONG)
    (seen, *_) = result.attempts[0].connections
    assert (seen.version, seen.cipher) == ("TLSv1.2", suite)


@pytest.mark.peer("gnutls-cli")
def test_gnutls_refuses_the_small_group_and_the_early_change_by_default() -> None:
    for name in ("dh-512", "early-change-cipher-spec"):
        result = run_case(name, _gnutls("NORMAL", 1024), Style.NONE)
        assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.RIGHT)


@pytest.mark.peer("go")
@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("tls3des=1,tlsrsakex=1", "the canary arrived"),
        ("tls3des=1", "the canary arrived"),
        ("tls3des=0", "this client does not offer 3DES"),
    ],
)
def test_go_offers_3des_only_with_an_old_setting(settings: str, why: str) -> None:
    binary = go_program("go_tls", CLIENTS / "go_tls.go")
    client = Command(("env", f"GODEBUG={settings}", str(binary), "{url}"))
    result = run_case("suite-3des", client, Style.LEAF)
    assert (result.why, result.outcome) == (why, Outcome.TOLD)


@pytest.mark.peer("go")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dh-512", "this client does not offer DHE"),
        ("early-change-cipher-spec", "alert unexpected_message"),
    ],
)
def test_go_refuses_the_others(name: str, why: str) -> None:
    binary = go_program("go_tls", CLIENTS / "go_tls.go")
    result = run_case(name, Command((str(binary), "{url}")), Style.LEAF)
    assert result.outcome is Outcome.RIGHT
    assert why in result.why


def test_the_roles_of_the_servers() -> None:
    """Servers with weak cryptography are attackers, except the honest one with the 3DES suite.

    Anyone on the path can read the connections that clients must refuse.
    """
    for name in BY_HAND:
        step = Forged(name).step
        assert step.role is (Role.HONEST if name == "suite-3des" else Role.ATTACKER)
        assert step.settings.weakness
