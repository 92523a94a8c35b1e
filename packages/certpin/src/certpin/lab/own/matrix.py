"""Write the chains of the lab's built-in cases as PEM files, with a JSON index for other suites.

A case is written if its attack is in its chain: then any server that presents this chain with its
key reproduces the case. A case that needs several connections, TLS settings, another protocol,
another clock or a compromised key is left out, with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509

from certpin._version import __version__
from certpin.errors import InputError
from certpin.lab.case import CannotServeError
from certpin.lab.own.chain import LeftOut
from certpin.lab.own.writer import ANCHORS_FILE, CHAIN_FILE, KEY_FILE, pem, write_chain
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import Scenario
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from certpin.lab.case import Case
    from certpin.lab.scenario import ServerStep

INDEX_FILE = "index.json"
SCHEMA = 1
_SECOND_HOST = "cdn.bank.example"  # that of no exported case


@dataclass(frozen=True)
class ExportedMatrix:
    """The names of the cases that an export wrote, and the cases that the export left out."""

    cases: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def write_matrix(folder: Path, cases: Iterable[Case], host: str, now: datetime) -> ExportedMatrix:
    """Write the chain and the key of each case into a folder, and an index of the cases.

    Args:
        folder: an existing folder (``certpin.lab.own.writer.new_folder``).
        cases: the built-in cases of the lab.
        host: the host under test, normalised.
        now: the time for which the certificates are made; leaves are valid for 47 days.

    Returns:
        The names of the written cases, and the cases that were left out.

    Raises:
        OSError: a file can't be written.
    """
    authorities = Authorities(now)
    pkis: dict[str, TestPKI] = {}
    entries: list[dict[str, Any]] = []
    left_out: list[LeftOut] = []
    for case in cases:
        name = case.host(host)
        pki = pkis.setdefault(name, TestPKI(authorities, name, _SECOND_HOST, Style.LEAF))
        try:
            step = _only_chain(case, case.scenario(pki))
            unpinned = case.scenario(TestPKI(authorities, name, _SECOND_HOST, Style.NONE))
            _require_equal_issuers(step, unpinned.first[0])
        except CannotServeError as exc:
            left_out.append(LeftOut(case.name, exc.problem))
            continue
        write_chain(folder / case.name, step.chain, step.key_pem)
        entries.append(_entry(case, pki))
    anchors = (authorities.root.certificate.der, authorities.rogue.certificate.der)
    (folder / ANCHORS_FILE).write_text(pem(anchors), encoding="ascii")
    index = {
        "schema": SCHEMA,
        "certpin": __version__,
        "time": now.isoformat(timespec="seconds"),
        "anchors": ANCHORS_FILE,
        "cases": entries,
        "left_out": [vars(each) for each in left_out],
    }
    text = json.dumps(index, indent=2, ensure_ascii=False)
    (folder / INDEX_FILE).write_text(f"{text}\n", encoding="utf-8")
    return ExportedMatrix(tuple(entry["name"] for entry in entries), tuple(left_out))


def _entry(case: Case, pki: TestPKI) -> dict[str, Any]:
    return {
        "name": case.name,
        "host": pki.host,
        "chain": f"{case.name}/{CHAIN_FILE}",
        "key": f"{case.name}/{KEY_FILE}",
        "expected": {style.value: case.expected.of(style).value for style in Style},
        "pins": {
            Style.LEAF.value: [str(pki.leaf.pin), str(pki.backup.pin)],
            Style.CA.value: [str(pki.intermediate.pin), str(pki.root.pin)],
        },
        "presents": case.presents,
        "guards": case.guards,
        "reference": case.reference or None,
    }


def _only_chain(case: Case, scenario: Scenario) -> ServerStep:
    """Return the step of a case's server, if any server with the same chain and key can replace it.

    A step describes how the lab serves one connection. ``scenario`` is the scenario of the case.

    Raises:
        CannotServeError: the case needs more than a chain and a key, such as a proxy, several
            connections or a compromised key; or the server's key is not that of its certificate.
    """
    step = scenario.first[0]
    if scenario.needs_proxy:
        raise CannotServeError("it needs a client that uses an HTTP proxy")
    if scenario != Scenario.of(step):
        raise CannotServeError("it needs several connections")
    if case.protocol or step != type(step)(step.chain, step.key_pem, step.role):
        raise CannotServeError("it is about the protocol, and not about the chain")
    if case.clock:
        raise CannotServeError("it moves the client's clock")
    if case.compromised:
        raise CannotServeError("it needs a pin that is marked compromised")
    if case.anchors:
        raise CannotServeError("it changes the client's trust store")
    if not _signs(step):
        raise CannotServeError("the server signs with another key than that of its certificate")
    return step


def _require_equal_issuers(step: ServerStep, unpinned: ServerStep) -> None:
    """Check that a case serves chains with the same issuers to clients with and without pins.

    Only the names of the issuers are compared.

    Args:
        step: how the lab serves a client that pins the leaf.
        unpinned: how the lab serves a client without pins.

    Raises:
        CannotServeError: the issuers differ. The attack then depends on the client's pins, so that
            one exported chain can't reproduce the case.
    """
    issuers = [
        [x509.load_der_x509_certificate(der).issuer for der in each.chain]
        for each in (step, unpinned)
    ]
    if issuers[0] != issuers[1]:
        raise CannotServeError("its chain depends on how the client is pinned")


def _signs(step: ServerStep) -> bool:
    """Return True if the server's private key belongs to its leaf certificate.

    Only such a case is exported, because ordinary TLS servers accept no other key. ``step``
    describes how the lab serves a connection: with which key and certificates. If the leaf or its
    public key can't be parsed, this can't be checked, and the result is True.
    """
    try:
        leaf = Certificate.from_der(step.chain[0]).parsed.public_key()
    except (InputError, ValueError):
        return True  # only the server can find out
    return step.private_key.public_key() == leaf
