"""Exported code refuses a certificate in which BER hides the pinned key in another field.

OpenSSL reads indefinite and padded lengths, and keeps them in the bytes that it returns. An
attacker with a certificate of a trusted authority needs only the public key of the real server.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority, Identity
from certpin.pins import Pin
from tests.formats._sets import KEYS
from tests.formats._text import exported
from tests.formats.interop import _programs
from tests.kit import anchors, pin_set, policy
from tests.tls._servers import EncodedCertificate, RecordingServer, server_sending
from tests.x509 import _tree as tree
from tests.x509._tree import Node

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

HOST = "127.0.0.1"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nreached"
VERSION, ALGORITHM, OUTER_ALGORITHM = (0, 0), (0, 2), (1,)
PROGRAM = """
import https from "node:https";
import { pinnedAgent } from "./pins.mjs";

const [host, port, ca] = process.argv.slice(2);
const reported = [];
const agent = ca ? new https.Agent({ ca }) : pinnedAgent({}, ({ code }) => reported.push(code));
https
  .get({ host, port, agent }, (response) => {
    response.resume();
    response.on("end", () => console.log(JSON.stringify(["reached", ...reported])));
  })
  .on("error", ({ code }) => console.log(JSON.stringify([code, ...reported])));
"""


def _long(count: int) -> bytes:
    """Return a length in eight octets, most of them zeros, as only BER allows."""
    return b"\x88" + count.to_bytes(8)


def _indefinite(key: Node) -> dict[tuple[int, ...], Callable[[Node], Node]]:
    """Return changes after which a parser that reads 0x80 as "empty" finds ``key`` as the key."""

    def algorithm(node: Node) -> Node:
        return tree.with_indefinite_length(tree.with_more(key)(node))

    changes = dict.fromkeys((ALGORITHM, OUTER_ALGORITHM), algorithm)
    return {VERSION: tree.with_indefinite_length, **changes}


def _padded(key: Node) -> dict[tuple[int, ...], Callable[[Node], Node]]:
    """Return changes after which a parser that reads few octets of a length finds ``key``."""

    def algorithm(node: Node) -> Node:
        return tree.with_length(_long)(
            tree.with_more(Node(0x30, children=(key,), length=_long))(node)
        )

    changes = dict.fromkeys((ALGORITHM, OUTER_ALGORITHM), algorithm)
    return {VERSION: tree.with_length(_long), **changes}


HIDDEN = pytest.mark.parametrize("hide", [_indefinite, _padded])


def _attack(
    authority: Authority, hide: Callable[[Node], Any], folder: Path
) -> tuple[ssl.SSLContext, Pin]:
    """Return the context of a rogue server, and the pin of the real key, which it hides."""
    real = authority.issue(HOST).certificate
    rogue = authority.issue(HOST)
    certificate = tree.parse(rogue.certificate.der)
    for path, change in hide(tree.parse(real.spki)).items():
        certificate = tree.replaced(certificate, path, change)
    leaf: Any = EncodedCertificate(tree.signed(certificate, authority.key))
    return server_sending(Identity(rogue.key, (leaf,)), folder), Pin.of_key(real.spki_sha256)


@pytest.mark.peer("node")
@pytest.mark.medium
@pytest.mark.parametrize("mode", ["enforce", "report"])
@HIDDEN
def test_node_refuses_a_certificate_that_hides_the_pinned_key(
    hide: Callable[[Node], Any], mode: Any, tmp_path: Path
) -> None:
    authority = Authority("Rogue")
    attack, pin = _attack(authority, hide, tmp_path)
    trust = anchors(authority)
    pins = pin_set(policy(HOST, pin, KEYS[0], match="leaf", mode=mode, trust=trust))
    (tmp_path / "pins.mjs").write_text(exported("node", pins), encoding="utf-8")
    (tmp_path / "run.mjs").write_text(PROGRAM, encoding="utf-8")
    with RecordingServer(attack, greeting=ANSWER) as server:

        def said(*words: str) -> Any:
            done = subprocess.run(
                ["node", "run.mjs", HOST, str(server.port), *words],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            return json.loads(done.stdout)

        assert said(authority.pem.decode()) == ["reached"], "OpenSSL itself accepts it"
        assert said() == ["ERR_CERTPIN_NOT_DER", "ERR_CERTPIN_NOT_DER"]
        assert server.recordings(2)[1].application == b""


@pytest.mark.peer("go")
@pytest.mark.slow
@HIDDEN
def test_go_refuses_a_certificate_that_hides_the_pinned_key(
    hide: Callable[[Node], Any], tmp_path: Path
) -> None:
    authority = Authority("Rogue")
    attack, pin = _attack(authority, hide, tmp_path)
    pins = pin_set(policy(HOST, pin, KEYS[0], match="leaf", trust=anchors(authority)))
    export = tmp_path / "pins.go"
    export.write_text(exported("go", pins), encoding="utf-8")
    built = tmp_path / "built"
    built.mkdir()
    _programs._build_go(export, built)
    with RecordingServer(attack) as server:
        done = subprocess.run(
            [str(built / "proof"), f"https://{HOST}:{server.port}/"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert server.recordings()[0].application == b""
    assert done.returncode == 1
    assert "x509: " in done.stderr
