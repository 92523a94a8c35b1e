"""Lint rules for pins of intermediates, and for sets of roots that a certificate provider uses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin import providers
from certpin.lint.rule import AUTHORITY, BACKUP, HEAD, HERE, HOST, ROOT_SET, Hit, LintRule
from certpin.providers import change_text, complete_sets, set_change

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import HostEntry, LintDocument

_MARKED = AUTHORITY.replace('INTERMEDIATE"\n', f'INTERMEDIATE"{HERE}\n')
_UPDATE = "run certpin providers update: it adds new roots, and removes old ones when that is safe"


@partial(
    LintRule,
    "lone-intermediate",
    "error",
    summary="A host relies on the intermediate of a public authority.",
    why=(
        "Public authorities change their intermediates without notice, and providers change "
        "their authority: then no pin matches, and every client is locked out. In July 2026 the "
        "pins of Expensify stopped matching twice that way. Only the roots of the provider, or a "
        "key that you control with a backup, survive it."
    ),
    fix=(
        "pin all roots of the provider (certpin providers update --host HOST --provider NAME), or "
        'your own key and a backup; if the authority is private, name it (trust = "FILE")'
    ),
    source="Let's Encrypt, Chains of Trust; Amazon Trust Services, Trust store and pinning",
    bad=f'{HEAD}{HOST}match = "ca"\n{_MARKED}{BACKUP}',
    good=f'{HEAD}{HOST}match = "ca"\n{ROOT_SET}',
)
def _lone_intermediate(document: LintDocument, now: datetime) -> Iterator[Hit]:
    data = providers.load_providers()
    for host in document.hosts:
        lone = [entry for entry in host.live.values() if entry.role == "intermediate"]
        if not lone or host.trust is not None or _has_own_key(host):
            continue
        if not complete_sets(host.host_pins, data, now.date()):
            message = f"{host} relies on an intermediate, which its authority may replace any day"
            yield Hit(f"{lone[0].key}.pin", message)


def _has_own_key(host: HostEntry) -> bool:
    """Return True if clients accept a pin of the leaf and a pin of a backup, and compare the leaf.

    The user has the keys of both. So the host needs no pin of an intermediate: no client is locked
    out if the authority changes its intermediate. Clients compare the leaf unless ``match`` is
    ``ca``.
    """
    roles = {entry.role for entry in host.live.values()}
    return host.match != "ca" and {"leaf", "backup"} <= roles


@partial(
    LintRule,
    "unknown-provider",
    "error",
    summary="A pin names a provider that the provider data does not have.",
    why=(
        "certpin can't say whether its set is complete, and certpin providers update leaves it as "
        "it is. Or the file was written by a newer certpin, which knows more providers."
    ),
    fix="correct the name (certpin providers lists all), or update certpin",
    bad=f'{HEAD}{HOST}match = "ca"\n{ROOT_SET}\n[[host.pin]]\npin = "sha256/THREE"\nrole = "root"\n'
    f'provider = "letsencript"{HERE}\n',
    good=f'{HEAD}{HOST}match = "ca"\n{ROOT_SET}',
)
def _unknown_provider(document: LintDocument, now: datetime) -> Iterator[Hit]:
    known = providers.load_providers().providers
    for host in document.hosts:
        for entry in host.live.values():
            for name in entry.provider:
                if name not in known:
                    message = (
                        f"{host} names the provider {name[:40]!r}, which the provider data doesn't "
                        "have"
                    )
                    yield Hit(f"{entry.key}.provider", message)


@partial(
    LintRule,
    "provider-set-changed",
    "warning",
    summary="The roots of a provider differ from the pins of its set.",
    why=(
        "The provider may issue from a root that clients refuse, or a pin accepts a root that it "
        "no longer uses. A new root has to be in clients before the provider uses it."
    ),
    fix=_UPDATE,
    bad=f'{HEAD}{HOST}match = "ca"\n[[host.pin]]{HERE}\npin = "sha256/SET1"\nrole = "root"\n'
    'provider = "letsencrypt"\n\n[[host.pin]]\npin = "sha256/SET2"\nrole = "root"\n'
    'provider = "letsencrypt"\n',
    good=f'{HEAD}{HOST}match = "ca"\n{ROOT_SET}',
)
def _provider_set_changed(document: LintDocument, now: datetime) -> Iterator[Hit]:
    data = providers.load_providers()
    for host in document.hosts:
        change = set_change(host.host_pins, host.provider_edition, data, now.date())
        if text := change_text(change, data.edition):
            yield Hit(f"{host.key}.pin", f"{host}: {text}")


@partial(
    LintRule,
    "provider-data-outdated",
    "warning",
    summary="The pin file was written with newer provider data than that of this certpin.",
    why=(
        "The providers may have more roots than this certpin knows: it can't say whether the sets "
        "of this host are complete, and certpin providers update leaves them as they are."
    ),
    fix="update certpin",
    bad=f'{HEAD}{HOST}match = "ca"\nprovider_edition = 2099-01-01{HERE}\n{ROOT_SET}',
    good=f'{HEAD}{HOST}match = "ca"\nprovider_edition = 2026-11-28\n{ROOT_SET}',
)
def _provider_data_outdated(document: LintDocument, now: datetime) -> Iterator[Hit]:
    edition = providers.load_providers().edition
    for host in document.hosts:
        if host.provider_edition is not None and host.provider_edition > edition:
            message = (
                f"the provider data of {host} is of {host.provider_edition}, and that of this "
                f"certpin of {edition}"
            )
            yield Hit(f"{host.key}.provider_edition", message)
