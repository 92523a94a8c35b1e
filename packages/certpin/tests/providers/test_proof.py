"""The proof of the root sets: a client accepts each root of a provider, and no other root.

Only a CA has the private key of its root. So each root of the data gets a substitute with a key of
its own: only the pins change in a copy of the provider file. The trust store has all substitutes,
and 20 other roots.
"""

from __future__ import annotations

import ssl
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from certpin import PinMismatchError, PinnedSSLContext
from certpin.errors import ConfigError
from certpin.formats import FORMATS
from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPolicy
from certpin.providers import ProviderData, load_providers, parse_providers, root_pins
from tests import kit
from tests.tls._wire import HOST, Wire

if TYPE_CHECKING:
    from certpin.formats import Format
    from certpin.lab import Identity

REAL = load_providers()
DAY = REAL.edition
OTHERS = tuple(f"Other Root {number}" for number in range(20))


@cache
def authorities() -> dict[str, Authority]:
    """Return a substitute for each root of the data, and the others, by name."""
    names = [root.name for root in REAL.roots.values()]
    return {name: Authority(name) for name in (*names, *OTHERS)}


@cache
def substituted() -> ProviderData:
    """Return the provider data with the pins of the substitutes, and no other change."""
    text = files("certpin.providers").joinpath("providers.toml").read_text("utf-8")
    for root in REAL.roots.values():
        assert text.count(f'"{root.pin}"') == 1
        text = text.replace(f'"{root.pin}"', f'"{authorities()[root.name].pin}"')
    return parse_providers(text)


@cache
def identity(name: str, host: str = HOST) -> Identity:
    """Return the key of a server with a chain that ends at a root: leaf, intermediate, root."""
    return authorities()[name].intermediate(f"Issuer below {name}").issue(host)


@cache
def server(name: str) -> ssl.SSLContext:
    """Return a server with the identity below a root."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        context.load_cert_chain(*identity(name).write(Path(folder)))
    return context


def pins_of(provider: str) -> PinSet:
    entries = root_pins([substituted().providers[provider]], DAY)
    return PinSet("test", 1, (HostPolicy(HostPattern("", HOST), entries, match="ca"),))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the platform's trust store consist of all substitutes."""
    bundle = kit.trust_on_this_platform(authorities()["ISRG Root X1"], tmp_path, monkeypatch)
    bundle.write_bytes(b"".join(each.pem for each in authorities().values()))


@pytest.mark.medium
@pytest.mark.parametrize("provider", REAL.providers)
def test_every_root_of_a_provider_is_accepted_and_every_other_is_refused(
    provider: str, store: None
) -> None:
    context = PinnedSSLContext(pins_of(provider))
    mine = roots_of(provider)
    assert len(mine) >= 2
    accepted = {name for name in authorities() if not _refuses(context, name)}
    assert accepted == mine


def roots_of(provider: str) -> set[str]:
    """Return the names of the roots in the set of a provider."""
    return {root.name for root in REAL.providers[provider].roots_at(DAY)}


def _refuses(context: PinnedSSLContext, root: str) -> bool:
    """Return whether a handshake with a server below this root ends in a pin mismatch."""
    try:
        Wire(context, server(root)).shake()
    except PinMismatchError:
        return True
    return False


def test_there_are_a_substitute_for_each_root_and_twenty_others() -> None:
    assert len(authorities()) == len(REAL.roots) + 20
    assert len({each.pin for each in authorities().values()}) == len(authorities())
    assert not {each.pin for each in authorities().values()} & {*REAL.roots}


@pytest.mark.parametrize("provider", REAL.providers)
@pytest.mark.parametrize("chosen", FORMATS.values(), ids=list(FORMATS))
def test_an_export_has_the_whole_set_or_is_refused(chosen: Format, provider: str) -> None:
    pins = pins_of(provider)
    [policy] = pins.policies
    try:
        [exported] = chosen.export(pins).pins.policies
        exported_pins, refused_key = exported.live_pins.keys(), ""
    except ConfigError as refusal:
        exported_pins, refused_key = policy.live_pins.keys(), refusal.key
    assert exported_pins == policy.live_pins.keys()
    works_alone = chosen.root_sets.startswith("A root set works: ")
    assert refused_key in ({""} if works_alone else {"pin", "trust"})
