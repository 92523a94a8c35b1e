"""Client certificates: when clients present one, and how the verdict reports it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.lab.client import Call, Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style, client_identity
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME, pinned, trusting
from tests.lab.attacks._calls import ask, call, check_pin, connected, results, wrong

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.target import Target

CASE = "client-certificate-requested"
VERSIONS = ["1.2", "1.3"]


def _with_certificate(context: ssl.SSLContext, target: Target) -> ssl.SSLContext:
    context.load_cert_chain(target.client_certificate, target.client_key)
    return context


@pytest.mark.parametrize("tls", VERSIONS)
def test_certificate_sent_before_the_pin_check_is_a_warning(tls: str) -> None:
    def client(target: Target) -> str:
        with connected(target, _with_certificate(trusting(target), target), "") as connection:
            check_pin(connection, target.pin)
            return ask(connection, target.host, target.canary)

    found = results(client, Style.LEAF, CASE, "rogue-ca-in-store", tls=tls)
    assert wrong(found) == {CASE: "REJECT"}
    result = found[CASE]
    assert result.outcome is Outcome.WARNING
    assert "it presented its certificate" in result.why
    (seen,) = result.attempts[-1].connections
    assert ssl.DER_cert_to_PEM_cert(seen.client_certificate).startswith("-----BEGIN CERT")
    assert not seen.data


@pytest.mark.medium
@pytest.mark.parametrize("tls", VERSIONS)
def test_certpin_client_sends_no_certificate(tls: str) -> None:
    def client(target: Target) -> str:
        return call(target, _with_certificate(pinned(target), target))

    found = results(client, Style.LEAF, CASE, tls=tls)
    assert not wrong(found)
    assert not found[CASE].attempts[-1].connections[0].client_certificate


@pytest.mark.parametrize("tls", VERSIONS)
def test_client_that_trusts_only_the_pinned_root_sends_no_certificate(tls: str) -> None:
    roots: list[str] = []

    def client(target: Target) -> str:
        context = ssl.create_default_context(cadata=roots[0])
        return call(target, _with_certificate(context, target))

    with Lab(style=Style.LEAF, tls=tls) as lab:  # type: ignore[arg-type]
        roots.append(lab.authorities.root.pem.decode())
        run = prove(lab, Call(client), [BY_NAME[CASE]])
    result = run.results[1]
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.RIGHT)
    assert "sent nothing" in result.why
    assert not result.attempts[-1].connections[0].client_certificate


def test_client_without_pins_sends_no_certificate_to_an_untrusted_root() -> None:
    def client(target: Target) -> str:
        return call(target, _with_certificate(trusting(target), target))

    assert not wrong(results(client, Style.NONE, CASE))


def test_sent_data_is_a_finding_even_with_a_certificate() -> None:
    def client(target: Target) -> str:
        return call(target, _with_certificate(trusting(target), target))

    assert wrong(results(client, Style.LEAF, CASE)) == {CASE: "ACCEPT"}


@pytest.mark.parametrize("tls", VERSIONS)
def test_unknown_client_certificate_counts_as_sent(tls: str, tmp_path: Path) -> None:
    client_identity(datetime.now(UTC)).write(tmp_path, "own")

    def client(target: Target) -> str:
        context = trusting(target)
        context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
        return call(target, context)

    result = results(client, Style.LEAF, CASE, tls=tls)[CASE]
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.WARNING)
    assert "it presented its certificate" in result.why


@pytest.mark.medium
@pytest.mark.parametrize("tls", VERSIONS)
def test_honest_servers_can_require_a_client_certificate(tls: str) -> None:
    def shows(target: Target) -> str:
        return call(target, _with_certificate(pinned(target), target))

    def has_none(target: Target) -> str:
        return call(target, pinned(target))

    with Lab(style=Style.LEAF, tls=tls, client_certificates=True) as lab:  # type: ignore[arg-type]
        assert prove(lab, Call(shows), [BY_NAME["rogue-ca-in-store"]]).controlled
        refused = prove(lab, Call(has_none), [])
    assert not refused.controlled
    problem = refused.results[0].attempts[0].connections[0].problem
    assert problem == "peer did not return a certificate"


@pytest.mark.peer("curl")
@pytest.mark.parametrize(
    "words",
    [
        ("curl", "-sS", "--cert", "{client_cert}", "--key", "{client_key}", "{url}"),
        (
            "sh",
            "-c",
            'curl -sS --cert "$CERTPIN_LAB_CLIENT_CERT" --key "$CERTPIN_LAB_CLIENT_KEY" {url}',
        ),
    ],
)
def test_command_gets_the_path_of_its_certificate(words: tuple[str, ...]) -> None:
    with Lab(style=Style.NONE, client_certificates=True) as lab:
        assert prove(lab, Command(words), []).controlled
