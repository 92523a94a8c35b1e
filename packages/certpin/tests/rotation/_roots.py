"""A host whose root changes, for tests of the anchors that the clients of each version trust.

The certificates are real, and so are the clients that verify them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.errors import UnverifiedChainError
from certpin.lab import Authority
from certpin.rotation import DeployedVersions, Sighting, Situation, Version
from certpin.tls import PinnedSSLContext
from certpin.x509 import Chain
from certpin.x509.certificate import read_certificates
from tests import kit
from tests.rotation._situations import DAY, HOST, PATTERN, TIMING
from tests.tls._handshakes import verdict_of

if TYPE_CHECKING:
    from certpin.lab import Identity
    from certpin.pins import HostPolicy, TrustAnchors

NOW = datetime.now(UTC)
OLD, NEW = Authority("Old"), Authority("New")
ISSUER = NEW.intermediate("Issuer")
CROSSED = Authority("New", issuer=OLD, key=NEW.key)  # the new root, signed by the old one
IDENTITY = ISSUER.issue(HOST)
TRUSTS = {
    "old": kit.anchors(OLD),
    "new": kit.anchors(NEW),
    "both": kit.anchors(OLD, NEW),
    "intermediate": kit.anchors(ISSUER),
    "other": kit.anchors(Authority("Other")),
}


def sent_with(*above: Authority, identity: Identity = IDENTITY) -> Identity:
    """Return the identity of a server that sends its leaf, and these authorities above it."""
    return replace(identity, chain=(identity.chain[0], *(each.x509 for each in above)))


def policy_with(trust: TrustAnchors | None) -> HostPolicy:
    return kit.policy(HOST, IDENTITY.pin, trust=trust)


def facts(
    identity: Identity, draft: TrustAnchors | None, *trusts: TrustAnchors | None, **fields: object
) -> Situation:
    """Return the facts about a host: a probe has verified its chain with the draft's anchors.

    Args:
        identity: the key of the server, with the chain that it sends.
        draft: the anchors of the draft.
        trusts: the anchors of versions 1, 2 and so on, which clients may hold.
        fields: other fields of ``Situation``.
    """
    served = Chain(read_certificates(identity.chain_pem))
    pins = kit.pin_set(policy_with(draft), version=len(trusts) + 1)
    out = [kit.pin_set(policy_with(each), version=n) for n, each in enumerate(trusts, 1)]
    versions = tuple(Version(each, fetched=NOW - DAY, clients=900) for each in out)
    seen = Sighting("server", path_of_client(identity, policy_with(draft)), served, host=HOST)
    known = Situation(pins, PATTERN, DeployedVersions(versions), (seen,), TIMING, NOW)
    return replace(known, **fields)  # type: ignore[arg-type]  # the fields of Situation


def path_of_client(identity: Identity, policy: HostPolicy, host: str = HOST) -> Chain | None:
    """Return the path that a real client with this policy verifies; None if it refuses it."""
    try:
        chain: Chain = verdict_of(PinnedSSLContext(kit.pin_set(policy)), identity, host).chain
    except UnverifiedChainError:
        return None
    return chain
