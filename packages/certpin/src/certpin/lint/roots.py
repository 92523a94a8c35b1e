"""Lint rules for public roots that root stores have removed, or will soon remove or distrust.

``certpin.roots`` has these facts about roots, each with its date. Facts that were published after
the time of the check are not used.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.lint.document import EXPIRES_SOON, validity
from certpin.lint.rule import BACKUP, EXPIRES, GOOD, GOOD_LIVE, HEAD, HERE, SERVED, Hit, LintRule
from certpin.pins import pins_of
from certpin.x509 import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from certpin.lint.document import HostEntry, LintDocument
    from certpin.pins import Pin
    from certpin.roots import RootFact

_NO_PROOF = "The absence of a root from the data proves nothing."


@partial(
    LintRule,
    "distrusted-root",
    "warning",
    summary="A root that is pinned, trusted or served has left a root store, or is distrusted.",
    why=(
        "The authority has to move you to another root, or closes: its pin then matches nothing, "
        "and platforms that follow the browsers no longer verify the chain. Devices without "
        "updates may still have the root. certpin knows the roots of every release of certifi, "
        "with the date from which one is missing, and the distrust dates of NSS and Chrome. "
        f"{_NO_PROOF}"
    ),
    fix=(
        "move to another authority: pin its roots beside the old one first, and ship that; then "
        "remove this pin"
    ),
    source=(
        "the releases of certifi; NSS, as Debian ships it; Chrome Root Program (Entrust 2024, "
        "Chunghwa Telecom and Netlock 2025)"
    ),
    bad=f'{GOOD}\n[[host.pin]]\npin = "sha256/DISTRUSTED"{HERE}\nrole = "root"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n',
)
def _distrusted_root(document: LintDocument, now: datetime) -> Iterator[Hit]:
    today = now.date()

    def past(pin: Pin) -> RootFact | None:
        facts = document.roots.open_facts(pin, today)
        return next((each for each in facts if each.day <= today), None)

    return _hits(document, past)


@partial(
    LintRule,
    "root-leaves-soon",
    "warning",
    summary="A root that is pinned, trusted or served leaves a root store within half a year.",
    why=(
        "After that day, platforms that follow the store refuse chains to this root. The "
        "authority moves its customers before, perhaps to another root: then its pin matches "
        "nothing. Mozilla's schedule depends on the age of the key, and certpin knows only that "
        f"of the certificate: the root may leave earlier. {_NO_PROOF}"
    ),
    fix=(
        "ask the authority to which root your next certificate leads, pin that beside the old one, "
        "and ship it; certpin calendar lists the date"
    ),
    source="Mozilla Root Store Policy section 7.4 (Root CA Lifecycles)",
    bad=f'{GOOD}\n[[host.pin]]\npin = "sha256/LEAVING"{HERE}\nrole = "root"\n',
    good=f'{GOOD}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n',
)
def _root_leaves_soon(document: LintDocument, now: datetime) -> Iterator[Hit]:
    today = now.date()

    def coming(pin: Pin) -> RootFact | None:
        facts = document.roots.open_facts(pin, today)
        return next((each for each in facts if today < each.day < today + EXPIRES_SOON), None)

    return _hits(document, coming)


def _hits(document: LintDocument, fact_about: Callable[[Pin], RootFact | None]) -> Iterator[Hit]:
    """Yield a hit for each pinned, trusted or served root with a known problem.

    Args:
        document: the pin file.
        fact_about: returns the problem of the root with this pin, for example that a root store
            has removed it; None if there is none.
    """
    for key, where, pin in _places(document):
        if fact := fact_about(pin):
            yield Hit(key, f"{where} {fact.root.name}, which {fact.text} ({fact.source})")


def _places(document: LintDocument) -> Iterator[tuple[str, str, Pin]]:
    """Yield each pin or public key of the document that can be that of a public root.

    These are the pins that clients of a host accept, the keys of the trust anchors, and the keys in
    the verified chains of servers. But a key in a chain is left out if the host pins that key, or
    its certificate.

    Yields:
        The TOML key at which to report the root, a phrase for messages, and the pin.
    """
    for host in document.hosts:
        yield from _pinned(host)
    for file in document.anchor_files():
        for pin in dict.fromkeys(pins_of(each)[0] for each in file.certificates):
            yield file.key, f"{file.name[:80]} trusts", pin
    for host, result in document.verified_results():
        for key, whole in map(pins_of, result.path or ()):
            if host.live.keys().isdisjoint({key, whole}):
                yield host.place(result), f"the chain of {result.host} contains", key


def _pinned(host: HostEntry) -> Iterator[tuple[str, str, Pin]]:
    """Yield the live pins of a host: the TOML key, a phrase for messages, and the pin.

    Pins with a provider are left out if the host pins at least two roots of one provider. Such a
    host still works if a root store removes one of these roots.
    """
    for pin, entry in host.live.items():
        if not (entry.provider and host.is_own_backup):
            yield f"{entry.key}.pin", f"{host} pins", pin


@partial(
    LintRule,
    "expired-cross-sign",
    "warning",
    needs="live",
    summary="The server sends a cross-sign that has expired, or expires within half a year.",
    why=(
        "A cross-sign leads clients that don't have the root yet to an older one. When it has "
        "expired, those clients refuse the server, and some libraries stop at the expired "
        "certificate although they have the root (AddTrust in 2020, DST Root CA X3 in 2021). A "
        "pin of the older root then matches nothing."
    ),
    fix=(
        "let the server send the chain without it; if a pin depends on the older root, pin the "
        "root of the new path beside it first, and ship that"
    ),
    source="RFC 4158 section 3.5.4 (expired certificates in a path)",
    bad=f'{HEAD}\n[[host]]\nname = "crossed.bank.example"{HERE}\n{EXPIRES}{SERVED}{BACKUP}',
    good=f"{GOOD_LIVE}",
)
def _expired_cross_sign(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host, result in document.verified_results():
        path = result.path or ()
        keys = {certificate.spki_sha256 for certificate in path[1:]}
        for certificate in result.served[1:]:
            dates = validity(certificate)
            crossed = certificate not in path and certificate.spki_sha256 in keys
            if crossed and dates is not None and dates[1] < now + EXPIRES_SOON:
                verb = "expired" if dates[1] < now else "expires"
                message = (
                    f"{result.host} sends a cross-sign of {name_of(certificate)} that {verb} on "
                    f"{dates[1]:%Y-%m-%d}"
                )
                yield Hit(host.place(result), message)
