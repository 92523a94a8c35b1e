"""Rule 3: a client sends its certificate only after it has checked the server's pins.

The recording server asks for a certificate, and records each byte before and after decryption.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

import certpin
from certpin import PinMismatchError, PinnedSSLContext, WeakenedContextError
from certpin.lab.lab_server import server_context
from certpin.tls import gate
from certpin.tls.context import _on_message
from certpin.tls.gate import Gate
from certpin.x509.openssl import OpenSSLContext
from tests import kit
from tests.tls._handshakes import TimeLimitError, for_clients
from tests.tls._servers import GREETING, RecordingServer, asking_for_certificate
from tests.tls._wire import HOST, OTHER, Wire, as_old_as_tls12

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from certpin.lab import Authority, Identity
    from certpin.pins import PinSet
    from tests.tls._servers import Recording
    from tests.tls.conftest import World

NAME = "client.example"
_SOURCE = str(Path(certpin.__file__).parent)
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(params=VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
def version(request: Any) -> ssl.TLSVersion:
    found: ssl.TLSVersion = request.param
    return found


@pytest.fixture(scope="module")
def clients(intermediate: Authority, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the paths of the certificate and the key of a client."""
    identity = intermediate.issue(NAME, change=for_clients)
    return identity.write(tmp_path_factory.mktemp("client"))


@pytest.fixture
def contexts(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion
) -> list[PinnedSSLContext]:
    """Return two pinned contexts with a client certificate and the same TLS version limit.

    The first trusts the platform's roots; the second has `trust` in its pin set.
    """
    both = kit.anchors(world.root, world.rogue)
    found = [world.context(), PinnedSSLContext(world.pins(trust=both))]
    for context in found:
        context.maximum_version = version
        context.load_cert_chain(*clients)
    return found


def _asking(identity: Identity, world: World) -> ssl.SSLContext:
    return asking_for_certificate(identity, world.root)


def _refused(
    context: PinnedSSLContext, server: RecordingServer, kind: type[BaseException], **options: Any
) -> Recording:
    """Connect, expect an error of type ``kind``, and return the server's recording."""
    before = len(server.recordings(0))
    tls = context.wrap_socket(
        server.connect(), server_hostname=HOST, do_handshake_on_connect=False, **options
    )
    with tls, pytest.raises(kind):
        tls.do_handshake()
    return server.recordings(before + 1)[-1]


def _assert_nothing_left(recording: Recording) -> None:
    assert not recording.finished
    assert recording.client_certificate is None
    assert recording.application == b""
    assert NAME.encode() not in recording.raw  # TLS 1.2 would send it in the clear
    assert _records(recording.raw) == _CLIENT_HELLO


class _TimeoutError(TimeLimitError, OSError):
    """The same, as an error of the operating system, like OpenSSL's errors."""


@contextmanager
def _handler_raises(error: BaseException) -> Iterator[None]:
    """While the block runs, the handler of the signal SIGUSR1 raises ``error``."""

    def handler(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _send_signal() -> Any:
    """Replaces a context's clock: sends a signal in the middle of the pin check."""
    signal.raise_signal(signal.SIGUSR1)


def _optional(identity: Identity, world: World) -> ssl.SSLContext:
    """Return a server context that completes a handshake without a client certificate, too."""
    context = _asking(identity, world)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@contextmanager
def _interrupting(reached: dict[tuple[str, ...], None]) -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` at one step of the message callback, as Ctrl-C can.

    The steps are the beginnings and ends of certpin's functions and of those that they call, for
    each TLS message. Raises at the first step that is not in ``reached``, and adds it.
    """
    outermost: FrameType | None = None
    message = ""

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal outermost, message
        if frame.f_code is _on_message.__code__ and event == "call":
            outermost = frame
            message = str([frame.f_locals[name] for name in ("direction", "message_type")])
        if outermost is None or not frame.f_code.co_filename.startswith(_SOURCE):
            return
        if frame is outermost and event == "return":
            outermost = None
        step = (message, event, frame.f_code.co_name)
        if step not in reached:
            reached[step] = None
            raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def _interrupt() -> Any:
    """Replaces a context's clock: raises an exception in the middle of the pin check."""
    raise KeyboardInterrupt


_CLIENT_HELLO = [22]


def _records(raw: bytes) -> list[int]:
    """Return the content types of the TLS records in ``raw`` (RFC 8446 section 5.1)."""
    found = []
    while raw:
        found.append(raw[0])
        raw = raw[5 + int.from_bytes(raw[3:5]) :]
    return found


@pytest.mark.medium
def test_the_certificate_is_sent_to_the_pinned_server(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    for context in contexts:
        with RecordingServer(_asking(world.good, world)) as server:
            with context.wrap_socket(server.connect(), server_hostname=HOST) as tls:
                assert tls.recv(len(GREETING)) == GREETING
                assert type(tls._sslobj).__name__ == "_SSLSocket"
            (recording,) = server.recordings()
        assert recording.client_certificate is not None
        wire = Wire(context, _asking(world.good, world)).shake()
        assert wire.server.getpeercert(binary_form=True)
        assert type(wire.client._sslobj).__name__ == "_SSLSocket"


def test_an_interrupt_after_the_refusal_sends_no_certificate(
    world: World, contexts: list[PinnedSSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception during the refusal, as from a signal handler, doesn't release the certificate.

    Python runs signal handlers in ``pthread_sigmask``, and a handler may raise.
    """

    def interrupted() -> None:
        raise SystemExit

    monkeypatch.setattr(gate, "hold_sigpipe", interrupted)
    for context in contexts:
        with RecordingServer(_asking(world.evil, world)) as server:
            _assert_nothing_left(_refused(context, server, PinMismatchError))


@pytest.mark.parametrize("error", [TimeLimitError, _TimeoutError])
def test_a_time_limit_in_the_check_is_raised_and_sends_no_certificate(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion, error: Any
) -> None:
    """A signal handler raises the app's own exception in the middle of the check."""
    context = world.context()
    context._enforcer.clock = _send_signal
    context.maximum_version = version
    context.load_cert_chain(*clients)
    with (
        RecordingServer(_optional(world.evil, world)) as server,
        _handler_raises(error(1, "the request")),
    ):
        _assert_nothing_left(_refused(context, server, error))
    wire = Wire(context, _optional(world.evil, world))
    wire.until_checked()
    with _handler_raises(error(1, "the request")), pytest.raises(error):
        wire.client.do_handshake()
    with pytest.raises(ssl.SSLError, match="interrupted"):
        wire.client.write(b"a secret")
    assert wire.to_server.pending == 0


@pytest.mark.medium
def test_an_interrupt_at_any_step_of_the_check_sends_no_certificate(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    """Ctrl-C raises ``KeyboardInterrupt`` in any function, whichever runs at that moment.

    If a later call of the callback refuses the server, the refusal may come out instead.
    """
    context = contexts[0]
    reached: dict[tuple[str, ...], None] = {}
    with RecordingServer(_optional(world.evil, world)) as server:
        number = -1
        while len(reached) > number:  # until the callback has no other step
            number = len(reached)
            with (
                context.wrap_socket(
                    server.connect(), server_hostname=HOST, do_handshake_on_connect=False
                ) as tls,
                pytest.raises((KeyboardInterrupt, PinMismatchError)),
                _interrupting(reached),
            ):
                tls.do_handshake()
            recording = server.recordings(number + 1)[-1]
            assert recording.client_certificate is None
            assert NAME.encode() not in recording.raw  # TLS 1.2 would send it in the clear
    functions = {name for *_, name in reached}
    assert {"_on_message", "before_last_flight", "judge", "_refuse", "hold_sigpipe"} <= functions


@pytest.mark.medium
def test_an_interrupt_at_any_step_over_memory_bios_is_raised(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    """OpenSSL then waits for the server, and Python would raise only that."""
    context = contexts[0]
    reached: dict[tuple[str, ...], None] = {}
    number = 0
    while True:
        wire = Wire(context, _optional(world.evil, world))
        wire.until_checked()
        with (
            pytest.raises((KeyboardInterrupt, PinMismatchError)) as refusal,
            _interrupting(reached),
        ):
            wire.client.do_handshake()
        assert wire.to_server.pending == 0
        with pytest.raises(ssl.SSLError, match=r"refused|interrupted"):
            wire.client.do_handshake()
        if refusal.type is PinMismatchError:
            break
        number += 1
    assert len(reached) == number, [*reached][-1:]


@pytest.mark.medium
def test_no_certificate_is_sent_near_the_recursion_limit(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    context, kinds = contexts[0], set()

    def connect(sock: Any, depth: int) -> None:
        if depth:
            connect(sock, depth - 1)
        else:
            sock.do_handshake()

    def fill(depth: int) -> int:
        try:
            return fill(depth + 1)
        except RecursionError:
            return depth

    deepest = fill(0)
    with RecordingServer(_optional(world.evil, world)) as server:
        _refused(context, server, PinMismatchError)  # imports everything that it needs
        for room in range(80):
            with (
                context.wrap_socket(
                    server.connect(), server_hostname=HOST, do_handshake_on_connect=False
                ) as tls,
                pytest.raises((RecursionError, PinMismatchError)) as refusal,
            ):
                connect(tls, deepest - room)
            recording = server.recordings(room + 2)[-1]
            assert recording.client_certificate is None, room
            assert NAME.encode() not in recording.raw, room
            kinds.add(refusal.type)
    assert kinds == {RecursionError, PinMismatchError}


def test_an_exception_that_was_being_handled_is_no_interrupt(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    """If an app connects in an ``except`` block, that exception is the context of all errors."""
    wire = Wire(contexts[0], _asking(world.good, world))
    try:
        [].pop()
    except LookupError:
        wire.shake()
    assert wire.server.getpeercert(binary_form=True)


def test_a_rogue_gets_the_client_hello_and_nothing_more(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    for context in contexts:
        with RecordingServer(_asking(world.evil, world)) as server:
            _assert_nothing_left(_refused(context, server, PinMismatchError))


def test_a_rogue_gets_nothing_more_over_memory_bios(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    for context in contexts:
        wire = Wire(context, _asking(world.evil, world))
        wire.until_checked()
        for _ in range(2):
            with pytest.raises(PinMismatchError):
                wire.client.do_handshake()
            assert wire.to_server.pending == 0


@pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_rogue_gets_nothing_more_from_an_event_loop(
    world: World, contexts: list[PinnedSSLContext], loop: Any
) -> None:
    for context in contexts:
        with RecordingServer(_asking(world.evil, world)) as server:
            opened = asyncio.open_connection(*server.address, ssl=context, server_hostname=HOST)
            with asyncio.Runner(loop_factory=loop) as runner, pytest.raises(PinMismatchError):
                runner.run(opened)
            _assert_nothing_left(server.recordings()[-1])


async def _cancel_after(context: PinnedSSLContext, server: RecordingServer, size: int) -> bool:
    """Cancel a connection once ``size`` bytes of the server's first flight were sent to the client.

    The rest of the flight follows. Return False if the flight is not longer than ``size``.
    """
    arrived, is_longer = asyncio.Event(), False

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal is_longer
        upstream, to_server = await asyncio.open_connection(*server.address)
        to_server.write(await reader.read(65536))
        flight = await upstream.read(65536)
        is_longer = len(flight) > size
        writer.write(flight[:size])
        for _ in range(5):  # in which the client reads it
            await asyncio.sleep(0)
        arrived.set()
        writer.write(flight[size:])
        with suppress(OSError):
            to_server.write(await reader.read(65536))
        for each in (to_server, writer):
            each.close()
            with suppress(OSError):
                await each.wait_closed()

    async with await asyncio.start_server(relay, "127.0.0.1") as listener:
        address = listener.sockets[0].getsockname()
        opening = asyncio.create_task(
            asyncio.open_connection(*address, ssl=context, server_hostname=HOST)
        )
        await arrived.wait()
        opening.cancel()
        with pytest.raises((asyncio.CancelledError, PinMismatchError)):
            await opening
        await asyncio.to_thread(server.recordings)
    return is_longer


@pytest.mark.medium
@pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_rogue_gets_nothing_more_if_the_connection_is_cancelled(
    world: World, contexts: list[PinnedSSLContext], loop: Any
) -> None:
    for size in count(0, 150):
        with (
            RecordingServer(_asking(world.evil, world)) as server,
            asyncio.Runner(loop_factory=loop) as runner,
        ):
            goes_on = runner.run(_cancel_after(contexts[0], server, size))
            _assert_nothing_left(server.recordings()[-1])
        if not goes_on:
            break
    assert size > 600


def test_an_interrupt_over_memory_bios_is_raised_and_sends_no_certificate(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    context = world.context()
    context._enforcer.clock = _interrupt
    context.maximum_version = version
    context.load_cert_chain(*clients)
    wire = Wire(context, _asking(world.good, world))
    wire.until_checked()
    with pytest.raises(KeyboardInterrupt):
        wire.client.do_handshake()
    with pytest.raises(ssl.SSLError, match="interrupted"):
        wire.client.write(b"a secret")
    assert wire.to_server.pending == 0


def test_a_rogue_gets_no_certificate_after_a_hello_retry_request(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    rogue = _asking(world.evil, world)
    rogue.set_ecdh_curve("secp521r1")  # the client offers a share for another group first
    for context in contexts:
        with RecordingServer(rogue) as server:
            recording = _refused(context, server, PinMismatchError)
        assert not recording.finished
        hellos = _records(recording.raw)
        newest = context.maximum_version == ssl.TLSVersion.TLSv1_3
        assert [kind for kind in hellos if kind != 20] == ([22, 22] if newest else [22])


@pytest.mark.medium
def test_a_rogue_that_resumes_a_session_gets_no_certificate(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    good = _asking(world.good, world)
    context = contexts[0]
    with RecordingServer(good) as server:
        with context.wrap_socket(server.connect(), server_hostname=HOST) as tls:
            assert tls.recv(len(GREETING)) == GREETING
            session = tls.session
        assert session is not None
        with context.wrap_socket(server.connect(), server_hostname=HOST, session=session) as again:
            assert again.session_reused
            assert again.recv(len(GREETING)) == GREETING
        # As if the context had not verified it: the check of rule 4 comes before the last flight.
        context._enforcer.sessions.recall = lambda *_: ()  # type: ignore[method-assign]
        with server.connect() as sock, pytest.raises(Exception, match="refused"):
            context.wrap_socket(sock, server_hostname=HOST, session=session)
        recordings = server.recordings(3)  # in the order in which they ended, which can vary
    assert sorted(each.finished for each in recordings) == [False, True, True]


def test_a_session_is_offered_only_with_the_certificate_of_its_connection(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    """The server resumes a session as the client that made it, here one without a certificate."""
    context, good = world.context(), _optional(world.good, world)
    context.maximum_version = version
    anonymous = Wire(context, good).shake().session()
    context.load_cert_chain(*clients)
    wire = Wire(context, good, session=anonymous).shake()
    assert not wire.client.session_reused
    assert wire.server.getpeercert(binary_form=True)
    again = Wire(context, good)
    again.client.session = wire.session()
    assert again.shake().client.session_reused


def test_no_certificate_stays_if_offering_a_session_is_interrupted(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    context = contexts[0]
    context._enforcer.sessions.recall = lambda *_: ()  # type: ignore[method-assign]
    wire = Wire(context, _optional(world.evil, world))
    with pytest.raises(TypeError):
        wire.client.session = "no session"
    with pytest.raises(ssl.SSLError, match="interrupted"):
        wire.client.do_handshake()
    assert wire.to_server.pending == 0


def test_the_chain_of_the_client_is_completed_with_the_roots(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """OpenSSL completes a chain in the client's file with certificates that the context trusts."""
    first, end, _ = clients[0].read_text().partition("-----END CERTIFICATE-----\n")
    leaf, loaded = tmp_path / "leaf.pem", tmp_path / "intermediate.pem"
    leaf.write_text(first + end)
    loaded.write_bytes(world.intermediate.pem)
    both = kit.anchors(world.root, world.intermediate)
    for before, after, trust in ((loaded, None, None), (None, loaded, None), (None, None, both)):
        context = world.context(trust=trust)
        context.maximum_version = version
        if before:
            context.load_verify_locations(before)
        context.load_cert_chain(leaf, clients[1])
        if after:
            context.load_verify_locations(after)
        assert Wire(context, _asking(world.good, world)).shake().server.getpeercert()


def test_a_certificate_loaded_later_and_a_store_made_later_are_guarded(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    pins: PinSet = world.pins(version=2, trust=kit.anchors(world.rogue, world.root))
    context = world.context()
    context.maximum_version = version
    context.load_cert_chain(*clients)
    context.swap(pins)
    with RecordingServer(_asking(world.evil, world)) as server:
        _assert_nothing_left(_refused(context, server, PinMismatchError))


def test_a_handshake_inside_the_first_write_is_guarded_too(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    for context in contexts:
        with RecordingServer(_asking(world.evil, world)) as server:
            tls = context.wrap_socket(
                server.connect(), server_hostname=HOST, do_handshake_on_connect=False
            )
            with tls:
                for _ in range(2):
                    with pytest.raises(PinMismatchError):
                        tls.sendall(b"a secret")
            _assert_nothing_left(server.recordings()[-1])


def test_a_connection_is_refused_if_its_callback_was_replaced(
    world: World, contexts: list[PinnedSSLContext]
) -> None:
    """A debugging tool may replace the message callback, in which the pins are checked.

    The connection then never gets the client certificate, and fails.
    """
    context = contexts[0]
    OpenSSLContext._msg_callback.__set__(context, None)
    with RecordingServer(_optional(world.good, world)) as server:
        assert _refused(context, server, WeakenedContextError).client_certificate is None


def test_a_server_that_signs_nothing_gets_no_certificate(
    world: World, intermediate: Authority, clients: tuple[Path, Path]
) -> None:
    """With RSA key exchange, an attacker needs only the server's public certificate until then."""
    identity = intermediate.issue(HOST, key=generate_private_key(65537, 2048))
    server_side = as_old_as_tls12(_asking(identity, world))
    server_side.set_ciphers("kRSA")
    context = world.context(identity.pin)
    context.load_cert_chain(*clients)
    context.set_ciphers("ECDHE:kRSA")  # Python's default has no kRSA
    with RecordingServer(server_side) as server:
        _assert_nothing_left(_refused(context, server, WeakenedContextError))
    wire = Wire(context, server_side)
    wire.until_checked()
    with pytest.raises(WeakenedContextError, match="proves that it has the key"):
        wire.client.do_handshake()
    assert wire.to_server.pending == 0
    signing = as_old_as_tls12(_asking(identity, world))
    assert Wire(context, signing).shake().server.getpeercert(binary_form=True)


def test_each_connection_is_checked_and_reported_once(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    told: list[Any] = []

    class Hook:
        never_waits = True

        def attach(self, context: object) -> None:
            pass

        def __call__(self, failure: Any) -> None:
            told.append((failure.decision, failure.port))

    context = PinnedSSLContext(world.pins(mode="report"), on_failure=[Hook()])
    context.maximum_version = version
    context.load_cert_chain(*clients)
    with RecordingServer(_asking(world.evil, world)) as server:
        with context.wrap_socket(server.connect(), server_hostname=HOST) as tls:
            assert tls.recv(len(GREETING)) == GREETING
        assert told == [("report", server.port)]


def test_a_swap_between_the_two_checks_takes_effect(
    world: World,
    clients: tuple[Path, Path],
    version: ssl.TLSVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = world.context()
    context.maximum_version = version
    context.load_cert_chain(*clients)
    other = kit.pin_set(world.policy(kit.NOBODY, kit.NOBODY_ELSE), version=2)
    with RecordingServer(_asking(world.good, world)) as server:
        tls = context.wrap_socket(
            server.connect(), server_hostname=HOST, do_handshake_on_connect=False
        )
        early = Gate.judge_early

        def judge_and_swap(self: Gate, raw: Any) -> None:
            early(self, raw)
            context.swap(other)

        monkeypatch.setattr(Gate, "judge_early", judge_and_swap)
        with tls, pytest.raises(PinMismatchError):
            tls.do_handshake()


def test_an_interrupt_during_the_check_is_raised_and_refuses(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    context = world.context()
    context._enforcer.clock = _interrupt
    context.maximum_version = version
    context.load_cert_chain(*clients)
    with RecordingServer(_asking(world.good, world)) as server:
        tls = context.wrap_socket(
            server.connect(), server_hostname=HOST, do_handshake_on_connect=False
        )
        with tls:
            with pytest.raises(KeyboardInterrupt):
                tls.do_handshake()
            with pytest.raises(ssl.SSLError, match="interrupted"):
                tls.sendall(b"a secret")
        _assert_nothing_left(server.recordings()[-1])


def test_a_non_strict_context_sends_the_certificate_to_hosts_without_a_policy(
    world: World, clients: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    context = PinnedSSLContext(world.pins(), strict=False)
    context.maximum_version = version
    context.load_cert_chain(*clients)
    with RecordingServer(_asking(world.good, world)) as server:
        with context.wrap_socket(server.connect(), server_hostname=OTHER) as tls:
            assert tls.recv(len(GREETING)) == GREETING
        assert server.recordings()[-1].client_certificate is not None


def test_a_context_without_a_certificate_has_no_callback(world: World) -> None:
    """A context without a client certificate doesn't set OpenSSL's message callback.

    The callback would cost a call into Python for each TLS message and record.
    """
    assert OpenSSLContext._msg_callback.__get__(world.context()) is None
    assert server_context(world.good)._msg_callback is None  # type: ignore[attr-defined]
