"""The formats nginx and HAProxy: they export trusted authorities, and the pins in comments."""

from __future__ import annotations

import re

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS, FormatWarning
from certpin.pins import pins_of
from tests.formats._files import digests, load, refusal
from tests.formats._sets import KEYS, anchors, authorities
from tests.formats._text import exported, imported
from tests.kit import anchors as made_anchors
from tests.kit import pin_set, policy

HOST = "api.bank.example"
UNWARNED = pytest.mark.filterwarnings("ignore::certpin.formats.FormatWarning")
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
@UNWARNED
@pytest.mark.parametrize(
    ("names", "instead", "host"),
    [
        (r"a\.bank", "b.bank", "b.bank.example"),
        (r"proxy_ssl_name \S+|verifyhost \S+|//b", "", "a connection without a host name"),
    ],
    ids=["named", "unnamed"],
)
def test_different_anchors_of_one_host_are_refused(
    name: str, names: str, instead: str, host: str
) -> None:
    error = refusal(name, re.sub(names, instead, TWO[name]), beside=PEMS, host=HOST)
    assert re.search(rf"line \d+: {host} has other trust anchors than in line \d+", str(error))


OTHER_NAMES = [
    ("nginx", f"proxy_ssl_name {HOST};", "proxy_ssl_name evil.example;", "the name evil.example"),
    ("nginx", f"proxy_ssl_name {HOST};", "", "no name of a host"),
    ("nginx", f"proxy_ssl_name {HOST};", "proxy_ssl_name $proxy_host;", "no name of a host"),
    ("nginx", f"proxy_ssl_name {HOST};", "proxy_ssl_name $host;", "so a request can choose"),
    (
        "haproxy",
        f"sni str({HOST}) verifyhost {HOST}",
        "sni str(evil.example) verifyhost evil.example",
        "the name evil.example",
    ),
    ("haproxy", f"verifyhost {HOST}", "verifyhost evil.example", "verifyhost evil.example, which"),
    ("haproxy", f"sni str({HOST})", "sni str(evil.example)", f"verifyhost {HOST}, which is not"),
    ("haproxy", f"str({HOST})", "req.hdr(host)", "so a request can choose the name"),
    ("haproxy", f"sni str({HOST}) verifyhost {HOST} ", "", "neither sni nor verifyhost"),
]


@UNWARNED
@pytest.mark.parametrize(("name", "old", "new", "problem"), OTHER_NAMES)
def test_an_export_that_verifies_another_name_is_refused(
    name: str, old: str, new: str, problem: str
) -> None:
    text = exported(name, PLAIN)
    beside = {f"{name}-anchors.pem": authorities()[0].pem}
    assert load(name, text.replace("\n", "\r\n"), beside).policies[0].pins[0].pin == KEYS[0]
    assert old in text
    error = str(refusal(name, text.replace(old, new), beside=beside))
    assert f": the file is for {HOST}, but has " in error
    assert problem in error


@UNWARNED
@pytest.mark.parametrize(
    ("instead", "problem"),
    [
        ("proxy_ssl_name evil.example;", "the name evil.example"),
        ("proxy_ssl_name $http_host;", "so a request can choose the name"),
        ("proxy_ssl_name api.bank.example;", ""),  # one of its hosts
        ("", ""),  # the default is $proxy_host
    ],
)
def test_an_export_for_a_wildcard_verifies_the_host_of_proxy_pass(
    instead: str, problem: str
) -> None:
    pins = pin_set(policy("*.bank.example", *KEYS[:2], trust=anchors()[0]))
    text = exported("nginx", pins).replace("proxy_ssl_name $proxy_host;", instead)
    beside = {"nginx-anchors.pem": authorities()[0].pem}
    if problem:
        assert problem in str(refusal("nginx", text, beside=beside))
    else:
        [only] = load("nginx", text, beside).policies
        assert str(only.pattern) == "*.bank.example"


UNNAMED = {
    "nginx": """
        proxy_ssl_trusted_certificate own.pem; proxy_ssl_verify on;
        location /one { proxy_pass https://one.example:8443/a; }
        location /two { proxy_pass https://TWO.example; proxy_ssl_name $proxy_host; }
        location /2 { proxy_pass https://two.example; }
    """,
    "haproxy": """
        backend one
            server s1 192.0.2.7:443 ssl verify required ca-file own.pem sni str(one.example)
        backend two
            server s2 192.0.2.8:443 ssl verify required ca-file own.pem sni 'str("TWO.example")'
            server s3 192.0.2.8:443 ssl verify required ca-file own.pem sni str(two.example)
    """,
}


@BOTH
def test_the_default_name_of_a_connection_is_its_host(name: str) -> None:
    found = load(name, UNNAMED[name], PEMS, mode="report")
    assert sorted(digests(found)) == ["one.example", "two.example"]


@BOTH
@UNWARNED
def test_several_hosts_without_names_are_refused(name: str) -> None:
    """The option --host names one, and the others would be lost."""
    text = re.sub(r"https://[^/;]+|sni \S+", "https://$name", UNNAMED[name])
    error = str(refusal(name, text, beside=PEMS, host="one.example", mode="report"))
    assert re.search(r"line \d: the host of this connection has no name, as in line \d", error)


UPSTREAM = """
    upstream api_backend { server 192.0.2.7:443; }
    upstream api.bank.example { server 192.0.2.7:443; }
    proxy_ssl_trusted_certificate own.pem; proxy_ssl_verify on;
    location / { proxy_pass https://api_backend; }
"""


def test_the_name_of_an_upstream_of_nginx_is_no_host() -> None:
    """nginx verifies this name, but no client connects to it."""
    with pytest.warns(FormatWarning, match=r"line 5: no proxy_ssl_name, so nginx verifies api_b"):
        error = refusal("nginx", UPSTREAM, beside=PEMS, mode="report")
    assert "the file names no host" in str(error)
    with pytest.warns(FormatWarning, match="an upstream"):
        [only] = load("nginx", UPSTREAM, PEMS, mode="report", host=HOST).policies
    assert str(only.pattern) == HOST


@pytest.mark.parametrize(
    ("old", "new", "host"),
    [
        ("https://api_backend", "https://api.bank.example", HOST),
        ("api_backend; }", "api_backend; proxy_ssl_name api_backend; }", "api_backend"),
    ],
)
def test_the_name_of_an_upstream_may_be_that_of_a_host(old: str, new: str, host: str) -> None:
    [only] = load("nginx", UPSTREAM.replace(old, new), PEMS, mode="report").policies
    assert str(only.pattern) == host


def test_anchors_of_nginx_for_no_connection_over_tls_are_reported() -> None:
    """A file with such a connection can have anchors that are not for every inner block."""
    text = UPSTREAM.replace("https:", "http:")
    with pytest.warns(FormatWarning, match="line 5: proxy_pass http://api_backend, so nginx conn"):
        load("nginx", text, PEMS, mode="report", host=HOST)


@pytest.mark.parametrize("variable", ["$request_uri", "${request_uri}", "$uri?a=b", ":443$uri"])
def test_a_variable_that_begins_with_a_slash_ends_the_host_of_nginx(variable: str) -> None:
    text = UPSTREAM.replace(
        "api_backend;", f"{HOST}{variable}; }} location /2 {{ proxy_pass https://{HOST}{variable};"
    )
    [only] = load("nginx", text, PEMS, mode="report").policies
    assert str(only.pattern) == HOST
    with pytest.raises(ConfigError, match="names no host"):
        load("nginx", UPSTREAM.replace("api_backend;", f"{HOST}$uri_x;"), PEMS, mode="report")


@BOTH
def test_a_host_that_the_file_does_not_have_is_refused(name: str) -> None:
    error = refusal(name, TWO[name], beside=PEMS, host="www.bank.example", mode="report")
    assert "the file has the settings of a.bank.example, b.bank.example, and not of www" in str(
        error
    )
    assert load(name, TWO[name], PEMS, host="B.bank.example", mode="report").policies


@BOTH
@UNWARNED
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


@pytest.mark.medium
@BOTH
@UNWARNED
@pytest.mark.parametrize(
    "junk",
    [
        "default-server ssl" + " ca-file" * 100_000,
        "server " * 100_000,
        "a ${" * 100_000,
        '"\\' * 100_000,
        "a {}" * 100_000,
    ],
)
def test_long_lines_take_linear_time(name: str, junk: str) -> None:
    with pytest.raises(FormatError):
        imported(name, f"proxy_ssl_trusted_certificate{' ' * 1_000_000}\n{junk}", HOST)
