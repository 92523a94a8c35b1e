"""Find out if the place from which clients fetch has the signed timestamp and the newest root.

If not, a push is missing. An example is a daily job that signs and never pushes: all dates in
``publish/site`` are right, but the metadata that clients have expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.cli.choices import PROBE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.cli.publish.context import PublishContext
    from certpin.publish.state import FolderState

    # A file by its path and the largest number of bytes that is accepted; None if it is missing.
    Read = Callable[[str, int], bytes | None]


@dataclass(frozen=True)
class Delivery:
    """The comparison of the signed files with the files at the destination.

    Attributes:
        where: the URL or folder that was read; ``None`` if neither could be read.
        delivered: True if the destination has the signed timestamp and the newest root; ``None`` if
            no destination was read, or if nothing is signed and nothing is there.
        problem: the reason why ``delivered`` is not True. Empty if it is True, or if nothing is
            signed and nothing is known to be there.
        failed: True if a destination is set, and could not be read.
        ahead: True if the destination has a newer timestamp or root than this clone, or has a
            timestamp and this clone has none. Either this clone is out of date or damaged, or a key
            was stolen. A push does not replace the newer file.
    """

    where: str | None = None
    delivered: bool | None = None
    problem: str = ""
    failed: bool = False
    ahead: bool = False


def read_delivery(context: PublishContext, *, offline: bool) -> Delivery:
    """Read timestamp and root from the destination, and compare them with the signed files.

    The destination is ``url`` in ``publish.toml``. If ``url`` is not set or can't be read,
    ``fetch_url`` is read instead. It is the second choice, because a cache in front of it can
    return older files.

    Args:
        context: the pin file and the folder ``publish``.
        offline: True to read no destination.
    """
    from certpin.errors import ConfigError, UpdateError

    state = context.policy.state
    if state.root is None or (offline and state.current is None):
        return Delivery()
    if offline:
        return Delivery(problem="the destination was not read (--offline)")
    problem = "publish.toml has neither url nor fetch_url" if state.current else ""
    failed = False
    for where, open_reader in _readers(context):
        failed = True
        try:
            return _compare(context, where, open_reader())
        except (ConfigError, UpdateError) as exc:
            problem = f"{where} can't be read: {exc.problem}"
    return Delivery(problem=problem, failed=failed)


def _readers(context: PublishContext) -> Iterator[tuple[str, Callable[[], Read]]]:
    from certpin.publish.storage import open_storage

    settings, beside = context.policy.settings, context.folder.parent
    if settings.url is not None:
        url = settings.url
        yield url, lambda: open_storage(url, beside, settings.storage).read
    if settings.fetch_url is not None:
        yield settings.fetch_url, lambda: _https_reader(context)


def _compare(context: PublishContext, where: str, read: Read) -> Delivery:
    """Compare the signed timestamp and the newest root with the files at a destination.

    Args:
        context: the pin file and the folder ``publish``.
        where: the URL or folder of the destination.
        read: a function that reads a file there.

    Raises:
        UpdateError: the destination can't be read.
    """
    from certpin.publish.content import LIMITS
    from certpin.publish.remote_state import TIMESTAMP, root_path, signed_version

    state = context.policy.state
    current, root = state.current, state.root
    assert root is not None  # noqa: S101  # read_delivery checks it
    found = read(TIMESTAMP, LIMITS.timestamp)
    version = None if found is None else signed_version(root, found)
    has_next_root = read(root_path(root.version + 1), LIMITS.root) is not None
    name = "another timestamp" if version is None else f"timestamp {version}"
    there = "" if found is None else f"{name} is there"
    if problem := _newer(state, there, version, has_next_root=has_next_root):
        return Delivery(where, delivered=False, problem=problem, ahead=True)
    if current is None:
        return Delivery()
    if found is None:
        problem = "no timestamp is there"
    elif found != current.verified.signed.timestamp:
        assert state.timestamp is not None  # noqa: S101  # a signed set has one
        problem = f"{there}, and timestamp {state.timestamp.version} is signed"
    elif read(root_path(root.version), LIMITS.root) != state.root_files[-1]:
        problem = f"root {root.version} is not there"
    return Delivery(where, delivered=not problem, problem=problem)


def _newer(state: FolderState, there: str, version: int | None, *, has_next_root: bool) -> str:
    """Return an error text if a destination has newer files than this clone; else an empty text.

    Args:
        state: the contents of the folder ``publish/``, which has a root.
        there: a clause that names the timestamp at the destination; empty if there is none.
        version: the version of that timestamp; None if it has no valid signature.
        has_next_root: True if the destination has the root after that of this clone.
    """
    from certpin.publish.push import STOLEN

    assert state.root is not None  # noqa: S101  # the caller checks it
    newer = f"which is newer: get it (git pull); {STOLEN}"
    if has_next_root:
        return f"root {state.root.version + 1} is there, {newer}"
    if not there:
        return ""
    if state.current is None or state.timestamp is None:
        fix = "restore the committed files (git checkout), or get them (git pull)"
        return f"{there}, and publish/site has none: {fix}; {STOLEN}"
    is_newer = version is not None and version > state.timestamp.version
    return f"{there}, {newer}" if is_newer else ""


def _https_reader(context: PublishContext) -> Read:
    """Return a function that reads a file below ``fetch_url``, as clients do, but without pins.

    The function raises ``UpdateError`` if the server does not answer.
    """
    from http import HTTPStatus
    from http.client import HTTPException
    from urllib.parse import urlsplit

    from certpin.errors import UpdateError
    from certpin.probe import ContextCache
    from certpin.publish.storage import STORAGE
    from certpin.support.network import Deadline, exchange

    url = context.policy.settings.fetch_url
    assert url is not None  # noqa: S101  # _readers checks it
    policy = context.files.pins.policy_for(urlsplit(url).hostname or "")
    tls = ContextCache().get(policy.trust if policy else None)

    def read(path: str, max_bytes: int) -> bytes | None:
        deadline = Deadline(PROBE_SECONDS, PROBE_SECONDS)
        address = f"{url.rstrip('/')}/{path}"
        try:
            answer = exchange("GET", address, deadline, tls, max_bytes=max_bytes)
        except (OSError, HTTPException) as exc:
            raise UpdateError(str(exc) or type(exc).__name__, reason=STORAGE) from exc
        if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}:
            return None
        if answer.status != HTTPStatus.OK:
            raise UpdateError(f"the answer has status {answer.status}", reason=STORAGE)
        return answer.body

    return read
