"""The states COMPROMISED and LOST that a pin file lacks, although the journal records them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from certpin.lab import Authority
from certpin.pins import HostPin, pins_of
from certpin.rotation import Event, History
from certpin.rotation.marks import missing_marks
from certpin.x509 import Certificate
from tests import kit
from tests.rotation._situations import DAY, HOST, NOW, pin, pin_set

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import Match, Pin, State, TrustAnchors
    from certpin.rotation.journal import StepName

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
MATCHES: tuple[Match, ...] = ("any", "leaf", "ca")


def publish(
    number: int, states: dict[str, State], *, at: datetime = NOW, trust: TrustAnchors | None = None
) -> Event:
    return Event(at, "ada", "publish", version=number, pins=pin_set(states, number, trust=trust))


FIRST = publish(1, AB)
SECOND = publish(2, ABC, at=NOW + DAY)


def step(
    name: StepName, key: Pin, *, host: str = HOST, note: str = "", at: datetime = NOW + 2 * DAY
) -> Event:
    return Event(at, "ben", name, host, key, note=note)


def marks(
    *events: Event,
    states: dict[str, State] = AB,
    **fields: Any,
) -> list[HostPin]:
    """Return the missing marks of a pin file with one policy, which has pins in these states.

    ``fields`` are other fields of the policy.
    """
    draft = pin_set(states, **fields)
    return [entry for _, entry in missing_marks(draft, History(events))]


def test_a_stolen_and_a_lost_key_get_their_states() -> None:
    steps: list[tuple[StepName, State]] = [("compromise", "compromised"), ("lose", "lost")]
    for name, state in steps:
        (entry,) = marks(FIRST, SECOND, step(name, pin("c")), states=ABC)
        assert (entry.pin, entry.role, entry.state) == (pin("c"), "backup", state)


def test_a_stolen_key_of_a_server_has_the_role_of_one() -> None:
    """Clients refuse no certificate below it. With ``match = "ca"``, the role stays."""
    theft = step("compromise", pin("c"), note="key file c.key")
    roles = [marks(FIRST, SECOND, theft, states=ABC, match=match)[0].role for match in MATCHES]
    assert roles == ["leaf", "leaf", "backup"]
    assert marks(FIRST, SECOND, theft)[0].role == "leaf"  # its entry was deleted


def test_a_pin_of_the_same_key_gets_its_state() -> None:
    """The journal has an observation of the certificate, from any time and host."""
    _, certificate = pair = pins_of(Certificate(b"the leaf", b"c"))
    draft = pin_set(ABC)
    (policy,) = draft.policies
    entry = HostPin(certificate, "backup", "published")
    draft = replace(draft, policies=(replace(policy, pins=(*policy.pins, entry)),))
    steps: list[tuple[StepName, State]] = [("compromise", "compromised"), ("lose", "lost")]
    seen = replace(step("observe", pair[0], host="other.example"), server="192.0.2.1:443")
    for name, state in steps:
        events = (FIRST, step(name, pin("c"), note="key file c.key"))
        found = missing_marks(draft, History((*events, replace(seen, certificate=certificate))))
        assert [(each.pin, each.state) for _, each in found] == [
            (pin("c"), state),
            (certificate, state),
        ]
        roles = {each.role for _, each in found}
        assert roles == ({"leaf"} if state == "compromised" else {"backup"})
        assert [each.pin for _, each in missing_marks(draft, History((*events, seen)))] == [
            pin("c")
        ], "an older certpin has recorded no certificate"


def test_without_a_version_nothing_is_marked() -> None:
    """Clients may hold the pin file as it is."""
    assert marks(step("compromise", pin("a"))) == []


def test_the_last_two_pins_stay() -> None:
    """An enforcing policy needs two. The mark follows with another backup."""
    theft = step("compromise", pin("a"))
    assert marks(FIRST, theft) == []
    assert [entry.pin for entry in marks(FIRST, theft, states=ABC)] == [pin("a")]


def test_the_last_pin_of_a_policy_that_only_reports_stays() -> None:
    """No command reads a pin file without a pin that could match."""
    theft = step("compromise", pin("a"))
    last: dict[str, State] = {"a": "active", "b": "removed"}
    assert marks(FIRST, theft, states=last, mode="report") == []
    assert [entry.pin for entry in marks(FIRST, theft, mode="report")] == [pin("a")]


def test_a_stolen_key_that_the_file_does_not_have_any_more_is_a_missing_mark() -> None:
    """A published version has had it, so that clients with other pins may accept it."""
    theft = step("compromise", pin("c"), host="other.example")
    for match in MATCHES:
        (entry,) = marks(FIRST, SECOND, theft, match=match)
        assert (entry.pin, entry.state) == (pin("c"), "compromised")
    assert marks(FIRST, SECOND, theft, states={**AB, "c": "compromised"}) == []
    assert marks(FIRST, theft) == []  # the host never had it


def test_a_mark_that_never_went_out_is_needed_if_clients_compare_authorities() -> None:
    """Clients that compare only leaves accept no path through it, unless they trust its root."""
    theft = step("compromise", pin("c"))
    (entry,) = marks(FIRST, theft)
    assert (entry.pin, entry.role, entry.state) == (pin("c"), "intermediate", "compromised")
    (entry,) = marks(FIRST, replace(theft, note="key file c.key"), match="ca")
    assert (entry.role, entry.note) == ("leaf", "key file c.key")
    assert marks(FIRST, theft, match="leaf") == []
    root, other = Authority("Root"), Authority("Other root")
    theft = step("compromise", root.pin)
    found = [marks(FIRST, theft, match="leaf", trust=kit.anchors(each)) for each in (root, other)]
    assert [[entry.pin for entry in each] for each in found] == [[root.pin], []]


def test_a_stolen_root_has_the_role_of_an_authority_although_an_older_journal_has_a_note() -> None:
    """The pin file trusts it, or a published version did. The note says that it is a server's."""
    root = Authority("Root")
    theft = step("compromise", root.pin, note="key file root.key")
    trust = kit.anchors(root)
    trusted = publish(1, AB, trust=trust)
    for first, draft in ((FIRST, trust), (trusted, None), (trusted, trust)):
        (entry,) = marks(first, theft, trust=draft)
        assert (entry.pin, entry.role, entry.state) == (root.pin, "intermediate", "compromised")
    assert [entry.role for entry in marks(FIRST, theft)] == ["leaf"]


def test_the_pinned_backup_of_a_stolen_root_does_not_become_a_servers() -> None:
    root = Authority("Root")
    theft = step("compromise", root.pin, note="key file root.key")
    backup = HostPin(root.pin, "backup", "published")
    draft = pin_set(ABC, trust=kit.anchors(root))
    (policy,) = draft.policies
    draft = replace(draft, policies=(replace(policy, pins=(*policy.pins, backup)),))
    [(_, entry)] = missing_marks(draft, History((FIRST, theft)))
    assert (entry.role, entry.state) == ("backup", "compromised")


def test_a_lost_key_needs_no_entry() -> None:
    """No attacker has it, and the next version accepts it no more."""
    assert marks(FIRST, SECOND, step("lose", pin("c"))) == []
