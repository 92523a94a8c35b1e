"""Prometheus gauges with the names and labels of blackbox_exporter and ssl_exporter.

Prometheus scrapes these exporters once for each target, and adds the labels of the target itself.
Here one scrape has all targets, so each sample already has the labels ``instance`` (HOST:PORT) and
``vantage``. Set ``honor_labels: true`` for the scrape, so that Prometheus keeps them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.probe import join_address
from certpin_watch.metrics import declared
from certpin_watch.metrics.declared import gauge
from certpin_watch.store.queries.chains import load_chains
from certpin_watch.store.queries.sightings import earliest_expiry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from certpin.x509 import Certificate, Chain
    from certpin_watch.metrics.families import View
    from certpin_watch.store.queries.sightings import Vantage

_MAX_LABEL = 500  # characters: a certificate may have thousands of names


def compatible_gauges(view: View) -> Iterator[Metric]:
    """Yield the gauges of blackbox_exporter and ssl_exporter, with samples by server and location.

    A location is a machine that probes hosts. ``view`` has the monitored servers and the data of
    the store for one scrape of ``/metrics``.
    """
    results = [(host.name, seen) for host in view.hosts for seen in host.vantages]
    digests = {
        bytes.fromhex(digest)
        for _, seen in results
        for digest in (seen.served, seen.verified)
        if digest
    }
    chains = load_chains(view.connection, digests)
    yield from _blackbox(results, chains)
    yield from _ssl(results, chains)


def _blackbox(
    results: Sequence[tuple[str, Vantage]], chains: dict[bytes, Chain | None]
) -> Iterator[Metric]:
    success = gauge(declared.BLACKBOX_SUCCESS)
    took = gauge(declared.BLACKBOX_DURATION)
    ends = gauge(declared.SERVED_EXPIRY)
    last = gauge(declared.PATH_EXPIRY)
    info = gauge(declared.LEAF_INFO)
    for host, seen in results:
        labels = _target(host, seen)
        success.add_metric(labels, seen.outcome == "verified")
        if seen.seconds is not None:
            took.add_metric(labels, seen.seconds)
        sent, path = (chains.get(bytes.fromhex(one)) for one in (seen.served, seen.verified))
        if end := earliest_expiry(sent or path):
            ends.add_metric(labels, end.timestamp())
        if end := earliest_expiry(path):
            last.add_metric(labels, end.timestamp())
        if shown := sent or path:
            info.add_metric([*labels, *_leaf_labels(shown.leaf)], 1)
    yield from (success, took, ends, last, info)


def _ssl(
    results: Sequence[tuple[str, Vantage]], chains: dict[bytes, Chain | None]
) -> Iterator[Metric]:
    success = gauge(declared.SSL_SUCCESS)
    served = gauge(declared.SERVED_NOT_AFTER)
    verified = gauge(declared.VERIFIED_NOT_AFTER)
    for host, seen in results:
        labels = _target(host, seen)
        success.add_metric(labels, seen.outcome == "verified")
        for names, end in _certificates(chains.get(bytes.fromhex(seen.served))):
            served.add_metric([*labels, *names], end)
        for names, end in _certificates(chains.get(bytes.fromhex(seen.verified))):
            verified.add_metric([*labels, "0", *names], end)
    yield from (success, served, verified)


def _target(host: str, seen: Vantage) -> list[str]:
    return [join_address(host, seen.port), seen.vantage, seen.way, seen.edge]


def _certificates(chain: Chain | None) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the label values of each readable certificate in a chain, with its expiry.

    The expiry is in Unix seconds. Equal labels are yielded once: Prometheus rejects two samples
    with the same name and labels.
    """
    yielded = set()
    for certificate in chain.certificates if chain else ():
        try:
            labels, end = _certificate_labels(certificate), certificate.not_after.timestamp()
        except CertificateParseError:
            continue
        if labels not in yielded:
            yielded.add(labels)
            yield labels, end


def _leaf_labels(leaf: Certificate) -> list[str]:
    try:
        names = ",".join(leaf.names)
        found = [leaf.sha256.hex(), leaf.subject, leaf.issuer, names, f"{leaf.serial_number:x}"]
    except CertificateParseError:
        found = [leaf.sha256.hex(), "", "", "", ""]
    return [text[:_MAX_LABEL] for text in found]


def _certificate_labels(certificate: Certificate) -> tuple[str, ...]:
    """Return the label values of a certificate, in the order of ssl_exporter.

    The value for mail addresses is always empty.
    """
    subject, issuer = certificate.subject, certificate.issuer
    found = [
        str(certificate.serial_number),
        _attribute(issuer, "CN"),
        _attribute(subject, "CN"),
        _list(name for name in certificate.names if name not in certificate.addresses),
        _list(certificate.addresses),
        "",
        _list([_attribute(subject, "OU")]),
    ]
    return tuple(text[:_MAX_LABEL] for text in found)


def _attribute(name: str, kind: str) -> str:
    """Return one attribute, such as the ``CN``, of a distinguished name in RFC 4514 form.

    ``name`` is the distinguished name, ``kind`` the type of the attribute. Backslash escapes are
    removed. The text is empty if the name lacks the attribute.
    """
    found = re.search(rf"(?:^|[,+]){kind}=((?:\\.|[^,+\\])*)", name)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else ""


def _list(values: Iterator[str] | Sequence[str]) -> str:
    """Join values as ``,a,b,``, the format of ssl_exporter.

    With commas at both ends, the pattern ``,a,`` in a query matches a whole value.
    """
    words = [value for value in values if value]
    return f",{','.join(words)}," if words else ""
