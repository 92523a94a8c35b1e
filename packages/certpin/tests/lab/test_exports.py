"""The placeholders for pins in the formats of other platforms: the files that each case gets."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS, Source
from certpin.lab.attacks import CONTROL
from certpin.lab.case import CannotServeError
from certpin.lab.client import Command, environment, exports_in, substitute
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome
from certpin.pins import pins_of
from certpin.x509 import Certificate
from tests.lab._clients import BY_NAME

if TYPE_CHECKING:
    from certpin.lab.target import Target
    from certpin.pins import PinSet

HOST = "api.bank.example"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def target(lab: Lab, case: str = CONTROL.name) -> Target:
    """Return the target of a case with placeholder ports, where no server listens."""
    chosen = BY_NAME[case]
    return lab.target(chosen, lab.pki(chosen.host(lab.host)), 1, 2)


def read(name: str, path: Path) -> PinSet:
    source = Source(path.read_bytes(), lambda beside: (path.parent / beside).read_bytes())
    return FORMATS[name].load(source)


def test_the_words_of_a_command_get_the_file_of_a_format() -> None:
    with Lab() as lab:
        there = target(lab)
        [word] = substitute(["--config={export:curl}"], there)
        path = Path(word.removeprefix("--config="))
        assert path == Path(environment(there, "port")["CERTPIN_LAB_EXPORTS"], "curl", path.name)
        [policy] = read("curl", path).policies
        assert {str(pin) for pin in policy.live_pins} == {there.pin, there.backup}


def test_a_command_says_which_formats_it_asks_for() -> None:
    assert exports_in(["{export:go}", "a{export:curl}b{export:x}", "{export:}", "{pins}"]) == [
        "go",
        "curl",
        "x",
    ]


def test_a_file_is_written_when_it_is_asked_for_and_once() -> None:
    with Lab() as lab:
        there = target(lab)
        assert there.exports is not None
        assert not there.exports.folder.exists()
        path = there.export("go")
        path.write_text("of the client's own", encoding="utf-8")
        assert target(lab).export("go").read_text(encoding="utf-8") == "of the client's own"


def test_a_format_of_many_hosts_has_both_and_one_of_one_host_the_host_of_the_case() -> None:
    with Lab() as lab:
        there = target(lab)
        assert len(read("go", there.export("go")).policies) == 2
        assert [str(policy.pattern) for policy in read("wget", there.export("wget")).policies] == [
            HOST
        ]


def anchors(word: str, style: Style = Style.CA, case: str = CONTROL.name) -> list[str]:
    """Return short names of the authorities in the file that a placeholder means.

    ``word`` is ``anchors`` or ``anchors2``. R is the root; I and I2 are the intermediates.
    """
    with Lab(style=style) as lab:
        [path] = substitute([f"{{{word}}}"], target(lab, case))
        authorities = lab.authorities
        named = {
            authorities.root.certificate.der: "R",
            authorities.intermediate.certificate.der: "I",
            authorities.second_intermediate.certificate.der: "I2",
        }
        text = Path(path).read_text(encoding="ascii")
        return [named[ssl.PEM_cert_to_DER_cert(pem)] for pem in _PEM.findall(text)]


def test_the_anchors_are_the_pinned_authorities_without_those_below_another() -> None:
    assert anchors("anchors") == ["R"], "R and I are pinned, and I is below R"
    assert anchors("anchors2") == ["I2"], "R is not pinned for the second host"


def test_a_client_pinned_on_keys_of_servers_has_no_anchors() -> None:
    with pytest.raises(CannotServeError, match=r"no authority is pinned.*--style ca"):
        anchors("anchors", Style.LEAF)


def test_a_client_of_anchors_only_is_not_run_with_a_compromised_key() -> None:
    with pytest.raises(CannotServeError, match="no compromised key"):
        anchors("anchors", case="compromised-key")


def test_a_case_of_another_host_has_files_of_its_own() -> None:
    with Lab() as lab:
        other = target(lab, "ipv6-san")
        assert other.host != HOST
        assert other.export("curl") != target(lab).export("curl")
        assert [str(policy.pattern) for policy in read("curl", other.export("curl")).policies] == [
            other.host
        ]


def test_a_case_whose_clock_is_moved_has_pins_that_end_before() -> None:
    [moved] = [case for case in BY_NAME.values() if case.clock][:1]
    with Lab() as lab:
        there = target(lab, moved.name)
        assert read("json", target(lab).export("json")).policies[0].expires is None
        assert read("json", there.export("json")).policies[0].expires is not None


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_format_with_anchors_only_gets_the_root(name: str) -> None:
    with Lab(style=Style.CA) as lab:
        there = target(lab)
        [policy] = read(name, there.export(name)).policies
        assert policy.trust is not None
        [anchor] = policy.trust.der
        assert str(pins_of(Certificate.from_der(anchor))[0]) == there.backup  # R, as in the pins


def test_a_format_that_cannot_have_the_pins_says_why() -> None:
    with Lab(style=Style.CA) as lab, pytest.raises(CannotServeError) as caught:
        target(lab).export("wget")
    assert "wget cannot have these pins" in str(caught.value)
    assert "none of its pins can match a leaf" in str(caught.value)


def test_a_run_with_such_a_format_proves_nothing_and_says_why() -> None:
    with Lab(style=Style.CA) as lab:
        run = prove(lab, Command(("true", "{export:wget}")), [BY_NAME["rogue-ca-in-store"]])
    [control] = run.results
    assert control.outcome is Outcome.NOT_RUN
    assert "wget cannot have these pins" in control.why


def test_without_pins_there_is_nothing_to_export() -> None:
    with Lab() as lab:
        there = target(lab)
        assert there.exports is not None
        there.exports._pins = None
        with pytest.raises(CannotServeError, match="there are no pins"):
            there.export("curl")


def test_a_platform_that_sees_no_chain_has_the_pinned_authorities_as_its_anchors() -> None:
    with Lab(style=Style.CA) as lab:
        pki = lab.pki(HOST)
        first, second = read("flutter", target(lab).export("flutter")).policies
    assert first.trust
    assert first.trust.der == (pki.root.certificate.der,), "the intermediate is below it"
    assert second.trust
    assert second.trust.der == (pki.second_intermediate.certificate.der,)
    with Lab() as lab:
        policies = read("flutter", target(lab).export("flutter")).policies
    assert [policy.trust for policy in policies] == [None, None]
