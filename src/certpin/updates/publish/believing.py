"""Whether clients would believe what is to be written: with their own steps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.exceptions import ExpiredMetadataError, RepositoryError

from certpin.errors import CertpinError, ConfigError
from certpin.updates import trust
from certpin.updates.publish.content import LIMITS, Content
from certpin.updates.refusals import as_update_error

if TYPE_CHECKING:
    from tuf.api.metadata import Root

    from certpin.updates.publish.desk import SigningPlan
    from certpin.updates.publish.signing import SigningResult


def verify_as_client(plan: SigningPlan, done: SigningResult) -> None:
    """Verify new files as a client would. Raises ``ConfigError`` if clients would refuse them."""
    try:
        root = _require_followed(plan, done)
        if "metadata/timestamp.json" in dict(done.site):
            _require_kept(plan, root, done)
    except Exception as exc:
        said = exc if isinstance(exc, CertpinError) else as_update_error(exc).problem
        raise ConfigError(
            f"nothing was written: clients would refuse it: {said}",
            fix="certpin publish status says what has ended, and whose keys renew it",
        ) from exc


def _require_followed(plan: SigningPlan, done: SigningResult) -> Root:
    """Return the newest root, after verifying the chain of all roots."""
    for path, data in done.site:
        if len(data) > LIMITS.of(path):
            raise RepositoryError(f"{path} has {len(data)} bytes; {LIMITS.of(path)} are taken")
    new = [data for path, data in done.site if path.endswith(".root.json")]
    files = [*plan.policy.state.root_files, *new]
    chain = trust.follow_roots(files[0], files[1:])
    if len(chain) != len(files):
        raise RepositoryError("a root does not follow the one before")
    return chain[-1]


def _require_kept(plan: SigningPlan, root: Root, done: SigningResult) -> None:
    current = plan.policy.state.current
    new = {path.removesuffix(".json").rpartition(".")[2]: data for path, data in done.site}
    before = current.verified.signed if current else trust.SignedMetadata(b"", b"", b"")
    signed = trust.SignedMetadata(
        dict(done.site)["metadata/timestamp.json"],
        new.get("snapshot", before.snapshot),
        new.get("targets", before.targets),
    )
    content = plan.content if "targets" in done.moved else current and Content.of(current)
    assert content is not None  # noqa: S101  # without one there is no timestamp
    verified = trust.verify_metadata(root, signed, content.pins.name, LIMITS)
    found = trust.verify_files(verified, content.files)
    if current is not None:
        same_root = current.verified.root == root.version
        trust.require_following(found.pins, current.pins, same_root=same_root)
    if verified.until <= plan.policy.now:
        raise ExpiredMetadataError(f"that was good until {verified.until:%Y-%m-%d %H:%M} UTC")
