"""Lint rules for Certificate Transparency: an old log list, and hosts with a private authority."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from certpin.lint.rule import HEAD, HERE, HOST, PINS, Hit, LintRule
from certpin.pins import pins_of
from certpin.x509.log_list import STALE_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import AnchorFile, LintDocument

_WARN_AFTER = STALE_AFTER - timedelta(days=10)
_LOGS = 'ct_logs = "logs.json"\n'
_REQUIRED = "require_ct = true"
_POLICY = "https://googlechrome.github.io/CertificateTransparency/ct_policy.html"


@partial(
    LintRule,
    "ct-list-old",
    "warning",
    summary="The list of Certificate Transparency logs is 60 days old or more.",
    why=(
        "Logs are replaced every year, and new certificates have SCTs of new logs. So from 70 days "
        "on clients only report a certificate with too few SCTs, and accept it: require_ct no "
        "longer protects."
    ),
    fix="download the log list again, raise the version, and ship it; do so every month",
    source=f"Chrome CT policy, CT Enforcement Timeout ({_POLICY})",
    bad=f'{HEAD}ct_logs = "old-logs.json"{HERE}\n{HOST}{_REQUIRED}\n{PINS}',
    good=f"{HEAD}{_LOGS}{HOST}{_REQUIRED}\n{PINS}",
)
def _ct_list_old(document: LintDocument, now: datetime) -> Iterator[Hit]:
    logs = document.ct_logs
    if logs is None or logs.timestamp is None or not any(h.require_ct for h in document.hosts):
        return
    if logs.stale(now, _WARN_AFTER):
        ended = logs.stale(now)
        effect = "clients only report" if ended else "from 70 days on clients only report"
        message = f"the list of logs is {(now - logs.timestamp).days} days old: {effect}"
        yield Hit("ct_logs", f"{message} certificates with too few SCTs")


@partial(
    LintRule,
    "ct-private-authority",
    "error",
    summary="A host with a private authority requires Certificate Transparency.",
    why=(
        "Public logs take certificates of public authorities only. The certificates of a private "
        "authority have no SCTs of them, so that every client refuses the server."
    ),
    fix=(
        "remove require_ct; or, if you run logs of your own, add them to the list with "
        '"log_type": "private"'
    ),
    source="RFC 6962 section 3.1 (logs accept chains to their own list of roots)",
    bad=f'{HEAD}{_LOGS}{HOST}trust = "bank-root.pem"\n{_REQUIRED}{HERE}\n{PINS}',
    good=f'{HEAD}ct_logs = "private-logs.json"\n{HOST}trust = "bank-root.pem"\n{_REQUIRED}\n{PINS}',
)
def _ct_private_authority(document: LintDocument, now: datetime) -> Iterator[Hit]:
    if document.ct_logs is None or document.ct_logs.has_private_log():
        return
    for host in document.hosts:
        if host.require_ct and host.trust is not None and not _is_public(document, host.trust):
            message = f"no log of the list takes certificates of {host.trust.name}"
            yield Hit(
                f"{host.key}.require_ct", f"{host} requires Certificate Transparency: {message}"
            )


def _is_public(document: LintDocument, trust: AnchorFile) -> bool:
    """Return True if a file of trust anchors contains a public root.

    Public Certificate Transparency logs accept certificates below such a root. Without one, servers
    of the host can't have the SCTs that its policy requires. ``trust`` is the file, and
    ``document`` has the list of public roots.
    """
    pins = (pin for certificate in trust.certificates for pin in pins_of(certificate))
    return any(document.roots.root_of(pin) for pin in pins)
