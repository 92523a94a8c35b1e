"""``--host``: which hosts of the pin file a command is for. It means the same in every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from certpin.pins import HostPolicy, PinSet

host_option: Callable[[Any], Any] = click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Only this host: a name of the pin file, or a host that a wildcard covers. A port picks "
    "its server at that port, if the command connects. May be repeated.",
)


def select_policies(pins: PinSet, hosts: Iterable[str]) -> dict[HostPolicy, list[tuple[str, int]]]:
    """Return the policies that ``--host`` selects, in the order of the file; all if it is absent.

    Each with the hosts that were named for it, and their ports; 0 is for none. A name as it is
    written in the pin file, such as ``*.bank.example``, selects its policy and names no host.
    Raises ``HostError``, and ``click.UsageError`` if no policy covers a host.
    """
    from certpin.pins import HostPattern
    from certpin.pins.servers import split_address

    chosen: dict[HostPolicy, list[tuple[str, int]]] = {}
    for text in hosts:
        if text.startswith("*"):
            pattern = HostPattern.parse(text)
            policy = next((each for each in pins.policies if each.pattern == pattern), None)
            named = []
        else:
            host, port = split_address(text, 0)
            policy, named = pins.policy_for(host), [(host, port)]
        if policy is None:
            raise click.UsageError(f"--host {text}: no policy of the pin file covers it")
        chosen.setdefault(policy, []).extend(named)
    return {
        policy: chosen.get(policy, []) for policy in pins.policies if policy in chosen or not chosen
    }
