"""``certpin rotate plan --to CHAIN`` and ``simulate --to CHAIN`` use the chain as ``switch`` does.

The host has a private authority; the chain of the server is verified with the anchors of the pin
file and of the versions that clients hold.
"""

from __future__ import annotations

import shlex
from contextlib import chdir
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from certpin.lab import Authority
from certpin.pins import Pin, utc_now
from certpin.rotation import AdoptionDelays
from certpin.x509.certificate import read_certificates
from tests import kit
from tests.cli import _documented
from tests.cli._private_pki import BACKUP, LEAF, TRUST, WITH, Entry, Hospital, PrivatePKI
from tests.cli._rotating import APP, DROPS_HOST, JOURNAL, days_pass, history, invariants, stepped
from tests.cli.conftest import HOST
from tests.x509._authorities import valid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import Match
    from tests.cli.conftest import Run

INT1, INT2 = Entry("int1", "intermediate", "active"), Entry("int2", "intermediate", "active")
_MOST_STEPS = 20
OTHER = "other.hospital.example"
SPARE = Entry("new", "backup", "published")


@pytest.fixture(scope="module")
def pki() -> PrivatePKI:
    return PrivatePKI()


@pytest.fixture
def hospital(run: Run, pki: PrivatePKI) -> Hospital:
    """Return a host under root1; each client got the pins of its leaf and a backup long ago."""
    hospital = Hospital(run, pki)
    hospital.write("any", ["root1"], [LEAF, BACKUP, SPARE])
    hospital.serve(hospital.chain("server", "int1"))
    hospital.ship(days=100)
    return hospital


def planned(hospital: Hospital, to: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the JSON of a plan of the only host."""
    done = hospital("plan", "--to", to, "--json")
    _documented.check("rotation plan", done.json)
    (host,) = done.json["hosts"]
    assert host["possible"] == (done.code == 0)
    return done.code, host


def acts(host: dict[str, Any]) -> list[str]:
    return [step["act"] for step in host["steps"]]


def day(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_chain_under_a_root_that_no_version_trusts_has_no_plan(hospital: Hospital) -> None:
    chain = hospital.chain("backup", "int3")
    code, host = planned(hospital, chain)
    assert (code, acts(host), invariants(host)) == (1, [], ["adopted"])
    assert "can build no path" in host["breaches"][0]["problem"]
    refused, facts = stepped(hospital.run, "switch", chain, *WITH)
    assert (refused.code, facts["breaches"]) == (1, host["breaches"])
    simulated = hospital("simulate", "--to", chain)
    assert (simulated.code, "can build no path" in simulated.err) == (2, True)


def test_the_next_private_root_has_its_date(hospital: Hospital) -> None:
    """The key stays, and the chain gets another root: version 2 trusts both."""
    chain = hospital.chain("server", "int3")
    code, host = planned(hospital, chain)
    assert (code, invariants(host)) == (1, ["adopted"])
    hospital.trust(["root1", "root2"])
    code, host = planned(hospital, chain)
    assert (code, acts(host)) == (0, ["publish", "serve"])
    assert [step["counts_from"] for step in host["steps"]] == [None, 4]
    hospital.ship()
    code, host = planned(hospital, chain)
    assert (code, acts(host)) == (0, ["serve"])
    _, facts = stepped(hospital.run, "switch", chain, *WITH)
    assert facts["breaches"][0]["safe_from"] == host["steps"][0]["not_before"]
    days_pass(33)
    _, host = planned(hospital, chain)
    assert [step["not_before"] for step in host["steps"]] == [None]
    hospital.serve(chain)
    assert planned(hospital, chain) == (0, {**host, "steps": []})


def test_a_simulation_locks_out_the_clients_that_do_not_trust_the_next_root(
    hospital: Hospital,
) -> None:
    chain = hospital.chain("server", "int3")
    hospital.trust(["root1", "root2"])
    hospital.ship()
    words = ("simulate", "--to", chain, "--clients", "900", "--json")
    assert hospital(*words).json["hosts"][0]["locked_out"] == 0
    early = hospital(*words, "--move", "1=-20d")
    (lockout,) = early.json["hosts"][0]["lockouts"]
    assert (early.code, lockout["event"], lockout["step"]) == (1, "serve", 1)
    late = [step for step in early.json["hosts"][0]["steps"] if step["act"] == "serve"]
    early_by = day(late[0]["safe_from"]) - day(late[0]["at"])
    assert timedelta(days=20) - early_by < timedelta(minutes=5)  # the first command is earlier


@pytest.mark.parametrize(
    ("match", "pins"),
    [("ca", [INT1, INT2]), ("any", [LEAF, BACKUP, INT2])],
    ids=["ca", "any"],
)
def test_a_chain_under_a_pinned_authority_needs_no_pin(
    run: Run, pki: PrivatePKI, match: Any, pins: list[Entry]
) -> None:
    hospital = Hospital(run, pki)
    hospital.write(match, ["root1"], pins)
    hospital.serve(hospital.chain("server", "int1"))
    hospital.ship(days=100)
    chain = hospital.chain("new", "int2")
    code, host = planned(hospital, chain)
    assert (code, acts(host)) == (0, ["serve"])
    assert [step["not_before"] for step in host["steps"]] == [None]
    assert host["steps"][0]["command"] == f"certpin rotate switch {chain}"
    assert hospital("simulate", "--to", chain, "--clients", "900").code == 0
    assert hospital("switch", chain).code == 0
    hospital.serve(chain)
    assert planned(hospital, chain) == (0, {**host, "steps": []})


def test_the_pin_of_a_servers_key_has_no_use_if_authorities_are_compared(
    run: Run, pki: PrivatePKI
) -> None:
    """No plan puts it into the pin file: `start` refuses that, and `switch` records nothing."""
    hospital = Hospital(run, pki)
    hospital.write("ca", ["root1", "root2"], [INT1, INT2, Entry("new", "backup", "published")])
    hospital.serve(hospital.chain("server", "int1"))
    hospital.ship(days=100)
    code, host = planned(hospital, hospital.chain("new", "int2"))
    assert (code, acts(host)) == (0, ["serve"])
    code, host = planned(hospital, hospital.chain("backup", "int3"))
    assert (code, acts(host), invariants(host)) == (1, [], ["adopted"])
    assert (
        f"certpin rotate start {pki.pin('int3')} puts the authority" in host["breaches"][0]["fix"]
    )


def test_a_new_key_under_no_pinned_authority_is_pinned_first(hospital: Hospital) -> None:
    hospital.write("any", ["root1"], [LEAF, BACKUP])
    hospital.ship(days=100)
    code, host = planned(hospital, hospital.chain("new", "int2"))
    assert (code, acts(host)[:4]) == (0, ["stage", "publish", "activate", "serve"])
    assert host["steps"][2]["command"] == "certpin rotate switch new-int2.pem"
    assert host["steps"][3]["command"] is None  # the step before has verified the chain
    assert host["steps"][2]["counts_from"] == host["steps"][1]["version"]


def test_a_certificate_for_another_host_has_no_plan(hospital: Hospital) -> None:
    chain = hospital.chain("backup", "int1", "other.example")
    code, host = planned(hospital, chain)
    assert (code, acts(host), invariants(host)) == (1, [], ["certificate"])
    assert stepped(hospital.run, "switch", chain, *WITH)[1]["breaches"] == host["breaches"]
    assert hospital("simulate", "--to", chain).code == 2


def test_a_plan_for_a_host_that_only_an_app_has_is_refused(hospital: Hospital) -> None:
    """The app has other pins for the second host of the certificate; the pin file dropped it."""
    file = Path("pins.toml")
    text = file.read_text(encoding="utf-8")
    dropped = text[text.index("[[host]]") :].replace(HOST, OTHER)
    dropped = dropped.replace(str(hospital.pki.pin("backup")), str(kit.NOBODY))
    file.write_text(text.replace("version = 3", "version = 4") + dropped, encoding="utf-8")
    assert hospital("shipped", "4", *APP).code == 0
    file.write_text(text.replace("version = 3", "version = 5"), encoding="utf-8")
    hospital.ship(*DROPS_HOST, days=100)
    assert planned(hospital, hospital.chain("backup", "int1"))[0] == 0
    chain = hospital.chain("backup", "int1", HOST, OTHER)
    code, host = planned(hospital, chain)
    assert (code, acts(host), invariants(host)) == (1, [], ["adopted"])
    assert f"version 4 may refuse the chain for {OTHER}" in host["breaches"][0]["problem"]
    assert hospital("switch", chain).code == 1


def test_a_host_that_only_an_older_version_has_gives_a_plan_its_date(hospital: Hospital) -> None:
    """Version 4 has other pins for the second host of the certificate; version 5 dropped it."""
    file = Path("pins.toml")
    text = file.read_text(encoding="utf-8")
    dropped = text[text.index("[[host]]") :].replace(HOST, OTHER)
    dropped = dropped.replace(str(hospital.pki.pin("backup")), str(kit.NOBODY))
    file.write_text(text.replace("version = 3", "version = 4") + dropped, encoding="utf-8")
    hospital.ship(days=100)
    file.write_text(text.replace("version = 3", "version = 5"), encoding="utf-8")
    hospital.ship(*DROPS_HOST)
    chain = hospital.chain("backup", "int1", HOST, OTHER)
    code, host = planned(hospital, chain)
    assert (code, invariants(host)) == (0, [])
    _, facts = stepped(hospital.run, "switch", chain, *WITH)
    (refused,) = facts["breaches"]
    date = next(step["not_before"] for step in host["steps"] if step["act"] == "activate")
    assert (refused["host"], refused["safe_from"]) == (OTHER, date)


def test_a_chain_that_is_renewed_before_its_date_is_presented_to_clients_with_another_root(
    hospital: Hospital,
) -> None:
    """An app trusts one root, and has the new key; clients that fetch trust both, and lack it."""
    assert hospital("shipped", "3", *APP).code == 0
    hospital.write("any", ["root1", "root2"], [LEAF, BACKUP])
    hospital.ship(days=1)
    code, host = planned(hospital, hospital.chain("new", "int2", days=6))
    assert (code, invariants(host)) == (0, [])
    assert acts(host)[-1] == "publish"
    assert day(host["reissue_by"]) - utc_now() < timedelta(days=7)


def test_a_chain_that_expires_before_its_date_is_certified_again(hospital: Hospital) -> None:
    """Only the key has to wait, as with an ACME client that renews each week."""
    hospital.write("any", ["root1"], [LEAF, BACKUP])
    hospital.ship(days=100)
    chain = hospital.chain("new", "int2", days=6)
    code, host = planned(hospital, chain)
    assert (code, acts(host)[:4]) == (0, ["stage", "publish", "activate", "serve"])
    ends = day(host["reissue_by"]) - utc_now()
    assert timedelta(days=5) < ends < timedelta(days=7)
    assert "get the new key certified again" in hospital("plan", "--to", chain).out
    _, host = planned(hospital, hospital.chain("new", "int2"))
    assert host["reissue_by"] is None


def test_only_certificates_that_clients_need_have_to_be_valid_on_the_date(
    hospital: Hospital,
) -> None:
    root = hospital.pki.authorities["root1"]
    ending = Authority("root1", key=root.key, change=valid(-99, 6))
    crossed = Authority("root1", issuer=Authority("Other"), key=root.key, change=valid(-99, 2))
    hospital.write("any", ["root1"], [LEAF, BACKUP])
    TRUST.write_bytes(ending.pem + root.pem)  # clients take the first one while it is valid
    hospital.ship(days=100)
    chain = Path(hospital.chain("new", "int2"))
    chain.write_bytes(chain.read_bytes() + crossed.pem)
    code, host = planned(hospital, chain.name)
    assert (code, host["reissue_by"]) == (0, None)
    leaf = Path(hospital.chain("new", "int2", days=6))
    leaf.write_bytes(leaf.read_bytes() + crossed.pem)
    _, host = planned(hospital, leaf.name)
    assert day(host["reissue_by"]) - utc_now() > timedelta(days=5)


def test_an_authority_that_expires_before_the_date_certifies_nothing_again(
    hospital: Hospital,
) -> None:
    hospital.write("any", ["root1"], [LEAF, BACKUP])
    hospital.ship(days=100)
    root, key = hospital.pki.authorities["root1"], hospital.pki.keys["new"]
    short = Authority("Short", issuer=root, change=valid(-99, 6))
    Path("short.pem").write_bytes(short.issue(HOST, key=key).chain_pem)
    code, host = planned(hospital, "short.pem")
    assert (code, day(host["reissue_by"]) - utc_now() < timedelta(days=7)) == (0, True)
    printed = " ".join(hospital("plan", "--to", "short.pem").out.split())
    assert "certified by another authority, or renew the certificate of this one: " in printed
    assert "Short expires before servers may use the chain." in printed


def test_an_expired_chain_has_no_plan(hospital: Hospital) -> None:
    chain = hospital.chain("backup", "int1", days=-0.01)
    code, host = planned(hospital, chain)
    assert (code, acts(host), invariants(host)) == (1, [], ["certificate"])
    assert hospital("switch", chain).code == 1


def test_a_plan_for_a_key_says_that_its_chain_is_unknown(hospital: Hospital) -> None:
    Path("backup.key").write_bytes(hospital.pki.issue("backup", "int1").key_pem)
    said = " ".join(hospital("plan", "--to", "backup.key").out.split())
    pin = hospital.pki.pin("backup")
    assert f"Not known: the chain of {pin}: the plan assumes that every client verifies it" in said
    assert (
        "Not known: the chain" not in hospital("plan", "--to", hospital.chain("backup", "int1")).out
    )


def test_a_plan_for_an_authoritys_pin_says_that_the_chain_is_needed(
    run: Run, pki: PrivatePKI
) -> None:
    """`switch` refuses the pin: a server's key has no use there, and it may be one."""
    hospital = Hospital(run, pki)
    hospital.write("ca", ["root1"], [INT1, Entry("int2", "backup", "published")])
    hospital.serve(hospital.chain("server", "int1"))
    hospital.ship(days=100)
    pin = str(pki.pin("int2"))
    code, host = planned(hospital, pin)
    assert code == 0
    commands = {step["act"]: step["command"] for step in host["steps"]}
    assert commands["activate"] == "certpin rotate switch fullchain.pem"
    assert hospital("switch", pin).code == 1
    assert "that this key is an authority's" in hospital("plan", "--to", pin).out


# A plan and the commands agree in every state.


@dataclass(frozen=True)
class State:
    """A state of the host, in which the servers present the key ``server`` under ``int1``.

    Attributes:
        match: which certificates clients compare.
        known: the pins that clients have since long ago.
        roots: the roots that these clients trust; empty for those of the platform.
        added: more pins, which the pin file has.
        trusted: the roots in the file of ``trust``; empty for those of the platform.
        shipped: since how many days clients get the changed file; ``None`` if they don't yet.
        to: the key and the authority of the new chain.
    """

    match: Match
    known: tuple[Entry, ...]
    roots: tuple[str, ...]
    added: tuple[Entry, ...]
    trusted: tuple[str, ...]
    shipped: int | None
    to: tuple[str, str]


ROOTS = st.sampled_from([("root1",), ("root1", "root2"), ()])
AUTHORITIES = [INT1, INT2, Entry("int3", "intermediate", "active")]


@st.composite
def states(draw: st.DrawFn) -> State:
    match: Match = draw(st.sampled_from(["any", "ca", "leaf"]))
    some = st.lists(st.sampled_from(AUTHORITIES[1:]), unique=True, max_size=2)
    if match == "ca":
        known = [INT1, *(draw(some) or [INT2])]
        pool = AUTHORITIES
    else:
        known = [LEAF, BACKUP, *(draw(some) if match == "any" else [])]
        pool = [SPARE, *(AUTHORITIES[1:] if match == "any" else [])]
    more = [replace(each, role="backup", state="staged") for each in pool if each not in known]
    added = draw(st.lists(st.sampled_from(more), unique=True, max_size=2)) if more else []
    to = draw(st.sampled_from(["server", "backup", "new"])), draw(st.sampled_from(ISSUERS))
    roots, trusted = draw(ROOTS), draw(ROOTS)
    return State(
        match, tuple(known), roots, tuple(added), trusted, draw(st.sampled_from([None, 0, 40])), to
    )


ISSUERS = ["int1", "int2", "int3"]


def prepare(hospital: Hospital, state: State) -> str:
    """Bring the host into a state, in the current folder, and return the file of the new chain."""
    hospital.write(state.match, state.roots, state.known)
    hospital.serve(hospital.chain("server", "int1"))
    hospital.ship(days=100)
    Path("other-authority.pem").write_bytes(hospital.pki.authorities["other"].pem)
    changed = state.trusted != state.roots or state.added
    if changed:
        hospital.trust(state.trusted)
        names = [*state.known, *state.added]
        hospital.write(state.match, state.trusted, names)
    if changed and state.shipped is not None:
        hospital.ship(days=state.shipped)
    return hospital.chain(*state.to)


def is_accepted(hospital: Hospital, chain: str) -> bool:
    """Return True if ``switch`` accepts a chain now. The files stay as they are."""
    files = {path: path.read_bytes() for path in (Path("pins.toml"), JOURNAL)}
    code = hospital("switch", chain).code
    for path, content in files.items():
        path.write_bytes(content)
    assert code in {0, 1}
    return code == 0


def locked_out(hospital: Hospital) -> list[int]:
    """Return the versions with clients that refuse the served chain. No code of the gate is used.

    Clients accept it if they trust its root (the platform trusts both), and if they pin a key of
    the path at a position that they compare.
    """
    certificates = read_certificates(Path("served.pem").read_bytes())
    authorities = hospital.pki.authorities
    is_new = certificates[1] == authorities["int3"].certificate
    path = [*certificates, authorities["root2" if is_new else "root1"].certificate]
    found = []
    for version in history().deployed.alive(utc_now(), AdoptionDelays()):
        (policy,) = version.pins.policies
        compared = {"leaf": path[:1], "ca": path[1:], "any": path}[policy.match]
        is_pinned = any(Pin.of_key(each.spki_sha256) in policy.live_pins for each in compared)
        is_trusted = policy.trust is None or path[-1].der in policy.trust.der
        if not is_pinned or not is_trusted:
            found.append(version.number)
    return found


def follow(hospital: Hospital, chain: str) -> Iterator[str]:
    """Type the first command of a plan, plan again, and so on. Yield the acts.

    Each plan is compared with ``switch``, and each command has to be accepted.
    """
    for _ in range(_MOST_STEPS):
        _, host = planned(hospital, chain)
        uses = [step for step in host["steps"] if step["act"] in {"activate", "serve"}]
        accepted = is_accepted(hospital, chain)
        if uses:
            before = [step["act"] for step in host["steps"][: host["steps"].index(uses[0])]]
            now = uses[0]["not_before"] is None
            assert accepted <= now, host
            assert accepted or not now or "publish" in before, host
        else:
            assert accepted or not host["possible"], host
        if not host["steps"]:
            return
        step = host["steps"][0]
        if step["not_before"]:
            wait = day(step["not_before"]) - utc_now()
            days_pass(wait / timedelta(days=1) + 0.01)
        if step["command"]:
            _, _, name, *words = shlex.split(step["command"])
            done = hospital(name, *words)
            assert done.code == 0, f"{step['command']}: {done.out}{done.err}"
        if step["act"] == "serve":
            hospital.serve(chain)
        assert locked_out(hospital) == []
        yield step["act"]
    raise AssertionError("the plan does not end")


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(states())
def test_each_command_of_a_plan_is_accepted_in_every_state(
    run: Run,
    pki: PrivatePKI,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    state: State,
) -> None:
    platform = kit.trust_on_this_platform(
        pki.authorities["root1"], tmp_path_factory.getbasetemp(), monkeypatch
    )
    platform.write_bytes(platform.read_bytes() + pki.authorities["root2"].pem)
    with chdir(tmp_path_factory.mktemp("state")):
        hospital = Hospital(run, pki)
        chain = prepare(hospital, state)
        taken = list(follow(hospital, chain))
        event(" ".join(taken) or "no step")
        code, host = planned(hospital, chain)
        assert (acts(host), host["possible"]) == ([], code == 0)
