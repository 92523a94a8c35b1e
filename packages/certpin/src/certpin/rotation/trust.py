"""The trust anchors of each version, and the path that its clients verify in a served chain.

A version of the pin set may trust other anchors (``trust`` in the pin file) than the draft, the pin
file that would be published next: while a private root is replaced, some clients trust only the old
one. A probe verifies a served chain with the draft's anchors. What the clients of another version
verify in it follows from the certificates that the server sent, and from that version's anchors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.pins.certificate_names import name_matches
from certpin.rotation.faults import verified_path
from certpin.rotation.prospect import Prospect, trust_digest

if TYPE_CHECKING:
    from certpin.pins import HostPolicy
    from certpin.rotation.situation import Sighting, Situation
    from certpin.x509 import Chain


def presented_path(
    situation: Situation, sighting: Sighting, policy: HostPolicy | None
) -> Chain | None:
    """Return the path that clients with a policy verify in the chain that a server presents.

    If the policy trusts the anchors of the draft, that is the path that OpenSSL verified
    (``Sighting.chain``). It is also used if the certificates that the server sent are not known, or
    if the clients trust the platform's roots, and those are not known (``Situation.roots``).

    Args:
        situation: the facts about the host, with the draft.
        sighting: the result of probing a server.
        policy: a policy of a version that clients hold; ``None`` for clients without one.

    Returns:
        The path from leaf to trust anchor; ``None`` if the clients can verify none, or if it is
        unknown whether the certificate is for the name of the server.
    """
    served = sighting.served
    digest = trust_digest(policy)
    is_known = digest is not None or bool(situation.roots)
    if served is None or not is_known or digest == trust_digest(situation.policy):
        return sighting.chain
    # OpenSSL checks the name, too, but reports only the first fault that it finds.
    if sighting.chain is None and not _is_for_server(sighting, served):
        return None
    sent = Prospect(served.leaf, served.authorities, sent=True, roots=situation.roots)
    # A plan asks about later dates, at which the certificate will have been renewed.
    return verified_path(sent, policy, sighting.time or situation.now)


def is_verified_by_some(situation: Situation, sighting: Sighting) -> bool:
    """Return True if clients with the draft, or with a live version, verify a server's chain."""
    policies = [each for version in situation.alive for each in situation.policies_of(version)]
    known = [situation.policy, *policies]
    return any(presented_path(situation, sighting, policy) is not None for policy in known)


def _is_for_server(sighting: Sighting, served: Chain) -> bool:
    """Return True if the certificate is for the name with which the server was contacted."""
    try:
        return name_matches(sighting.host, served.leaf)
    except CertificateParseError:
        return False
