"""Cases of protocols: the server is really old, anonymous, unencrypted or without TLS."""

from __future__ import annotations

import ssl
import warnings

import pytest

from certpin.lab.scenario import Opening
from tests.lab.attacks._forged import HOST, Forged
from tests.lab.attacks._memory import handshake, problem, trusting


def _open_minded(forged: Forged) -> ssl.SSLContext:
    context = trusting(forged.pki)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize(("name", "version"), [("old-tls", "TLSv1.1"), ("weak-suite", "TLSv1.2")])
def test_only_the_protocol_is_wrong(name: str, version: str) -> None:
    forged = Forged(name)
    assert tuple(forged.chain) == forged.pki.real_chain
    met = handshake(forged.step, _open_minded(forged), HOST)  # its chain and name are verified
    assert met.version() == version
    assert problem(forged.step, forged.pki, HOST)  # to a client with OpenSSL's defaults


def test_the_weak_suite_encrypts_nothing() -> None:
    forged = Forged("weak-suite")
    cipher = handshake(forged.step, _open_minded(forged), HOST).cipher()
    assert cipher is not None
    name, _, secret_bits = cipher
    assert "NULL" in name
    assert secret_bits == 0


def test_an_anonymous_server_has_no_certificate() -> None:
    forged = Forged("anonymous")
    context = _open_minded(forged)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    met = handshake(forged.step, context, HOST)
    cipher = met.cipher()
    assert cipher is not None
    assert cipher[0].startswith(("AECDH", "ADH"))
    assert met.getpeercert(binary_form=True) is None


def test_clear_text_is_no_tls() -> None:
    assert Forged("plain-http-on-443").step.opening is Opening.PLAIN
