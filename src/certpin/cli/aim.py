"""Which key the user means: a pin, or a file that holds one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.options import ask_passphrase, read_file
from certpin.errors import ConfigError, InputError
from certpin.pins import Pin
from certpin.x509 import printable
from certpin.x509.reader import read

if TYPE_CHECKING:
    from certpin.cli.vantages import Vantages
    from certpin.pins import HostPolicy, PinSet


@dataclass(frozen=True)
class Aim:
    """A key, and the name of the file that it came from, or nothing."""

    pin: Pin
    file: str = ""

    @property
    def note(self) -> str:
        """What stands in the pin file, so that the key is found again."""
        return f"key file {printable(Path(self.file).name)}" if self.file else ""


def aim(text: str) -> Aim:
    """Read a pin, or the first key of a file: KEY, CSR, CERT. Raises ``InputError``."""
    path = Path(text)
    try:
        if not path.is_file():
            return Aim(Pin.parse(text))
        item = read(read_file(path), ask_passphrase)[0]
    except (OSError, ValueError) as exc:
        problem = exc.problem if isinstance(exc, InputError) else str(exc)
        raise ConfigError(
            f"{printable(text)[:200]} names no key: {problem}",
            fix="give a pin, or the file of a private or public key, a CSR or a certificate",
        ) from exc
    return Aim(Pin.of_key(item.spki_sha256), text)


def meant(pins: PinSet, vantages: Vantages, pin: Pin | None) -> list[HostPolicy]:
    """The policies that a step is for: those that --host names, those with the pin, the only one.

    Raises ``click.UsageError`` where that is not clear.
    """
    if vantages.hosts:
        return vantages.chosen(pins)
    holding = [policy for policy in pins.policies if pin in {each.pin for each in policy.pins}]
    if holding:
        return holding
    if len(pins.policies) == 1:
        return list(pins.policies)
    raise click.UsageError("the file has several hosts: name those that it is for, with --host")
