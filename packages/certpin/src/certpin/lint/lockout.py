"""Lint rules for pins and trust anchors that clients can't match, now or after a change."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.lint.document import EXPIRES_SOON, validity
from certpin.lint.rule import (
    BACKUP,
    EXPIRES,
    FIRST,
    GOOD,
    HEAD,
    HERE,
    HOST,
    PINS,
    ROOT,
    Hit,
    LintRule,
)
from certpin.x509 import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import AnchorFile, HostEntry, LintDocument

# The roles of the certificates that each ``match`` compares. A backup may get any role later.
_ADMITTED_ROLES = {
    "leaf": frozenset({"leaf"}),
    "ca": frozenset({"intermediate", "root"}),
    "any": frozenset({"leaf", "intermediate", "root"}),
}
_IN_USE = frozenset({"active", "retiring"})  # states of a key that servers present


@partial(
    LintRule,
    "whole-certificate-pin",
    "warning",
    summary="A whole certificate is pinned (cert-sha256) instead of its key.",
    why=(
        "Every renewal makes another certificate, even with the same key: the pin then matches "
        "nothing. Public certificates live at most 200 days since 2026-03-15, 100 from "
        "2027-03-15, and 47 from 2029-03-15."
    ),
    fix=(
        "pin the key instead (sha256/…, certpin pin HOST prints it), and keep that key through "
        "renewals"
    ),
    source="CA/B Forum SC-081v3; RFC 7469 section 2.4; OWASP Pinning Cheat Sheet",
    bad=f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "cert-sha256/WHOLE"{HERE}\n',
    good=f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "sha256/THREE"\n',
)
def _whole_certificate_pin(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for pin, entry in host.live.items():
            if pin.kind == "cert-sha256":
                message = f"{host} pins a whole certificate: its renewal makes the pin useless"
                yield Hit(f"{entry.key}.pin", message)


@partial(
    LintRule,
    "role-contradicts-match",
    "error",
    summary="match leaves out every certificate that is pinned.",
    why=(
        'match = "leaf" compares only the server\'s own certificate, and match = "ca" only those '
        "above it. If the roles are right, nothing can match, and every client is locked out."
    ),
    fix='write match = "any", or pin a certificate that match admits; correct wrong roles',
    bad=f'{HEAD}{HOST}match = "ca"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}match = "leaf"\n{PINS}',
)
def _role_contradicts_match(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        roles = {entry.role for entry in host.live.values()} - {"backup"}
        if roles and not roles & _ADMITTED_ROLES[host.match]:
            words = ", ".join(sorted(roles))
            message = f'match = "{host.match}" admits no pin of {host}, which has only: {words}'
            yield Hit(f"{host.key}.match", message)


@partial(
    LintRule,
    "pin-out-of-reach",
    "warning",
    summary="match leaves out one of the pins.",
    why=(
        "A pin that match leaves out accepts nothing. If you rely on it after the loss of a key, "
        "clients are locked out."
    ),
    fix='write match = "any", or remove the pin',
    bad=f'{HEAD}{HOST}match = "leaf"\n{PINS}'
    f'\n[[host.pin]]\npin = "sha256/THREE"{HERE}\nrole = "root"\n',
    good=f'{HEAD}{HOST}match = "any"\n{PINS}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n',
)
def _pin_out_of_reach(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        entries = [entry for entry in host.live.values() if entry.role != "backup"]
        left_out = [entry for entry in entries if entry.role not in _ADMITTED_ROLES[host.match]]
        if len(left_out) == len(entries):
            continue  # role-contradicts-match reports this
        for entry in left_out:
            message = (
                f'match = "{host.match}" leaves out this pin of {host}, whose role is {entry.role}'
            )
            yield Hit(f"{entry.key}.pin", message)


@partial(
    LintRule,
    "roles-of-one-chain",
    "warning",
    summary="By their roles, all pins of a host belong to one chain.",
    why=(
        "If you change the authority, its leaf, intermediate and root change together: then no pin "
        "is left. A backup is a key outside that chain, which no server uses yet."
    ),
    fix=(
        'add a backup key of your own (role = "backup"), or that of another authority; certpin '
        "lint --live asks the server"
    ),
    source="RFC 7469 sections 2.5 and 4.3",
    bad=f'{HEAD}{HOST}\n[[host.pin]]{HERE}\npin = "sha256/ONE"\nrole = "leaf"\n'
    '\n[[host.pin]]\npin = "sha256/TWO"\nrole = "root"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n',
)
def _roles_of_one_chain(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        roles = [entry.role for entry in host.live.values()]
        one_each = len(roles) == len(set(roles)) and len(roles) > 1 and not host.unreadable
        if host.mode == "enforce" and one_each and "backup" not in roles:
            words = ", ".join(roles)
            yield Hit(f"{host.key}.pin", f"{host} has one pin per role ({words}), and no backup")


@partial(
    LintRule,
    "no-spare",
    "warning",
    summary="A host has enough pins, but all of them are in use.",
    why=(
        "Two keys that servers use, such as an RSA and an EC key or those of two machines, are two "
        "pins and no backup: an attacker who breaks into the servers has both, and then clients "
        "accept no remaining key. The root set of a provider is its own backup."
    ),
    fix=(
        "add a key that no server uses (certpin rotate start --new FILE; of a host with "
        'match = "ca", another authority: certpin rotate start CERTIFICATE), or mark the unused '
        'pin as such (role = "backup")'
    ),
    source="RFC 7469 sections 2.5 and 4.3",
    bad=f'{HEAD}{HOST}\n[[host.pin]]{HERE}\npin = "sha256/ONE"\nrole = "leaf"\n'
    '\n[[host.pin]]\npin = "sha256/TWO"\nrole = "leaf"\n',
    good=f'{HEAD}{HOST}{FIRST}\n[[host.pin]]\npin = "sha256/TWO"\nrole = "leaf"\n'
    '\n[[host.pin]]\npin = "sha256/THREE"\nrole = "backup"\n',
)
def _no_spare(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        several = len(host.live) > 1 and not host.unreadable
        if host.mode == "enforce" and several and not host.is_own_backup and _all_in_use(host):
            lost = ", or lost" if len(host.usable) < len(host.live) else ""
            message = f"{host} has {len(host.live)} pins, and all are in use{lost}"
            yield Hit(f"{host.key}.pin", message)


def _all_in_use(host: HostEntry) -> bool:
    """Return True if a host has no spare pin: the key of each pin is in use, or lost.

    The rule ``no-spare`` reports such a host: if all of these keys are stolen or lost, clients
    accept no other key. A key is in use if its pin is active or retiring, and its role is not
    ``backup``. But return False if no key is lost and no two pins have the same role (leaf,
    intermediate, root): the rule ``roles-of-one-chain`` reports such a host.
    """
    entries = host.usable.values()
    spare = [entry for entry in entries if entry.role == "backup" or entry.state not in _IN_USE]
    has_lost = len(entries) < len(host.live)
    return not spare and (has_lost or len({entry.role for entry in entries}) < len(entries))


@partial(
    LintRule,
    "no-active-pin",
    "warning",
    summary="No pin of a host is in service: none is active or retiring.",
    why=(
        "The states mean that no server uses any of these keys, so clients refuse the server. Or "
        "the states are stale, and the next step of a rotation will be checked against them."
    ),
    fix='give the pin of the key that the server uses state = "active"',
    bad=f'{HEAD}{HOST}\n[[host.pin]]{HERE}\npin = "sha256/ONE"\nstate = "published"\n{BACKUP}',
    good=f"{HEAD}{HOST}{PINS}",
)
def _no_active_pin(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        states = {entry.state for entry in host.live.values()}
        if states and not states & _IN_USE and not host.unreadable:
            words = ", ".join(sorted(states))
            message = f"no pin of {host} is in service, only: {words}"
            yield Hit(f"{host.key}.pin", message, _after_a_theft(host))


def _after_a_theft(host: HostEntry) -> str:
    """Return the fix for a host with a stolen key; empty if the host has none.

    A key counts as stolen if its pin is marked compromised and its role is not ``backup``. The fix
    is an instruction to replace the stolen key on the server.
    """
    states = {(entry.role, entry.state) for entry in host.pins}
    if not any(role != "backup" and state == "compromised" for role, state in states):
        return ""
    return (
        "let the server use another key: certpin rotate switch FILE makes its pin active; never "
        "make the compromised one active again"
    )


@partial(
    LintRule,
    "leaf-pins-under-wildcard",
    "note",
    summary="A wildcard has only pins of leaves.",
    why=(
        "Every host under the wildcard has to serve one of these keys. A new host with its own "
        "key, such as an ACME client makes, is refused by every client."
    ),
    fix=(
        'pin an authority (match = "ca"), or give each host its own policy; if all of them '
        "share a certificate, allow it with that reason"
    ),
    source="RFC 7469 section 4.2 (includeSubDomains)",
    bad=f'{HEAD}\n[[host]]\nname = "*.bank.example"{HERE}\n{EXPIRES}{PINS}',
    good=f'{HEAD}\n[[host]]\nname = "*.bank.example"\n{EXPIRES}match = "ca"\n{ROOT}{BACKUP}',
)
def _leaf_pins_under_wildcard(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        roles = {entry.role for entry in host.live.values()}
        if host.pattern and host.pattern.wildcard and roles and roles <= {"leaf", "backup"}:
            message = f"every host that {host} covers has to serve one of these keys"
            yield Hit(f"{host.key}.name", message)


@partial(
    LintRule,
    "anchor-expired",
    "error",
    summary="A file of trust anchors holds an expired certificate.",
    why=(
        "A chain below an expired anchor does not verify. If it is the only anchor, every "
        "client is locked out, whatever the pins are."
    ),
    fix=(
        "add the new certificate of the authority to the file; ship both until every client has it"
    ),
    source="RFC 5280 section 6.1.3",
    bad=f'{HEAD}{HOST}trust = "old-root.pem"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}trust = "bank-root.pem"\n{PINS}',
)
def _anchor_expired(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for file, name, end in _anchor_ends(document):
        if end < now:
            yield Hit(file.key, f"{file.name[:80]}: {name} expired on {end:%Y-%m-%d}")


@partial(
    LintRule,
    "anchor-expires-soon",
    "warning",
    summary="A trust anchor expires within half a year.",
    why=(
        "With trust = FILE, clients accept only chains to these anchors. When the last of them "
        "expires, every client that has no newer pin set is locked out."
    ),
    fix="add the certificate of the next root to the file now, and ship it long before that day",
    bad=f'{HEAD}{HOST}trust = "soon-root.pem"{HERE}\n{PINS}',
    good=f'{HEAD}{HOST}trust = "bank-root.pem"\n{PINS}',
)
def _anchor_expires_soon(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for file, name, end in _anchor_ends(document):
        if now <= end < now + EXPIRES_SOON:
            yield Hit(file.key, f"{file.name[:80]}: {name} expires on {end:%Y-%m-%d}")


def _anchor_ends(document: LintDocument) -> Iterator[tuple[AnchorFile, str, datetime]]:
    """Yield file, subject and expiry time of each trust anchor that the pin file names.

    ``document`` is the parsed pin file. Anchors with dates that can't be read are left out.
    """
    for file in document.anchor_files():
        for certificate in file.certificates:
            if dates := validity(certificate):
                yield file, name_of(certificate), dates[1]
