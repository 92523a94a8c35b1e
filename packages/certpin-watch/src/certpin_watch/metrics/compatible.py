"""TODO: one docstring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from certpin.errors import CertificateParseError
from certpin_watch.store.queries.chains import load_chains

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from certpin.x509 import Certificate, Chain
    from certpin_watch.metrics.families import View
    from certpin_watch.store.queries.sightings import Vantage


_TARGET = ("instance", "vantage", "way", "edge")
_CERTIFICATE = ("serial_no", "issuer_cn", "cn", "dnsnames", "ips", "emails", "ou")
_INFO = ("fingerprint_sha256", "subject", "issuer", "subjectalternative", "serialnumber")
_LONGEST = 500  # characters of a label: a certificate may have thousands of names


def others(view: View) -> Iterator[Metric]:
    """All of them."""
    seen = [(host.name, each) for host in view.hosts for each in host.vantages]
    digests = {
        bytes.fromhex(digest)
        for _, each in seen
        for digest in (each.served, each.verified)
        if digest
    }
    kept = load_chains(view.connection, digests)
    yield from _blackbox(seen, kept)
    yield from _ssl(seen, kept)


def _blackbox(
    seen: Sequence[tuple[str, Vantage]], kept: dict[bytes, Chain | None]
) -> Iterator[Metric]:
    success = _gauge("probe_success", "Whether the probe verified a path.", _TARGET)
    took = _gauge("probe_duration_seconds", "How long the last probe took.", _TARGET)
    ends = _gauge("probe_ssl_earliest_cert_expiry", "The earliest end that is served.", _TARGET)
    last = _gauge(
        "probe_ssl_last_chain_expiry_timestamp_seconds", "The end of the verified path.", _TARGET
    )
    info = _gauge("probe_ssl_last_chain_info", "The leaf that is served.", (*_TARGET, *_INFO))
    for host, each in seen:
        labels = _target(host, each)
        success.add_metric(labels, each.outcome == "verified")
        if each.seconds is not None:
            took.add_metric(labels, each.seconds)
        sent, path = (kept.get(bytes.fromhex(one)) for one in (each.served, each.verified))
        if (end := _end(sent or path)) is not None:
            ends.add_metric(labels, end)
        if (end := _end(path)) is not None:
            last.add_metric(labels, end)
        if shown := sent or path:
            info.add_metric([*labels, *_info(shown.leaf)], 1)
    yield from (success, took, ends, last, info)


def _ssl(seen: Sequence[tuple[str, Vantage]], kept: dict[bytes, Chain | None]) -> Iterator[Metric]:
    success = _gauge("ssl_probe_success", "Whether the probe verified a path.", _TARGET)
    peer = _gauge(
        "ssl_cert_not_after", "The end of a certificate that is served.", (*_TARGET, *_CERTIFICATE)
    )
    path = _gauge(
        "ssl_verified_cert_not_after",
        "The end of a certificate of the verified path.",
        (*_TARGET, "chain_no", *_CERTIFICATE),
    )
    for host, each in seen:
        labels = _target(host, each)
        success.add_metric(labels, each.outcome == "verified")
        for certificate in _certificates(kept, each.served):
            peer.add_metric([*labels, *_described(certificate)], _not_after(certificate))
        for certificate in _certificates(kept, each.verified):
            path.add_metric([*labels, "0", *_described(certificate)], _not_after(certificate))
    yield from (success, peer, path)


def _target(host: str, seen: Vantage) -> list[str]:
    instance = f"[{host}]:{seen.port}" if ":" in host else f"{host}:{seen.port}"
    return [instance, seen.vantage, seen.way, seen.edge]


def _certificates(kept: dict[bytes, Chain | None], digest: str) -> Iterator[Certificate]:
    """Each once, of those that make sense: two samples of one name and labels are an error."""
    chain = kept.get(bytes.fromhex(digest))
    told = set()
    for each in chain.certificates if chain else ():
        try:
            described = tuple(_described(each))
            _not_after(each)
        except CertificateParseError:
            continue
        if described not in told:
            told.add(described)
            yield each


def _not_after(certificate: Certificate) -> float:
    return certificate.not_after.timestamp()


def _end(chain: Chain | None) -> float | None:
    try:
        return min(map(_not_after, chain.certificates)) if chain else None
    except CertificateParseError:
        return None


def _info(leaf: Certificate) -> list[str]:
    try:
        names = ",".join(leaf.names)
        found = [leaf.sha256.hex(), leaf.subject, leaf.issuer, names, f"{leaf.serial_number:x}"]
    except CertificateParseError:
        found = [leaf.sha256.hex(), "", "", "", ""]
    return [each[:_LONGEST] for each in found]


def _described(certificate: Certificate) -> list[str]:
    """The labels of ssl_exporter, lists between commas as it has them. No mail address is told."""
    subject, issuer = certificate.subject, certificate.issuer
    found = [
        str(certificate.serial_number),
        _part(issuer, "CN"),
        _part(subject, "CN"),
        _list(name for name in certificate.names if name not in certificate.addresses),
        _list(certificate.addresses),
        "",
        _list([_part(subject, "OU")]),
    ]
    return [each[:_LONGEST] for each in found]


def _part(name: str, kind: str) -> str:
    """One attribute of a name (RFC 4514), as it is written there."""
    import re

    found = re.search(rf"(?:^|[,+]){kind}=((?:\\.|[^,+\\])*)", name)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else ""


def _list(values: Iterator[str] | Sequence[str]) -> str:
    """``,a,b,``: ssl_exporter writes lists so, and users match ``,a,``."""
    words = [each for each in values if each]
    return f",{','.join(words)}," if words else ""


def _gauge(name: str, about: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=list(labels))
