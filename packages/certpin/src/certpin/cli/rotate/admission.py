"""Decide whether cert-manager is allowed to order a certificate, by the rotation gate and the CSR.

The gate allows servers to use a key only if all clients accept it. ``decide`` is a function of an
AdmissionReview (``admission.k8s.io/v1``), the pin file, its journal and the time. ``decide`` allows
a ``CertificateRequest`` only if the gate accepts the key and has nothing to write, for example
because the key is ACTIVE already. The reason is that an admission webhook has no side effects, so
it can't record that servers begin to use a key. A request that can't be judged is refused
(docs/decisions, number 70).

Only the CSR is known at that time. If the user gives the chain of an issuer, the authorities above
the key are known, too.
"""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from certpin.cli.named_key import dropped_policies, policies_of_name
from certpin.cli.rotate.steps import format_violation
from certpin.errors import CertificateParseError, ConfigError, InputError
from certpin.pins import Pin
from certpin.rotation import AdoptionDelays, Prospect, Situation, check_step
from certpin.rotation.prospect import stand_in
from certpin.rotation.rules import refused_by_version
from certpin.rotation.situation import CLOCK_TOLERANCE
from certpin.support.text import one_line, printable
from certpin.x509.request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from certpin.pins import HostPolicy, PinSet
    from certpin.rotation import History, Violation
    from certpin.x509 import Certificate

# The command that records that servers may use a key. It is named only here.
GATE_COMMAND = "certpin rotate switch"

_REVIEW = ("admission.k8s.io/v1", "AdmissionReview")
_GROUP, _VERSION, _KIND = "cert-manager.io", "v1", "CertificateRequest"
_MAX_UID = 256  # characters; Kubernetes writes a UUID
_MAX_MESSAGE = 4096  # characters of an answer: clients of Kubernetes print it on a terminal
_AUTHORITIES = {"intermediate", "root"}


@dataclass(frozen=True)
class AdmissionRequest:
    """The parts of an AdmissionReview that a decision depends on. All of them may be hostile.

    Attributes:
        uid: the ID of the request, which the answer repeats.
        kind: the group, version and kind of the object, joined by slashes.
        operation: the change of the object, such as ``CREATE``, ``UPDATE`` or ``DELETE``.
        namespace: the namespace of the object.
        name: the name of the object in its namespace.
        new: the object; empty for ``DELETE``.
        old: the object before an ``UPDATE``; empty otherwise.
    """

    uid: str
    kind: str
    operation: str
    namespace: str
    name: str
    new: dict[str, Any] = field(default_factory=dict)
    old: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GateFacts:
    """The data by which an admission request is decided: pin file, rotation journal, time and more.

    Attributes:
        pins: the content of the pin file.
        history: the content of the journal.
        issuers: the chains above a new certificate, by the name of the cert-manager issuer
            (``issuer_names``). Each chain begins with the certificate that signs.
        roots: the root certificates, as DER, that clients with the platform's trust store trust.
        now: the time of this machine, with a zone.
    """

    pins: PinSet
    history: History
    issuers: Mapping[str, Sequence[tuple[Certificate, ...]]]
    roots: tuple[bytes, ...]
    now: datetime


@dataclass(frozen=True)
class Decision:
    """The answer to an admission request: whether it is allowed, and the reason as text.

    ``code`` is the HTTP status that the API server gives to its client if the request is refused.
    """

    allowed: bool
    reason: str
    code: int = 200


def parse_review(body: bytes) -> AdmissionRequest:
    """Return the request in an AdmissionReview, the JSON body that the API server sends.

    Raises:
        InputError: the body is no AdmissionReview of ``admission.k8s.io/v1`` with a request and a
            UID. The API server accepts no answer without the UID.
    """
    try:
        review = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise InputError("the body is not JSON") from exc
    review = _table(review)
    if (review.get("apiVersion"), review.get("kind")) != _REVIEW:
        raise InputError("the body is no AdmissionReview of admission.k8s.io/v1")
    request = _table(review.get("request"))
    uid = _text(request, "uid")
    if not 0 < len(uid) <= _MAX_UID:
        raise InputError("the request has no uid")
    kind = _table(request.get("kind"))
    return AdmissionRequest(
        uid,
        "/".join(_text(kind, part) for part in ("group", "version", "kind")),
        _text(request, "operation"),
        _text(request, "namespace"),
        _text(request, "name"),
        _table(request.get("object")),
        _table(request.get("oldObject")),
    )


def review_json(uid: str, decision: Decision) -> dict[str, Any]:
    """Return the AdmissionReview, as JSON, that answers the request with this UID by a decision."""
    answer: dict[str, Any] = {"uid": uid, "allowed": decision.allowed}
    if not decision.allowed:
        reason = "Forbidden" if decision.code == 403 else "InternalError"
        message = f"certpin: {decision.reason}"[:_MAX_MESSAGE]
        answer["status"] = {"code": decision.code, "reason": reason, "message": message}
    return {"apiVersion": _REVIEW[0], "kind": _REVIEW[1], "response": answer}


def decide(request: AdmissionRequest, facts: GateFacts) -> Decision:
    """Decide whether an admission request is allowed.

    ``facts`` has the pin file, the journal and the time. Allowed are a ``DELETE``, and an
    ``UPDATE`` that doesn't change the object's ``spec``, because neither lets a new key be
    certified. Kinds other than ``CertificateRequest``, and other operations, are refused.
    """
    if request.kind != f"{_GROUP}/{_VERSION}/{_KIND}":
        return _refused(
            f"only {_KIND} of {_GROUP}/{_VERSION} can be judged, not {request.kind!r}; "
            "fix: correct the rules of the ValidatingWebhookConfiguration"
        )
    spec = _table(request.new.get("spec"))
    is_unchanged = bool(spec) and spec == _table(request.old.get("spec"))
    if request.operation == "DELETE" or (request.operation == "UPDATE" and is_unchanged):
        return Decision(allowed=True, reason="no key is certified by this")
    if request.operation not in {"CREATE", "UPDATE"}:
        return _refused(f"the operation {request.operation!r} can't be judged")
    try:
        return _judged(request, facts)
    except CertificateParseError as exc:
        return _refused(f"spec.request can't be read: {exc.problem}")
    except ConfigError as exc:
        return _refused(f"{exc.problem}; fix: {exc.fix}")


def _judged(request: AdmissionRequest, facts: GateFacts) -> Decision:
    """Return the decision about a request: whether servers may use the key of its CSR.

    ``facts`` has the pin file, the journal and the time.

    Raises:
        CertificateParseError: the request has no CSR that can be read.
        ConfigError: this machine's clock differs too much from the API server's clock, or is too
            far behind the newest entry of the journal.
    """
    text = _text(_table(request.new.get("spec")), "request")
    if not text:
        raise CertificateParseError("it is missing: there is no CSR to judge")
    try:
        pem = base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise CertificateParseError("it is not base64") from exc
    signing = read_request(pem)
    pin = Pin.of_key(signing.key.spki_sha256)
    key = stand_in(pin)
    issuers = issuer_names(request)
    chains = [chain for name in issuers for chain in facts.issuers.get(name, ())]
    prospects = [
        Prospect(key, chain, issued=False, sent=True, roots=facts.roots) for chain in chains
    ]
    now = _time_of(request, facts)
    given = tuple(prospects) or (Prospect(key),)
    return _Judgement(facts, now, pin, signing.names, given, issuers[0]).decision()


def issuer_names(request: AdmissionRequest) -> tuple[str, ...]:
    """Return the possible names of a request's issuer, the keys of ``GateFacts.issuers``.

    A name is ``ClusterIssuer/NAME`` or ``Issuer/NAMESPACE/NAME``. An external issuer gets both
    forms, with ``KIND.GROUP`` as its kind, because only the cluster knows whether it has a
    namespace.
    """
    reference = _table(_table(request.new.get("spec")).get("issuerRef"))
    kind, name = _text(reference, "kind") or "Issuer", _text(reference, "name")
    group = _text(reference, "group") or _GROUP
    if group != _GROUP:
        kind = f"{kind}.{group}"
    in_cluster, in_namespace = f"{kind}/{name}", f"{kind}/{request.namespace}/{name}"
    if kind in {"ClusterIssuer", "Issuer"}:
        return (in_cluster,) if kind == "ClusterIssuer" else (in_namespace,)
    return (in_cluster, in_namespace)


@dataclass(frozen=True)
class _Judgement:
    """Checks whether servers may use the key of a CSR, at every host that the CSR names.

    Attributes:
        facts: the pin file, the rotation journal and the roots.
        now: the time for which the request is judged.
        pin: the pin of the key.
        names: the host names in the CSR.
        prospects: the chains that servers may present with this key.
        issuer: the name of the request's issuer, as in ``--issuer-chain``.
    """

    facts: GateFacts
    now: datetime
    pin: Pin
    names: tuple[str, ...]
    prospects: tuple[Prospect, ...]
    issuer: str

    def decision(self) -> Decision:
        pins = self.facts.pins
        chosen = {policy for name in self.names for policy in policies_of_name(name, pins)}
        policies = [policy for policy in pins.policies if policy in chosen]
        if self._is_compromised():
            return _refused(f"{self.pin} is COMPROMISED: an attacker may have its key")
        found = [
            *(each for policy in policies for each in self._of_policy(policy)),
            *self._of_dropped_hosts(policies),
        ]
        if found:
            return _refused("; ".join(dict.fromkeys(found)))
        if not policies:
            return Decision(allowed=True, reason="no client has pins for a host of this request")
        unpinned = [str(each.pattern) for each in policies if self._situation(each).is_unpinned]
        if unpinned:
            reason = (
                f"no recorded pins refuse {self.pin}, but no version that clients may hold has "
                f"{', '.join(unpinned)}"
            )
            return Decision(allowed=True, reason=reason)
        hosts = ", ".join(str(policy.pattern) for policy in policies)
        return Decision(allowed=True, reason=f"every client of {hosts} accepts {self.pin}")

    def _is_compromised(self) -> bool:
        if any(self.pin in policy.compromised for policy in self.facts.pins.policies):
            return True
        pattern = self.facts.pins.policies[0].pattern
        return self.pin in self.facts.history.past(pattern).all_compromised

    def _of_policy(self, policy: HostPolicy) -> Iterator[str]:
        """Yield each reason why servers of one host must not use the key of the CSR yet.

        The reasons are: the pin file has the key as that of an authority; clients of the host would
        refuse the key; or the key needs a pin, and the pin file doesn't record it as ACTIVE.
        """
        situation = self._situation(policy)
        entry = situation.entry(self.pin)
        if entry is not None and entry.role in _AUTHORITIES:
            yield f"{policy.pattern}: {self.pin} is an authority's key: no server may use it"
            return
        violations = check_step(situation, "activate", self.pin, self.prospects)
        for violation in violations:
            yield f"{policy.pattern}: {one_line(format_violation(self._with_own_fix(violation)))}"
        # If only authorities are compared, the pin of a leaf has no effect.
        unrecorded = entry is not None and entry.state != "active" and policy.match != "ca"
        if entry is not None and unrecorded and not violations:
            yield (
                f"{policy.pattern}: every client accepts {self.pin}, but it is "
                f"{entry.state.upper()} and not ACTIVE; fix: {GATE_COMMAND} {self.pin}, then give "
                "the webhook the new pin file and journal"
            )

    def _with_own_fix(self, violation: Violation) -> Violation:
        """Return ``violation``, with the webhook's fix if the chain above the key is unknown.

        The usual fix is to give the file of the chain. A webhook gets no such file, so its fix is
        the option ``--issuer-chain``. Other violations are returned unchanged.
        """
        if violation.invariant != "open-chain":
            return violation
        fix = (
            "give the webhook the certificates with which the issuer signs, up to the root: "
            f"--issuer-chain {shlex.quote(self.issuer)}=FILE"
        )
        return replace(violation, fix=fix)

    def _of_dropped_hosts(self, policies: Sequence[HostPolicy]) -> Iterator[str]:
        """Yield each reason to refuse the key at a host that was removed from the pin file.

        Clients that still hold an earlier version of the pin set have pins for such a host.

        Args:
            policies: the policies of the pin file for names of the CSR. ``_of_policy`` judges their
                hosts, so they are left out here.
        """
        situation = self._situation(self.facts.pins.policies[0])
        situations = [self._situation(policy) for policy in policies]
        for name in self.names:
            dropped = dropped_policies(name, situations, situation.alive)
            violation = refused_by_version(situation, dropped, name, self.prospects)
            if violation is not None:
                yield f"{name}: {one_line(format_violation(violation))}"

    def _situation(self, policy: HostPolicy) -> Situation:
        history = self.facts.history
        timing = history.timing or AdoptionDelays()
        past = history.past(policy.pattern)
        return Situation(
            self.facts.pins, policy.pattern, history.deployed, (), timing, self.now, past
        )


def _time_of(request: AdmissionRequest, facts: GateFacts) -> datetime:
    """Return the time for which a request is judged: the earlier of two times.

    The first one is the time of this machine. The second one is the creation time of the object,
    which the API server has set; if it is missing, the time of the newest entry in the journal. Two
    clocks are used, because with a single clock that is ahead, a version of the pin set would count
    as unused while clients still hold it. ``facts`` has the pin file, the journal and the time.

    Raises:
        ConfigError: this machine's clock differs by more than 5 minutes from the API server's, or
            is more than 5 minutes behind the newest entry of the journal.
    """
    events, now = facts.history.events, facts.now
    newest = events[-1].time if events else now
    if newest - now > CLOCK_TOLERANCE:
        raise ConfigError(
            "the clock of the webhook is behind the journal", key="clock", fix="set the clock"
        )
    created = _created(request)
    if created is None:
        return min(newest, now)
    if abs(created - now) > CLOCK_TOLERANCE:
        raise ConfigError(
            "the clocks of the webhook and of the API server differ by more than 5 minutes",
            key="clock",
            fix="set both clocks",
        )
    return min(created, now)


def _created(request: AdmissionRequest) -> datetime | None:
    """Return when the API server created the object of a ``CREATE`` request.

    Return ``None`` if that is unknown, or for any other request.
    """
    metadata = _table(request.new.get("metadata"))
    text = _text(metadata, "creationTimestamp") if request.operation == "CREATE" else ""
    try:
        created = datetime.fromisoformat(text)
    except ValueError:
        return None
    return created if created.tzinfo else None


def _refused(reason: str) -> Decision:
    return Decision(allowed=False, reason=printable(reason), code=403)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) else ""
