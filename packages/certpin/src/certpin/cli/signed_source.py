"""What an exported app begins with that follows signed sets: an address and a root, both tried.

An app that brings a root which it cannot follow is an app that gets no update before its next
release, and nobody sees it. So the root is verified, its keys have to be such that Dart knows them,
and the server of the updates has to be pinned itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from certpin.errors import ConfigError
from certpin.formats import SignedSource
from certpin.updates.settings import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from tuf.api.metadata import Root

    from certpin.pins import PinSet


def signed_source(pins: PinSet, root: Path | None, url: str) -> SignedSource | None:
    """The source that both options name; ``None`` where neither is given.

    Raises ``ConfigError`` where no app could follow it, ``click.UsageError`` on half of one.
    """
    if root is None and not url:
        return None
    if root is None or not url:
        raise click.UsageError("--signed-root and --signed-url belong together")
    address = _pinned(pins, url)
    data = _read(root)
    _require_keys(_verified(root, data))
    return SignedSource(address, data)


def _pinned(pins: PinSet, url: str) -> str:
    """The address, with a slash at its end."""
    from certpin.updates.settings import parse_address

    parsed = parse_address(url)
    if pins.policy_for(parsed.host) is None:
        raise ConfigError(
            f"no policy covers {parsed.host}, and apps fetch signed sets over pinned connections",
            key="--signed-url",
            fix=f"pin that server too: certpin add {parsed.host} --match leaf",
        )
    return url.rstrip("/") + "/"


def _read(root: Path) -> bytes:
    most = Limits().root
    with root.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise _refused(root, f"it has more than {most} bytes")
    return data


def _verified(path: Path, data: bytes) -> Root:
    try:
        from tuf.api.exceptions import RepositoryError

        from certpin.updates.trust import follow_roots
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"a root is verified with {exc.name}, which is missing",
            fix="pip install 'certpin[updates]'",
        ) from exc
    try:
        [root] = follow_roots(data, ())
    except RepositoryError as exc:
        raise _refused(path, str(exc) or "it cannot be read") from exc
    return root


def _require_keys(root: Root) -> None:
    from certpin.updates.trust import dart_shortage

    if problem := dart_shortage(root):
        raise ConfigError(
            problem,
            key="--signed-root",
            fix="sign with ECDSA keys on P-256 or P-384: certpin publish add-key",
        )


def _refused(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"{path} is no root that signs itself: {problem}",
        key="--signed-root",
        fix="name a root that was published: publish/site/metadata/1.root.json, or a later one",
    )
