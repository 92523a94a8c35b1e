"""Helpers for tests of the webhook: CSRs, AdmissionReviews, and the data behind a decision."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from certpin.cli.rotate.admission import GateFacts, decide, parse_review
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin
from certpin.rotation import AdoptionDelays, Event, History
from tests import kit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from certpin.cli.rotate.admission import Decision
    from certpin.pins import PinSet, Role, State
    from certpin.x509 import Certificate

HOST = "api.bank.example"
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TIMING = AdoptionDelays()  # 32 days and two hours
UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


def csr(key: Any, *names: str, common_name: str = "", authority: bool = False) -> bytes:
    """Return a signed CSR in PEM, as cert-manager writes it.

    Args:
        key: the private key that signs the request.
        names: the DNS names of its subjectAltName.
        common_name: the common name of its subject, or an empty string for an empty subject.
        authority: whether it asks for a CA certificate.
    """
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        found = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(found, critical=False)
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pin_of(key: Any) -> Pin:
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_key().public_bytes(*form))
    return Pin.of_key(digest.finalize())


def certificate_request(pem: bytes, **fields: Any) -> dict[str, Any]:
    """Return the ``CertificateRequest`` that cert-manager creates for a CSR in PEM.

    ``fields`` replace fields of its ``spec``.
    """
    spec = {
        "issuerRef": {"kind": "ClusterIssuer", "name": "internal"},
        "request": base64.b64encode(pem).decode(),
        "usages": ["digital signature", "key encipherment", "server auth"],
        "username": "system:serviceaccount:cert-manager:cert-manager",
    } | fields
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": {
            "name": "api-1",
            "namespace": "bank",
            "creationTimestamp": f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
        },
        "spec": spec,
    }


def review(new: Any, old: Any = None, operation: str = "CREATE", **fields: Any) -> dict[str, Any]:
    """Return an AdmissionReview of ``admission.k8s.io/v1`` for a change of an object.

    Args:
        new: the object after the change.
        old: the object before the change.
        operation: ``CREATE``, ``UPDATE`` or another operation of Kubernetes.
        fields: replace fields of the ``request``.
    """
    kind = {"group": "cert-manager.io", "version": "v1", "kind": "CertificateRequest"}
    resource = {"group": "cert-manager.io", "version": "v1", "resource": "certificaterequests"}
    request = {
        "uid": UID,
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": "api-1",
        "namespace": "bank",
        "operation": operation,
        "userInfo": {"username": "system:serviceaccount:cert-manager:cert-manager"},
        "object": new,
        "oldObject": old,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": request | fields,
    }


def policy(states: Mapping[Pin, State], host: str = HOST, **fields: Any) -> HostPolicy:
    """Return a policy with these pins: the first is the leaf's, the others are backups."""
    roles: dict[Pin, Role] = fields.pop("roles", {})
    entries = [
        HostPin(pin, roles.get(pin, "backup" if index else "leaf"), state)
        for index, (pin, state) in enumerate(states.items())
    ]
    return HostPolicy(HostPattern.parse(host), tuple(entries), **fields)


def publish(pins: PinSet, ago: timedelta, clients: int = 12) -> Event:
    return Event(
        NOW - ago, "ana", "publish", version=pins.version, pins=pins, clients=clients, timing=TIMING
    )


def facts(
    draft: PinSet,
    *events: Event,
    issuers: Mapping[str, Sequence[tuple[Certificate, ...]]] | None = None,
    now: datetime = NOW,
) -> GateFacts:
    """Return the data on which the webhook decides.

    Args:
        draft: the pin set in the pin file.
        events: the journal. By default, the draft was published a hundred days ago.
        issuers: the chains of each cert-manager issuer, by kind and name.
        now: the time of the decision.
    """
    published = events or (publish(draft, 100 * DAY),)
    return GateFacts(draft, History(published), issuers or {}, (), now)


def judge(known: GateFacts, pem: bytes, **fields: Any) -> Decision:
    """Return the webhook's decision on a new ``CertificateRequest`` with this CSR in PEM.

    ``fields`` replace fields of the request's ``spec``.
    """
    return decide(
        parse_review(json.dumps(review(certificate_request(pem, **fields))).encode()), known
    )


def pinned(key: Any, *others: Pin, host: str = HOST, **fields: Any) -> PinSet:
    """Return a pin set in which the pin of ``key`` is ACTIVE, and ``others`` are published backups.

    The host has one more backup pin, of a key that no one has.
    """
    states: dict[Pin, State] = {pin_of(key): "active", **dict.fromkeys(others, "published")}
    return kit.pin_set(policy({**states, kit.NOBODY: "published"}, host, **fields))
