"""``certpin add``: write a host into the pin file, with a backup."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, get_args, TYPE_CHECKING

import click

from certpin.cli.backup import Backup, backup_options
from certpin.cli.describe import print_json
from certpin.cli.options import (
    Dialling,
    anchors_pem,
    dialling_options,
    json_option,
    pin_file_option,
)
from certpin.errors import ConfigError
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import HostPattern, HostPin, HostPolicy, Match, Mode, Pin, TrustAnchors, pins_of
from certpin.x509 import Chain, read_certificates

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("host", metavar="HOST[:PORT]")
@pin_file_option
@click.option("--name", help="The name of a new pin file; by default that of the host.")
@backup_options
@click.option(
    "--pin", "known", metavar="PIN", help="Pin this key of the server, without dialling it."
)
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    default="enforce",
    show_default=True,
    help='"report" lets everything pass, and tells of what does not match.',
)
@click.option(
    "--match",
    type=click.Choice(get_args(Match)),
    default="any",
    show_default=True,
    help="Which certificate of the chain may carry a pinned key: the leaf, an authority, any.",
)
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d"]), help="The first day on which the pins are off."
)
@dialling_options
@json_option
def add(
    host: str,
    path: Path,
    name: str | None,
    backup: Backup,
    known: str | None,
    dialling: Dialling,
    as_json: bool,
    **policy_options: Any,
) -> None:
    """Write a host into the pin file, with a backup.

    HOST is dialled, its chain verified, and the key of its certificate pinned. A backup is a
    second key that no server uses yet: when the first is lost or stolen, the server changes to it
    and no client is locked out. An enforced host without a backup is refused.

    --backup-key makes that key. Keep the file off the server and out of version control, in a
    safe or a key store. With a passphrase, in CERTPIN_PASSPHRASE or asked for, it is encrypted.

    With --ca-file the pin file will trust that authority alone for this host.
    """
    pattern = HostPattern.parse(dialling.endpoint(host).name)
    editor = _editor(path, name or pattern.name)
    _refuse_twin(editor, pattern)
    chain = None if known else _verified_chain(host, dialling)
    leaf = Pin.parse(known) if known else pins_of(chain.leaf)[0] if chain else None
    _refuse_inside(backup, chain)
    policy = _policy(pattern, leaf, backup, dialling.ca_file, **policy_options)
    editor.add_host(policy, trust=_trust_name(dialling.ca_file, path))
    version = editor.raise_version()
    editor.check()
    backup.write()
    editor.save()
    _tell(path, version, policy, backup, as_json)


def _editor(path: Path, name: str) -> PinFileEditor:
    return PinFileEditor.open(path) if path.exists() else PinFileEditor.new(path, name)


def _refuse_twin(editor: PinFileEditor, pattern: HostPattern) -> None:
    if editor.has_host(str(pattern)):
        raise ConfigError(
            f"{pattern} has a policy in {editor.path} already",
            key="host",
            fix="edit that policy, and raise the version of the file",
        )


def _verified_chain(host: str, dialling: Dialling) -> Chain:
    observation = dialling.observe(host)
    if observation.verified is None:
        raise ConfigError(
            f"the chain of {observation.endpoint} did not verify: {observation.problem}. "
            "What is not verified is not pinned: it may be an attacker's",
            fix="for a private authority give its root: --ca-file ROOT.pem; "
            "for a key that you know, give its pin: --pin",
        )
    return observation.verified


def _refuse_inside(backup: Backup, chain: Chain | None) -> None:
    served = [pin for each in chain.certificates for pin in pins_of(each)] if chain else []
    if backup.pin in served:
        raise ConfigError(
            f"the backup {backup.pin} is in the chain that the server uses now: it is lost with it",
            key="pin",
            fix="make a key that is nowhere in use: --backup-key FILE",
        )


def _policy(
    pattern: HostPattern,
    leaf: Pin | None,
    backup: Backup,
    ca_file: Path | None,
    *,
    mode: Mode,
    match: Match,
    expires: datetime | None,
) -> HostPolicy:
    entries = [HostPin(leaf, "leaf")] if leaf else []
    if backup.pin:
        entries.append(HostPin(backup.pin, "backup", state="published", note=backup.note))
    return HostPolicy(
        pattern,
        tuple(entries),
        mode=mode,
        match=match,
        expires=expires.replace(tzinfo=UTC) if expires else None,
        trust=_trust(ca_file),
    )


def _trust(ca_file: Path | None) -> TrustAnchors | None:
    pem = anchors_pem(ca_file)
    if pem is None:
        return None
    return TrustAnchors(tuple(each.der for each in read_certificates(pem.encode())))


def _trust_name(ca_file: Path | None, pin_file: Path) -> str:
    """The file of the authority, as the pin file will find it."""
    if ca_file is None:
        return "system"
    return os.path.relpath(ca_file.resolve(), pin_file.resolve().parent)


def _tell(path: Path, version: int, policy: HostPolicy, backup: Backup, as_json: bool) -> None:
    if as_json:
        pins = [{"pin": str(entry.pin), "role": entry.role} for entry in policy.pins]
        print_json(
            {
                "file": str(path),
                "version": version,
                "host": str(policy.pattern),
                "pins": pins,
                "backup_key": str(backup.file) if backup.file else None,
            }
        )
        return
    click.secho(f"{policy.pattern} is in {path} (version {version}).", bold=True)
    for entry in policy.pins:
        click.echo(f"  {entry.role:<8} {entry.pin}")
    for line in backup.advice():
        click.echo(line)
    click.echo(f"Next: certpin check -f {path}")
