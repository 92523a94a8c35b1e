"""Check a login and a token over the network, with granian, TLS, and cookies as in a browser."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.servers._run import free_port
from tests.servers.oidc import serving
from tests.watch.auth._kit import OWN, PAGE, PASSWORD, Service, csrf_of

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority


@pytest.mark.slow
def test_login_and_scrape_over_tls(service: Service, root: Authority, tmp_path: Path) -> None:
    service.add("anna", "operator")
    token = service.token("metrics")
    chain, key = root.issue("localhost").write(tmp_path)
    port = free_port()
    context = ssl.create_default_context(cadata=root.pem.decode())
    with (
        serving(service.app, port, chain, key),
        httpx.Client(
            base_url=f"https://localhost:{port}", verify=context, headers=PAGE, trust_env=False
        ) as browser,
    ):
        form = browser.get("/", follow_redirects=True)
        assert form.url.path == "/login"
        assert "max-age" in form.headers["strict-transport-security"]
        data = {"csrf": csrf_of(form), "name": "anna", "password": PASSWORD, "next": "/account"}
        own = {"origin": f"https://localhost:{port}"}
        assert browser.post("/login", data=data, headers=own).status_code == 303
        assert "__Host-certpin" in browser.cookies
        account = browser.get("/account")
        assert "operator" in account.text
        fields = {"csrf": csrf_of(account), "why": "a test"}
        assert browser.post("/silences", data=fields).json()["who"] == "anna"
        cross = {"origin": "https://evil.example"}
        assert browser.post("/silences", data=fields, headers=cross).status_code == 403
        assert browser.post("/silences", data=fields, headers=OWN).status_code == 200
        scrape = httpx.get(
            f"https://localhost:{port}/metrics",
            headers={"authorization": f"Bearer {token}"},
            verify=context,
            trust_env=False,
        )
        assert scrape.status_code == 200
        assert browser.get("/metrics", headers={"authorization": "Bearer x"}).status_code == 401
