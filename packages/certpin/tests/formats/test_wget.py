"""wget's configuration file: certpin's exports, and the import of files in other notations."""

from __future__ import annotations

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS
from tests.formats._sets import KEYS, anchors, authorities
from tests.formats._text import exported, imported
from tests.kit import pin_set, policy

HOST = "api.bank.example"
SPELLED = ";".join(str(pin).replace("/", "//", 1) for pin in KEYS[:2])


def test_the_exported_settings() -> None:
    assert exported("wget", pin_set(policy(HOST, *KEYS[:2]), version=4)) == (
        '# certpin pin set "test", version 4\n'
        "# Made by: certpin export wget. Do not edit: change the pin file, and export it again.\n"
        f"# for {HOST}\n"
        "check_certificate = on\nsecure_protocol = TLSv1_2\nmax_redirect = 0\n"
        f"pinnedpubkey = {SPELLED}\n"
    )


def test_trust_anchors_are_a_second_file() -> None:
    pins = pin_set(policy(HOST, *KEYS[:2], trust=anchors()[0]))
    settings, pem = FORMATS["wget"].export(pins).files
    assert settings.text.endswith(f"ca_certificate = {pem.path}\n")
    assert pem.text == authorities()[0].pem.decode()


@pytest.mark.parametrize(
    "text",
    [
        f"pinnedpubkey = {SPELLED}",
        f"  Pinned-PubKey={SPELLED}\n",
        f"pinnedpubkey = old\npinned_pubkey = {SPELLED}\r\n",
        f"pinnedpubkey = old\npinnedpub-key = {SPELLED}\n",
        f"pinnedpubkey = old\n--p-i__nned_pubkey-={SPELLED}\n",
    ],
)
def test_other_notations_are_read(text: str) -> None:
    [only] = imported("wget", text, HOST).policies
    assert (str(only.pattern), only.match, set(only.live_pins)) == (HOST, "leaf", set(KEYS[:2]))


@pytest.mark.parametrize("name", ["curl", "wget"])
def test_a_comment_of_another_file_names_no_host(name: str) -> None:
    text = f"# for production\npinnedpubkey = {SPELLED}\n"
    [only] = imported(name, text, HOST).policies
    assert str(only.pattern) == HOST
    with pytest.raises(ConfigError, match="the file names no host"):
        imported(name, text)
    made = exported(name, pin_set(policy(HOST, *KEYS[:2], match="leaf")))
    [only] = imported(name, "# for production\r\n" + made.replace("\n", "\r\n")).policies
    assert str(only.pattern) == HOST


def test_anchors_are_read_only_from_the_same_folder() -> None:
    text = f"pinnedpubkey = {SPELLED}\nca_certificate = a.pem\nca__certificate = {{}}\n"
    [only] = imported("wget", text.format("own.pem"), HOST, own=authorities()[1].pem).policies
    assert only.trust is not None
    assert only.trust.der == (authorities()[1].certificate.der,)
    with pytest.raises(FormatError, match="is not a plain file name"):
        imported("wget", text.format("/etc/passwd"), HOST)
