"""The pins of the authorities that issued a served chain, for ``certpin add``.

``certpin add`` writes these pins, or proposes them as the fix of an error. The roots of a known
provider are proposed only for a chain that ends at a public root. A chain to another root comes
from a private authority, or from a proxy that inspects this machine's traffic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from certpin.errors import ConfigError
    from certpin.pins import HostPin, Pin
    from certpin.providers import Provider, ProviderData
    from certpin.x509 import Certificate, Chain

_MAX_NAMED = 8  # roots that one error names


def pins_of_providers(names: Sequence[str], chain: Chain) -> tuple[HostPin, ...]:
    """Return the pins of all roots of the providers that the user named.

    Args:
        names: the names of the providers.
        chain: the verified chain that the host serves now.

    Raises:
        ConfigError: a provider is unknown; or no root of the providers is in the chain, so that all
            clients would be locked out; or this machine's clock is before the date of certpin's
            provider data.
    """
    from certpin.errors import ConfigError
    from certpin.providers import load_providers, root_pins

    data = load_providers()
    found = root_pins([data.provider(name) for name in names], _today(data))
    pinned = {entry.pin for entry in found}
    if not pinned & {_key_pin(each) for each in chain.authorities}:
        owner = _owner_of(chain, data)
        raise ConfigError(
            f"the chain ends at {_root_name(chain)}, from which {' or '.join(names)} does not "
            f"issue (data of {data.edition}): every client would be locked out",
            key="--provider",
            fix=f"name its provider too: --provider {owner.name}"
            if owner
            else "check the provider; `certpin providers` lists the roots of each",
        )
    return found


def pins_of_authority(chain: Chain) -> tuple[HostPin, ...]:
    """Return the pins for ``match = "ca"``: all roots of the chain's provider, or the chain's root.

    Args:
        chain: a verified chain to a public root.

    Returns:
        The pins of the provider's roots. If certpin's data has no provider for the chain, only the
        pin of the chain's root.
    """
    from certpin.pins import HostPin
    from certpin.providers import load_providers, root_pins
    from certpin.x509 import name_of
    from certpin.x509.chain import short_name

    data = load_providers()
    if owner := _owner_of(chain, data):
        return root_pins([owner], _today(data))
    root = chain.certificates[-1]
    name = short_name(name_of(root))
    return (HostPin(_key_pin(root), "root", note=name, not_after=root.not_after.date()),)


def _owner_of(chain: Chain, data: ProviderData) -> Provider | None:
    """Return the certificate provider, such as Let's Encrypt, that issued a chain.

    The result is the provider that, by certpin's data, owns the key of an authority in the chain.
    The search begins at the leaf's issuer: if the provider's root is cross-signed, the root at the
    end of the chain belongs to another owner. Return None if no provider owns any of the keys.
    """
    for certificate in chain.authorities:
        if owners := data.owners(_key_pin(certificate)):
            return owners[0]
    return None


def private_root(chain: Chain) -> ConfigError | None:
    """Return an error if a chain ends at a root that is not public; ``None`` if the root is public.

    A private authority may have issued the chain, or a proxy that inspects this machine's traffic.
    Such a chain verifies if the root is in the trust store of this machine.

    Args:
        chain: the chain, verified against the roots of the platform.
    """
    from certpin.errors import ConfigError
    from certpin.providers import load_providers

    if load_providers().is_public(_key_pin(chain.certificates[-1])):
        return None
    return ConfigError(
        f"the chain ends at {_root_name(chain)}, which no release of certifi has: a private "
        "authority issued it, or a proxy that inspects the traffic of this machine",
        key="host",
        fix="if the authority is yours, trust only it: --ca-file ROOT.pem; else try it from "
        "another network",
    )


def without_backup(host: str, chain: Chain | None) -> ConfigError:
    """Return the error that refuses an enforced host without a backup.

    If the chain is unknown, the fix is only to name a backup. If the chain ends at a public root,
    the fix also has a ``certpin add`` command that pins the authorities of the chain instead. If
    the chain ends at a private root, the error is that of ``private_root``.

    Args:
        host: the host, as the user gave it.
        chain: the chain that the host serves, verified against the platform's roots; ``None`` if
            the chain is unknown.
    """
    import shlex

    from certpin.errors import ConfigError
    from certpin.providers import load_providers

    problem = (
        "an enforced host needs a backup: if its only key is lost or replaced, every client is "
        "locked out"
    )
    own = "make a key with --backup-key FILE, or name yours with --backup-pin PIN"
    if chain is None:
        return ConfigError(problem, fix=f"{own}; --mode report needs none")
    if private := private_root(chain):
        return private
    data = load_providers()
    host = shlex.quote(host)
    if owner := _owner_of(chain, data):
        roots = [root.name for root in owner.roots_at(_today(data))]
        more = f", and {len(roots) - _MAX_NAMED} more" if len(roots) > _MAX_NAMED else ""
        others = [each.name for each in data.providers.values() if owner.name in each.uses]
        service = f". If you get it from {' or '.join(others)}, name that instead" if others else ""
        pinned = (
            f"certpin add {host} --provider {owner.name} pins the roots of {owner.title}: "
            f"{', '.join(roots[:_MAX_NAMED])}{more}{service}"
        )
    else:
        pinned = (
            f"certpin add {host} --match ca --backup-pin PIN pins {_root_name(chain)}, which "
            "belongs to no provider that certpin knows, and the root of a second authority"
        )
    return ConfigError(
        problem,
        fix=f"if you control the server's key, {own}. If a provider has it: {pinned}. "
        "--mode report needs no backup",
    )


def second_root_missing(chain: Chain) -> ConfigError:
    """Return the error for an enforced host that would have only one pin: that of the chain's root.

    certpin can't propose a second root, because no provider in its data uses the first one. So the
    fix is to name the root of a second authority with ``--backup-pin``.
    """
    from certpin.errors import ConfigError

    return ConfigError(
        f"{_root_name(chain)} belongs to no provider that certpin knows: if the authority moves to "
        "another root, no pin matches",
        key="--match",
        fix="name the root of a second authority too, to which you could change: --backup-pin PIN",
    )


def _root_name(chain: Chain) -> str:
    """Return the name of the root at the end of a chain, in quotes, for an error message."""
    from certpin.x509 import name_of
    from certpin.x509.chain import short_name

    return repr(short_name(name_of(chain.certificates[-1])))


def _key_pin(certificate: Certificate) -> Pin:
    from certpin.pins import pins_of

    return pins_of(certificate)[0]


def _today(data: ProviderData) -> date:
    """Return today's date in UTC, to find expired roots in the provider data.

    Raises:
        ConfigError: the date is before that of the provider data, so the clock is wrong.
    """
    from certpin.pins import utc_now

    today = utc_now().date()
    data.require_clock(today)
    return today
