"""What ``certpin publish init`` has made: the keys, the first root, and what still waits."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.reply import print_json
from certpin.cli.screen import fold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from certpin.cli.publishing import Office
    from certpin.cli.signing_keys import SigningKey
    from certpin.updates.publish.roots import Kind


def show(
    office: Office, keys: Mapping[Kind, Sequence[SigningKey]], why_not: str, *, as_json: bool
) -> None:
    """Print it: each key and where it is, what waits, and what to do next."""
    from certpin.cli.publishing import wait_facts, wait_words

    ready = office.desk.state.root is not None
    following = "certpin rotate publish" if ready else "certpin publish sign KEY"
    waits = office.waits
    if as_json:
        print_json(
            {
                "file": str(office.path),
                "url": office.desk.settings.url,
                "flutter": office.desk.settings.flutter,
                "keys": [_facts(kind, each) for kind, some in keys.items() for each in some],
                "ready": ready,
                "waits": [wait_facts(each) for each in waits],
                "next": following,
            }
        )
        return
    for kind, some in keys.items():
        for each in some:
            click.echo(fold(_told(kind, each), sys.stdout))
    root = office.folder / "site" / "metadata" / "1.root.json"
    if ready:
        click.echo(fold(f"The first root is {root}: apps bring it with them.", sys.stdout))
    for wait in waits:
        click.echo(fold(wait_words(wait), sys.stdout))
    if why_not:
        line = f"Flutter apps cannot follow it: {why_not}. So publish.toml says flutter = false."
        click.echo(fold(line, sys.stdout))
    click.echo(f"Next:  {following}")


def _facts(kind: str, key: SigningKey) -> dict[str, Any]:
    from certpin.cli.publishing import kind_of

    return {
        "role": kind,
        "key": key.key.keyid,
        "kind": kind_of(key.key),
        "place": key.place,
        "made": key.made,
    }


def _told(kind: str, key: SigningKey) -> str:
    from certpin.cli.publishing import kind_of

    made = "made now, " if key.made else ""
    bare = "" if key.sealed else ", NOT encrypted; see --ask-passphrase"
    held = "" if key.signer else ", which somebody else holds"
    return f"{kind}: {key.key.keyid} ({made}{kind_of(key.key)}{bare}) in {key.place}{held}"
