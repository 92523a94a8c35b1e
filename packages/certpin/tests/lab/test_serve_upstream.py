"""The interactive lab in front of real servers, tested with apps that have those servers' pins."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from certpin import PinnedSSLContext
from certpin.lab import Identity, LabServer
from certpin.lab.attacks import CASES
from certpin.lab.device.folder import LabState
from certpin.lab.device.lab import DeviceLab, HostProgress
from certpin.lab.lab_server import server_context
from certpin.lab.pki import Style
from certpin.lab.server import relay
from certpin.lab.server.session import Destination
from certpin.lab.upstream import Upstream
from certpin.lab.verdict import Outcome, Verdict
from certpin.x509 import Chain
from tests.kit import pin_set, policy
from tests.lab._device import AUTHORITIES, HOST, PATIENCE, cases, connect, fetch, results
from tests.lab._serving import hello_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.lab import Authority
    from certpin.lab.case import Case

OTHER = "cdn.bank.example"
BODY = "from the real server\n"
ROGUE = cases("rogue-ca-in-store")


class App:
    """A released app with real servers' pins, which trusts their root and the lab's rogue root.

    ``pinned`` is its TLS context, and ``unpinned`` the context of the same app without pins.
    """

    def __init__(self, root: Authority, *identities: tuple[str, Identity]) -> None:
        policies = [policy(host, identity.pin) for host, identity in identities]
        self.pinned = PinnedSSLContext(pin_set(*policies))
        self.unpinned = ssl.create_default_context()
        for context in (self.pinned, self.unpinned):
            context.load_verify_locations(cadata=(root.pem + AUTHORITIES.rogue.pem).decode())


class Real:
    """Real servers for some hosts, the app that has their pins, and a lab in front of them."""

    def __init__(self, root: Authority, intermediate: Authority, *hosts: str) -> None:
        self.root = root
        self.identities = {host: intermediate.issue(host) for host in hosts}
        self.servers = {
            host: LabServer(identity, f"{host} {BODY}".encode())
            for host, identity in self.identities.items()
        }
        self.app = App(root, *self.identities.items())

    def lab(self, chosen: Sequence[Case], style: Style = Style.LEAF) -> DeviceLab:
        upstreams = {host: self._upstream(host) for host in self.servers}
        kept = LabState(AUTHORITIES, None, ())
        return DeviceLab(
            tuple(self.servers), style, chosen, kept, ("127.0.0.1", 0), upstreams=upstreams
        )

    def _upstream(self, host: str) -> Upstream:
        identity = self.identities[host]
        chain = Chain.from_der([identity.certificate.der])
        answer_context = ("127.0.0.1", self.servers[host].port)
        return Upstream(answer_context, chain, self.root.pem, pin_set(policy(host, identity.pin)))


def settled(lab: DeviceLab) -> list[HostProgress]:
    """Wait until the lab has a verdict on the control case, and return each host's progress."""
    deadline = time.monotonic() + PATIENCE
    while not lab.progress()[0].control:
        assert time.monotonic() < deadline, lab.progress()
    return lab.progress()


@pytest.fixture
def real(root: Authority, intermediate: Authority) -> Iterator[Real]:
    made = Real(root, intermediate, HOST)
    with made.servers[HOST]:
        yield made


def use(lab: DeviceLab, context: ssl.SSLContext, *hosts: str, max_calls: int = 400) -> list[str]:
    """Send requests from an app to each host until all cases are finished. Return all responses."""
    answers = []
    for _ in range(max_calls):
        for host in hosts or (HOST,):
            with suppress(ssl.SSLError, ConnectionError):
                answers.append(fetch(lab.port, context, host))
        if all(progress.finished for progress in lab.progress()):
            return answers
    raise AssertionError(lab.progress())


@pytest.mark.medium
def test_a_released_app_is_attacked_and_its_real_server_passes_through(real: Real) -> None:
    with real.lab([case for case in CASES if case.name != "control-good"]) as lab:
        answers = use(lab, real.app.pinned)
        found = {result.case.name: result for _, result in results(lab)}
    assert {result.outcome for result in found.values()} == {Outcome.RIGHT, Outcome.NOT_RUN}
    assert found["rogue-ca-in-store"].verdict is Verdict.REJECT
    assert found["bad-then-good"].verdict is Verdict.REJECT
    assert answers
    assert all(f"{HOST} {BODY}" in answer for answer in answers)
    assert len([data for data in real.servers[HOST].received if data]) == len(answers)


def test_an_app_without_pins_is_found_out(real: Real) -> None:
    with real.lab(ROGUE) as lab:
        answers = use(lab, real.app.unpinned)
        [(_, result)] = results(lab)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.WRONG)
    assert [BODY in answer for answer in answers] == [True, False, True], "control, attack, control"


def test_cases_that_need_the_real_key_are_reported_with_the_reason(real: Real) -> None:
    with real.lab(cases("same-ca-new-key", "rot-backup-live", "swap-on-reconnect")) as lab:
        use(lab, real.app.pinned)
        found = {result.case.name: result for _, result in results(lab)}
    for name in ("same-ca-new-key", "rot-backup-live"):
        assert found[name].outcome is Outcome.NOT_RUN
        assert "private key of" in found[name].why
        assert "--upstream" in found[name].why
    assert found["swap-on-reconnect"].verdict is Verdict.REJECT


def test_an_app_that_refuses_its_real_server_after_the_handshake_fails_the_control(
    real: Real,
) -> None:
    """The control fails even if the app refuses only after the complete handshake was relayed."""
    with real.lab(ROGUE) as lab:
        for _ in range(4):
            with (
                connect(lab.port, HOST) as sock,
                real.app.unpinned.wrap_socket(sock, server_hostname=HOST) as tls,
            ):
                assert tls.version() == "TLSv1.3"
        assert not lab.progress()[0].controlled
        lab.stop()
        assert results(lab) == []


def test_an_app_that_refuses_its_real_server_in_the_handshake_fails_the_control(real: Real) -> None:
    """An app that always refuses in the handshake gets the verdict REJECT on its control."""
    nothing = ssl.create_default_context()
    with real.lab(ROGUE) as lab:
        for _ in range(100):
            with pytest.raises(ssl.SSLCertVerificationError):
                fetch(lab.port, nothing)
            control = lab.progress()[0].control
            if control and control.verdict is Verdict.REJECT:
                break
        [standing] = settled(lab)
    assert (standing.controlled, standing.results) == (False, ())
    assert standing.control
    assert standing.control.verdict is Verdict.REJECT


def test_unreachable_real_server_is_no_refusal(real: Real) -> None:
    with real.lab(ROGUE) as lab:
        real.servers[HOST].__exit__(None, None, None)
        for _ in range(4):
            with suppress(OSError):
                fetch(lab.port, real.app.pinned)
        [standing] = settled(lab)
        assert standing.control
        assert standing.control.verdict is Verdict.INCONCLUSIVE


def test_close_by_the_real_server_is_no_refusal(real: Real) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, real.lab(ROGUE) as lab:
        listening.settimeout(PATIENCE)
        _lead_to(lab, listening)
        for _ in range(3):
            with connect(lab.port, HOST) as sock:
                sock.sendall(hello_for(HOST))
                server, _ = listening.accept()
                assert server.recv(65_536)
                server.close()
                assert sock.recv(1) == b""
        [standing] = settled(lab)
    assert standing.control
    assert standing.control.verdict is Verdict.INCONCLUSIVE


def _lead_to(lab: DeviceLab, listening: socket.socket) -> None:
    """Make the host's current control case relay to this listening socket."""
    turn = lab.schedule.queues[HOST].turn()
    assert turn
    turn.case_run.upstream = Destination(relay.UPSTREAM, *listening.getsockname())


@pytest.mark.medium
def test_each_host_has_its_own_server(root: Authority, intermediate: Authority) -> None:
    made = Real(root, intermediate, HOST, OTHER)
    with ExitStack() as running:
        for server in made.servers.values():
            running.enter_context(server)
        with made.lab(ROGUE) as lab:
            answers = use(lab, made.app.pinned, HOST, OTHER)
            found = {host: result.verdict for host, result in results(lab)}
    assert found == {HOST: Verdict.REJECT, OTHER: Verdict.REJECT}
    for host, server in made.servers.items():
        own = [answer for answer in answers if f"{host} {BODY}" in answer]
        assert len(own) >= 2, "controls, before and after"
        assert len([data for data in server.received if data]) == len(own)


def test_a_connection_that_is_kept_is_ended_once_it_is_quiet(
    real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lab closes a relayed connection that is idle.

    Otherwise an app that keeps its connection open would never connect to an attacker.
    """
    monkeypatch.setattr(relay, "_QUIET", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening, real.lab(ROGUE) as lab:
        listening.settimeout(PATIENCE)
        _lead_to(lab, listening)
        with connect(lab.port, HOST) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(hello_for(HOST))
            server, _ = listening.accept()
            with server:
                assert server.recv(65_536)
                server.sendall(b"\x16\3\3\0\1\2")
                assert sock.recv(65_536) == b"\x16\3\3\0\1\2"
                assert sock.recv(1) == b""


def test_the_last_answer_arrives_before_the_lab_ends(real: Real) -> None:
    """The lab waits for the real server's last response, although it already has all evidence."""
    held = threading.Event()
    with ExitStack() as leaving:
        listening = leaving.enter_context(socket.create_server(("127.0.0.1", 0)))
        pool = leaving.enter_context(ThreadPoolExecutor(2))
        lab = leaving.enter_context(real.lab([]))
        leaving.callback(held.set)
        fetch(lab.port, real.app.pinned)
        settled(lab)
        _lead_to(lab, listening)
        pool.submit(_answer_late, listening, real.identities[HOST], held)
        last = pool.submit(fetch, lab.port, real.app.pinned)
        deadline = time.monotonic() + PATIENCE
        while not lab.finished:
            assert time.monotonic() < deadline, lab.progress()
        waits = [lab.schedule.is_answering]
        held.set()
        lab.let_answer(PATIENCE)
        waits.append(lab.schedule.is_answering)
    assert waits == [True, False]
    assert last.result() == BODY


def _answer_late(listening: socket.socket, identity: Identity, held: threading.Event) -> None:
    listening.settimeout(PATIENCE)
    taken, _ = listening.accept()
    with server_context(identity).wrap_socket(taken, server_side=True) as tls:
        tls.recv(4096)
        held.wait(PATIENCE)
        tls.sendall(BODY.encode())


def test_the_device_gets_the_rogue_root_and_no_pins(real: Real) -> None:
    with real.lab(ROGUE) as lab:
        assert lab.page.roots_pem == AUTHORITIES.rogue.pem
        assert [root.sha256 for root in lab.roots] == [AUTHORITIES.rogue.certificate.sha256]
        index = lab.page.answer(b"GET / HTTP/1.1\r\n\r\n")
        assert b"/r2.cer" in index
        for path in (b"/r.cer", b"/pins.toml"):
            assert path not in index
            assert lab.page.answer(b"GET " + path + b" HTTP/1.1\r\n\r\n").startswith(
                b"HTTP/1.1 404 "
            )
