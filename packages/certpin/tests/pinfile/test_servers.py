"""``[[host.server]]``: read, refused with its place, written, and removed for publishing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from certpin.errors import PinFileError
from certpin.lint import load_document
from certpin.pinfile import PinFileWarning, PinSet
from certpin.pinfile.editor import PinFileEditor, public_text, without_servers
from certpin.pins import HostPin, HostServer, Pin
from tests import kit
from tests.pinfile._files import GOOD, HEAD, HOST, PINS, THREE

PATH = Path("pins.toml")
SERVERS = """
# The machine room in Frankfurt; ask Ada.
[[host.server]]  # behind the load balancer
address = "10.1.2.3:8443"
# by hand
region = "eu"

  [[ host . "server" ]]
  starttls = "postgres"
"""
FULL = HEAD + HOST + SERVERS + PINS


def _read(server: str, host: str = "api.bank.example") -> PinSet:
    return PinSet.parse(HEAD + f'\n[[host]]\nname = "{host}"\n[[host.server]]\n{server}\n' + PINS)


def test_servers_are_read() -> None:
    assert PinSet.parse(FULL).policies[0].servers == (
        HostServer("10.1.2.3", 8443, region="eu"),
        HostServer(starttls="postgres"),
    )
    assert PinSet.parse(GOOD).policies[0].servers == ()
    assert _read("").policies[0].servers == (HostServer(),)


@pytest.mark.parametrize(
    ("server", "key"),
    [
        ('address = "a..b"', "address"),
        ('address = "https://api.bank.example"', "address"),
        ("address = 8443", "address"),
        ('starttls = "gopher"', "starttls"),
        ("starttls = true", "starttls"),
        ("region = 1", "region"),
        ('region = "\\u001b[2J"', "region"),
    ],
)
def test_an_invalid_server_is_refused_with_its_place(server: str, key: str) -> None:
    with pytest.raises(PinFileError) as refused:
        _read(server)
    error = refused.value
    assert (error.key, error.line) == (f"host[0].server[0].{key}", HEAD.count("\n") + 5)
    assert error.fix


def test_a_server_of_a_wildcard_names_a_host_that_it_covers() -> None:
    (server,) = _read('address = "www.bank.example:8443"', "*.bank.example").policies[0].servers
    assert (server.address, server.port) == ("www.bank.example", 8443)
    for other in ("", 'address = "www.other.example"'):
        with pytest.raises(PinFileError, match="has no name that it covers"):
            _read(other, "*.bank.example")


def test_lint_finds_an_invalid_server_and_an_unknown_key(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(FULL.replace("10.1.2.3:8443", "a..b"))
    document = load_document(path)
    assert [each.key for each in document.problems] == ["host[0].server[0].address"]
    path.write_text(FULL.replace("region", "reggae_nights"))
    (host,) = load_document(path).hosts
    assert [key for key, _ in host.servers] == ["host[0].server[0]", "host[0].server[1]"]
    with pytest.warns(PinFileWarning, match=r"host\[0\]\.server\[0\]\.reggae_nights"):
        PinSet.load(path)


def test_a_policy_is_written_with_its_servers_and_read_back() -> None:
    servers = (
        HostServer("10.1.2.3", 8443, "smtp", "eu"),
        HostServer(port=8443),
        HostServer("::1"),
        HostServer(),
    )
    policy = kit.policy("api.bank.example", servers=servers)
    editor = PinFileEditor.new(PATH, "bank", version=1)
    editor.add_host(policy)
    (found,) = editor.check().policies
    assert [endpoint.region for endpoint in found.servers] == ["eu", "", "", ""]
    expected = [*servers[:1], HostServer("api.bank.example", 8443), *servers[2:]]
    assert found.servers == tuple(expected)


def test_servers_and_their_comments_survive_every_change() -> None:
    editor = PinFileEditor(PATH, FULL, before=FULL)
    first = Pin.parse(tomllib.loads(FULL)["host"][0]["pin"][0]["pin"])
    editor.change_pin("api.bank.example", first, state="retiring")
    editor.add_pin("api.bank.example", HostPin(THREE, "backup"))
    editor.add_host(kit.policy("new.example", servers=(HostServer(port=8443),)))
    editor.raise_version()
    assert SERVERS in editor.text
    assert editor.check().policies[0].servers == PinSet.parse(FULL).policies[0].servers


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_comment_below_a_server_is_not_published(newline: str) -> None:
    server = '\n[[host.server]]\naddress = "10.0.0.1:443"\n# standby 10.0.0.2\n  # and 10.0.0.3\n'
    after = f"\n# ours\n{HOST.strip()}"
    for text, published in (
        (HEAD + HOST + PINS + server, HEAD + HOST + PINS),
        (HEAD + HOST + server + PINS, HEAD + HOST + PINS),
        (HEAD + HOST + server + PINS.lstrip("\n"), HEAD + HOST + PINS.lstrip("\n")),
        (HEAD + HOST + server + server + PINS, HEAD + HOST + PINS),
        (HEAD + HOST + PINS + server + after, HEAD + HOST + PINS + after),
    ):
        found = without_servers(text.replace("\n", newline), PATH)
        assert found == published.replace("\n", newline)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_published_text_lacks_only_the_servers(newline: str) -> None:
    text, plain = FULL.replace("\n", newline), (HEAD + HOST + PINS).replace("\n", newline)
    assert without_servers(text, PATH) == plain
    assert without_servers(plain, PATH) == plain


def test_servers_of_the_last_host_are_removed_with_the_tables_inside_them() -> None:
    text = HEAD + HOST + PINS + SERVERS + '\n[host.server.mine]\nsecret = "10.9.9.9"\n\n# the end\n'
    published = without_servers(text, PATH)
    assert "10." not in published
    assert published.endswith("# the end\n")


@pytest.mark.parametrize(
    "server", ['server = [{ address = "10.1.2.3" }]', 'server = [\n  { address = "10.1.2.3" },\n]']
)
def test_a_server_that_cannot_be_removed_is_not_published(server: str) -> None:
    text = HEAD + HOST + server + "\n" + PINS
    assert PinSet.parse(text).policies[0].servers == (HostServer("10.1.2.3"),)
    with pytest.raises(PinFileError) as refused:
        without_servers(text, PATH)
    assert "under its own [[host.server]]" in refused.value.fix


PRIVATE = """\
# the PIN of the safe is 4711
schema = 1 # 4711
name = "a # b" # "4711"
version = 1
\t# 4711
[[host]]
name = "api.bank.example" # 4711
label = '''
# kept
note = "kept"
it''s kept''''' # '4711
other = \"\"\"kept \\\"\"\" # kept
\"\"\"\"\" # "4711

[[host.pin]]
pin = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
note = "4711" # 4711

[[host.pin]]
'note'=\"\"\"4711
4711\"\"\"
pin = "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
# 4711"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_comments_and_notes_are_not_published(newline: str) -> None:
    text = PRIVATE.replace("\n", newline)
    found = public_text(text, PATH)
    assert "4711" not in found
    assert found.count("kept") == 5
    plain = tomllib.loads(text)
    for entry in plain["host"][0]["pin"]:
        del entry["note"]
    assert tomllib.loads(found) == plain
    assert public_text(found, PATH) == found


@pytest.mark.parametrize(
    "note", ['pin = [{ pin = "sha256/AA", note = "safe 4" }]', 'pin = [\n  { note = "safe 4" },\n]']
)
def test_a_note_that_cannot_be_removed_is_not_published(note: str) -> None:
    with pytest.raises(PinFileError) as refused:
        public_text(HEAD + HOST + note + "\n", PATH)
    assert "its note on a separate line" in refused.value.fix


def test_servers_do_not_change_the_pin_set() -> None:
    assert PinSet.parse(FULL) == PinSet.parse(GOOD)
