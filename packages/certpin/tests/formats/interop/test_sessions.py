"""A proxy with an exported file resumes no TLS session of a connection with other trust.

HAProxy keeps sessions for each server line, which has its trust anchors; nginx for each server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS
from tests.formats._sets import KEYS, authorities
from tests.formats.interop._proxies import ask, nginx_conf
from tests.kit import anchors, pin_set, policy
from tests.servers._run import free_port, require, running
from tests.tls._servers import RecordingServer, server_sending

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.bank.example"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nreached"
LOCATIONS = """\
    location /other {{
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate other.pem;
      proxy_ssl_name {host};
      proxy_ssl_server_name on;
      proxy_pass https://127.0.0.1:{server};
    }}
    location /pinned {{
      include nginx-pins.conf;
      proxy_pass https://127.0.0.1:{server};
    }}
"""


@pytest.mark.peer("nginx")
@pytest.mark.medium
def test_nginx_resumes_no_session_of_a_location_with_other_trust(tmp_path: Path) -> None:
    pinned, other = authorities()
    pins = pin_set(policy(HOST, *KEYS[:2], trust=anchors(pinned)))
    for file in FORMATS["nginx"].export(pins).files:
        (tmp_path / file.path).write_text(file.text, encoding="utf-8")
    (tmp_path / "other.pem").write_bytes(other.pem)
    attacker = server_sending(other.issue(HOST), tmp_path)
    port = free_port()
    with RecordingServer(attacker, greeting=ANSWER) as server:
        locations = LOCATIONS.format(host=HOST, server=server.port)
        config = tmp_path / "nginx.conf"
        config.write_text(nginx_conf("nginx", port, locations), encoding="utf-8")
        with running([require("nginx"), "-p", tmp_path, "-c", config], port, cwd=tmp_path):
            assert [ask(port, "/other").content for _ in range(2)] == [True, True]
            assert server.recordings(2)[1].resumed, "no session was kept"
            assert not ask(port, "/pinned").content
