"""nginx and HAProxy don't verify an IP address in a certificate.

So the exports for them refuse policies for addresses.
"""

from __future__ import annotations

import http.client
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.formats import FORMATS
from certpin.lab import Authority, LabServer
from tests.formats.interop._proxies import Proxy
from tests.kit import NOBODY, NOBODY_ELSE, anchors, pin_set, policy
from tests.servers._run import LOOPBACK, free_port, running

if TYPE_CHECKING:
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
