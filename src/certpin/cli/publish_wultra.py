"""``certpin publish wultra``: a signed fingerprint list, for apps with the Wultra SDKs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.options import json_option, pin_file_option, read_file
from certpin.cli.reply import print_json
from certpin.cli.screen import say

if TYPE_CHECKING:
    from certpin.updates.wultra import SignedList
    from certpin.x509 import Certificate
    from certpin.x509.signing import Signer


@click.command()
@click.option(
    "--key",
    required=True,
    metavar="FILE|URI",
    help="The private key that signs, P-256: a file, or the URI of one on a PKCS#11 token.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write the list; one that is there is replaced. By default it is printed.",
)
@click.option(
    "--certificate",
    "certificates",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="List this certificate (of a chain, the first one) instead of the pin file's. May be "
    "repeated.",
)
@click.option(
    "--public-key",
    "only_key",
    is_flag=True,
    help="Print the public key as the configuration of an SDK wants it, and sign nothing.",
)
@pin_file_option
@json_option
def wultra(
    key: str,
    out: Path | None,
    certificates: tuple[Path, ...],
    only_key: bool,
    path: Path,
    as_json: bool,
) -> None:
    """Sign a fingerprint list, for apps with the Wultra SDKs.

    \b
    certpin publish wultra --key wultra.key -o fingerprints.json
    certpin publish wultra --key wultra.key --certificate api.pem -o fingerprints.json
    certpin publish wultra --key wultra.key --public-key

    Such an app fetches a list of certificates and believes the entries that its key signed. Listed
    are the pins of whole certificates of the pin file (cert-sha256/…), each until its host's
    expires; or the certificates that you give, each until it ends. Each entry is verified after it
    was signed.

    The key is for nothing else: keep it off every server.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.keyref import signer_of
    from certpin.pinfile.writing import write_atomically

    with signer_of(key) as signer:
        if only_key:
            _tell_key(signer, as_json=as_json)
            return
        signed = _sign(signer, path, certificates)
    for loss in signed.losses:
        say("certpin: warning", str(loss))
    if out:
        write_atomically(out, signed.text)
    if as_json:
        print_json(_facts(signed, out))
    elif out:
        _tell(signed, out)
    else:
        click.echo(signed.text, nl=False)


def _sign(signer: Signer, path: Path, certificates: tuple[Path, ...]) -> SignedList:
    from certpin.pinfile import PinSet
    from certpin.pins import utc_now
    from certpin.updates.wultra import sign_certificates, sign_set

    if certificates:
        return sign_certificates(
            [first_certificate(each) for each in certificates], signer, utc_now()
        )
    return sign_set(PinSet.load(path), signer, utc_now())


def first_certificate(path: Path) -> Certificate:
    """The certificate of a file, or the first one of a chain. Raises ``InputError``."""
    from certpin.errors import CertificateParseError
    from certpin.x509 import Certificate, printable
    from certpin.x509.reader import read

    for item in read(read_file(path)):
        if isinstance(item, Certificate):
            return item
    raise CertificateParseError(
        f"there is no certificate in {printable(str(path))}",
        fix="give the server's certificate, as PEM or DER",
    )


def _tell_key(signer: Signer, *, as_json: bool) -> None:
    from certpin.updates.wultra.keys import for_sdk, require_p256
    from certpin.updates.wultra.sign import SignedList

    public = for_sdk(require_p256(signer))
    if as_json:
        print_json(_facts(SignedList("", public, ()), None))
    else:
        click.echo(public)


def _tell(signed: SignedList, out: Path) -> None:
    from certpin.cli.fingerprints import entry_facts
    from certpin.x509 import printable

    click.echo(f"Signed, in {printable(str(out))}:")
    for entry in signed.entries:
        facts = entry_facts(entry)
        click.echo(f"  {entry.name}  {facts['pin']}  until {facts['expires']}")
    click.echo(f"Public key, for the SDK's configuration: {signed.public_key}")


def _facts(signed: SignedList, out: Path | None) -> dict[str, Any]:
    from certpin.cli.fingerprints import entry_facts

    return {
        "file": str(out) if out else None,
        "public_key": signed.public_key,
        "entries": [entry_facts(entry) for entry in signed.entries],
        "losses": [
            {"aspect": loss.aspect, "host": loss.host or None, "problem": loss.problem}
            for loss in signed.losses
        ],
        "text": signed.text if signed.text and not out else None,
    }
