"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.errors import CertificateParseError
from certpin.pinfile import PINS_VARIABLE
from certpin.probe import (
    PROTOCOLS,
    Endpoint,
    Observation,
    observe,
    probe_context,
    split_address,
)
from certpin.probe.dial import PATIENCE
from certpin.x509 import read_certificates

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Any], Any]

PASSPHRASE_VARIABLE = "CERTPIN_PASSPHRASE"  # noqa: S105  # the name of a variable

json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs."
)

pin_file_option: Decorator = click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("pins.toml"),
    envvar=PINS_VARIABLE,
    show_default=True,
    show_envvar=True,
    help="The pin file.",
)

timeout_option: Decorator = click.option(
    "--timeout",
    type=click.FloatRange(min=0.05, max=600),
    default=PATIENCE,
    show_default=True,
    metavar="SECONDS",
    help="How long each step may take: connecting, STARTTLS, the handshake.",
)

ca_file_option: Decorator = click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust the certificates in this PEM file alone, not this machine's.",
)

_DIALLING: tuple[Decorator, ...] = (
    click.option(
        "--starttls",
        type=click.Choice(sorted(PROTOCOLS)),
        help="Speak this protocol first, then begin TLS inside it.",
    ),
    click.option(
        "--connect", metavar="ADDRESS[:PORT]", help="Call this address instead of the host's own."
    ),
    click.option(
        "--server-name", metavar="NAME", help="Ask for this name, and verify it, instead of HOST."
    ),
    ca_file_option,
    timeout_option,
)


@dataclass(frozen=True)
class Dialling:
    """How servers are reached, as the user said it."""

    starttls: str | None
    connect: str | None
    server_name: str | None
    ca_file: Path | None
    timeout: float

    def endpoint(self, target: str) -> Endpoint:
        """The server that HOST[:PORT] means. Raises ``HostError``."""
        host, port = split_address(target, PROTOCOLS[self.starttls].port if self.starttls else 443)
        name = split_address(self.server_name)[0] if self.server_name else None
        connect = split_address(self.connect, port) if self.connect else None
        return Endpoint(host, port, connect, name, self.starttls)

    def observe(self, target: str) -> Observation:
        """Dial a server and look. Raises ``ProbeError``."""
        context = probe_context(anchors_pem(self.ca_file))
        return observe(self.endpoint(target), context, patience=self.timeout)


def dialling_options(command: Any) -> Any:
    """Give a command the options of ``Dialling``, and one argument, ``dialling``, with them all."""

    @wraps(command)
    def with_dialling(**options: Any) -> Any:
        mine = {field.name: options.pop(field.name) for field in fields(Dialling)}
        return command(dialling=Dialling(**mine), **options)

    wrapped: Any = with_dialling
    for option in reversed(_DIALLING):
        wrapped = option(wrapped)
    return wrapped


def anchors_pem(ca_file: Path | None) -> str | None:
    """The text of a file of trust anchors, or ``None``. Raises ``CertificateParseError``."""
    if ca_file is None:
        return None
    data = ca_file.read_bytes()
    try:
        read_certificates(data)
        return data.decode("ascii")
    except (CertificateParseError, UnicodeDecodeError) as exc:
        raise CertificateParseError(
            f"{ca_file} is not a PEM file of certificates", fix="give the authority's certificate"
        ) from exc


def ask_passphrase() -> bytes | None:
    """The passphrase of a file: from the environment, or asked for on a terminal."""
    if PASSPHRASE_VARIABLE in os.environ:
        return os.environ[PASSPHRASE_VARIABLE].encode()
    if not sys.stdin.isatty():
        return None
    text: str = click.prompt("Passphrase", hide_input=True, err=True)
    return text.encode()
