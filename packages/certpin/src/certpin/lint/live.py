"""Lint rules that compare a pin file with the chains of servers, and with exported files."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from certpin.lint.document import EXPIRES_SOON, validity
from certpin.lint.rule import (
    AUTHORITY,
    BACKUP,
    EXPIRES,
    GOOD,
    GOOD_LIVE,
    HEAD,
    HERE,
    HOST,
    PINS,
    SERVED,
    Hit,
    LintRule,
    mark_header,
)
from certpin.pins import pins_of
from certpin.x509 import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import HostEntry, LintDocument
    from certpin.pins import Pin
    from certpin.x509 import Certificate

_SHORT_LIFE = timedelta(days=100)
_LONGEST_PROBLEM = 2000  # characters; the server chose some of them


@partial(
    LintRule,
    "live-mismatch",
    "error",
    needs="live",
    summary="No pin matches the chain that the host serves.",
    why=(
        "Every client that enforces this policy refuses the server. Or a man in the middle "
        "answered, and the refusal is right: the view from one location proves neither."
    ),
    fix=(
        "if the server got a new key by mistake, install a certificate for a pinned key again; "
        "compare from another network (certpin pin HOST); if the key was changed on purpose, "
        "ship a pin set that contains it"
    ),
    source="RFC 7469 section 2.6",
    bad=f'{HEAD}\n[[host]]\nname = "api.bank.example"{HERE}\n{EXPIRES}{PINS}',
    good=f"{GOOD_LIVE}",
)
def _live_mismatch(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.verified_results():
        path = result.path or ()
        if not any(pin in host.live for pin in _admitted_pins(path, host.match)):
            effect = _lockout(host, now)
            message = f"no pin matches the chain that {result.host} serves: {effect}"
            yield Hit(host.place(result), message, result.fix)


def _lockout(host: HostEntry, now: datetime) -> str:
    """Return a clause for messages: whether a server without a pinned key locks clients out.

    It does if the policy is enforced. Otherwise the clause says why not: another mode, or pins that
    have expired. ``host`` is the policy in the pin file, and ``now`` the current time.
    """
    if host.mode != "enforce":
        return "in mode enforce clients would be locked out"
    if host.is_expired(now) and host.on_expiry != "fail-closed":
        return "clients don't refuse it, because the pins have expired"
    return "clients are locked out"


def _admitted_pins(path: tuple[Certificate, ...], match: str) -> Iterator[Pin]:
    """Yield the pins that can match a verified chain under the policy's setting ``match``.

    Args:
        path: the verified chain, leaf first. Each of its certificates has two pins: that of its
            key, and that of the whole certificate.
        match: the certificates that clients compare: ``leaf``, ``ca`` (all but the leaf) or
            ``any``.
    """
    chosen = {"leaf": path[:1], "ca": path[1:]}.get(match, path)
    return (pin for certificate in chosen for pin in pins_of(certificate))


@partial(
    LintRule,
    "live-unverified",
    "error",
    needs="live",
    summary="The chain that the host serves does not verify.",
    why=(
        "Clients verify chain, name and dates before any pin: all of them refuse it. Or another "
        "server answered in its place."
    ),
    fix="run certpin pin HOST, which explains the problem and what to do",
    source="RFC 5280 section 6",
    bad=f'{HEAD}\n[[host]]\nname = "unverified.bank.example"{HERE}\n{EXPIRES}{SERVED}{BACKUP}',
    good=f"{GOOD_LIVE}",
)
def _live_unverified(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.live_results():
        if result.path is None and result.problem:
            message = f"{result.host}: {result.problem[:_LONGEST_PROBLEM]}"
            yield Hit(host.place(result), message, result.fix)


@partial(
    LintRule,
    "dead-pin-in-service",
    "error",
    needs="live",
    summary="The host serves a key that is marked removed or compromised.",
    why=(
        "Clients refuse every path that contains a compromised key, and an attacker who has it can "
        "still impersonate the server to clients with an older pin set. A removed key matches "
        "nothing: clients refuse it unless another pin is on the path."
    ),
    fix="take the key out of service; serve the backup",
    bad=f'{GOOD_LIVE}\n[[host.pin]]\npin = "sha256/INTERMEDIATE"{HERE}\nstate = "compromised"\n',
    good=f'{GOOD_LIVE}\n[[host.pin]]\npin = "sha256/THREE"\nstate = "compromised"\n',
)
def _dead_pin_in_service(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.verified_results():
        for entry in host.pins:
            if not entry.live and entry.pin in result.path_pins:
                message = f"{result.host} serves a key that is marked {entry.state}"
                yield Hit(f"{entry.key}.pin", message)


@partial(
    LintRule,
    "one-chain",
    "error",
    needs="live",
    summary="Every pin belongs to the chain that the server presents now.",
    why=(
        "If that whole chain is replaced (another authority, a stolen key), no pin is left, and "
        "every client is locked out. A backup has to be outside of it."
    ),
    fix='make a key that no server uses, and pin it: role = "backup"',
    source="RFC 7469 sections 2.5 and 4.3",
    bad=f'{HEAD}{HOST}{mark_header(SERVED)}\n[[host.pin]]\npin = "sha256/ROOT"\nrole = "backup"\n',
    good=f"{GOOD_LIVE}",
)
def _one_chain(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.verified_results():
        if host.is_own_backup:
            continue
        if host.mode == "enforce" and host.live and result.served_pins.keys() >= host.usable.keys():
            message = f"every pin of {host} belongs to the chain that {result.host} serves now"
            yield Hit(f"{host.key}.pin", message)


@partial(
    LintRule,
    "backup-in-chain",
    "error",
    needs="live",
    summary="A backup belongs to the chain that the server presents now.",
    why=(
        "It is lost together with the key that it should replace. If the server was moved to the "
        "backup on purpose, no backup is left."
    ),
    fix=(
        "make a new backup (certpin rotate start --new FILE; of a host with "
        'match = "ca", another authority: certpin rotate start CERTIFICATE), and give this pin the '
        "role of its certificate"
    ),
    source="RFC 7469 section 4.3",
    bad=f"{HEAD}{HOST}{SERVED}{BACKUP}"
    f'\n[[host.pin]]\npin = "sha256/INTERMEDIATE"{HERE}\nrole = "backup"\n',
    good=f"{HEAD}{HOST}{SERVED}{BACKUP}",
)
def _backup_in_chain(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.verified_results():
        if result.served_pins.keys() >= host.usable.keys():
            continue  # one-chain reports this
        for pin, entry in host.live.items():
            if entry.role == "backup" and pin in result.served_pins:
                message = f"this backup belongs to the chain that {result.host} serves now"
                yield Hit(f"{entry.key}.pin", message)


@partial(
    LintRule,
    "leaf-only-short-lived",
    "warning",
    needs="live",
    summary=(
        "The only pin that matches is that of a leaf, and its certificate lives 100 days or less."
    ),
    why=(
        "Such certificates are renewed by a program, and certbot and lego make a new key at "
        "each renewal by default: the pin then matches nothing, and every client is locked out. "
        "Public certificates live at most 100 days from 2027-03-15, and 47 from 2029-03-15."
    ),
    fix=(
        "keep the key through renewals (certbot --reuse-key, lego --reuse-key) and allow this "
        "with that reason; or pin the authority too, beside a backup"
    ),
    source="CA/B Forum SC-081v3; OWASP Pinning Cheat Sheet",
    bad=f'{HEAD}\n[[host]]\nname = "short.bank.example"\n{EXPIRES}{mark_header(SERVED)}{BACKUP}',
    good=f'{HEAD}\n[[host]]\nname = "short.bank.example"\n{EXPIRES}{SERVED}{AUTHORITY}{BACKUP}',
)
def _leaf_only_short_lived(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.verified_results():
        leaf = result.path[0] if result.path else None
        dates = validity(leaf) if leaf else None
        if dates is None or dates[1] - dates[0] > _SHORT_LIFE:
            continue
        used = [result.path_pins[pin] for pin in host.live if pin in result.path_pins]
        if used and all(each is leaf for each in used):
            days = round((dates[1] - dates[0]) / timedelta(days=1))
            message = f"only the leaf of {result.host} is pinned, and it lives {days} days"
            yield Hit(f"{host.key}.pin", message)


@partial(
    LintRule,
    "renewal-overdue",
    "warning",
    needs="live",
    summary="Less than a sixth of the life of the certificate is left.",
    why=(
        "Programs renew when a third is left, so that a failed renewal is noticed in time. A late "
        "certificate may expire, or be replaced in a hurry, with a key that is not pinned."
    ),
    fix="renew it with the same key, or with a key that clients have adopted; then certpin check",
    source="certbot and RFC 9773 (ACME renewal information)",
    bad=f'{HEAD}\n[[host]]\nname = "late.bank.example"{HERE}\n{EXPIRES}{SERVED}{BACKUP}',
    good=f"{GOOD_LIVE}",
)
def _renewal_overdue(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.verified_results():
        dates = validity(result.path[0]) if result.path else None
        if dates is not None and dates[1] - now < (dates[1] - dates[0]) / 6:
            days = (dates[1] - now).days
            yield Hit(
                host.place(result), f"the certificate of {result.host} expires in {days} days"
            )


@partial(
    LintRule,
    "authority-expires-soon",
    "warning",
    needs="live",
    summary="A pinned intermediate or root on the verified path expires within half a year.",
    why=(
        "The authority will move its customers to another certificate, perhaps with another key. "
        "Then the pin of the old one matches nothing."
    ),
    fix=(
        "pin all roots of the provider (certpin providers update --host HOST --provider NAME); of "
        "a private authority, pin the next certificate beside the old one, and ship it"
    ),
    source="RFC 7469 section 4.3 (backup pins)",
    bad=f'{HEAD}\n[[host]]\nname = "old.bank.example"\n{EXPIRES}{mark_header(SERVED)}{AUTHORITY}'
    f"{BACKUP}",
    good=f"{HEAD}{HOST}{SERVED}{AUTHORITY}{BACKUP}",
)
def _authority_expires_soon(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.verified_results():
        for certificate in result.path[1:] if result.path else ():
            pinned = any(pin in host.live for pin in pins_of(certificate))
            dates = validity(certificate)
            if pinned and dates is not None and dates[1] < now + EXPIRES_SOON:
                day, name = f"{dates[1]:%Y-%m-%d}", name_of(certificate)
                message = f"{host} pins an authority that expires on {day}: {name}"
                yield Hit(f"{host.key}.pin", message)


@partial(
    LintRule,
    "no-starttls",
    "error",
    needs="live",
    summary="A server with STARTTLS declined TLS, or sent bytes that TLS did not protect.",
    why=(
        "Clients that insist on TLS can't connect, and the others continue in clear text. An "
        "attacker on the path removes the offer of TLS, or adds bytes before TLS that clients "
        "would read as if TLS had protected them."
    ),
    fix=(
        "do not continue without TLS: enable TLS on the server, or update it; compare from "
        "another network"
    ),
    source="RFC 8314 section 4; RFC 3207 section 6; CVE-2011-0411",
    bad=f'{HEAD}\n[[host]]\nname = "stripped.bank.example"{HERE}\n{EXPIRES}{SERVED}{BACKUP}',
    good=f"{GOOD_LIVE}",
)
def _no_starttls(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.live_results():
        if result.error and result.insecure:
            message = f"{result.host}: {result.error[:200]}"
            yield Hit(host.place(result), message, result.fix)


@partial(
    LintRule,
    "not-asked",
    "note",
    needs="live",
    summary="A host could not be asked: the rules that need its answer did not run.",
    why=(
        "Rules about the served chain need an answer. A wildcard names no host to ask: it needs a "
        "[[host.server]], or --host."
    ),
    fix=(
        "check name, port and network, and run it again; [[host.server]] in the file, or --host "
        "and --connect, name the server"
    ),
    bad=f'{HEAD}\n[[host]]\nname = "silent.bank.example"{HERE}\n{EXPIRES}{SERVED}{BACKUP}',
    good=f"{GOOD_LIVE}",
)
def _not_asked(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.live_results():
        if result.error and not result.insecure:
            message = f"{result.host} could not be asked: {result.error[:200]}"
            yield Hit(host.place(result), message, result.fix)


@partial(
    LintRule,
    "drift",
    "error",
    needs="exports",
    summary="An exported file differs from the pin file.",
    why=(
        "Clients of that platform hold other pins than the others: the next rotation locks "
        "them out, or they accept a key that was given up."
    ),
    fix=(
        "export it again: certpin export FORMAT; in CI, compare with --check; if the file has only "
        "some of the hosts, name them: --exported FORMAT:HOST,HOST=PATH"
    ),
    bad=f'schema = 1{HERE}\nname = "drifted-app"\nversion = 12\n{HOST}{PINS}',
    good=f"{GOOD}",
)
def _drift(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for file in document.exported or ():
        where = f"{file.path[:80]} ({file.format})"
        if file.problem:
            yield Hit("", f"{where} cannot be compared: {file.problem[:200]}")
        for difference in file.differences:
            yield Hit("", f"{where} differs from the pin file: {difference[:200]}")
