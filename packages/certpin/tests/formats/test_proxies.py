"""The formats nginx and HAProxy: they export trusted authorities, and the pins in comments."""

from __future__ import annotations

import re

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS
from certpin.pins import pins_of
from tests.formats._files import digests, load, refusal
from tests.formats._sets import KEYS, anchors, authorities
from tests.formats._text import exported, imported
from tests.kit import anchors as made_anchors
from tests.kit import pin_set, policy

HOST = "api.bank.example"
BOTH = pytest.mark.parametrize("name", ["nginx", "haproxy"])
PLAIN = pin_set(policy(HOST, *KEYS[:2], trust=anchors()[0]), version=4)
HEAD = """\
# certpin pin set "test", version 4
# Made by: certpin export {name}. Do not edit: change the pin file, and export it again.
# for api.bank.example (match any)
""" + "".join(f"# pin {pin}\n" for pin in KEYS[:2])


def test_nginx_verifies_the_chain_and_the_name_of_its_upstream() -> None:
    assert exported("nginx", PLAIN) == HEAD.format(name="nginx") + (
        "proxy_ssl_verify on;\n"
        "proxy_ssl_verify_depth 5;\n"
        "proxy_ssl_trusted_certificate nginx-anchors.pem;\n"
        f"proxy_ssl_name {HOST};\n"
        "proxy_ssl_server_name on;\n"
        "proxy_ssl_protocols TLSv1.2 TLSv1.3;\n"
        "proxy_ssl_session_reuse off;\n"
    )


def test_haproxy_verifies_the_chain_and_the_name_of_its_servers() -> None:
    assert exported("haproxy", PLAIN) == HEAD.format(name="haproxy") + (
        "default-server ssl verify required ca-file haproxy-anchors.pem "
        f"sni str({HOST}) verifyhost {HOST} ssl-min-ver TLSv1.2\n"
    )


def test_for_wildcards_nginx_uses_the_name_of_proxy_pass() -> None:
    pins = pin_set(policy("*.bank.example", *KEYS[:2], trust=anchors()[0]))
    assert "proxy_ssl_name $proxy_host;\n" in exported("nginx", pins)


def test_haproxy_refuses_wildcards() -> None:
    pins = pin_set(policy("*.bank.example", *KEYS[:2], trust=anchors()[0]))
    with pytest.raises(ConfigError, match="covers several names"):
        FORMATS["haproxy"].export(pins)


@BOTH
@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_addresses_are_refused(name: str, host: str) -> None:
    with pytest.raises(ConfigError, match="it is an IP address"):
        FORMATS[name].export(pin_set(policy(host, *KEYS[:2], trust=anchors()[0])))


@BOTH
def test_trust_anchors_are_required(name: str) -> None:
    with pytest.raises(ConfigError, match="does not restrict the authorities"):
        FORMATS[name].export(pin_set(policy(HOST, *KEYS[:2])))


@BOTH
def test_anchors_without_their_roots_are_refused(name: str) -> None:
    below = made_anchors(authorities()[0].intermediate("Intermediate"))
    with pytest.raises(ConfigError, match=r"is not a root \(self-signed\)"):
        FORMATS[name].export(pin_set(policy(HOST, *KEYS[:2], trust=below)))


@BOTH
def test_accepting_unpinned_keys_is_reported(name: str) -> None:
    [omission] = FORMATS[name].export(PLAIN).omissions
    assert (omission.aspect, omission.host) == ("pins", HOST)
    pinned = [pins_of(each.certificate)[0] for each in authorities()]
    anchored = pin_set(policy(HOST, *pinned, match="ca", trust=anchors()[1]))
    assert not FORMATS[name].export(anchored).omissions


FOREIGN = {
    "nginx": """
        location / {
            proxy_pass https://api.bank.example;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate old.pem;
            proxy_ssl_trusted_certificate  "own.pem" ;
            proxy_ssl_name api.bank.example;
        }
    """,
    "haproxy": """
        backend bank
            server one 192.0.2.7:443 ssl verify required ca-file own.pem verifyhost api.bank.example
    """,
}


@BOTH
def test_other_files_get_the_pins_of_their_anchors(name: str) -> None:
    pem = b"".join(each.pem for each in authorities())
    [only] = imported(name, FOREIGN[name], own=pem).policies
    assert (str(only.pattern), only.match) == (HOST, "ca")
    assert set(only.live_pins) == {pins_of(each.certificate)[0] for each in authorities()}
    assert only.trust == anchors()[1]


TWO = {
    "nginx": """
        server {
            proxy_ssl_trusted_certificate own.pem;
            proxy_ssl_verify on;
            location /a/ { proxy_ssl_name a.bank.example; proxy_pass "https://${upstream}"; }
            location ~ "^/b\\.\\"{2}" {
                proxy_pass https://b; # }
                grpc_ssl_trusted_certificate unused.pem;
                proxy_ssl_name b.bank.example; proxy_ssl_trusted_certificate other.pem;
            }
            location /plain/ { proxy_pass http://c; }
        }
    """,
    "haproxy": """
        defaults secure
            default-server ssl verify required ca-file own.pem  # verifyhost c.bank.example
        defaults
            default-server ssl ca-file unused.pem
        frontend web from secure
            bind :80
        backend a from secure
            server one 192.0.2.7:443 verifyhost "a.bank.example"
            server two 192.0.2.8:443 verifyhost 'a.bank.example'
        listen b from secure
            default-server ca-file unused.pem
            default-server ca-file other.pem verifyhost b.bank.example
            server-template b 2 b.bank.example:443
    """,
}

PEMS = {f"{file}.pem": each.pem for file, each in zip(("own", "other"), authorities(), strict=True)}


@BOTH
def test_each_connection_has_the_anchors_that_are_in_force_for_it(name: str) -> None:
    found = load(name, TWO[name], PEMS, mode="report")
    first, second = (each.pin for each in authorities())
    assert digests(found) == {"a.bank.example": {first}, "b.bank.example": {second}}


@BOTH
@pytest.mark.parametrize(
    ("names", "instead", "host"),
    [
        (r"a\.bank", "b.bank", "b.bank.example"),
        (r"(proxy_ssl_name|verifyhost) \S+", "", "a connection without a host name"),
    ],
    ids=["named", "unnamed"],
)
def test_different_anchors_of_one_host_are_refused(
    name: str, names: str, instead: str, host: str
) -> None:
    error = refusal(name, re.sub(names, instead, TWO[name]), beside=PEMS, host=HOST)
    assert re.search(rf"line \d+: {host} has other trust anchors than in line \d+", str(error))


@BOTH
def test_an_export_beside_other_connections_is_refused(name: str) -> None:
    text = exported(name, PLAIN) + TWO[name]
    assert "an export of certpin is a part of" in str(refusal(name, text, beside=PEMS))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("location / {\n proxy_ssl_name x;", "line 1: the block is not closed"),
        ("a b;\n}", "line 2: unexpected }"),
        ("a {" * 60 + "}" * 60, "line 1: unexpected {"),
        ("a 'b;\n", "line 1: the quote ' is not closed"),
    ],
)
def test_damaged_configurations_of_nginx_are_refused(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        imported("nginx", text, HOST)


@BOTH
def test_a_file_without_anchors_has_no_pins(name: str) -> None:
    with pytest.raises(FormatError, match="the file contains no pins"):
        imported(name, "proxy_ssl_verify on;\nserver one 192.0.2.7:443 ssl\n", HOST)


@BOTH
def test_only_files_in_the_same_folder_are_read(name: str) -> None:
    text = FOREIGN[name].replace("own.pem", "/etc/passwd")
    with pytest.raises(FormatError, match="is not a plain file name"):
        imported(name, text)


@BOTH
@pytest.mark.parametrize(
    "junk",
    [
        "default-server" + " ca-file" * 100_000,
        "server " * 100_000,
        "a ${" * 100_000,
        '"\\' * 100_000,
        "a {}" * 100_000,
    ],
)
def test_long_lines_take_linear_time(name: str, junk: str) -> None:
    with pytest.raises(FormatError):
        imported(name, f"proxy_ssl_trusted_certificate{' ' * 1_000_000}\n{junk}", HOST)
