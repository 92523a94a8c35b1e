"""The time to load a pin file, compared with ``tomllib`` on the same text."""

from __future__ import annotations

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import tomli

from certpin import Pin, PinSet
from tests.bench.paired import Figure, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOSTS = 10_000
_HEAD = 'schema = 1\nname = "bench"\nversion = 1\n'
_COMMENT = "# a line that says nothing\n"
_MEGABYTE = 1_000_000


def figures() -> Iterator[Figure]:
    """Measure a pin file of 10,000 hosts, and files that consist mostly of comments."""
    text = _HEAD + "".join(map(_host, range(_HOSTS)))
    with TemporaryDirectory(prefix="certpin-bench-") as folder:
        path = Path(folder) / "pins.toml"
        path.write_text(text, encoding="utf-8")
        name = f"PinSet.load of {_HOSTS:,} hosts / tomllib.loads"
        value = ratio(lambda: PinSet.load(path), lambda: tomllib.loads(text), rounds=15, warm_up=2)
        yield Figure(name, value, limit=0.8)
        alone = ratio(lambda: tomli.loads(text), lambda: tomllib.loads(text), rounds=15, warm_up=2)
        yield Figure("  beside it: tomli.loads / tomllib.loads", alone)
    one, two = (_host(0) + _host(1) + _comments(size) for size in (1, 2))
    value = ratio(
        lambda: PinSet.parse(_HEAD + two), lambda: PinSet.parse(_HEAD + one), rounds=15, warm_up=2
    )
    yield Figure("PinSet.parse of 2 MB of comments / of 1 MB", value, limit=2.5)


def _comments(megabytes: int) -> str:
    return _COMMENT * (megabytes * _MEGABYTE // len(_COMMENT))


def _host(number: int) -> str:
    """Return the TOML of a host with two pins, as ``certpin add`` writes it."""
    first, second = (Pin("sha256", (2 * number + n).to_bytes(31, "big") + b"\7") for n in (1, 2))
    return (
        f'\n[[host]]\nname = "h{number}.bank.example"\nmode = "enforce"\nmatch = "any"\n'
        f'expires = 2099-06-01\n\n[[host.pin]]\npin = "{first}"\nrole = "leaf"\n'
        f'state = "active"\n\n[[host.pin]]\npin = "{second}"\nrole = "backup"\n'
        f'state = "published"\n'
    )
