"""Helpers for lab cases with a user's own chains: a company's authority and case files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from certpin.lab import Authority
from certpin.lab.case import OwnChain
from certpin.lab.own.chain import ExpectedVerdict, own_case
from certpin.lab.scenario import ServerStep

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Identity
    from certpin.lab.case import Case

HOST = "shop.company.example"
ACCEPT, REFUSE, REPORT = ExpectedVerdict
ROOT = Authority("Company root")
SERVER = ROOT.intermediate("Company intermediate").issue(HOST)
OTHER_ROOT = Authority("Another root")


def own(identity: Identity = SERVER, *anchors: Authority, **fields: Any) -> OwnChain:
    """Return a user's own chain for the lab to serve; by default a valid one below ``ROOT``.

    ``anchors`` are the authorities that the client trusts; ``fields`` are fields of ``OwnChain``.
    """
    step = ServerStep.of(identity)
    trusted = tuple(anchor.certificate.der for anchor in anchors or (ROOT,))
    return OwnChain(
        **{"host": HOST, **fields}, chain=step.chain, key_pem=step.key_pem, anchors=trusted
    )


def case(expect: ExpectedVerdict, chain: OwnChain | None = None, name: str = "mine") -> Case:
    """Return a lab case that serves a user's own chain; by default a valid one.

    ``expect`` is the verdict that the user expects.
    """
    return own_case(name, chain or own(), expect)


def write_files(folder: Path) -> None:
    """Write the PEM files of ``SERVER`` and ``ROOT`` into a folder."""
    SERVER.write(folder)
    (folder / "root.pem").write_bytes(ROOT.pem)


GOOD: dict[str, str] = {
    "name": '"mine"',
    "host": f'"{HOST}"',
    "chain": '"server.pem"',
    "key": '"server.key"',
    "anchors": '["root.pem"]',
    "expect": '"accept"',
}


def toml(*cases: dict[str, str]) -> str:
    """Return the text of a ``cases.toml`` with these cases. The fields' values are TOML source."""
    tables = ["\n".join(f"{name} = {value}" for name, value in fields.items()) for fields in cases]
    return "schema = 1\n" + "".join(f"[[case]]\n{table}\n" for table in tables)


def limbo(path: Path, *testcases: dict[str, Any]) -> Path:
    """Write test cases to a file in the format of x509-limbo, and return its path.

    Each dictionary overrides fields of a test case with the valid chain of ``SERVER``.
    """
    chain = [part.decode() for part in _pem_of(SERVER)]
    good = {
        "id": "own::good",
        "features": [],
        "description": "A good chain.",
        "validation_kind": "SERVER",
        "trusted_certs": [ROOT.pem.decode()],
        "untrusted_intermediates": chain[1:],
        "peer_certificate": chain[0],
        "peer_certificate_key": SERVER.key_pem.decode(),
        "validation_time": None,
        "expected_result": "SUCCESS",
        "expected_peer_name": {"kind": "DNS", "value": HOST},
        "max_chain_depth": None,
        "crls": [],
    }
    document = {"version": 1, "testcases": [good | testcase for testcase in testcases]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _pem_of(identity: Identity) -> list[bytes]:
    end = b"-----END CERTIFICATE-----\n"
    return [part + end for part in identity.chain_pem.split(end)[:-1]]


LONG_AGO = datetime(2020, 5, 1, 12, tzinfo=UTC)
