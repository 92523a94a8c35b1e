"""What the examples in lint rules refer to: digests for words, PEM files, and served chains."""

from __future__ import annotations

import base64
import json
import ssl
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certpin.lab.ct_log import LabLog, log_list
from certpin.lint import ExportedFile, LintDocument, LiveResult, read_document
from certpin.lint.rule import NOW
from certpin.providers import load_providers
from certpin.x509 import Certificate
from tests import kit
from tests._marks import unmarked

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A certificate with its key."""

    certificate: Certificate
    key: ec.EllipticCurvePrivateKey


def make(name: str, starts: datetime, ends: datetime) -> Made:
    """Make a self-signed certificate: lint reads dates and keys, and verifies no signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, starts, ends)
    signed = builder.sign(key, hashes.SHA256())
    return Made(Certificate.from_der(signed.public_bytes(serialization.Encoding.DER)), key)


def renewed(made: Made, starts: datetime, ends: datetime) -> Certificate:
    """Make another certificate for the same key."""
    name = made.certificate._x509.subject
    builder = x509.CertificateBuilder(name, name, made.key.public_key(), 2, starts, ends)
    signed = builder.sign(made.key, hashes.SHA256())
    return Certificate.from_der(signed.public_bytes(serialization.Encoding.DER))


@cache
def chain() -> tuple[Made, Made, Made]:
    """Return leaf, intermediate and root, valid at ``NOW``."""
    return (
        make("api.bank.example", NOW - 50 * DAY, NOW + 150 * DAY),
        make("Bank Issuing CA", NOW - 700 * DAY, NOW + 900 * DAY),
        make("Bank Root CA", NOW - 900 * DAY, NOW + 4000 * DAY),
    )


@cache
def words() -> dict[str, str]:
    """Return the base64 digest for each word in the examples."""
    leaf, intermediate, root = (each.certificate.spki_sha256 for each in chain())
    numbers = {word: bytes(range(at, at + 32)) for at, word in enumerate(("ONE", "TWO", "THREE"))}
    known = {"LEAF": leaf, "INTERMEDIATE": intermediate, "ROOT": root, **numbers}
    roots = load_providers().providers["letsencrypt"].roots
    known |= {f"SET{number}": root.pin.digest for number, root in enumerate(roots, 1)}
    coded = {word: base64.b64encode(digest).decode() for word, digest in known.items()}
    return coded | {
        "DISTRUSTED": "r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E=",  # DigiCert Global Root CA
        "LEAVING": "Ko8tivDrEjiY90yGasP6ZpBU4jwXvHqVvQI0GS3GNdA=",  # Go Daddy Root CA - G2
        "EXAMPLE": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "WHOLE": bytes(range(9, 41)).hex(":").upper(),
    }


def anchors(folder: Path) -> None:
    """Write the files of trust anchors that the examples name."""
    _, _, root = chain()
    for name, certificate in {
        "bank-root.pem": root.certificate,
        "old-root.pem": make("Old Root", NOW - 900 * DAY, NOW - DAY).certificate,
        "soon-root.pem": make("Ending Root", NOW - 900 * DAY, NOW + 100 * DAY).certificate,
    }.items():
        (folder / name).write_text(ssl.DER_cert_to_PEM_cert(certificate.der))
    unreadable = kit.unreadable_to_openssl(root.certificate.der)
    (folder / "unreadable-root.pem").write_text(ssl.DER_cert_to_PEM_cert(unreadable))


def log_lists(folder: Path) -> None:
    """Write the lists of Certificate Transparency logs that the examples name."""
    public, private = logs()
    for name, log, age in (
        ("logs.json", public, 59 * DAY),
        ("old-logs.json", public, 60 * DAY),
        ("stale-logs.json", public, 70 * DAY),
        ("private-logs.json", private, 59 * DAY),
    ):
        text = json.dumps(log_list([log], NOW - age).to_json())
        (folder / name).write_text(text, encoding="utf-8")


@cache
def logs() -> tuple[LabLog, LabLog]:
    """Return two Certificate Transparency logs: a public one, and one of a private authority."""
    made = LabLog.make("Log A")
    return made.but(kind="prod"), made


def asked(pattern: str) -> LiveResult:
    """Return a made-up result of connecting to a host; its first label selects the kind.

    For example, ``silent`` times out, and ``short`` serves a certificate with a short lifetime.
    """
    leaf, intermediate, root = chain()
    certificates = [each.certificate for each in (leaf, intermediate, root)]
    match pattern.partition(".")[0]:
        case "silent":
            return LiveResult(pattern, pattern, error="it did not answer in time")
        case "stripped":
            problem = "smtp STARTTLS: the server does not offer STARTTLS"
            return LiveResult(pattern, pattern, error=problem, insecure=True)
        case "unverified":
            problem = "self-signed certificate"
            return LiveResult(pattern, pattern, tuple(certificates[:1]), problem=problem)
        case "short":
            certificates[0] = renewed(leaf, NOW - 20 * DAY, NOW + 70 * DAY)
        case "late":
            certificates[0] = renewed(leaf, NOW - 180 * DAY, NOW + 20 * DAY)
        case "old":
            certificates[1] = renewed(intermediate, NOW - 700 * DAY, NOW + 170 * DAY)
        case "crossed":
            crossed = renewed(root, NOW - 900 * DAY, NOW - DAY)
            served = (*certificates[:2], crossed)
            return LiveResult(pattern, pattern, served, tuple(certificates))
    return LiveResult(pattern, pattern, tuple(certificates[:2]), tuple(certificates))


def fill_example(example: str) -> tuple[str, list[int]]:
    """Return an example of a lint rule as the text of a pin file with real digests.

    Args:
        example: the text of ``LintRule.bad`` or ``LintRule.good``.

    Returns:
        The text of the pin file, and the numbers of the lines marked with ``HERE``, from 1.
    """
    text, marked = unmarked(example)
    for word, digest in words().items():
        text = text.replace(f'/{word}"', f'/{digest}"')
    return text, marked


def document(example: str, folder: Path, needs: str = "file") -> tuple[LintDocument, list[int]]:
    """Read an example pin file for lint, and return it with the numbers of its marked lines.

    Args:
        example: the text of the example, with placeholders.
        folder: where the files that the example names are written.
        needs: the data that the rule needs: ``file``, ``live`` (served chains) or ``exports``.
    """
    text, marked = fill_example(example)
    anchors(folder)
    log_lists(folder)
    read = read_document(text, folder / "pins.toml")
    if needs == "live":
        read = replace(read, live=tuple(asked(str(host)) for host in read.hosts))
    if needs == "exports":
        drifted = ("api.bank.example has one pin less",) if "drifted" in text else ()
        read = replace(read, exported=(ExportedFile("flutter", "lib/pins.dart", "", drifted),))
    return read, marked
