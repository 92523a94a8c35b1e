"""``certpin providers show``: list the providers with their roots, sources and last change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.options import json_option, provider_name
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.providers import Provider, ProviderRoot


@click.command()
@click.argument("names", nargs=-1, metavar="[PROVIDER]...", type=provider_name)
@json_option
def show(names: tuple[str, ...], as_json: bool) -> None:
    """List the providers with their roots, sources and last change.

    The status of a root: active if the newest release of certifi has it; removed if only older ones
    have it (devices keep it for years, so it stays in the set); pending if the provider publishes
    it, and no release of certifi has it yet.

    \b
    certpin providers show
    certpin providers show cloudflare --json

    Exit code 0: success. 2: wrong usage.
    """  # noqa: D301  # click reads the \b itself
    from certpin.providers import load_providers

    data = load_providers()
    chosen = [data.provider(name) for name in names] or list(data.providers.values())
    if as_json:
        found = [_provider_json(provider) for provider in chosen]
        print_json({"edition": data.edition.isoformat(), "providers": found})
        return
    click.echo(f"Provider data of {data.edition}. It is no promise of a provider.")
    for provider in chosen:
        click.echo()
        for line in _lines(provider):
            click.echo(fold(line, sys.stdout))


def _lines(provider: Provider) -> Iterator[str]:
    yield f"{provider.name}: {provider.title}, last change {provider.changed}"
    if provider.uses:
        yield f"  issued by {', '.join(provider.uses)}"
    for root in provider.roots:
        yield f"  {root.pin}  {root.name}, {_status(root)}"
    if provider.note:
        yield f"  {provider.note}"
    for source in provider.sources:
        dated = f" (of {source.dated})" if source.dated else ""
        yield f"  source: {source.url}{dated}, read on {source.looked_up}"


def _status(root: ProviderRoot) -> str:
    """Return text on a provider's root: its expiry, and if it is removed or still pending."""
    if root.removed:
        return f"until {root.not_after}, removed {root.removed}"
    return f"until {root.not_after}" + ("" if root.status == "active" else f", {root.status}")


def _provider_json(provider: Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "title": provider.title,
        "kind": provider.kind,
        "uses": list(provider.uses),
        "changed": provider.changed.isoformat(),
        "note": provider.note or None,
        "roots": [_root_json(root) for root in provider.roots],
        "sources": [
            {
                "url": source.url,
                "dated": source.dated.isoformat() if source.dated else None,
                "looked_up": source.looked_up.isoformat(),
            }
            for source in provider.sources
        ],
    }


def _root_json(root: ProviderRoot) -> dict[str, Any]:
    return {
        "pin": str(root.pin),
        "name": root.name,
        "not_after": root.not_after.isoformat(),
        "status": root.status,
        "removed": root.removed.isoformat() if root.removed else None,
        "certificate": root.certificate,
    }
