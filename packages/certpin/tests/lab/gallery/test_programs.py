"""Well-known programs as clients: no false alarm, and the cases that they really fail.

examples/clients/README.md explains each failure, and how it was confirmed as the client's fault.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinSet
from certpin.lab.client import write_client_files
from certpin.lab.pki import Style
from certpin.lab.report.causes import find_causes
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME, node_faults
from tests.lab._device import HOST, MOST, cases, device_lab, results
from tests.lab.gallery._gallery import (
    CLIENTS,
    Jvm,
    attacked,
    bad_cases,
    fails,
    go_program,
    program,
)
from tests.lab.gallery._table import COMPROMISED, WILDCARD

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

# OpenSSL and GnuTLS read the common name if a certificate has no SAN: allowed, but unwise.
NO_NAMES = {"cn-only": "ACCEPT"}
WGET = ("wget", "-qO-", "--tries=1", "--ca-certificate={ca}")
# GnuTLS checks extendedKeyUsage only if it is given a purpose, and wget gives it none.
GNUTLS = NO_NAMES | {"extended-key-usage": "ACCEPT", "extended-key-usage-empty": "ACCEPT"}
# crypto/x509 reads an empty list of purposes like a missing one, and accepts *.example. Both are
# warnings.
GO = {"extended-key-usage-empty": "ACCEPT", "wrong-host-public-suffix": "ACCEPT"}
# The NORMAL priority of GnuTLS, which wget uses, allows TLS 1.0.
OLD_TLS = {"old-tls": "ACCEPT"}


@pytest.mark.peer("curl")
def test_curl_with_pinnedpubkey() -> None:
    curl = ("curl", "--silent", "--show-error", "--location", "--proto", "=https")
    client = program(*curl, "--cacert", "{ca}", "--pinnedpubkey", "{pinnedpubkey}", "{url}")
    assert fails(client, Style.LEAF) == NO_NAMES


@pytest.mark.peer("wget")
def test_wget_without_pins() -> None:
    client = program(*WGET, "{url}")
    assert fails(client, Style.NONE) == GNUTLS | OLD_TLS


@pytest.mark.peer("wget")
def test_wget_with_pinnedpubkey() -> None:
    modern = ("--secure-protocol=TLSv1_2", "--https-only", "--max-redirect=1")
    client = program(*WGET, *modern, "--pinnedpubkey={pinnedpubkey}", "{url}")
    # --https-only is for recursive downloads: wget still follows a redirect to http://.
    assert fails(client, Style.LEAF) == GNUTLS | {"redirect-to-http": "ACCEPT"}


@pytest.mark.peer("node")
def test_node_with_check_server_identity() -> None:
    client = program("node", str(CLIENTS / "node_https.mjs"), "{host}", "{port}", via="port")
    # tls.checkServerIdentity accepts a wildcard within a label, even within an encoded IDN.
    partial = {"wrong-host-wildcard-part": "ACCEPT", "wrong-host-idn": "ACCEPT"}
    unseen = {"compromised-intermediate": "ACCEPT"}  # Node.js shows no verified path
    run = attacked(client, Style.LEAF)
    assert bad_cases(run) == NO_NAMES | partial | unseen | node_faults()
    others = [result for result in run.results if result.case.name not in node_faults()]
    assert [cause.title for cause in find_causes(others)] == [
        WILDCARD,
        COMPROMISED,
    ]


@pytest.mark.peer("go")
@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_go_with_verify_connection(style: Style) -> None:
    binary = go_program("go_tls", CLIENTS / "go_tls.go")
    assert fails(program(str(binary), "{url}"), style) == GO


@pytest.fixture(scope="module")
def okhttp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jvm]:
    jvm = Jvm(tmp_path_factory.mktemp("okhttp"))
    yield jvm
    jvm.stop()


# OkHttp 3.13 compares addresses as text, and Java writes the zeros of IPv6 addresses out. It
# accepts *.example, which is a warning.
OKHTTP = {"ipv6-san": "REJECT", "wrong-host-public-suffix": "ACCEPT"}


@pytest.mark.peer("javac", "libokhttp-java")
@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (Style.LEAF, OKHTTP),
        # OkHttp before its pull request 6921 accepts a leaf as an issuer.
        (Style.CA, OKHTTP | {"non-ca-switch": "ACCEPT"}),
    ],
)
def test_okhttp_with_certificate_pinner(
    okhttp: Jvm, style: Style, expected: dict[str, str]
) -> None:
    assert fails(okhttp, style) == expected


@pytest.mark.peer("javac", "libokhttp-java")
def test_okhttp_is_understood_by_its_connections_only(okhttp: Jvm, tmp_path: Path) -> None:
    """A refused pin is recognised on a device, too: there, Java closes TLS without an error."""
    with device_lab(cases("rogue-ca-in-store")) as lab:
        write_client_files(tmp_path, lab.page.roots_pem)
        policy = PinSet.parse(lab.page.pins, path=Path("pins.toml")).policy_for(HOST)
        assert policy is not None
        pin, backup = (str(each.pin) for each in policy.pins)
        target: Any = SimpleNamespace(
            clock=None,
            url=f"https://{HOST}/",
            proxy_port=lab.port,
            truststore=tmp_path / "trusted.p12",
            pin=pin,
            backup=backup,
        )
        for _ in range(MOST):
            okhttp.run(target)
            if all(each.finished for each in lab.progress()):
                break
        found = [(result.verdict, result.outcome) for _, result in results(lab)]
    assert found == [(Verdict.REJECT, Outcome.RIGHT)]


@pytest.mark.peer("javac", "libokhttp-java")
def test_okhttp_runs_as_a_program_too(okhttp: Jvm) -> None:
    words = ("java", "-cp", okhttp.classpath, "OkHttp", "{url}")
    chosen = [BY_NAME["rogue-ca-in-store"], BY_NAME["rot-backup-live"]]
    assert not fails(program(*words), Style.LEAF, only=chosen)
