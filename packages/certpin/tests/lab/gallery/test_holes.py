"""Broken clients with one hole each: the named cases catch it, and a neighbouring case does not."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest

from certpin.lab.attacks.connections import CONNECTIONS
from certpin.lab.attacks.exhaustion import EXHAUSTION
from certpin.lab.attacks.handshakes import HANDSHAKES
from certpin.lab.attacks.hosts import HOSTS
from certpin.lab.attacks.leaves import LEAVES
from certpin.lab.attacks.lookalikes import LOOKALIKES
from certpin.lab.client import EveryWay
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import BY_NAME
from tests.lab.gallery._gallery import BROKEN, broken, program

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.client import ClientUnderTest

pytestmark = pytest.mark.slow

ROGUE = "rogue-ca-in-store"


@dataclass(frozen=True)
class Hole:
    """The cases that name a client's fault, and one that it handles as a sound client does.

    ``stall`` is the delay in seconds of slow attackers, longer than a client's own time-out.
    """

    cases: tuple[str, ...]
    neighbour: str = ROGUE
    style: Style = Style.LEAF
    tls: Literal["", "1.2", "1.3"] = ""
    stall: float = 0.1
    outcome: Outcome = Outcome.WRONG


HOLES = {
    "pin_checked_twice": Hole(
        tuple(f"rogue-connection-{number}" for number in (3, 4, 5, 6)), "rogue-connection-2"
    ),
    "pin_checked_every_second_time": Hole(
        tuple(f"rogue-connection-{number}" for number in (2, 4, 6)), "rogue-connection-3"
    ),
    "websocket_unpinned": Hole(("other-kind-of-connection",), "swap-on-reconnect"),
    "pins_in_tls13_only": Hole(("rogue-tls-1.2",)),
    "pins_in_tls12_only": Hole(("rogue-tls-1.3",), tls="1.2"),
    "pins_in_http2_only": Hole(("rogue-http-1.1", "rogue-without-alpn")),
    "pins_in_http1_only": Hole(("rogue-http-2",), "rogue-http-1.1"),
    "pins_need_alpn": Hole(("rogue-without-alpn",)),
    "one_pool_of_pins": Hole(("second-host-key",)),
    "pins_compared_in_part": Hole(("similar-pin",)),
    "http_after_close": Hole(("closed-then-clear-text",), "reset-then-clear-text"),
    "http_after_reset": Hole(("reset-then-clear-text",), "closed-then-clear-text"),
    "http_after_timeout": Hole(("stalled-then-clear-text",), "closed-then-clear-text", stall=8),
    "unchecked_after_drop": Hole(("dropped-then-rogue",), "bad-then-good"),
    "unchecked_after_timeout": Hole(("slow-rogue",), "dropped-then-rogue", stall=8),
    "other_port_unpinned": Hole(("redirect-to-other-port",)),
    "pins_by_text": Hole(("rogue-trailing-dot", "rogue-upper-case", "rogue-unicode-host")),
    "addresses_unpinned": Hole(("rogue-ipv4", "rogue-ipv6")),
    "authorities_left_out": Hole(("rogue-authority-as-server",)),
    "length_of_the_chain": Hole(("rogue-chain-as-long",), style=Style.CA),
    "long_chains_unchecked": Hole(("rogue-chain-longer",), "rogue-chain-as-long", Style.CA),
    "pin_at_position": Hole(("rot-shorter-chain",), "rot-backup-live", Style.CA),
    "unknown_keys_accepted": Hole(
        ("rogue-ed25519", "rogue-p384", "rogue-p521", "rogue-rsa-pss", "rogue-rsa-8192")
    ),
    "common_name_needed": Hole(("rogue-empty-subject", "rogue-no-common-name")),
    "large_certificates_accepted": Hole(("rogue-many-names",)),
    "unknown_extensions_accepted": Hole(("rogue-odd-extensions",)),
    "extensions_needed": Hole(("rogue-version-1",)),
    "constraints_given_up": Hole(("exhausting-name-constraints",)),
    "http_after_large_certificate": Hole(("exhausting-names",)),
    "common_name_first": Hole(("cn-beside-other-san",), "wrong-host-sibling", Style.NONE),
    "names_by_pattern": Hole(
        ("wrong-host-public-suffix",),
        "wrong-host-sibling",
        Style.NONE,
        outcome=Outcome.WARNING,
    ),
    "constraints_of_one_authority": Hole(
        ("name-constraints-widened",), "name-constraints", Style.NONE
    ),
    "purposes_compared_one_by_one": Hole(
        ("extended-key-usage-empty",), "extended-key-usage", Style.NONE, outcome=Outcome.WARNING
    ),
}
_CURL = ("{ca}", "{pinnedpubkey}")
# The programs in other languages: their peers, their words after the interpreter, and the hole.
PROGRAMS = {
    "http_after_failure.sh": (
        "curl",
        ("{host}", "{canary}", *_CURL),
        Hole(("closed-then-clear-text", "reset-then-clear-text"), ROGUE),
    ),
    "unpinned_after_failure.sh": (
        "curl",
        ("{url}", *_CURL),
        Hole(("dropped-then-rogue",), "bad-then-good"),
    ),
    "address_unpinned.sh": (
        "curl",
        ("{host}", "{url}", *_CURL),
        Hole(("rogue-ipv4", "rogue-ipv6")),
    ),
    "pinned_three_times.sh": (
        "curl",
        ("{url}", *_CURL),
        Hole(("rogue-connection-4",), "rogue-connection-3"),
    ),
    "pins_by_text.mjs": (
        "node",
        ("{host}", "{port}", "api.bank.example"),
        Hole(("rogue-upper-case",)),
    ),
    "pinned_in_tls13.mjs": ("node", ("{host}", "{port}"), Hole(("rogue-tls-1.2",))),
}
GO = Hole(("rogue-ed25519", "rogue-p384", "rogue-p521", "rogue-rsa-8192"))


def _check(client: ClientUnderTest, hole: Hole) -> None:
    """Run the good control, the neighbouring case and those that name the fault."""
    chosen = [BY_NAME[name] for name in (hole.neighbour, *hole.cases)]
    with Lab(style=hole.style, tls=hole.tls, stall=hole.stall) as lab:
        run = prove(lab, client, chosen)
    assert run.controlled, [result.why for result in run.results]
    outcomes = {result.case.name: result.outcome for result in run.results[1:-1]}
    neighbour = {hole.neighbour: Outcome.RIGHT}
    assert outcomes == neighbour | dict.fromkeys(hole.cases, hole.outcome)


@pytest.mark.parametrize("name", HOLES)
def test_the_cases_that_name_its_fault_catch_the_client(name: str) -> None:
    _check(broken(name), HOLES[name])


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.peer("curl", "node")
def test_a_program_in_another_language_is_caught(name: str) -> None:
    peer, words, hole = PROGRAMS[name]
    start = ("sh" if peer == "curl" else peer, str(BROKEN / name))
    _check(program(*start, *words, via="connect" if peer == "curl" else "port"), hole)


@pytest.mark.peer("curl")
def test_a_client_without_pins_behind_a_proxy_is_caught_by_both_ways_in_one_run() -> None:
    words = ("sh", str(BROKEN / "unpinned_behind_proxy.sh"), "{endpoint}", "{url}", *_CURL)
    direct, proxied = (program(*words, via=via) for via in ("port", "connect"))
    _check(direct, Hole(("rogue-ca-in-store",), "self-signed", outcome=Outcome.RIGHT))
    with Lab() as lab:
        run = prove(lab, EveryWay((proxied, direct)), [BY_NAME[ROGUE]], repeat=2)
    assert run.controlled
    assert run.about.command == words
    found = run.results[1]
    assert (found.verdict, found.outcome) == (Verdict.FLAKY, Outcome.WRONG)
    assert found.why.endswith("(connect: ACCEPT, port: REJECT)")


@pytest.mark.peer("go")
def test_a_program_in_go_is_caught(tmp_path: Path) -> None:
    binary = tmp_path / "known_keys"
    subprocess.run(["go", "build", "-o", binary, BROKEN / "known_keys.go"], check=True, timeout=110)
    _check(program(str(binary), "{url}"), GO)


FAMILIES = (CONNECTIONS, EXHAUSTION, HANDSHAKES, HOSTS, LEAVES, LOOKALIKES)
BESIDE = (
    *("rogue-chain-as-long", "rogue-chain-longer", "rot-shorter-chain"),
    *("wrong-host-public-suffix", "cn-beside-other-san"),
    *("name-constraints-widened", "extended-key-usage-empty"),
)


def test_every_hole_has_a_client_that_shows_it() -> None:
    cases = {case.name for family in FAMILIES for case in family}
    assert cases | set(BESIDE) <= {case for hole in HOLES.values() for case in hole.cases}


@pytest.mark.parametrize("path", sorted(BROKEN.glob("[!_]*.*")), ids=lambda path: path.name)
def test_the_head_of_a_program_says_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "Broken: " in text
    assert "certpin prove " in text
    name = path.stem if path.suffix == ".go" else path.name
    assert f" {name}" in text or f"./{name}" in text
