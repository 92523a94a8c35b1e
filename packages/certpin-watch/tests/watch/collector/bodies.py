"""Realistic bodies of requests with reports, each with its own report ID."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab import Authority
from certpin.reports.codecs.fields import pem_of

HOST = "api.bank.example"
MARK = "0" * 32  # tests.bench.load replaces it by a number


@cache
def chain() -> tuple[str, ...]:
    """Return a served chain as PEM: leaf and intermediate of an unknown authority."""
    authority = Authority("Strange Root").intermediate("Strange Intermediate")
    identity = authority.issue(HOST)
    return tuple(pem_of(certificate.public_bytes(Encoding.DER)) for certificate in identity.chain)


def report(number: int | str = MARK, **fields: Any) -> dict[str, Any]:
    """Return a report in certpin's own format, of about 3 kB.

    ``number`` becomes the ID of the report, and ``fields`` replace or add fields.
    """
    name = number if isinstance(number, str) else f"{number:032d}"
    return {
        "schema": "certpin-report/1",
        "id": name,
        "date-time": "2027-01-01T12:00:00Z",
        "hostname": HOST,
        "port": 443,
        "decision": "refuse",
        "reason": "mismatch",
        "pin-set": "bank-app",
        "pin-set-version": 12,
        "app": "example.bank.app",
        "app-version": "4.2.0",
        "platform": "android",
        "network": "wifi",
        "served-certificate-chain": list(chain()),
        "validated-certificate-chain": [],
        "known-pins": ['pin-sha256="' + "A" * 43 + '="', 'pin-sha256="' + "B" * 42 + 'A="'],
        **fields,
    }


def body(number: int | str = MARK, **fields: Any) -> bytes:
    """Return a report in certpin's own format as JSON bytes, with this ID and these fields."""
    return json.dumps(report(number, **fields)).encode()


def template(size: int = 3000) -> bytes:
    """Return a JSON report of at least ``size`` bytes.

    The load generator sends it many times, each time with another ID.
    """
    bodies = (
        json.dumps(report() | {"validated-certificate-chain": list(chain()[:count])}).encode()
        for count in range(len(chain()) + 1)
    )
    return next(body for body in bodies if len(body) >= size)
