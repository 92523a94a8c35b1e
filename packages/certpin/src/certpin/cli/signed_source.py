"""Checks the URL and the TUF root metadata that ``certpin export`` writes into an app.

From this URL the app fetches signed pin sets, and verifies them with this root. If the root is
unusable, the app gets no update before its next release, and reports no error. So this module
verifies the root, and checks that the Dart library supports the types of its keys and that the host
of the URL is pinned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from certpin.cli.extras import extra_needed
from certpin.errors import ConfigError
from certpin.formats import SignedSource
from certpin.updates.settings import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from tuf.api.metadata import Root

    from certpin.pins import PinSet


def signed_source(pins: PinSet, root: Path | None, url: str) -> SignedSource | None:
    """Check ``--signed-root`` and ``--signed-url``; return them as the app's source of pin sets.

    Args:
        pins: the exported pin set.
        root: the file of ``--signed-root``, the root metadata of ``certpin publish``.
        url: the value of ``--signed-url``.

    Returns:
        The source; None if neither option is given.

    Raises:
        ConfigError: an app could not use the URL or the root.
        click.UsageError: only one of the options is given.
    """
    if root is None and not url:
        return None
    if root is None or not url:
        raise click.UsageError("--signed-root and --signed-url must be used together")
    address = _pinned_address(pins, url)
    data = _read(root)
    _require_dart_keys(_verified(root, data, pins.name))
    return SignedSource(address, data)


def _pinned_address(pins: PinSet, url: str) -> str:
    """Return ``--signed-url`` with a final slash, if its host is pinned.

    Raises:
        ConfigError: no policy of the pin set covers the host.
    """
    from certpin.updates.settings import parse_folder_url

    parsed = parse_folder_url(url)
    if pins.policy_for(parsed.host) is None:
        raise ConfigError(
            f"no policy covers {parsed.host}, and apps fetch signed sets over pinned connections",
            key="--signed-url",
            fix=f"pin that server too: certpin add {parsed.host} --match leaf --backup-key FILE",
        )
    return url.rstrip("/") + "/"


def _read(root: Path) -> bytes:
    max_bytes = Limits().root
    with root.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise _refused(root, f"it has more than {max_bytes} bytes")
    return data


def _verified(path: Path, data: bytes, name: str) -> Root:
    with extra_needed("updates", "--signed-root"):
        from tuf.api.exceptions import RepositoryError

        from certpin.updates.trust import follow_roots
    try:
        [root] = follow_roots(data, (), name)
    except RepositoryError as exc:
        raise _refused(path, str(exc) or "it cannot be read") from exc
    return root


def _require_dart_keys(root: Root) -> None:
    from certpin.updates.trust import dart_shortage

    if problem := dart_shortage(root):
        raise ConfigError(
            problem,
            key="--signed-root",
            fix="sign with ECDSA keys on P-256 or P-384: certpin publish add-key",
        )


def _refused(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"{path} is not a valid self-signed root: {problem}",
        key="--signed-root",
        fix="name a published root: publish/site/metadata/1.root.json, or a later one",
    )
