"""The key that the user names: a pin, a file that contains it, or a URI of a PKCS#11 token."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.options import PASSPHRASE_VARIABLE, ask_passphrase, ask_pin, read_file
from certpin.errors import ConfigError, HostError, InputError
from certpin.hsm import is_on_token, is_token_uri, open_key
from certpin.pins import HostPattern, Pin
from certpin.x509 import Certificate, printable
from certpin.x509.reader import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.cli.servers import ProbeOptions
    from certpin.pins import HostPolicy, PinSet
    from certpin.x509.signing import Signer

KEY_FILE = "key file "  # precedes the name of a file in a note
_ANY_LABEL = "_"  # not a host name (RFC 1123 section 2.1), so no policy has it as its exact name


@dataclass(frozen=True)
class KeyReference:
    """A key that the user named.

    Attributes:
        note: where the key is, for the pin file; empty for a pin.
        names: the DNS names and IP addresses of the certificate that it was read from.
    """

    pin: Pin
    note: str = ""
    names: tuple[str, ...] = ()


def resolve_key(text: str) -> KeyReference:
    """Read a pin, the first key of a file (a key, CSR or certificate), or a key on a token.

    Raises:
        ConfigError: the text is none of these.
        TokenError: the token can't be used.
    """
    if is_token_uri(text):
        with open_key(text, ask_pin) as key:
            return KeyReference(Pin.of_key(key.key.spki_sha256), f"key {key.uri}")
    path = Path(text)
    try:
        if not path.is_file():
            return KeyReference(Pin.parse(text))
        item = read(read_file(path), ask_passphrase)[0]
    except (OSError, ValueError) as exc:
        problem = exc.problem if isinstance(exc, InputError) else str(exc)
        raise ConfigError(
            f"{printable(text)[:200]} names no key: {problem}",
            fix="give a pin, the file of a private or public key, a CSR or a certificate, or a "
            "PKCS#11 URI",
        ) from exc
    names = (*item.dns_names, *item.addresses) if isinstance(item, Certificate) else ()
    return KeyReference(Pin.of_key(item.spki_sha256), f"{KEY_FILE}{printable(path.name)}", names)


def policies_for_step(
    pins: PinSet, probes: ProbeOptions, key: KeyReference | None
) -> list[HostPolicy]:
    """Return the policies of the pin file that a rotation step is for.

    They are the first of these that exist: the policies that ``--host`` names, those of the hosts
    in the key's certificate, those with the key's pin, the only policy.

    Raises:
        HostError: a value of ``--host`` is not a host.
        click.UsageError: none of these exists.
    """
    if probes.hosts:
        return probes.selected(pins)
    if key:
        certified = {policy for name in key.names for policy in _policies_of_name(name, pins)}
        holding = {p for p in pins.policies if key.pin in {entry.pin for entry in p.pins}}
        if chosen := certified or holding:
            return [policy for policy in pins.policies if policy in chosen]
    if len(pins.policies) == 1:
        return list(pins.policies)
    raise click.UsageError("the file has several hosts: name those of this step, with --host")


def _policies_of_name(name: str, pins: PinSet) -> Iterator[HostPolicy]:
    """Yield the policies of the hosts that a name of a certificate covers (RFC 6125 section 6.4.3).

    A client uses the most specific policy. A name that is not a host has none.
    """
    try:
        pattern = HostPattern.parse(name)
    except HostError:
        return
    found = pins.policy_for(f"{_ANY_LABEL}.{pattern.name}" if pattern.wildcard else pattern.name)
    if found:
        yield found
    if pattern.wildcard:
        for policy in pins.policies:
            if policy.pattern.wildcard != "*." and pattern.matches(policy.pattern.name):
                yield policy


@contextmanager
def signer_of(key: str, pin: Callable[[str], str] = ask_pin) -> Iterator[Signer]:
    """Return a signer for a private key in a file or on a PKCS#11 token.

    Args:
        key: the path of a file, or a PKCS#11 URI.
        pin: asks for the PIN of a token.

    Raises:
        KeyParseError: the file has no private key.
        TokenError: the token can't be used.
    """
    from certpin.x509.signing import file_key

    if is_on_token(key):
        with open_key(key, pin) as on_token:
            yield on_token
    else:
        yield file_key(read_file(Path(key)), partial(passphrase_of, key))


def passphrase_of(place: str) -> bytes | None:
    """Ask for the passphrase of a private key file. The prompt names the file."""
    if PASSPHRASE_VARIABLE not in os.environ and sys.stdin.isatty():
        click.echo(f"{printable(place)} is encrypted.", err=True)
    return ask_passphrase()
