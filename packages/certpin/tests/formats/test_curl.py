"""curl's configuration file: certpin's exports, and the import of files in other notations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS, AuthorityFile, FormatWarning, ImportOptions, Source
from certpin.formats.curl import CURL
from certpin.lab import Authority
from certpin.pins import HostPattern, HostPin, HostPolicy
from tests.formats._sets import KEYS, anchors, authorities
from tests.kit import pin_set, policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pins import PinSet

HOST = "api.bank.example"
SPELLED = ";".join(str(pin).replace("/", "//", 1) for pin in KEYS[:2])


def nothing(path: str) -> bytes:
    raise FormatError(path)


def test_the_exported_options() -> None:
    [file] = CURL.export(pin_set(policy(HOST, *KEYS[:2]), version=4)).files
    assert file.path == "curl-pins.conf"
    assert file.text == (
        '# certpin pin set "test", version 4\n'
        "# Made by: certpin export curl. Do not edit: change the pin file, and export it again.\n"
        f'# for {HOST}\nproto = "=https"\npinnedpubkey = "{SPELLED}"\nno-insecure\n'
    )


def test_trust_anchors_are_a_second_file() -> None:
    options, pem = CURL.export(pin_set(policy(HOST, *KEYS[:2], trust=anchors()[0]))).files
    assert 'cacert = "curl-anchors.pem"\ncapath = "/dev/null"\n' in options.text
    assert pem.text == authorities()[0].pem.decode()


BUNDLE = AuthorityFile("roots.pem", tuple(each.certificate for each in authorities()))


def root_set() -> PinSet:
    entries = tuple(HostPin(each.pin, "root") for each in authorities())
    return pin_set(HostPolicy(HostPattern.parse(HOST), entries, match="ca"))


def test_a_root_set_is_a_ca_file_without_pins_of_the_leaf() -> None:
    options, pem = CURL.export(root_set(), ca_file=BUNDLE).files
    first, second = (each.pin for each in authorities())
    assert options.text.endswith(
        f"# for {HOST} (match ca)\n# pin {first}\n# pin {second}\n"
        'proto = "=https"\ncacert = "curl-anchors.pem"\ncapath = "/dev/null"\nno-insecure\n'
    )
    assert pem.text == "".join(each.pem.decode() for each in authorities())


def test_only_certificates_with_a_pinned_key_are_taken_and_missing_ones_reported() -> None:
    other = Authority("Other").certificate
    wide = AuthorityFile("roots.pem", (authorities()[0].certificate, other))
    made = CURL.export(root_set(), ca_file=wide)
    assert made.files[1].text == authorities()[0].pem.decode()
    [lost] = made.omissions
    assert (lost.aspect, lost.host) == ("pins", HOST)
    missing = f"{authorities()[1].pin} (root) has no certificate in 'roots.pem'"
    assert lost.problem == f"{missing}, so its chains are refused"
    with pytest.raises(ConfigError, match=f"'roots.pem' has no certificate .* key of {HOST}"):
        CURL.export(root_set(), ca_file=AuthorityFile("roots.pem", (other,)))


@pytest.mark.parametrize("name", ["curl", "flutter-pins", "nginx"])
def test_a_ca_file_that_no_host_needs_is_refused(name: str) -> None:
    """curl, for example, would not trust the private authority in it."""
    own = policy(HOST, authorities()[0].pin, KEYS[0], trust=anchors()[0])
    with pytest.raises(ConfigError, match=f"no host needs it: {HOST} has its own trust anchors"):
        FORMATS[name].export(pin_set(own), ca_file=BUNDLE)
    with pytest.raises(ConfigError, match=f"{HOST} pins the key of the server") as caught:
        FORMATS[name].export(pin_set(policy(HOST, *KEYS[:2])), ca_file=BUNDLE)
    assert 'set trust = "root.pem"' in caught.value.fix


def test_a_ca_file_changes_no_policy_with_anchors_or_with_the_pin_of_a_server() -> None:
    others = (
        policy("a.example", *KEYS[:2], match="leaf", trust=anchors()[0]),
        policy("b.example", *KEYS[:2], match="leaf"),
    )
    both = pin_set(*root_set().policies, *others)
    made = FORMATS["flutter-pins"].export(both, ca_file=BUNDLE)
    assert made.pins.policies[1:] == others
    assert made.omissions == ()


def test_a_platform_that_compares_the_chain_needs_no_ca_file() -> None:
    with pytest.raises(ConfigError, match="okhttp-java compares the whole chain"):
        FORMATS["okhttp-java"].export(root_set(), ca_file=BUNDLE)


@pytest.mark.parametrize("name", ["node", "wget", "envoy"])
def test_a_platform_that_always_compares_the_leaf_takes_no_ca_file(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} always compares the leaf") as caught:
        FORMATS[name].export(root_set(), ca_file=BUNDLE)
    assert str(caught.value.fix).startswith("pin the server's own key, or choose curl")


def anchored(changed: Callable[[str], str]) -> PinSet:
    """Import an export with a CA file and without pins, with a change of its options."""
    options, pem = CURL.export(root_set(), ca_file=BUNDLE).files
    files = {pem.path: pem.text.encode(), "other.pem": authorities()[0].pem}
    return CURL.load(Source(changed(options.text).encode(), files.__getitem__))


@pytest.mark.parametrize("line", ['cacert = "other.pem"', "cacert=other.pem", "--cacert other.pem"])
def test_the_last_ca_file_is_in_force(line: str) -> None:
    assert anchored(str).policies[0].trust == anchors()[1]
    for ends in ("\n", "\r\n"):
        changed = anchored(lambda text: f"{text}{line}\n".replace("\n", ends))  # noqa: B023  # called now
        assert changed.policies[0].trust == anchors()[0]
        assert changed.policies[0].match == "ca"


def test_a_folder_of_roots_beside_a_ca_file_is_reported() -> None:
    with pytest.warns(FormatWarning, match="no capath = /dev/null, so many builds of curl also"):
        anchored(lambda text: text.replace('capath = "/dev/null"\n', ""))


def test_a_foreign_ca_file_is_no_pin() -> None:
    text = b'cacert = "own.pem"\n'
    with pytest.raises(FormatError, match="no pins"):
        CURL.load(Source(text, lambda _: authorities()[0].pem), ImportOptions(host=HOST))


@pytest.mark.parametrize("separator", ["next", "  --next\r", "-:", "-4:", "next ="])
def test_the_pins_of_several_urls_are_refused(separator: str) -> None:
    text = f"pinnedpubkey = {SPELLED}\n{separator}\npinnedpubkey = {SPELLED}\n"
    with pytest.raises(FormatError, match="line 2: the options after `next`"):
        CURL.load(Source(text.encode(), nothing), ImportOptions(host=HOST))


@pytest.mark.parametrize("name", ["pinnedpubkey", "cacert"])
@pytest.mark.parametrize("dashes", ["", "  --"])
def test_a_value_that_curl_computes_is_refused(name: str, dashes: str) -> None:
    text = f'pinnedpubkey = {SPELLED}\nvariable = "x=y"\n{dashes}expand-{name} = "{{{{x}}}}"\n'
    with pytest.raises(
        FormatError, match=f"line 3: curl computes the value of expand-{name}"
    ) as found:
        CURL.load(Source(text.encode(), nothing), ImportOptions(host=HOST))
    assert found.value.fix == f"import a copy of the file with its value: {name} = …"


@pytest.mark.parametrize(
    "text",
    [
        f"pinnedpubkey = {SPELLED}",
        f'--pinnedpubkey "{SPELLED}"',
        f"# comment\r\npinnedpubkey:'{SPELLED}'\r\n",
        f"pinnedpubkey = old\n  pinnedpubkey {SPELLED}  \n",
        f'pinnedpubkey = "old"\npinnedpubkey = "{SPELLED}" # new, 2026-11\n',
        f"pinnedpubkey = old\npinnedpubkey = {SPELLED} # new\n",
        f"pinnedpubkey = old\npinnedpubkey = {SPELLED}\t#new\r\n",
        f'pinnedpubkey = "{SPELLED}" rest',
    ],
)
def test_other_notations_are_read(text: str) -> None:
    found = CURL.load(Source(text.encode(), nothing), ImportOptions(host=HOST))
    [only] = found.policies
    assert (str(only.pattern), only.match, set(only.live_pins)) == (HOST, "leaf", set(KEYS[:2]))
    assert [entry.role for entry in only.pins] == ["leaf", "backup"]


def test_a_file_without_host_needs_the_host_option() -> None:
    with pytest.raises(ConfigError, match="the file names no host"):
        CURL.load(Source(f"pinnedpubkey {SPELLED}".encode(), nothing))


@pytest.mark.parametrize(
    ("line", "hosts"),
    [
        ("url = https://api.bank.example/x", [HOST]),
        ('  --url "https://user:secret@API.bank.example:8443/x?y=//z" # main', [HOST]),
        ("url: api.bank.example:443/x\r\nurl = https://api.bank.example/z", [HOST]),
        ("url = https://[2001:db8::7]/", ["2001:db8::7"]),
        (
            "url = https://api.bank.example\nurl = https://pay.bank.example",
            [HOST, "pay.bank.example"],
        ),
    ],
)
def test_the_hosts_are_those_of_the_urls(line: str, hosts: list[str]) -> None:
    """curl checks the pins for each of them."""
    source = Source(f"pinnedpubkey = {SPELLED}\n{line}\n".encode(), nothing)
    for options in (ImportOptions(), ImportOptions(host=hosts[0])):
        found = CURL.load(source, options).policies
        assert [str(each.pattern) for each in found] == hosts
        assert all(set(each.live_pins) == set(KEYS[:2]) for each in found)
    with pytest.raises(ConfigError, match=f"settings of {', '.join(hosts)}, and not of other.ex"):
        CURL.load(source, ImportOptions(host="other.example"))


@pytest.mark.parametrize(
    "url",
    [
        *("https://{api,pay}.bank.example/", "https://api[1-3].bank.example", "@urls.txt"),
        *("https://*.bank.example/", "file:///tmp/x", "https://[::1", '""'),
    ],
)
def test_a_url_whose_host_is_not_known_names_none(url: str) -> None:
    source = Source(f"pinnedpubkey = {SPELLED}\nurl = {url}\n".encode(), nothing)
    with pytest.raises(ConfigError, match="the file names no host"):
        CURL.load(source)
    [only] = CURL.load(source, ImportOptions(host=HOST)).policies
    assert str(only.pattern) == HOST


def test_an_export_with_a_url_of_another_host_is_refused() -> None:
    def with_url(text: str) -> str:
        return f'{text}url = "https://pay.bank.example/x"\n'

    problem = f"the file is for {HOST}, but has a url of pay.bank.example"
    with pytest.raises(FormatError, match=problem) as caught:
        anchored(with_url)
    assert "remove certpin's comments" in str(caught.value.fix)
    pinned = CURL.export(pin_set(policy(HOST, *KEYS[:2], match="leaf"))).files[0].text
    with pytest.raises(FormatError, match=problem):
        CURL.load(Source(with_url(pinned).encode(), nothing))
    wide = pinned.replace(f"# for {HOST}", "# for *.bank.example")
    assert str(CURL.load(Source(with_url(wide).encode(), nothing)).policies[0].pattern)[0] == "*"


def test_a_single_pin_is_imported_as_report_only() -> None:
    lone = Source(f"pinnedpubkey {SPELLED.partition(';')[0]}".encode(), nothing)
    with pytest.raises(ConfigError, match="only one pin"):
        CURL.load(lone, ImportOptions(host=HOST))
    [only] = CURL.load(lone, ImportOptions(host=HOST, mode="report")).policies
    assert only.mode == "report"


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.pem", "a/b.pem", "\\\\host\\x.pem"])
def test_only_files_in_the_same_folder_are_read(name: str) -> None:
    text = f"pinnedpubkey {SPELLED}\ncacert {name}"
    with pytest.raises(FormatError, match="is not a plain file name"):
        CURL.load(Source(text.encode(), nothing), ImportOptions(host=HOST))


def test_a_line_of_a_million_spaces_takes_linear_time() -> None:
    text = "pinnedpubkey" + " " * 1_000_000 + '"x'
    with pytest.raises(FormatError):
        CURL.load(Source(text.encode(), nothing), ImportOptions(host=HOST))
