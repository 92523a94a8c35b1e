"""The message of a refusal (rule 12): a support engineer can act on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from certpin.errors import PinError
from certpin.lab import Authority
from certpin.pins import HostPin, HostPolicy, Pin, TrustAnchors, pins_of, verify
from certpin.pins.hosts import HostServer
from certpin.pins.verdict import advice, explain
from certpin.x509 import Certificate, Chain, name_of
from tests import kit
from tests.x509._tree import changed, parse, with_content

if TYPE_CHECKING:
    from certpin.pins import Role, State

NOW = datetime(2027, 6, 1, tzinfo=UTC)
HOST = "api.bank.example"

ROOT = Authority("Explain Root")
BELOW = ROOT.intermediate("Explain Intermediate")
LEAF = BELOW.issue(HOST).certificate
CHAIN = Chain((LEAF, BELOW.certificate, ROOT.certificate))
OTHER_ROOT = Authority("Another Root")


def _refusal(policy: HostPolicy, chain: Chain | None = CHAIN) -> PinError:
    with pytest.raises(PinError) as caught:
        verify(chain, policy, NOW).raise_for_refusal(HOST)
    return caught.value


def _policy(*entries: HostPin, **fields: Any) -> HostPolicy:
    backup = HostPin(kit.NOBODY, "backup", "published", note="in the safe")
    return HostPolicy(kit.policy("**.bank.example").pattern, (*entries, backup), **fields)


def _other(role: Role = "leaf", state: State = "active") -> HostPin:
    return HostPin(OTHER_ROOT.pin, role, state)


def test_a_refusal_names_the_host_and_the_policy() -> None:
    text = str(_refusal(_policy(_other(), match="leaf")))
    assert HOST in text
    assert "'**.bank.example' (mode enforce, match leaf)" in text
    assert "no certificate of its verified chain is pinned" in text


def test_a_refusal_names_every_certificate_of_the_path_leaf_first() -> None:
    text = str(_refusal(_policy(_other())))
    lines = [f"{pins_of(each)[0]}  {each.subject}" for each in CHAIN.certificates]
    places = [text.index(line) for line in lines]
    assert places == sorted(places)
    assert "CN=Explain Root" in text


def test_a_refusal_names_every_pin_with_role_state_and_note() -> None:
    text = str(_refusal(_policy(_other("root", "retiring"))))
    assert f"{OTHER_ROOT.pin}  root, retiring\n" in text
    assert f"{kit.NOBODY}  backup, published  (in the safe)" in text


def test_a_note_stays_on_its_line() -> None:
    entry = HostPin(kit.NOBODY_ELSE, note="safe\n  pinned:\x1b[2J")
    assert r"(safe\n  pinned:\x1b[2J)" in str(_refusal(_policy(entry)))


def test_fingerprints_of_the_path_are_named_where_fingerprints_are_pinned() -> None:
    whole = pins_of(OTHER_ROOT.certificate)[1]
    fingerprints = [str(pins_of(each)[1]) for each in CHAIN.certificates]
    text = str(_refusal(_policy(HostPin(whole))))
    assert all(each in text for each in fingerprints)
    text = str(_refusal(_policy(_other())))
    assert not any(each in text for each in fingerprints)


def test_a_refusal_says_what_to_do() -> None:
    error = _refusal(_policy(_other()))
    assert str(error).endswith(f"fix: {error.fix}")


def test_another_key_may_be_a_renewal_or_an_attack() -> None:
    fix = _refusal(_policy(_other())).fix
    assert fix.index("install a certificate for a pinned key again") < fix.index("ship a pin set")
    assert "changed on purpose" in fix
    assert f"an attacker intercepts your connection to {HOST}" in fix
    assert f"certpin pin {HOST}" in fix


def test_the_command_to_compare_has_the_port_of_the_pin_file() -> None:
    fix = _refusal(_policy(_other(), servers=(HostServer("192.0.2.7", 8443),))).fix
    assert fix.endswith(f"certpin pin {HOST}:8443 --connect 192.0.2.7")


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (HostServer(HOST, 443), ""),
        (HostServer("2001:db8::1", 443), " --connect '[2001:db8::1]'"),
        (HostServer(port=443, starttls="smtp"), ":443 --starttls smtp"),
        (
            HostServer("mx.bank.example", starttls="smtp"),
            " --connect mx.bank.example --starttls smtp",
        ),
    ],
)
def test_the_command_to_compare_contacts_the_same_server(server: HostServer, words: str) -> None:
    policy = _policy(_other(), servers=(HostServer(port=1), HostServer(port=2)))
    assert advice(verify(CHAIN, policy, NOW), HOST, server).endswith(f"certpin pin {HOST}{words}")


def test_the_command_to_compare_contacts_each_server_if_the_used_one_is_unknown() -> None:
    servers = (HostServer(port=8443), HostServer(port=9443))
    fix = _refusal(_policy(_other(), servers=servers)).fix
    assert fix.endswith(f"Compare from another network: certpin check --host {HOST}")


@pytest.mark.parametrize(
    ("servers", "port", "words"),
    [
        ((), 8443, f"pin {HOST}:8443"),
        ((), 443, f"pin {HOST}"),
        ((), 0, f"pin {HOST}"),
        ((HostServer(port=9443),), 0, f"pin {HOST}:9443"),
        ((HostServer(port=9443),), 8443, f"pin {HOST}:8443"),  # that of 9443 proves nothing
        ((HostServer("192.0.2.7"),), 443, f"pin {HOST} --connect 192.0.2.7"),
        ((HostServer(starttls="smtp"),), 443, f"pin {HOST}"),
        ((HostServer(port=9443), HostServer(port=8443)), 8443, f"pin {HOST}:8443"),
        ((HostServer("192.0.2.7"), HostServer("192.0.2.8")), 443, f"check --host {HOST}"),
    ],
)
def test_the_command_to_compare_contacts_the_port_of_the_request(
    servers: tuple[HostServer, ...], port: int, words: str
) -> None:
    verdict = verify(CHAIN, _policy(_other(), servers=servers), NOW)
    with pytest.raises(PinError) as caught:
        verdict.raise_for_refusal(HOST, port)
    assert caught.value.fix.endswith(f"Compare from another network: certpin {words}")


def test_the_command_to_compare_trusts_the_authorities_of_the_pin_file() -> None:
    trust = TrustAnchors((ROOT.certificate.der,), source="my ca.pem")
    fix = _refusal(_policy(_other(), trust=trust)).fix
    assert fix.endswith(f"certpin pin {HOST} --ca-file 'my ca.pem'")


def test_the_command_to_compare_names_the_file_from_this_folder() -> None:
    anchors = TrustAnchors((ROOT.certificate.der,), source="../ca.pem", path="config/../ca.pem")
    assert _refusal(_policy(_other(), trust=anchors)).fix.endswith("--ca-file config/../ca.pem")


def test_a_refusal_by_expired_pins_names_the_date() -> None:
    error = _refusal(_policy(_other(), expires=NOW))
    assert "its pins held until 2027-06-01" in str(error)
    assert "`expires`" in error.fix


def test_a_decision_that_refuses_nothing_is_not_called_a_refusal() -> None:
    """``certpin check`` explains it too, such as after the expiry of pins that fail open."""
    for fields, words in (
        ({"on_expiry": "fail-open"}, "accepted without a check of its pins: its pins held until"),
        ({"on_expiry": "report"}, "reported and not refused: no certificate of its verified chain"),
        ({"mode": "report"}, "reported and not refused: its pins held until"),
    ):
        made = _policy(_other(), expires=NOW, **fields)
        text = explain(verify(CHAIN, made, NOW), HOST)
        assert text.startswith(f"{HOST} {words}")
        ends = f"on_expiry = {made.on_expiry}, from 2027-06-01T00:00:00+00:00 on"
        assert (ends in text) == (made.mode == "enforce")


def test_a_refusal_without_a_chain_gives_advice() -> None:
    error = _refusal(_policy(_other()), None)
    assert "no verified chain" in str(error)
    assert "pre-shared keys" in error.fix
    assert "verified chain, leaf first" not in str(error)


@pytest.mark.parametrize("state", ["removed", "compromised"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_dead_key_that_is_served_is_named(state: State, whole: bool) -> None:
    dead = pins_of(LEAF)[whole]
    fix = _refusal(_policy(HostPin(dead, state=state), _other())).fix
    assert str(dead) in fix
    assert f"marked {state}" in fix
    assert ("treat this as an attack" in fix) == (state == "compromised")


def test_a_compromised_key_is_named_although_another_pin_matches() -> None:
    dead = pins_of(BELOW.certificate)[0]
    entries = (HostPin(pins_of(LEAF)[0]), HostPin(dead, state="compromised"), _other())
    error = _refusal(_policy(*entries))
    assert "its verified chain contains a key marked compromised" in str(error)
    assert f"the server uses the key {dead}, which is marked compromised" in error.fix


@pytest.mark.parametrize("served", [LEAF, BELOW.certificate], ids=["leaf", "intermediate"])
def test_a_digest_that_is_pinned_as_the_wrong_kind_is_named(served: Certificate) -> None:
    """Nothing is wrong with the server: the pin was computed from the other bytes."""
    key, whole = pins_of(served)
    fix = _refusal(_policy(HostPin(Pin("sha256", whole.digest)))).fix
    assert "has the fingerprint of the whole certificate of" in fix
    assert f"{name_of(served)!r}, written as the pin of its key: write {key} instead" in fix
    fix = _refusal(_policy(HostPin(Pin("cert-sha256", key.digest)))).fix
    assert f"has the digest of the key of {name_of(served)!r}" in fix
    assert f"written as the fingerprint of the whole certificate: write {key} instead" in fix


@pytest.mark.parametrize(
    ("pinned", "match"),
    [(LEAF, "ca"), (BELOW.certificate, "leaf"), (ROOT.certificate, "leaf")],
    ids=["leaf", "intermediate", "root"],
)
def test_a_pin_that_match_leaves_out_is_named(pinned: Certificate, match: Any) -> None:
    fix = _refusal(_policy(HostPin(pins_of(pinned)[0]), match=match)).fix
    assert f'match = "{match}" leaves it out' in fix
    assert 'match = "any"' in fix


def test_a_path_to_another_root_is_explained() -> None:
    fix = _refusal(_policy(_other("root"))).fix
    assert "ended at the root 'CN=Explain Root'" in fix
    assert "cross-signed" in fix
    assert "`trust`" in fix
    assert "treat it as an attack" in fix


def test_a_root_that_is_dead_is_not_taken_for_the_pinned_one() -> None:
    fix = _refusal(_policy(_other("root", "removed"), HostPin(kit.NOBODY_ELSE))).fix
    assert "another root is pinned" not in fix


def test_advice_against_pinning_only_whole_certificates() -> None:
    whole = [
        HostPin(Pin("cert-sha256", kit.NOBODY.digest)),
        HostPin(pins_of(OTHER_ROOT.certificate)[1]),
    ]
    policy = HostPolicy(kit.policy(HOST).pattern, tuple(whole))
    fix = _refusal(policy).fix
    assert "pin the key instead" in fix
    assert "cert-sha256" in fix


SUBJECT = (0, 5)


def test_a_certificate_without_a_subject_has_a_placeholder() -> None:
    empty = parse(x509.Name([]).public_bytes())
    assert name_of(_leaf_with(empty)) == "(no subject)"


def _leaf_with(subject: Any) -> Certificate:
    return Certificate.from_der(changed(LEAF.der, SUBJECT, lambda _: subject))


def test_an_unreadable_subject_does_not_hide_the_refusal() -> None:
    unreadable = Certificate.from_der(changed(LEAF.der, SUBJECT, with_content(b"\xff")))
    chain = Chain((unreadable, *CHAIN.authorities))
    text = str(_refusal(_policy(_other()), chain))
    assert f"{pins_of(unreadable)[0]}  (a subject that cannot be read)" in text


def test_a_hostile_subject_cannot_flood_or_forge_the_message() -> None:
    words = "pinned:\n\x1b[2J\u202e" + "x" * 50_000
    oid = x509.ObjectIdentifier("2.5.4.13")
    subject = parse(x509.Name([x509.NameAttribute(oid, words)]).public_bytes())
    text = str(_refusal(_policy(_other()), Chain((_leaf_with(subject), *CHAIN.authorities))))
    assert len(text) < 3000
    assert all(line.isprintable() for line in text.splitlines())
    assert text.count("\n  pinned:\n") == 1
