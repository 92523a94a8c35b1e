"""Well-known clients that are programs: no false alarm, and what they really fail is named here.

What each failure is, and how it was found to be the client's own, is in examples/clients/README.md.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from certpin.lab.pki import Style
from tests.lab._clients import BY_NAME
from tests.lab.gallery._gallery import CLIENTS, Jvm, fails, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

# OpenSSL and GnuTLS read the common name where a certificate has no names: allowed, and unwise.
NO_NAMES = {"cn-only": "ACCEPT"}
WGET = ("wget", "-qO-", "--tries=1", "--ca-certificate={ca}")
# GnuTLS looks at extendedKeyUsage when it is given a purpose, and wget gives it none.
GNUTLS = NO_NAMES | {"extended-key-usage": "ACCEPT"}
# The NORMAL priority of GnuTLS, which wget takes, has TLS 1.0.
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
    # --https-only is for recursive downloads: wget follows a redirect to http:// all the same.
    assert fails(client, Style.LEAF) == GNUTLS | {"redirect-to-http": "ACCEPT"}


@pytest.mark.peer("node")
def test_node_with_check_server_identity() -> None:
    client = program("node", str(CLIENTS / "node_https.mjs"), "{host}", "{port}", via="port")
    # tls.checkServerIdentity takes a wildcard inside a label, in the encoding of an IDN too.
    partial = {"wrong-host-wildcard-part": "ACCEPT", "wrong-host-idn": "ACCEPT"}
    unseen = {"compromised-intermediate": "ACCEPT"}  # Node.js shows no verified path
    assert fails(client, Style.LEAF) == NO_NAMES | partial | unseen


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("go") / "go_tls"
    # The cache of the user makes the second build a short one; nothing is downloaded.
    subprocess.run(["go", "build", "-o", binary, CLIENTS / "go_tls.go"], check=True, timeout=110)
    return binary


@pytest.mark.peer("go")
@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_go_with_verify_connection(go_program: Path, style: Style) -> None:
    assert not fails(program(str(go_program), "{url}"), style)


@pytest.fixture(scope="module")
def okhttp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jvm]:
    jvm = Jvm(tmp_path_factory.mktemp("okhttp"))
    yield jvm
    jvm.stop()


# OkHttp 3.13 compares addresses as text: an IPv6 address of Java's has its zeros written out.
IPV6 = {"ipv6-san": "REJECT"}


@pytest.mark.peer("javac", "libokhttp-java")
@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (Style.LEAF, IPV6),
        # OkHttp before its pull request 6921 takes a leaf for an issuer.
        (Style.CA, IPV6 | {"non-ca-switch": "ACCEPT"}),
    ],
)
def test_okhttp_with_certificate_pinner(
    okhttp: Jvm, style: Style, expected: dict[str, str]
) -> None:
    assert fails(okhttp, style) == expected


@pytest.mark.peer("javac", "libokhttp-java")
def test_okhttp_runs_as_a_program_too(okhttp: Jvm) -> None:
    words = ("java", "-cp", okhttp.classpath, "OkHttp", "{url}")
    chosen = [BY_NAME["rogue-ca-in-store"], BY_NAME["rot-backup-live"]]
    assert not fails(program(*words), Style.LEAF, only=chosen)
