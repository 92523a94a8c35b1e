"""Properties of every STARTTLS protocol."""

from __future__ import annotations

import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import StartTLSError
from certpin.probe.starttls import PROTOCOLS, Dialogue
from certpin.probe.starttls.dialogue import TOTAL_LIMIT
from tests.probe.starttls._play import (
    HOST,
    PORT,
    READY,
    Client,
    Conversation,
    Server,
    bytewise,
    failure,
    is_garbled,
    is_injection,
    play,
)

every_protocol = pytest.mark.parametrize("name", PROTOCOLS)


def server_turns(name: str) -> list[int]:
    """Return the indexes of the turns of the server."""
    return [at for at, turn in enumerate(READY[name]) if isinstance(turn, Server)]


def with_more_in_last_turn(name: str, more: bytes) -> Conversation:
    """Return a protocol's regular conversation up to the server's last turn, plus more bytes."""
    last = server_turns(name)[-1]
    return [*READY[name][:last], Server(READY[name][last] + more)]


def test_each_protocol_of_the_registry_has_a_conversation_and_its_own_name() -> None:
    assert READY.keys() == PROTOCOLS.keys(), "fix: a conversation in READY of _play.py"
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())


@every_protocol
def test_the_conversation_ends_ready_for_tls(name: str) -> None:
    dialogue = play(name, READY[name])
    assert dialogue.done
    assert dialogue.data_to_send() == b""


@every_protocol
def test_the_conversation_ends_ready_for_tls_byte_by_byte(name: str) -> None:
    assert play(name, READY[name], cut=bytewise).done


@every_protocol
def test_a_dialogue_is_not_done_before_the_last_byte(name: str) -> None:
    last = server_turns(name)[-1]
    dialogue = play(name, READY[name][:last])
    for piece in bytewise(READY[name][last]):
        assert not dialogue.done
        dialogue.receive(piece)
    assert dialogue.done


@every_protocol
@pytest.mark.parametrize("more", [b"\n", b"250 injected\r\n", b"\x16\x03\x01"])
def test_bytes_together_with_the_go_ahead_are_an_injection(name: str, more: bytes) -> None:
    assert is_injection(failure(name, with_more_in_last_turn(name, more)))


@every_protocol
def test_bytes_after_the_go_ahead_are_an_injection(name: str) -> None:
    dialogue = play(name, READY[name])
    with pytest.raises(StartTLSError, match="between its go-ahead and TLS"):
        dialogue.receive(b"x")
    assert not dialogue.done


@every_protocol
def test_a_server_that_closes_at_any_turn_fails(name: str) -> None:
    for at in server_turns(name):
        error = failure(name, [*READY[name][:at], Server(b"")])
        assert "closed the connection" in error.problem


@every_protocol
def test_a_failed_dialogue_stays_failed(name: str) -> None:
    dialogue = Dialogue(PROTOCOLS[name], HOST, PORT)
    with pytest.raises(StartTLSError) as first:
        dialogue.receive(b"")
    for turn in READY[name]:
        if isinstance(turn, Server):
            with pytest.raises(StartTLSError) as again:
                dialogue.receive(turn)
            assert again.value is first.value
    assert not dialogue.done


# The others are already bounded by their first bytes.
@pytest.mark.parametrize(
    ("name", "endless"),
    [("smtp", b"220-x\r\n"), ("ftp", b"220-x\r\n"), ("imap", b"* OK x\r\n"), ("xmpp", b" ")],
)
def test_a_server_that_never_stops_is_bounded(name: str, endless: bytes) -> None:
    error = failure(name, [Server(endless * (TOTAL_LIMIT // len(endless) + 1))])
    assert is_garbled(error)
    assert f"more than {TOTAL_LIMIT} bytes" in error.problem


@every_protocol
def test_a_flood_after_the_go_ahead_is_an_injection(name: str) -> None:
    assert is_injection(failure(name, with_more_in_last_turn(name, b"x" * TOTAL_LIMIT)))


def test_a_go_ahead_may_end_at_the_limit_and_one_more_byte_is_an_injection() -> None:
    *greeted, end = READY["imap"]
    untagged = b"* x\r\n"
    room = TOTAL_LIMIT - len(greeted[0]) - len(end)
    padding = untagged * (room // 5 - 1) + b"* " + b"x" * (room % 5 + 1) + b"\r\n"
    exact = Server(padding + end)
    assert len(greeted[0]) + len(exact) == TOTAL_LIMIT
    assert play("imap", [*greeted, exact]).done
    assert is_injection(failure("imap", [*greeted, Server(exact + b"x")]))


@every_protocol
def test_the_error_names_the_server_and_the_protocol_and_survives_pickling(name: str) -> None:
    error = failure(name, [Server(b"")])
    assert (error.host, error.port) == (HOST, PORT)
    assert f"{name} STARTTLS" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def outcome(name: str, pieces: list[bytes]) -> str:
    """Return the result of passing each piece to a new dialogue, even after its end.

    It is ``done``, ``wants more``, or the text of the ``StartTLSError``.
    """
    dialogue = Dialogue(PROTOCOLS[name], HOST, PORT)
    try:
        for piece in pieces:
            dialogue.receive(piece)
    except StartTLSError as error:
        assert not dialogue.done
        return str(error)
    return "done" if dialogue.done else "wants more"


# Junk, and pieces of the answers of real servers, cut and joined again.
said = sorted({bytes(turn) for turns in READY.values() for turn in turns if type(turn) is Server})
fragments = st.sampled_from(said) | st.builds(
    lambda turn, start, end: turn[start:end],
    st.sampled_from(said),
    st.integers(0, 60),
    st.integers(0, 120),
)
hostile = st.lists(fragments | st.binary(max_size=30), max_size=8).map(b"".join)


@every_protocol
@given(data=hostile, cuts=st.lists(st.integers(0, 400), max_size=6).map(sorted))
def test_any_bytes_end_in_tls_or_the_typed_error_and_cutting_never_matters(
    name: str, data: bytes, cuts: list[int]
) -> None:
    edges = [0, *cuts, len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    expected = outcome(name, [data] if data else [])
    assert outcome(name, [piece for piece in pieces if piece]) == expected
    assert outcome(name, list(bytewise(data))) == expected


@every_protocol
@given(data=st.data())
def test_one_changed_byte_ends_in_tls_or_the_typed_error(name: str, data: st.DataObject) -> None:
    honest = b"".join(READY[name][at] for at in server_turns(name))
    at = data.draw(st.integers(0, len(honest) - 1))
    value = data.draw(st.integers(0, 255))
    changed = honest[:at] + bytes((value,)) + honest[at + 1 :]
    assert outcome(name, list(bytewise(changed))) == outcome(name, [changed])


def test_quotes_of_a_server_have_no_control_characters() -> None:
    error = failure("smtp", [Server(b"554 \x1b[2J\xe2\x80\xae" + b"x" * 300 + b"\r\n")])
    assert error.problem.replace("…", "").isascii()
    assert error.problem.isprintable()
    assert len(error.problem) < 250


def test_the_client_sends_nothing_after_an_error() -> None:
    dialogue = Dialogue(PROTOCOLS["smtp"], HOST, PORT)
    with pytest.raises(StartTLSError):
        dialogue.receive(b"220 hello\r\nnonsense\r\n")
    assert dialogue.data_to_send() == Client()
