"""Check security headers of responses, forwarded headers of proxies, and the listening address.

The service listens beyond the loopback interface only with credentials, and only with TLS or behind
a proxy. The tests also check the login and account pages, and the table ``[access]``.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin.pinfile.file import Table
from certpin_watch.addresses import origin_of
from certpin_watch.auth.access import POLICY
from certpin_watch.auth.identity import check_listening
from certpin_watch.settings import AuthSettings, ServiceSettings
from certpin_watch.settings.reader import read_table
from tests.watch.auth._kit import Service, post

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("/", "/login", "/account", "/tokens", "/audit")
PROXIED = AuthSettings(behind_proxy=True, trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),))


@pytest.mark.medium
def test_every_response_has_the_security_headers(service: Service) -> None:
    service.add("anna", "admin")
    browser = service.signed_in("anna")
    answers = [browser.get(path) for path in (*PAGES, "/health", "/files", "/none")]
    answers += [
        service.browser().get("/"),
        browser.post("/silences"),
        service.browser().get("/files"),
    ]
    for answer in answers:
        headers = answer.headers
        assert headers["content-security-policy"] == POLICY
        if "<head>" in answer.text:  # it would override the header
            assert '<meta name="referrer" content="same-origin">' in answer.text
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert "camera=()" in headers["permissions-policy"]
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers
    secure = service.browser("https://localhost").get("/login")
    assert "max-age=" in secure.headers["strict-transport-security"]


def test_policy_allows_only_files_of_the_service() -> None:
    directives = dict(directive.split(" ", 1) for directive in POLICY.split("; "))
    assert directives.pop("require-trusted-types-for") == "'script'"
    assert directives.pop("trusted-types") == "default"
    assert directives["default-src"] == "'none'"
    assert set(directives.values()) == {"'none'", "'self'"}
    assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert directives["form-action"] == directives["script-src"] == "'self'"


@pytest.mark.medium
@pytest.mark.parametrize("path", PAGES[1:])
def test_pages_have_no_inline_code_and_label_every_field(service: Service, path: str) -> None:
    service.add("anna", "admin")
    browser = service.browser() if path == "/login" else service.signed_in("anna")
    service.token("read")
    page = browser.get(path).text
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:|<script(?![^>]*\ssrc=)", page)
    for field in re.findall(r"<input[^>]*>", page):
        if 'type="hidden"' in field or "aria-hidden" in field:
            continue
        name = re.search(r'id="([\w-]+)"', field)
        assert name, field
        assert re.search(rf'<label[^>]* for="{name[1]}"', page)
    for form in re.findall(r"<form.*?</form>", page, re.DOTALL):
        assert 'method="post"' in form
        assert 'name="csrf"' in form


def test_form_errors_are_announced_and_linked_to_their_fields(service: Service) -> None:
    service.add("anna", "admin")
    browser = service.signed_in("anna")
    page = post(browser, "/tokens", "/tokens", name="", scope="read").text
    assert re.search(r'id="error"[^>]*role="alert"', page)
    assert 'aria-describedby="error"' in page


def _origin(client: str, settings: AuthSettings, **headers: str) -> Any:
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": "http", "scheme": "http", "client": (client, 1), "headers": raw}
    return origin_of(scope, settings.believed)


def test_forwarded_headers_count_only_from_trusted_proxies() -> None:
    sent = {
        "host": "watch.internal",
        "x_forwarded_for": "198.51.100.66, 203.0.113.7, 10.1.1.1",
        "x_forwarded_proto": "https",
        "x_forwarded_host": "watch.bank.example",
    }
    ours = _origin("10.0.0.1", PROXIED, **sent)
    assert ours.url == "https://watch.bank.example"
    assert ours.source == "203.0.113.0/24"  # the client wrote the entries to the left
    assert ours.guesser == "203.0.113.7/32"
    untrusted = _origin("192.0.2.1", PROXIED, **sent)
    for origin in (untrusted, _origin("10.0.0.1", AuthSettings(), **sent)):
        assert origin.url == "http://watch.internal"
        assert origin.source in {"192.0.2.0/24", "10.0.0.0/24"}
    assert _origin("10.0.0.1", PROXIED, x_forwarded_for="junk").source == ""


def test_scheme_host_and_client_are_those_that_the_nearest_proxy_added() -> None:
    names = ("x-forwarded-proto", "x-forwarded-host", "x-forwarded-for")
    forged = ("https", "evil.example", "127.0.0.1")
    added = ("http", "watch.bank.example", "203.0.113.7")
    one_line = [(name, f"{a}, {b}") for name, a, b in zip(names, forged, added, strict=True)]
    two_lines = [*zip(names, forged, strict=True), *zip(names, added, strict=True)]
    for sent in (one_line, two_lines):
        raw = [(name.encode(), text.encode()) for name, text in sent]
        scope = {"type": "http", "scheme": "http", "client": ("10.0.0.1", 1), "headers": raw}
        origin = origin_of(scope, PROXIED.believed)
        assert (origin.url, origin.guesser) == ("http://watch.bank.example", "203.0.113.7/32")


def test_addresses_are_cut_to_their_network() -> None:
    plain = AuthSettings()
    assert _origin("2001:db8:1:2:3::4", plain).source == "2001:db8:1::/48"
    assert _origin("2001:db8:1:2:3::4", plain).guesser == "2001:db8:1:2::/64"
    assert _origin("::ffff:192.0.2.9", plain).source == "192.0.2.0/24"
    assert _origin("fe80::1%eth0", plain).source == "fe80::/48"


BEYOND = ("0.0.0.0", 8460)
TLS: Any = ("chain.pem", "key.pem")


def _why(service: Service, **settings: Any) -> str:
    try:
        check_listening(ServiceSettings(**settings), service.store)
    except ConfigError as exc:
        return exc.problem if exc.fix else "the error has no fix"
    return ""


def test_listening_beyond_the_loopback_requires_credentials(service: Service) -> None:
    open_to_all = "need no password"
    assert _why(service) == ""
    assert _why(service, listen=("localhost", 1)) == ""
    assert open_to_all in _why(service, listen=BEYOND, tls=TLS)
    assert open_to_all in _why(service, listen=("::", 8460), tls=TLS)
    assert open_to_all in _why(service, access=PROXIED)
    assert open_to_all in _why(service, public_url="https://watch.bank.example")
    token = service.token("metrics")
    assert _why(service, listen=BEYOND, tls=TLS) == ""
    with service.store.write() as connection:
        connection.exec_driver_sql("UPDATE tokens SET revoked_at = 1")
    assert token
    assert open_to_all in _why(service, listen=BEYOND, tls=TLS)
    service.add("anna")
    assert _why(service, listen=BEYOND, tls=TLS) == ""


def test_listening_beyond_the_loopback_requires_tls(service: Service) -> None:
    service.add("anna")
    assert "clear text" in _why(service, listen=BEYOND)
    assert _why(service, listen=BEYOND, access=PROXIED) == ""
    assert _why(service, listen=BEYOND, tls=TLS) == ""


def test_unusable_ca_file_of_a_provider_is_reported_at_the_start(
    service: Service, tmp_path: Path
) -> None:
    public_url = "https://watch.bank.example"
    for name, why in (("id.pem", "these authorities cannot be used"), ("", "")):
        oidc = _read(oidc=OIDC | ({"ca_file": str(tmp_path / name)} if name else {}))
        assert _why(service, access=oidc, public_url=public_url) == why


OIDC: dict[str, Any] = {
    "issuer": "https://id.bank.example",
    "client_id": "certpin",
    "client_secret": "a secret",
    "roles": {"watch": "viewer"},
}


def _read(**table: Any) -> AuthSettings:
    return read_table(AuthSettings, Table(table, "access"))


def test_settings_have_defaults(tmp_path: Path) -> None:
    assert _read() == AuthSettings()
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    found = _read(
        behind_proxy=True,
        trusted_proxies=["10.0.0.5"],
        idle_minutes=5,
        oidc={**OIDC, "client_secret": f"file:{file}", "scopes": ["groups"]},
    )
    assert (found.behind_proxy, found.idle_seconds) == (True, 300)
    assert found.oidc is not None
    assert found.oidc.client_secret.reveal() == "from a file"
    assert "from a file" not in repr(found)
    assert found.oidc.scopes == ("openid", "groups")


@pytest.mark.medium
@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"trusted_proxies": ["proxy"]}, "access.trusted_proxies"),
        ({"trusted_proxies": ["0.0.0.0/0"]}, "access.trusted_proxies"),
        ({"idle_minutes": 0}, "access.idle_minutes"),
        ({"session_hours": 10_000}, "access.session_hours"),
        ({"oidc": {**OIDC, "issuer": "http://id.bank.example"}}, "access.oidc.issuer"),
        ({"oidc": {**OIDC, "issuer": "https://[x"}}, "access.oidc.issuer"),
        ({"oidc": {**OIDC, "algorithms": ["none"]}}, "access.oidc.algorithms"),
        ({"oidc": {**OIDC, "algorithms": ["HS256"]}}, "access.oidc.algorithms"),
        ({"oidc": {**OIDC, "roles": {}}}, "access.oidc.roles"),
        ({"oidc": {**OIDC, "roles": {"watch": "owner"}}}, "access.oidc.roles.watch"),
        ({"oidc": {**OIDC, "tokn": "x"}}, "access.oidc.tokn"),
    ],
)
def test_unsafe_settings_are_refused(table: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(**table)
    assert caught.value.key == key
