"""HTTP of the updater's connection: reuse, framing of bodies, and text that a server sends."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin import UpdateError

if TYPE_CHECKING:
    from tests.updates._server import Handler
    from tests.updates.conftest import World

PARTS = pytest.mark.parametrize("part", ["timestamp", "snapshot", "metadata/1.targets", "targets/"])


def refusal(world: World, **fields: Any) -> UpdateError:
    with pytest.raises(UpdateError) as caught:
        world.updater(**fields).refresh()
    return caught.value


def hang_up(handler: Handler) -> None:
    """Close the connection without a response."""
    handler.close_connection = True


def content(handler: Handler) -> bytes:
    """Return the content of the requested file."""
    return handler.server.owner.folder.joinpath(handler.path.lstrip("/")).read_bytes()


def test_one_connection_is_used_for_one_refresh(world: World) -> None:
    ports: list[int] = []

    def note(handler: Handler) -> None:
        ports.append(handler.client_address[1])
        handler.serve_file()

    world.server.answers[""] = note
    world.updater().refresh()
    assert len(ports) == 5
    assert len(set(ports)) == 1


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}], ids=["silent", "announced"])
def test_a_connection_that_the_server_closes_is_made_again(
    world: World, headers: dict[str, Any]
) -> None:
    ports: list[int] = []

    def answer(handler: Handler) -> None:
        ports.append(handler.client_address[1])
        if ".root" in handler.path:
            handler.answer(404, b"no such file\n", **headers)
        else:
            handler.answer(200, content(handler), **headers)
        handler.close_connection = True

    world.server.answers[""] = answer
    assert world.updater().refresh().version == 2
    assert len(ports) == 5
    assert len(set(ports)) == 5


@pytest.mark.parametrize(("part", "count"), [(".root", 1), ("snapshot", 2), ("targets/", 2)])
def test_a_request_is_repeated_once_if_the_connection_was_used_before(
    world: World, part: str, count: int
) -> None:
    world.server.answers[part] = hang_up
    error = refusal(world)
    assert error.reason == "network"
    assert "closed connection without response" in error.problem
    assert len([path for path in world.server.taken() if part in path]) == count


@pytest.mark.medium
def test_a_request_that_times_out_is_not_repeated(world: World) -> None:
    world.server.answers["snapshot"] = world.server.stall
    settings = world.quick(patience=timedelta(seconds=0.3))
    assert refusal(world, settings=settings).reason == "slow"
    assert len([path for path in world.server.taken() if "snapshot" in path]) == 1


@PARTS
@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_body_that_ends_too_early_is_refused(world: World, part: str, how: str) -> None:
    """Also if the bytes before its end are the whole file, so that no hash would differ."""

    def answer(handler: Handler) -> None:
        data = content(handler)
        handler.send_response(200)
        if how == "length":
            handler.send_header("Content-Length", str(len(data) + 7))
        else:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(data if how == "length" else b"%x\r\n%b\r\n" % (len(data), data))
        handler.close_connection = True

    world.server.answers[part] = answer
    error = refusal(world)
    assert error.reason == "network"
    assert ("7 bytes too early" if how == "length" else "IncompleteRead") in error.problem


def test_bodies_in_chunks_keep_the_connection(world: World) -> None:
    ports: list[int] = []

    def answer(handler: Handler) -> None:
        ports.append(handler.client_address[1])
        data = content(handler)
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in (data[:100], data[100:]):
            handler.wfile.write(b"%x;note\r\n%b\r\n" % (len(chunk), chunk))
        handler.wfile.write(b"0\r\nTrailer: x\r\n\r\n")

    for part in ("timestamp", "snapshot", "metadata/1.targets", "targets/"):
        world.server.answers[part] = answer
    assert world.updater().refresh().version == 2
    assert len(ports) == 4
    assert len(set(ports)) == 1


def test_the_protocol_is_negotiated(world: World) -> None:
    """With the pins of the bundled set, with those of a fetched set, and in a forked child."""
    world.server._tls.set_alpn_protocols(["h2", "http/1.1"])
    spoken: list[str | None] = []

    def note(handler: Handler) -> None:
        spoken.append(handler.connection.selected_alpn_protocol())
        handler.serve_file()

    world.server.answers["timestamp"] = note
    app = world.updater()
    app.refresh()
    app.refresh()
    app._checker.wake_in_child()
    app.refresh()
    assert spoken == ["http/1.1"] * 3


def test_a_body_without_a_length_ends_with_the_connection(world: World) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content(handler))
        handler.close_connection = True

    world.server.answers["snapshot"] = answer
    assert world.updater().refresh().version == 2


def test_control_characters_of_a_server_are_escaped(world: World) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(b"\x1b[31mnonsense\r\n\r\n")
        handler.close_connection = True

    world.server.answers["timestamp"] = answer
    error = refusal(world)
    assert error.reason == "network"
    assert error.problem.isprintable()
    assert "nonsense" in error.problem
