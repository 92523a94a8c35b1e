"""Hosts that are IP addresses, in the real clients of exports.

nginx and HAProxy don't verify an IP address in a certificate, so the exports for them refuse
policies for addresses. Programs find the policy of an address in each of its spellings.
"""

from __future__ import annotations

import http.client
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.formats import FORMATS
from certpin.lab import Authority, LabServer
from tests.formats._text import exported
from tests.formats.interop import _programs
from tests.formats.interop._proxies import Proxy
from tests.kit import NOBODY, NOBODY_ELSE, anchors, pin_set, policy
from tests.lab._clients import node_faults
from tests.servers._run import LOOPBACK, free_port, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow


def status(name: str, server: LabServer, root: Authority, asked: str, folder: Path) -> int:
    """Return the HTTP status of a proxy that verifies its server by a name or an address.

    Args:
        name: "nginx" or "haproxy".
        server: the server behind the proxy.
        root: the root that the proxy trusts.
        asked: the name or address to verify.
        folder: where to write the configuration.
    """
    pins = pin_set(policy("name.example", NOBODY, NOBODY_ELSE, trust=anchors(root)))
    files = FORMATS[name].export(pins).files
    for file in files:
        text = file.text.replace("name.example", asked)
        (folder / file.path).write_text(text, encoding="utf-8")
    port = free_port()
    target: Any = SimpleNamespace(case="address", port=server.port, host=asked)
    words = Proxy(name)._configure(folder / files[0].path, port, target)
    with running(words, port, cwd=folder):
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=15)
        connection.request("GET", "/")
        found = connection.getresponse().status
        connection.close()
    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("nginx", marks=pytest.mark.peer("nginx")),
        pytest.param("haproxy", marks=pytest.mark.peer("haproxy")),
    ],
)
def test_proxies_refuse_a_server_by_the_address_in_its_certificate(
    name: str, tmp_path: Path
) -> None:
    root = Authority("R")
    with LabServer(root.issue("name.example", LOOPBACK)) as server:
        assert status(name, server, root, LOOPBACK, tmp_path) >= 500
        assert status(name, server, root, "name.example", tmp_path) == 200


# A URL writes the first one as the second one; certpin's own spelling is the first one.
MAPPED = pytest.mark.parametrize("spelling", ["::ffff:127.0.0.1", "::ffff:7f00:1"])


def _said_by(name: str, client: Callable[[Path, int], list[str]], folder: Path) -> str:
    """Return the errors of a client that requests a mapped address (RFC 4291 section 2.5.5.2).

    The result is empty if the client accepts the server.

    Args:
        name: the format of the export.
        client: returns the command, from the exported file and the port of the server.
        folder: where to write the export.
    """
    root = Authority("R")
    identity = root.issue("::ffff:127.0.0.1")
    own = policy("::ffff:127.0.0.1", identity.pin, NOBODY, match="leaf", trust=anchors(root))
    export = folder / FORMATS[name].file
    export.write_text(exported(name, pin_set(own)), encoding="utf-8")
    with LabServer(identity) as server:
        done = subprocess.run(
            client(export, server.port), capture_output=True, text=True, timeout=60, check=False
        )
    return done.stderr


@pytest.mark.peer("node")
@MAPPED
def test_node_finds_the_policy_of_a_mapped_address(spelling: str, tmp_path: Path) -> None:
    def client(export: Path, port: int) -> list[str]:
        program = str(_programs.PROGRAMS / "client.mjs")
        return ["node", program, str(export), spelling, str(port), "/"]

    said = _said_by("node", client, tmp_path)
    assert not said or (node_faults() and "ERR_CERTPIN" not in said)


@pytest.mark.peer("go")
@MAPPED
def test_go_finds_the_policy_of_a_mapped_address(spelling: str, tmp_path: Path) -> None:
    def client(export: Path, port: int) -> list[str]:
        built = tmp_path / "built"
        built.mkdir()
        _programs._build_go(export, built)
        return [str(built / "proof"), f"https://[{spelling}]:{port}/"]

    assert _said_by("go", client, tmp_path) == ""


ZONED = """
import https from "node:https";
import { pinnedAgent } from "./certpin-pins.mjs";

const [host, port] = process.argv.slice(2);
https
  .get({ host, port, agent: pinnedAgent() }, (response) => response.resume())
  .on("error", ({ code, address }) => console.error(code, address));
"""


@pytest.mark.peer("node")
def test_node_finds_the_policy_of_an_address_with_a_zone(tmp_path: Path) -> None:
    """A zone (RFC 4007 section 11) belongs to the route: it is in no policy and no certificate."""

    def client(_: Path, port: int) -> list[str]:
        (tmp_path / "run.mjs").write_text(ZONED, encoding="utf-8")
        return ["node", str(tmp_path / "run.mjs"), "::ffff:127.0.0.1%lo", str(port)]

    said = _said_by("node", client, tmp_path)
    assert not said or (node_faults() and "ERR_CERTPIN" not in said)


@pytest.mark.peer("node")
def test_node_connects_to_an_address_with_its_zone(tmp_path: Path) -> None:
    pins = pin_set(policy("fe80::1", NOBODY, NOBODY_ELSE, match="leaf"))
    (tmp_path / "certpin-pins.mjs").write_text(exported("node", pins), encoding="utf-8")
    (tmp_path / "run.mjs").write_text(ZONED, encoding="utf-8")
    words = ["node", str(tmp_path / "run.mjs"), "fe80::1%lo", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.endswith(" fe80::1%lo\n")
