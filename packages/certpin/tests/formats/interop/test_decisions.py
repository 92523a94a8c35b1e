"""The exported code decides as certpin does for every host, chain, mode, match and time.

The tests run the exported Go and Node.js code, and compare each decision.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, get_args

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.formats import FORMATS
from certpin.lab import Authority
from certpin.pins import HostPattern, HostPin, HostPolicy, Match, Mode, OnExpiry, pins_of, verify
from certpin.x509 import Certificate, Chain
from tests.formats.interop._programs import PROGRAMS
from tests.kit import NOBODY, NOBODY_ELSE, pin_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from certpin.pins import Pin, PinSet

NOW = datetime.now(UTC).replace(microsecond=0)
END = NOW + timedelta(days=1)
MOMENTS = (NOW, END - timedelta(seconds=1), END, END + timedelta(days=400))
PATTERNS = (
    *("bank.example", "*.bank.example", "**.bank.example", "**.api.bank.example", "10.0.0.1"),
    *("xn--bcher-kva.example", "::ffff:10.0.0.2", "2001:db8::7"),
)
HOSTS = (
    *("bank.example", "api.bank.example", "a.api.bank.example", "b.a.api.bank.example"),
    *("other.bank.example", "a.other.bank.example", "notbank.example", "example", "10.0.0.1"),
    *("1.0.0.10", "10.0.0.10", "::ffff:10.0.0.2", "10.0.0.2", "2001:db8::7"),
    "xn--bcher-kva.example",
)


@cache
def chains() -> tuple[Chain, ...]:
    """Return two chains, of leaf, intermediate and root, with different authorities."""
    made = []
    for name in ("One", "Two"):
        root = Authority(name, now=NOW)
        leaf = root.intermediate(f"{name} I").issue("bank.example")
        ders = [each.public_bytes(Encoding.DER) for each in (*leaf.chain, root.x509)]
        made.append(Chain(tuple(map(Certificate.from_der, dict.fromkeys(ders)))))
    return tuple(made)


@cache
def pins() -> PinSet:
    """Return a pin set with a policy for each combination of settings, and overlapping patterns."""
    certificates = chains()[0].certificates
    choices = [pin for each in certificates for pin in pins_of(each)] + [NOBODY]
    modes, matches, ends = get_args(Mode), get_args(Match), (None, *get_args(OnExpiry))
    ways = product(choices, modes, matches, ends)
    policies = [_policy(f"host-{n}.example", *way) for n, way in enumerate(ways)]
    policies += [_policy(pattern, choices[0], "enforce", "any", None) for pattern in PATTERNS]
    hurt = product(choices[:-1], modes, ends)
    policies += [_compromised(f"hurt-{n}.example", *way) for n, way in enumerate(hurt)]
    return pin_set(*policies)


def _policy(pattern: str, pin: Pin, mode: Mode, match: Match, end: OnExpiry | None) -> HostPolicy:
    entries = (HostPin(pin, "leaf"), HostPin(NOBODY_ELSE, "backup"))
    expires = END if end else None
    on_expiry = end or "fail-closed"
    return HostPolicy(HostPattern.parse(pattern), entries, mode, match, expires, on_expiry)


def _compromised(pattern: str, pin: Pin, mode: Mode, end: OnExpiry | None) -> HostPolicy:
    """Return a policy that accepts the first chain except for a compromised key in it."""
    certificates = chains()[0].certificates
    live = certificates[0 if pin not in pins_of(certificates[0]) else -1]
    policy = _policy(pattern, pins_of(live)[0], mode, "any", end)
    return replace(policy, pins=(*policy.pins, HostPin(pin, state="compromised")))


def questions() -> Iterator[tuple[str, datetime, Chain]]:
    """Yield the inputs of the decisions: every host at every time with every chain."""
    exact = [str(policy.pattern) for policy in pins().policies if not policy.pattern.wildcard]
    yield from product([*HOSTS, *exact], MOMENTS, chains())


def expected(known: PinSet, host: str, moment: datetime, chain: Chain) -> str:
    """Return certpin's decision on a chain: the policy's pattern, the decision, and any reason.

    Only a finding has a reason. A host without a policy gives "- unpinned".
    """
    policy = known.policy_for(host)
    if policy is None:
        return "- unpinned"
    verdict = verify(chain, policy, moment)
    reason = f" {verdict.reason}" if verdict.is_finding else ""
    return f"{policy.pattern} {verdict.decision}{reason}"


def asked(
    words: list[str], folder: Path, queries: Iterable[tuple[str, datetime, Chain]]
) -> list[str]:
    """Run a program with the exported code, and return its decision for each query.

    Args:
        words: the command.
        folder: its working folder.
        queries: the inputs of the decisions, as ``questions`` yields them.
    """
    lines = "\n".join(
        " ".join(
            [host, moment.isoformat().replace("+00:00", "Z"), *map(_encoded, chain.certificates)]
        )
        for host, moment, chain in queries
    )
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(
        words,
        input=lines,
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    answers = (line.partition("decided ")[2] for line in done.stdout.splitlines())
    return [answer for answer in answers if answer]


def _encoded(certificate: Certificate) -> str:
    return base64.b64encode(certificate.der).decode()


@pytest.mark.slow
@pytest.mark.peer("go")
def test_go_decides_as_certpin_does(tmp_path: Path) -> None:
    made = FORMATS["go"].export(pins())
    assert not made.omissions
    (tmp_path / "pins.go").write_text(made.files[0].text, encoding="utf-8")
    (tmp_path / "go.mod").write_text("module proof/pins\n\ngo 1.21\n", encoding="utf-8")
    shutil.copy(PROGRAMS / "decide.go", tmp_path / "decide_test.go")
    subprocess.run(
        ["go", "test", "-c", "-o", "decide", "."],
        cwd=tmp_path,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod"},
        check=True,
        timeout=110,
    )
    words = [str(tmp_path / "decide")]
    assert asked(words, tmp_path, questions()) == [
        expected(pins(), *question) for question in questions()
    ]
    # Go's standard library has no IDNA, as a note of the format says; certpin converts the name.
    query = "bücher.example", NOW, chains()[0]
    assert expected(pins(), *query) == "xn--bcher-kva.example accept"
    assert asked(words, tmp_path, [query]) == ["- unpinned"]
    assert any("bücher.example" in need for need in FORMATS["go"].needs)


@pytest.mark.slow
@pytest.mark.peer("node")
def test_node_decides_as_certpin_does_about_the_leaf(tmp_path: Path) -> None:
    # A policy with only pins of authorities can't be exported for Node.js.
    leaf = {str(pin) for pin in (*pins_of(chains()[0].leaf), NOBODY)}
    kept = [
        policy
        for policy in pins().policies
        if str(policy.pins[0].pin) in leaf and policy.match != "ca"
        # Node.js doesn't see a compromised key of an authority.
        if leaf.issuperset(map(str, policy.compromised))
    ]
    made = FORMATS["node"].export(pin_set(*kept))
    (tmp_path / "pins.mjs").write_text(made.files[0].text, encoding="utf-8")
    words = ["node", str(PROGRAMS / "decide.mjs"), "pins.mjs"]
    assert asked(words, tmp_path, questions()) == [
        expected(made.pins, *question) for question in questions()
    ]
