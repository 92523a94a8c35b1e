"""``certpin rotate generate``, ``stage`` and ``csr``: a new key, its pin, and its certificate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certpin.cli.backup import backup_options
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import print_json
from certpin.cli.rotate.context import (
    ForceOptions,
    RotationFiles,
    StepOutcome,
    force_options,
    name_of,
    of_host,
    who_option,
)
from certpin.cli.servers import ProbeOptions, host_option

if TYPE_CHECKING:
    from certpin.cli.backup import Backup
    from certpin.cli.rotate.context import HostViolation
    from certpin.pins import HostPattern, HostPolicy, Pin
    from certpin.x509.signing import Signer

_PEM = ("CERTIFICATE", "CERTIFICATE REQUEST")


@click.command()
@pin_file_option
@host_option
@backup_options
@who_option
@json_option
@click.pass_context
def generate(
    ctx: click.Context,
    path: Path,
    hosts: tuple[str, ...],
    backup: Backup,
    who: str | None,
    as_json: bool,
) -> None:
    """Make the key of the next backup, and record that it exists.

    The pin file is not changed: the journal records the pin, and where the key is. Keep the key off
    the server and out of version control, or let --backup-key make it on a PKCS#11 token.
    --backup-pin records a key that you made elsewhere.
    """
    import shlex

    from certpin.cli.keyref import policies_for_step
    from certpin.pins import utc_now
    from certpin.rotation import Event

    files = RotationFiles(path)
    probes = ProbeOptions.without_probe(hosts)
    policies = policies_for_step(files.pins, probes, None)
    pin, now = backup.pin, utc_now()
    if pin is None:
        raise click.UsageError("say where to make the new key: --backup-key FILE")
    for policy in policies:
        _refuse_known(path, policy, pin)
    events = [
        Event(now, name_of(who), "generate", str(policy.pattern), pin, note=backup.note)
        for policy in policies
    ]
    with backup.written():
        files.commit(events)
    names = [str(policy.pattern) for policy in policies]
    stage_command = f"certpin rotate stage {shlex.quote(backup.place or str(pin))}"
    StepOutcome(
        "generate",
        path,
        names,
        pin,
        done=True,
        messages=[f"{pin} is GENERATED for {', '.join(names)}.", *backup.advice()],
        next_command=probes.next_command(stage_command, path, files.pins, policies, connects=False),
    ).show(ctx, as_json=as_json)


@click.command()
@click.argument("key", metavar="KEY | CSR | CERT | PIN | URI")
@pin_file_option
@host_option
@force_options
@who_option
@json_option
@click.pass_context
def stage(
    ctx: click.Context,
    key: str,
    path: Path,
    hosts: tuple[str, ...],
    force: ForceOptions,
    who: str | None,
    as_json: bool,
) -> None:
    """Put a key's pin into the draft: the pin file.

    Clients get it when the file is published. Refused for a key that was compromised or removed:
    such a key is never used again.
    """
    from certpin.cli.keyref import policies_for_step, resolve_key
    from certpin.pins import HostPin, utc_now
    from certpin.rotation import Event, check_step
    from certpin.rotation.journal import pin_state, require_transition

    files = RotationFiles(path)
    files.require_version()
    wanted, now = resolve_key(key), utc_now()
    pin, probes = wanted.pin, ProbeOptions.without_probe(hosts)
    policies = policies_for_step(files.pins, probes, None)
    violations: list[HostViolation] = []
    for policy in policies:
        situation = files.situation(policy, (), now)
        if situation.entry(pin) or pin not in situation.past.compromised:
            require_transition(pin, pin_state(situation, pin), "staged")
        violations += of_host(policy, check_step(situation, "stage", pin))
    names = [str(policy.pattern) for policy in policies]
    outcome = StepOutcome("stage", path, names, pin, violations=violations, forced=force.force)
    if not force.refuses(violations):
        reason = force.recorded_reason(violations)
        for name in names:
            files.editor.add_pin(name, HostPin(pin, "backup", "staged", wanted.note))
        files.commit(
            [
                Event(now, name_of(who), "stage", name, pin, note=wanted.note, reason=reason)
                for name in names
            ]
        )
        outcome.done = True
        outcome.messages = [f"{pin} is STAGED in {path} for {', '.join(names)}."]
        outcome.next_command = probes.next_command("certpin rotate publish", path, files.pins)
    outcome.show(ctx, as_json=as_json)


def _refuse_known(path: Path, policy: HostPolicy, pin: Pin) -> None:
    """Refuse a key if its pin is in the draft already: the journal would record it as new."""
    from certpin.errors import ConfigError

    if pin in {entry.pin for entry in policy.pins}:
        raise ConfigError(
            f"{pin} is in {path} already, at {policy.pattern}",
            key="pin",
            fix="a backup is a new key: --backup-key FILE makes one",
        )


@click.command()
@click.argument("key", metavar="KEY | URI")
@pin_file_option
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="Only this host (*.HOST too): the certificate is for it, and not for the hosts of the pin "
    "file that have this key. May be repeated.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A new file for the request (PEM). An existing file is not overwritten. By default it is "
    "printed.",
)
@json_option
def csr(key: str, path: Path, hosts: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Make a certificate request (CSR) for a key, so that it gets a certificate.

    KEY is the file of a private key, or the URI of one on a PKCS#11 token, which signs there. Give
    the request to your authority, or to your ACME client (--csr): without it, such a client makes
    a new key at each renewal, and no installed client accepts that key.

    Its names are those of --host, or the host of the pin file that has this key.
    """
    from certpin.cli.keyref import signer_of
    from certpin.x509 import printable
    from certpin.x509.signing import new_request

    with signer_of(key) as signer:
        pin = _signer_pin(signer)
        names = _given_names(hosts) if hosts else _names_in_pin_file(path, pin)
        request = new_request(signer, names)
    pem = _as_pem(request)
    if out:
        _write_new(out, pem)
    if as_json:
        print_json(
            {
                "pin": str(pin),
                "names": names,
                "file": str(out) if out else None,
                "request": pem,
            }
        )
    elif out:
        click.echo(
            f"The request for {', '.join(names)} is in {printable(str(out))}; its key is {pin}."
        )
    else:
        click.echo(pem, nl=False)


def _signer_pin(signer: Signer) -> Pin:
    from certpin.pins import Pin
    from certpin.x509.keys import public_key

    return Pin.of_key(public_key(signer.spki).spki_sha256)


def _given_names(hosts: tuple[str, ...]) -> list[str]:
    from certpin.pins import HostPattern

    return [_certificate_name(HostPattern.parse(host)) for host in hosts]


def _names_in_pin_file(path: Path, pin: Pin) -> list[str]:
    """Return the hosts of the policies with the pin; those of the only policy if none has it."""
    from certpin.pinfile import PinSet

    policies = PinSet.load(path).policies
    holding = [policy for policy in policies if pin in {entry.pin for entry in policy.pins}]
    chosen = holding or (policies if len(policies) == 1 else ())
    if not chosen:
        raise click.UsageError(
            "no host of the pin file has this key yet: name the hosts of the request, with --host"
        )
    return [_certificate_name(policy.pattern) for policy in chosen]


def _certificate_name(pattern: HostPattern) -> str:
    from certpin.errors import HostError

    if pattern.wildcard == "**.":
        raise HostError(
            f"no certificate is for {pattern}: its wildcard would cover names of any depth",
            fix=f"name them: --host {pattern.name} --host '*.{pattern.name}'",
        )
    return str(pattern)


def _as_pem(der: bytes) -> str:
    import ssl

    return ssl.DER_cert_to_PEM_cert(der).replace(*_PEM)


def _write_new(path: Path, pem: str) -> None:
    from certpin.errors import ConfigError
    from certpin.x509 import printable

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(pem)
    except OSError as exc:
        raise ConfigError(
            f"the request cannot be written to {printable(str(path))}: {exc.strerror}",
            key="--out",
            fix="name a file that does not exist yet, in a folder that does",
        ) from exc
