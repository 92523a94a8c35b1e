"""Which key the user means."""

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

    from certpin.cli.servers import Vantages
    from certpin.pins import HostPolicy, PinSet
    from certpin.x509.signing import Signer


KEY_FILE = "key file "  # before the name of a file, in a note
_ANY_LABEL = "_"  # of no host (RFC 1123 section 2.1), so that no policy has it by its exact name


@dataclass(frozen=True)
class Aim:
    """A key. ``note`` is what stands in the pin file, so that it is found again, or nothing.

    ``names`` are those of the certificate that it was read from: DNS names and IP addresses.
    """

    pin: Pin
    note: str = ""
    names: tuple[str, ...] = ()


def aim(text: str) -> Aim:
    """Read a pin, the first key of a file (KEY, CSR, CERT), or a key on a token.

    Raises ``ConfigError`` and ``TokenError``.
    """
    if is_token_uri(text):
        return _on_token(text)
    path = Path(text)
    try:
        if not path.is_file():
            return Aim(Pin.parse(text))
        item = read(read_file(path), ask_passphrase)[0]
    except (OSError, ValueError) as exc:
        problem = exc.problem if isinstance(exc, InputError) else str(exc)
        raise ConfigError(
            f"{printable(text)[:200]} names no key: {problem}",
            fix="give a pin, the file of a private or public key, a CSR or a certificate, or a "
            "PKCS#11 URI",
        ) from exc
    names = (*item.dns_names, *item.addresses) if isinstance(item, Certificate) else ()
    return Aim(Pin.of_key(item.spki_sha256), f"{KEY_FILE}{printable(path.name)}", names)


def _on_token(uri: str) -> Aim:
    with open_key(uri, ask_pin) as key:
        return Aim(Pin.of_key(key.half.spki_sha256), f"key {key.uri}")


def meant(pins: PinSet, vantages: Vantages, wanted: Aim | None) -> list[HostPolicy]:
    """The policies that a step is for, of the first kind that there is: those that --host names,
    those of the hosts that a certificate is for, those with the pin, the only one.

    Raises ``click.UsageError`` where that is not clear.
    """
    if vantages.hosts:
        return vantages.chosen(pins)
    if wanted:
        served = {policy for name in wanted.names for policy in _under(name, pins)}
        holding = {each for each in pins.policies if wanted.pin in {pin.pin for pin in each.pins}}
        if chosen := served or holding:
            return [policy for policy in pins.policies if policy in chosen]
    if len(pins.policies) == 1:
        return list(pins.policies)
    raise click.UsageError("the file has several hosts: name those that it is for, with --host")


def _under(name: str, pins: PinSet) -> Iterator[HostPolicy]:
    """The policies of the hosts that a name of a certificate stands for (RFC 6125 section 6.4.3).

    A client looks up the most specific one; a name that is no host has none.
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
    """Open the key of a file, or of a URI; ask for passphrase or PIN. Raises ``KeyParseError``."""
    from certpin.x509.signing import file_key

    if is_on_token(key):
        with open_key(key, pin) as on_token:
            yield on_token
    else:
        yield file_key(read_file(Path(key)), partial(passphrase_of, key))


def passphrase_of(place: str) -> bytes | None:
    """Ask for the passphrase of a file, and say which: there may be several."""
    if PASSPHRASE_VARIABLE not in os.environ and sys.stdin.isatty():
        click.echo(f"{printable(place)} is encrypted.", err=True)
    return ask_passphrase()
