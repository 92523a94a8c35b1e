"""``certpin get``: the request is sent only to the pinned server."""

from __future__ import annotations

import base64
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, Identity, LabServer
from tests import kit
from tests.cli import _documented
from tests.cli._pinfiles import write
from tests.cli.conftest import HOST, Run
from tests.servers.nginx import has_ipv6

if TYPE_CHECKING:
    from tests.servers.nginx import Nginx

pytestmark = pytest.mark.peer("nginx")

MEBIBYTE = 1024 * 1024


def test_a_pinned_request_prints_only_the_body(pinned: Run, bank: Nginx) -> None:
    done = pinned("get", f"https://localhost:{bank.port}/some/where?a=b%20c&d=é")
    assert (done.code, done.raw, done.err) == (0, f"hello from {HOST}\n".encode(), "")
    seen = bank.details()[-1]
    assert (seen["method"], seen["uri"]) == ("GET", "/some/where?a=b%20c&d=%C3%A9")
    assert seen["host"] == f"localhost:{bank.port}"


def test_the_path_may_be_left_out(pinned: Run, bank: Nginx) -> None:
    assert pinned("get", f"https://localhost:{bank.port}?a=b").code == 0
    assert bank.details()[-1]["uri"] == "/?a=b"


def test_include_prints_status_and_headers(pinned: Run, bank: Nginx) -> None:
    done = pinned("get", "-i", f"https://localhost:{bank.port}/")
    head, _, body = done.out.partition("\n\n")
    assert head.splitlines()[:2] == ["200 OK", "Server: nginx"]
    assert body == f"hello from {HOST}\n"


def test_as_json_every_field_is_as_documented(pinned: Run, bank: Nginx) -> None:
    done = pinned("get", f"https://localhost:{bank.port}/", "--json")
    _documented.check("get", done.json)
    assert (done.code, done.err, done.json["status"]) == (0, "", 200)
    assert ["Server", "nginx"] in done.json["headers"]
    assert base64.b64decode(done.json["body_base64"]) == f"hello from {HOST}\n".encode()


def test_when_no_pin_matches_nothing_is_sent(run: Run, bank: Nginx, ca: Path) -> None:
    write(kit.policy("localhost"), trust=ca)
    before = len(bank.details())
    words = ("-d", "secret", "-H", "Authorization: secret")
    done = run("get", f"https://localhost:{bank.port}/refused", *words)
    assert (done.code, done.out) == (1, "")
    assert "localhost refused: no certificate of its verified chain is pinned" in done.err
    assert "fix: " in done.err
    assert "secret" not in done.err
    assert len(bank.details()) == before


def test_a_host_without_a_policy_is_refused(pinned: Run, bank: Nginx) -> None:
    before = len(bank.details())
    done = pinned("get", f"https://127.0.0.1:{bank.port}/")
    assert (done.code, "has no policy for it" in done.err) == (1, True)
    assert len(bank.details()) == before


def test_a_host_without_a_policy_is_refused_before_it_is_resolved(run: Run) -> None:
    """A resolution would be an error, as no test may resolve a name outside this machine."""
    write(kit.policy("localhost"), path="other.toml")
    for words in (("--file", "other.toml"), ("--file", "other.toml", "--connect", "127.0.0.1:1")):
        done = run("get", "https://api.bank.example:8443/", *words)
        assert (done.code, done.out) == (1, "")
        add = "certpin add --file other.toml api.bank.example:8443 --backup-key FILE"
        assert done.err.splitlines()[-1] == f"  fix: {add}"
    done = run("get", "https://api.bank.example/", "--file", "other.toml")
    assert "fix: certpin add --file other.toml api.bank.example" in done.err


def test_a_chain_that_does_not_verify_is_refused(
    run: Run, bank: Nginx, identity: Identity, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority("Other").pem)
    write(kit.policy("localhost", identity.pin), trust=other)
    done = run("get", f"https://localhost:{bank.port}/")
    assert (done.code, done.out) == (1, "")
    assert "localhost refused: OpenSSL did not verify its chain: unable to get" in done.err
    assert f"certpin pin localhost:{bank.port}" in done.err


def test_method_headers_and_body_arrive(pinned: Run, bank: Nginx) -> None:
    headers = ("-H", "X-Test: größe", "--header", "Content-Type: text/plain")
    words = ("-X", "PUT", "-d", "50 €", *headers)
    assert pinned("get", f"https://localhost:{bank.port}/echo", *words).code == 0
    seen = bank.details()[-1]
    assert (seen["method"], seen["body"], seen["test"]) == ("PUT", "50 €", "größe")


@pytest.mark.parametrize(
    ("words", "method"), [([], "GET"), (["-d", ""], "POST"), (["-d", "x"], "POST")]
)
def test_a_body_is_posted_by_default(
    pinned: Run, bank: Nginx, words: list[str], method: str
) -> None:
    assert pinned("get", f"https://localhost:{bank.port}/echo", *words).code == 0
    assert bank.details()[-1]["method"] == method


def test_the_host_header_can_be_replaced(pinned: Run, bank: Nginx) -> None:
    assert pinned("get", f"https://localhost:{bank.port}/", "-H", f"Host: {HOST}").code == 0
    assert bank.details()[-1]["host"] == HOST


def test_a_response_without_a_body_is_printed(pinned: Run, bank: Nginx) -> None:
    done = pinned("get", "-X", "HEAD", f"https://localhost:{bank.port}/large")
    assert (done.code, done.out) == (0, "")


def test_a_redirect_is_shown_and_not_followed(pinned: Run, bank: Nginx) -> None:
    url = f"https://localhost:{bank.port}/redirect?to=https://elsewhere.invalid/"
    done = pinned("get", url, "--json")
    assert (done.code, done.json["status"]) == (0, 302)
    assert ["Location", "https://elsewhere.invalid/"] in done.json["headers"]


def test_every_status_is_a_response(pinned: Run, bank: Nginx) -> None:
    done = pinned("get", "-X", "BREW", f"https://localhost:{bank.port}/large", "--json")
    assert (done.code, done.json["status"]) == (0, 405)


def test_a_response_above_the_size_limit_is_an_error(pinned: Run, bank: Nginx) -> None:
    done = pinned("get", f"https://localhost:{bank.port}/large")
    assert (done.code, done.out) == (3, "")
    assert f"more than {64 * MEBIBYTE} bytes" in done.err


def test_connect_changes_only_the_address(pinned: Run, connect_args: tuple[str, ...]) -> None:
    assert pinned("get", f"https://{HOST}/", *connect_args).code == 0


def test_an_ipv6_address_is_written_in_brackets(pinned: Run, bank: Nginx) -> None:
    if not has_ipv6():
        pytest.skip("left out: this machine has no IPv6 loopback")
    assert pinned("get", f"https://[::1]:{bank.port}/").code == 0
    assert bank.details()[-1]["host"] == f"[::1]:{bank.port}"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "localhost",
        "ftp://localhost/",
        "https://",
        "https://[::1/",
        "https://localhost:99999/",
        "https://a..b/",
        "https://localhost/a b",
        "https://localhost/\r\nX-Evil: 1",
        "https://local\nhost/",
        "https://localhost/\0",
        "\udcff",
    ],
)
def test_only_https_urls_are_accepted(pinned: Run, url: str) -> None:
    done = pinned("get", url)
    assert (done.code, done.out) == (2, "")
    assert done.err


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:secret@localhost/",
        "https://secret@localhost/",
        "http://ada:secret@localhost/",
        "https://ada:secret@[/",
        "https://ada:secret@localhost:99999/",
        "https://ada:sec\nret@localhost/secret",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_printed(pinned: Run, url: str) -> None:
    done = pinned("get", url)
    assert (done.code, done.out) == (2, "")
    assert "secret" not in done.err


def test_a_password_is_sent_in_a_header(pinned: Run) -> None:
    assert "-H 'Authorization: …'" in pinned("get", "https://ada:secret@localhost/").err


@pytest.mark.parametrize(
    "words",
    [
        ["-H", "no colon"],
        ["-H", ": empty"],
        ["-H", "X Y: 1"],
        ["-H", "X: 1\r\nEvil: 2"],
        ["-H", "X: \0"],
        ["-H", "Ü: 1"],
        ["-X", "GET /x HTTP/1.1\r\n"],
        ["-X", ""],
        ["--connect", ""],
        ["--connect", "a..b"],
    ],
)
def test_an_invalid_request_is_refused(pinned: Run, bank: Nginx, words: list[str]) -> None:
    before = len(bank.details())
    done = pinned("get", f"https://localhost:{bank.port}/", *words)
    assert (done.code, done.out) == (2, "")
    assert len(bank.details()) == before


@pytest.mark.parametrize(
    "header", ["Authorization Bearer S3CRET", "Bearer S3CRET: x", "A: S3CRET\n"]
)
def test_an_invalid_header_is_not_printed(pinned: Run, header: str) -> None:
    done = pinned("get", "https://localhost/", "-H", header)
    assert (done.code, done.out) == (2, "")
    assert "write NAME: VALUE" in done.err
    assert "S3CRET" not in done.err


def test_bytes_outside_utf_8_are_sent_unchanged(pinned: Run, bank: Nginx) -> None:
    words = ("-d", "\udcff\udcfe", "-H", "X-Test: \udcff")
    assert pinned("get", f"https://localhost:{bank.port}/echo", *words).code == 0


@pytest.mark.parametrize("name", ["nobody.invalid", "localhost"])
def test_a_closed_port_is_inconclusive(run: Run, name: str) -> None:
    write(kit.policy(name))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        done = run("get", f"https://{name}:{port}/")
    assert (done.code, done.out) == (3, "")
    assert f"certpin: {name}:{port}: no response: " in done.err
    assert f"certpin pin {name}:{port}" in done.err


def test_a_silent_server_is_abandoned_at_the_time_limit(pinned: Run, identity: Identity) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        done = pinned("get", f"https://localhost:{port}/", "--timeout", "0.05")
    assert (done.code, "it did not answer in time" in done.err) == (3, True)


def test_a_server_without_tls_is_inconclusive(pinned: Run, bank: Nginx) -> None:
    done = pinned("get", f"https://localhost:{bank.plain}/")
    assert (done.code, done.out) == (3, "")


@pytest.mark.filterwarnings("default::certpin.tls.DebugOverrideWarning")
def test_the_debug_override_prints_a_warning(run: Run, bank: Nginx, ca: Path) -> None:
    write(kit.policy("localhost"), trust=ca)
    with Path("pins.toml").open("a") as file:
        file.write(f'[debug]\nanchors = "{ca}"\n')
    assert run("get", f"https://localhost:{bank.port}/").code == 1
    done = run("get", f"https://localhost:{bank.port}/", CERTPIN_DEBUG="1")
    assert done.code == 0
    assert done.err.startswith("certpin: warning: localhost: accepted by the debug override")


def test_the_address_that_the_pin_file_lists_is_contacted(
    run: Run, bank: Nginx, identity: Identity, ca: Path
) -> None:
    """The host has no address in DNS."""
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    with Path("pins.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[[host.server]]\naddress = "127.0.0.1:{bank.port}"\n')
    done = run("get", f"https://{HOST}:{bank.port}/")
    assert (done.code, done.raw) == (0, f"hello from {HOST}\n".encode()), done.err


@pytest.mark.medium
def test_a_missing_answer_prints_a_command_for_the_same_server_and_anchors(
    run: Run, bank: Nginx, identity: Identity, ca: Path
) -> None:
    """Even if the pin file is in another folder, to which its `trust` is relative."""
    Path("pins").mkdir()
    Path("pins/root.pem").write_bytes(ca.read_bytes())
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    text = Path("pins.toml").read_text(encoding="utf-8").replace(str(ca), "root.pem")
    Path("pins/pins.toml").write_text(text, encoding="utf-8")
    options = ("--file", "pins/pins.toml", "--connect", f"127.0.0.1:{bank.plain}")
    done = run("get", f"https://{HOST}/", *options)
    assert done.code == 3
    assert "no response: the answer is not TLS" in done.err
    command = f"certpin pin {HOST}:{bank.plain} --connect 127.0.0.1 --ca-file pins/root.pem"
    assert f"fix: check the server: {command}\n" in done.err
    again = run(*shlex.split(command)[1:])
    assert "the answer is not TLS" in again.err


def test_a_refusal_compares_the_server_that_was_contacted(
    run: Run, identity: Identity, ca: Path
) -> None:
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    with LabServer(Authority("Another Root").issue(HOST)) as server:
        done = run("get", f"https://{HOST}/", "--connect", f"127.0.0.1:{server.port}")
    assert done.code == 1
    assert f"certpin pin {HOST}:{server.port} --connect 127.0.0.1 --ca-file" in done.err


@pytest.mark.parametrize("wildcard", ["*.", "**."])
def test_a_host_of_a_wildcard_is_contacted(
    run: Run, identity: Identity, ca: Path, bank: Nginx, wildcard: str
) -> None:
    parent = HOST.partition(".")[2]
    write(kit.policy(f"{wildcard}{parent}", identity.pin, kit.NOBODY), trust=ca)
    done = run("get", f"https://{HOST}/", "--connect", f"127.0.0.1:{bank.port}")
    assert (done.code, done.raw, done.err) == (0, f"hello from {HOST}\n".encode(), "")
    with LabServer(Authority("Another Root").issue(HOST)) as server:
        done = run("get", f"https://{HOST}/", "--connect", f"127.0.0.1:{server.port}")
    assert done.code == 1
    assert f"certpin pin {HOST}:{server.port} --connect 127.0.0.1 --ca-file" in done.err
    write(kit.policy(f"{wildcard}bank.invalid"))
    done = run("get", "https://x.bank.invalid:8443/")
    assert done.code == 3
    assert "fix: check the server: certpin pin x.bank.invalid:8443" in done.err


def test_a_server_that_begins_with_another_protocol_is_no_https_server(
    run: Run, bank: Nginx, identity: Identity, ca: Path
) -> None:
    write(kit.policy(HOST, identity.pin, kit.NOBODY), trust=ca)
    with Path("pins.toml").open("a", encoding="utf-8") as file:
        file.write('\n[[host.server]]\naddress = "127.0.0.1:3306"\nstarttls = "mysql"\n')
    done = run("get", f"https://{HOST}:3306/")
    assert done.code == 2
    assert f"begins with mysql, and not with HTTPS: certpin check --host {HOST}:3306" in done.err
