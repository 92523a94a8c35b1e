"""Certificate Transparency: check that enough known logs promise to publish a certificate.

Pure: the same arguments give the same result. The rules are those of Chrome for embedded SCTs
(https://googlechrome.github.io/CertificateTransparency/ct_policy.html):

1. An SCT is valid if it is signed with the key of a listed log, and its time is not in the future
   (RFC 6962 section 5.2). The signature must be for this certificate, and for the key of its issuer
   on the verified path (RFC 6962 section 3.3). The log must accept certificates of this expiry date
   (its temporal interval).
2. A valid SCT counts if its log is qualified, usable or read-only, or was retired after the
   earliest valid SCT of the certificate. Test logs, and logs that are pending or rejected, never
   count. Their SCTs aren't taken for the earliest one either, which is stricter than Chrome's rule.
3. Two logs must count; three if the certificate is valid for more than 180 days. At least one of
   them must not be retired.
4. The logs that count must have at least two distinct operators. The operator of a log is the one
   at the time of the SCT.

If the list of logs is 70 days old or more, too few SCTs are only reported, and the connection is
accepted, because logs are replaced every year.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.support.text import printable
from certpin.x509 import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from certpin.x509 import Certificate, Chain
    from certpin.x509.log_list import CTLog, LogList
    from certpin.x509.sct import EmbeddedSCT

_LONG_LIVED = timedelta(days=180)
_MIN_LOGS, _MIN_LOGS_LONG_LIVED = 2, 3
_MIN_OPERATORS = 2
_RECOGNISED = frozenset({"qualified", "usable", "readonly", "retired"})


@dataclass(frozen=True)
class SCTResult:
    """The check of one SCT in a certificate. An SCT is a log's promise to publish the certificate.

    Attributes:
        log_id: the ID of the log in the SCT.
        moment: the time of the SCT in UTC.
        log: the log in the client's list; ``None`` if the list doesn't contain the log.
        problem: the reason why the SCT doesn't count; empty if the SCT counts.
    """

    log_id: bytes
    moment: datetime | None
    log: CTLog | None = None
    problem: str = ""

    @property
    def operator(self) -> str:
        """The name of the log's operator at the time of the SCT; empty for an unknown log."""
        return self.log.operator_at(self.moment) if self.log and self.moment else ""

    def __str__(self) -> str:
        name = shorten(printable(self.log.name)) if self.log else ""
        words = name or f"the log {self.log_id.hex()[:16]}…"
        return f"{words}: {self.problem or 'counts'}"


@dataclass(frozen=True)
class Transparency:
    """The result of the Certificate Transparency check of one certificate.

    Attributes:
        required: the number of logs that the rules require for the certificate: 2 or 3.
        scts: the results for the SCTs (promises of logs) that the certificate contains.
        problem: the reason why the rules are not satisfied; empty if they are.
        stale: True if the list of logs is so old (70 days) that failures are only reported.
    """

    required: int
    scts: tuple[SCTResult, ...]
    problem: str
    stale: bool

    @property
    def satisfied(self) -> bool:
        """True if the rules are satisfied: enough logs of enough operators count."""
        return not self.problem


def check_transparency(chain: Chain, logs: LogList, now: datetime) -> Transparency:
    """Check the SCTs (promises of logs) in the leaf of a verified chain.

    Only embedded SCTs are read. Not checked: that the logs have published the certificate.

    Args:
        chain: the chain that OpenSSL verified, leaf first. Its second certificate has the issuer's
            key.
        logs: the logs that the client recognises.
        now: the time of the connection, with a time zone.

    Returns:
        The result for each SCT, and for the certificate.
    """
    stale = logs.stale(now)
    try:
        lifetime = chain.leaf.not_after - chain.leaf.not_before
        required = _MIN_LOGS_LONG_LIVED if lifetime > _LONG_LIVED else _MIN_LOGS
        if not chain.authorities:
            return Transparency(required, (), "it is its own trust anchor: no log has it", stale)
        results = tuple(_results(chain.leaf, chain.authorities[0], logs, now))
    except CertificateParseError as exc:
        return Transparency(_MIN_LOGS, (), exc.problem, stale)
    return Transparency(required, results, _problem(results, required), stale)


def _results(
    leaf: Certificate, issuer: Certificate, logs: LogList, now: datetime
) -> Iterator[SCTResult]:
    from certpin.x509.sct import embedded_scts

    scts = [(sct, logs.by_id.get(sct.log_id)) for sct in embedded_scts(leaf)]
    found = [
        (sct, log, _invalid(leaf, issuer, sct, log, now) or _never_counts(log)) for sct, log in scts
    ]
    valid = [sct.moment for sct, _, problem in found if not problem]
    for sct, log, problem in found:
        why = problem or _retired(log, min(valid))
        yield SCTResult(sct.log_id, sct.moment, log, why)


def _invalid(
    leaf: Certificate, issuer: Certificate, sct: EmbeddedSCT, log: CTLog | None, now: datetime
) -> str:
    """Return the reason why an SCT is not valid for the certificate; empty if the SCT is valid.

    An SCT is valid if its log is known, its time is not in the future, the log accepts certificates
    of this expiry date, and the log's signature verifies.

    Args:
        leaf: the certificate.
        issuer: the certificate of its issuer.
        sct: the SCT in ``leaf``.
        log: the log of the SCT; ``None`` if the client's list doesn't contain it.
        now: the current time.
    """
    from certpin.x509.sct import is_signed

    if log is None:
        return "it is not in the list of logs"
    if sct.moment > now:
        return "its SCT is dated in the future"
    if not log.covers(leaf.not_after):
        return "it takes no certificate that expires at this time"
    if not is_signed(leaf, issuer, sct, log):
        return "it has not signed the SCT for this certificate and issuer"
    return ""


def _never_counts(log: CTLog | None) -> str:
    """Return the reason why no SCT of a log can count; empty if the log's SCTs can count.

    An SCT is the promise of a log to publish a certificate. It never counts if the log is unknown
    (``None``), is a test log, or is pending or rejected. The caller also ignores the time of such
    SCTs when it looks for the certificate's earliest SCT.
    """
    if log is None or log.kind == "test":
        return "it is a test log"
    return "" if log.state in _RECOGNISED else f"its state is {log.state or 'unknown'}"


def _retired(log: CTLog | None, earliest: datetime) -> str:
    """Return the reason if an SCT does not count because its log is retired; empty otherwise.

    The SCT counts if the log was retired after ``earliest``, the time of the certificate's earliest
    valid SCT. If the time of the retirement is unknown, the SCT does not count. The result is empty
    if the log is not retired, or not known (``None``).
    """
    if log is None or log.state != "retired":
        return ""
    late = log.since is None or earliest >= log.since
    return "it was retired before the SCT" if late else ""


def _problem(results: Sequence[SCTResult], required: int) -> str:
    """Return the reason why a certificate's SCTs are not enough; empty if they are.

    ``results`` are the checks of the SCTs (the promises of logs). Enough means that ``required``
    logs count, at least one of which is not retired, and that they have at least two distinct
    operators.
    """
    counted = [each for each in results if not each.problem]
    logs = {each.log_id for each in counted}
    if len(logs) < required:
        return f"it has SCTs of {len(logs)} known logs, and needs {required}"
    if all(each.log is not None and each.log.state == "retired" for each in counted):
        return "all logs of its SCTs are retired"
    if len({each.operator for each in counted}) < _MIN_OPERATORS:
        return "all its SCTs are of one operator"
    return ""
