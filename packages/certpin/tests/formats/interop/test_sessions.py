"""A proxy with an exported file resumes no TLS session of a connection with other trust.

HAProxy keeps sessions for each server line, which has its trust anchors; nginx for each server.
If locations share an ``upstream`` with ``keepalive``, nginx even reuses the connection.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS, Source
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


KEPT = """\
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location /other {{
      proxy_pass https://shared;
    }}
    location /pinned {{
      include nginx-pins.conf;
      proxy_pass https://{upstream};
    }}
  }}
  upstream shared {{ server 127.0.0.1:{server}; keepalive 4; }}
  upstream own {{ server 127.0.0.1:{server}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{server} ssl;
    ssl_certificate attacker.pem;
    ssl_certificate_key attacker.pem;
    location / {{ return 200 reached; }}
"""


@pytest.mark.peer("nginx")
@pytest.mark.medium
@pytest.mark.parametrize("upstream", ["shared", "own"])
def test_nginx_needs_an_upstream_of_its_own_with_keepalive(tmp_path: Path, upstream: str) -> None:
    """The reason for a sentence in ``needs``: no directive of a location can prevent this."""
    pinned, other = authorities()
    pins = pin_set(policy(HOST, *KEYS[:2], trust=anchors(pinned)))
    for file in FORMATS["nginx"].export(pins).files:
        (tmp_path / file.path).write_text(file.text, encoding="utf-8")
    attacker = other.issue(HOST)
    (tmp_path / "attacker.pem").write_bytes(attacker.key_pem + attacker.chain_pem)
    port, server = free_port(), free_port()
    config = tmp_path / "nginx.conf"
    text = nginx_conf("nginx", port, KEPT.format(upstream=upstream, server=server))
    config.write_text(text, encoding="utf-8")
    with running([require("nginx"), "-p", tmp_path, "-c", config], port, cwd=tmp_path):
        assert not ask(port, "/pinned").content
        assert ask(port, "/other").content
        assert bool(ask(port, "/pinned").content) is (upstream == "shared")
    problem = "the upstream shared has keepalive, so nginx reuses its connections"
    files = {each.name: each.read_bytes() for each in tmp_path.glob("*.pem")}
    inlined = text.replace("include nginx-pins.conf;", (tmp_path / "nginx-pins.conf").read_text())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        FORMATS["nginx"].load(Source(inlined.encode(), files.__getitem__))
    assert any(problem in str(each.message) for each in caught) is (upstream == "shared")
