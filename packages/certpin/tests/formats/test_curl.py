"""curl's configuration file: certpin's exports, and other notations."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import ImportOptions, Source
from certpin.formats.curl import CURL
from tests.formats._sets import KEYS, anchors, authorities
from tests.kit import pin_set, policy

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
        f'# for {HOST}\nproto = "=https"\npinnedpubkey = "{SPELLED}"\n'
    )


def test_trust_anchors_are_a_second_file() -> None:
    options, pem = CURL.export(pin_set(policy(HOST, *KEYS[:2], trust=anchors()[0]))).files
    assert 'cacert = "curl-anchors.pem"\n' in options.text
    assert pem.text == authorities()[0].pem.decode()


@pytest.mark.parametrize(
    "text",
    [
        f"pinnedpubkey = {SPELLED}",
        f'--pinnedpubkey "{SPELLED}"',
        f"# comment\r\npinnedpubkey:'{SPELLED}'\r\n",
        f"pinnedpubkey = old\n  pinnedpubkey {SPELLED}  \n",
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


def test_a_single_pin_is_imported_as_report_only() -> None:
    lone = Source(f"pinnedpubkey {SPELLED.partition(';')[0]}".encode(), nothing)
    with pytest.raises(ConfigError, match="only one pin"):
        CURL.load(lone, ImportOptions(host=HOST))
    [only] = CURL.load(lone, ImportOptions(host=HOST, mode="report")).policies
    assert only.mode == "report"


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.pem", "a/b.pem", "\\\\host\\x.pem"])
def test_only_files_in_the_same_folder_are_read(name: str) -> None:
    text = f"pinnedpubkey {SPELLED}\ncacert {name}"
    with pytest.raises(FormatError, match="is not in the same folder"):
        CURL.load(Source(text.encode(), nothing), ImportOptions(host=HOST))


def test_a_line_of_a_million_spaces_takes_linear_time() -> None:
    text = "pinnedpubkey" + " " * 1_000_000 + '"x'
    with pytest.raises(FormatError):
        CURL.load(Source(text.encode(), nothing), ImportOptions(host=HOST))
