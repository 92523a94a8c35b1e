"""The updater's connection to its server: pinned, https, bounded in time and in bytes."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin import ConfigError, PinMismatchError, PinSet, UpdateError
from certpin._version import __version__
from certpin.updates.settings import parse_folder_url
from tests import kit
from tests.updates._publisher import CHANNEL, HOST, pin_file

if TYPE_CHECKING:
    from certpin import Pin
    from certpin.lab import Authority, Identity
    from tests.updates._server import Handler
    from tests.updates.conftest import World

SHORT = timedelta(seconds=0.3)
MIDDLING = timedelta(seconds=5)
LONG = timedelta(seconds=60)


@pytest.fixture(scope="module")
def renewed(intermediate: Authority) -> Identity:
    """Return an identity of the same server with another key."""
    return intermediate.issue(CHANNEL)


@pytest.fixture(scope="module")
def rogue() -> Authority:
    from certpin.lab import Authority

    return Authority("Rogue Root")


def refusal(world: World, **fields: Any) -> UpdateError:
    with pytest.raises(UpdateError) as caught:
        world.updater(**fields).refresh()
    return caught.value


def test_an_unpinned_server_gets_no_request(world: World, renewed: Identity) -> None:
    world.server.use(renewed)
    error = refusal(world)
    assert error.reason == "pins"
    assert "the server of the updates is not the pinned one" in error.problem
    assert "localhost refused" in error.problem
    assert world.server.taken() == []


def test_a_set_with_a_wrong_pin_of_the_server_can_be_replaced(
    world: World, renewed: Identity
) -> None:
    """Version 3 pins a key that the server doesn't have.

    The bundled set still pins the server's key, so the app can fetch version 4.
    """
    world.repository.publish(pin_file(3, {CHANNEL: renewed.pin, HOST: kit.NOBODY_ELSE}))
    app = world.updater()
    assert app.refresh().version == 3
    world.publish(4)
    assert app.refresh().version == 4


def test_a_set_without_the_server_can_be_replaced(world: World) -> None:
    world.repository.publish(pin_file(3, {HOST: kit.NOBODY_ELSE}))
    app = world.updater()
    assert app.refresh().version == 3
    world.publish(4)
    assert app.refresh().version == 4


def test_the_set_in_force_pins_a_changed_key_of_the_server(world: World, renewed: Identity) -> None:
    world.repository.publish(pin_file(3, {CHANNEL: renewed.pin, HOST: kit.NOBODY_ELSE}))
    app = world.updater()
    app.refresh()
    world.server.use(renewed)
    world.repository.publish(pin_file(4, {CHANNEL: renewed.pin, HOST: kit.NOBODY_ELSE}))
    assert app.refresh().version == 4
    assert world.updater().refresh().version == 4  # from the folder, too


def compromised(*pins: Pin) -> str:
    """Return lines of a pin file that mark pins of the host compromised."""
    entry = '\n[[host.pin]]\npin = "{}"\nstate = "compromised"'
    return "".join(entry.format(pin) for pin in pins)


def test_a_key_that_the_newest_set_marks_compromised_is_refused(
    world: World, renewed: Identity
) -> None:
    """The bundled set still pins it. The server recovers with any other key that is pinned."""
    hosts = {CHANNEL: renewed.pin, HOST: kit.NOBODY_ELSE}
    world.repository.publish(pin_file(3, hosts, localhost=compromised(world.identity.pin)))
    app = world.updater()
    assert app.refresh().version == 3
    world.server.taken()
    for each in (app, world.updater()):  # the second reads the set from the folder
        with pytest.raises(UpdateError) as caught:
            each.refresh()
        assert caught.value.reason == "pins"
        assert "contains a key marked compromised" in caught.value.problem
    assert world.server.taken() == []
    world.server.use(renewed)
    assert app.refresh().version == 3


def test_a_compromised_authority_is_refused_although_its_trust_file_was_replaced(
    world: World, rogue: Authority, root: Authority
) -> None:
    """The newest set doesn't verify the path, so that only the bundled set sees that key."""
    world.server.use(rogue.issue(CHANNEL, key=world.identity.key))
    old, new = ('trust = "ca.pem"', f'trust = "ca.pem"{compromised(rogue.pin)}')
    bundled = PinSet.parse(world.text(1, localhost=old), files={"ca.pem": rogue.pem})
    world.repository.publish(world.text(3, localhost=new), {"ca.pem": root.pem})
    app = world.updater(pins=bundled)
    assert app.refresh().version == 3
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "pins"
    world.server.use(world.identity)
    assert app.refresh().version == 3


def test_a_compromised_key_is_refused_although_the_newest_set_only_reports(
    world: World, intermediate: Authority
) -> None:
    """Only the bundled set enforces pins for the server. The newest one names the stolen key."""
    backup = intermediate.issue(CHANNEL)
    bundled = PinSet.parse(world.text(1).replace(f"{kit.NOBODY}", f"{backup.pin}", 1))
    marked = f'mode = "report"{compromised(world.identity.pin)}'
    world.repository.publish(
        pin_file(3, {CHANNEL: backup.pin, HOST: kit.NOBODY_ELSE}, localhost=marked)
    )
    app = world.updater(pins=bundled)
    assert app.refresh().version == 3
    world.server.taken()
    for each in (app, world.updater(pins=bundled)):  # the second reads the set from the folder
        with pytest.raises(UpdateError) as caught:
            each.refresh()
        assert caught.value.reason == "pins"
        assert (
            "refused: its verified chain contains a key marked compromised" in caught.value.problem
        )
    assert world.server.taken() == []
    world.server.use(backup)
    assert app.refresh().version == 3


def test_a_report_only_set_does_not_open_the_channel(world: World, renewed: Identity) -> None:
    """The mode ``report`` in a published set doesn't disable the pins for the updater's connection.

    Otherwise a published set could accept any server with a publicly trusted certificate.
    """
    world.publish(3, localhost='mode = "report"')
    app = world.updater()
    app.refresh()
    world.server.use(renewed)
    world.publish(4)
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "pins"


def test_a_non_strict_context_does_not_open_the_channel(world: World, renewed: Identity) -> None:
    from certpin import PinnedSSLContext

    world.repository.publish(pin_file(3, {HOST: kit.NOBODY_ELSE}))
    app = world.updater(pins=PinnedSSLContext(world.bundled(), strict=False))
    app.refresh()
    world.server.use(renewed)
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "pins"


def test_an_untrusted_chain_is_refused_although_its_pin_matches(
    world: World, rogue: Authority
) -> None:
    world.server.use(rogue.issue(CHANNEL, key=world.identity.key))
    assert refusal(world).reason == "certificate"
    assert world.server.taken() == []


def test_a_certificate_that_is_not_valid_yet_points_to_the_clock(
    world: World, intermediate: Authority
) -> None:
    """The clock of the client may be behind."""
    later = intermediate.at(intermediate.now + timedelta(days=14))
    world.server.use(later.issue(CHANNEL, key=world.identity.key))
    error = refusal(world)
    assert (error.reason, "not yet valid" in error.problem) == ("certificate", True)
    assert "check this machine's clock" in error.fix


def test_a_trust_file_of_the_bundled_set_holds_for_the_channel(
    world: World, rogue: Authority
) -> None:
    text = world.text(1).replace('name = "localhost"', 'name = "localhost"\ntrust = "ca.pem"')
    pins = PinSet.parse(text, files={"ca.pem": rogue.pem})
    assert refusal(world, pins=pins).reason == "certificate"
    world.server.use(rogue.issue(CHANNEL, key=world.identity.key))
    assert world.updater(pins=pins).refresh().version == 2


@pytest.mark.medium
@pytest.mark.parametrize("more", ["", '\non_expiry = "fail-open"'])
def test_expired_pins_still_apply_to_the_channel(
    world: World, renewed: Identity, more: str
) -> None:
    """The updater's own connection ignores the expiry of pins.

    The next pin set must arrive after the pins expire, and the connection must always have pins.
    """
    ended = f"expires = 2020-01-01{more}"
    world.publish(3, localhost=ended)
    app = world.updater(pins=PinSet.parse(world.text(1, localhost=ended)))
    assert app.refresh().version == 3
    assert app.status.state == ("fresh" if more else "hard-expired")
    world.server.use(renewed)
    world.publish(4)
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "pins"
    world.server.use(world.identity)
    assert (app.refresh().version, app.status.state) == (4, "fresh")


def test_a_server_without_a_policy_is_a_configuration_error(world: World) -> None:
    pins = PinSet.parse(pin_file(1, {HOST: kit.NOBODY_ELSE}))
    with pytest.raises(ConfigError, match="has no policy for localhost") as caught:
        world.updater(pins=pins)
    assert (caught.value.key, caught.value.fix) == ("url", "certpin add localhost")


def test_a_server_with_a_report_only_policy_is_a_configuration_error(world: World) -> None:
    with pytest.raises(ConfigError, match="only reports"):
        world.updater(pins=PinSet.parse(world.text(1, localhost='mode = "report"')))


def test_a_server_with_only_weak_protocols_is_a_network_error(world: World) -> None:
    assert isinstance(world.server._tls, ssl.SSLContext)
    world.server._tls.set_alpn_protocols(["h2"])
    world.server._tls.maximum_version = ssl.TLSVersion.TLSv1_2
    world.server._tls.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    assert refusal(world).reason == "network"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "HTTP://localhost",
        "localhost",
        "//localhost/",
        "ftp://localhost/",
        "https://",
        "https:///path",
        "https://user@localhost/",
        "https://user:secret@localhost/",
        "https://localhost/?key=secret",
        "https://localhost/#part",
        "https://localhost/?",
        "https://localhost/#",
        "https://@localhost/",
        "https://localhost:0/",
        "https://local host/",
        "https://localhost/a b",
        "https://localhost\r\n/",
        "https://localhost:99999/",
        "https://localhost:x/",
        "https://a..b/",
        "https://bücher.example/ü",
        "file:///etc/",
        "",
    ],
)
def test_any_address_but_plain_https_is_a_configuration_error(world: World, url: str) -> None:
    with pytest.raises(ConfigError, match="updates come from an address such as") as caught:
        world.updater(url=url)
    assert caught.value.key == "url"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Pins.Bank.Example", ("pins.bank.example", 443, "/")),
        ("https://pins.bank.example/app", ("pins.bank.example", 443, "/app/")),
        ("https://[::1]:8443/a/b/", ("::1", 8443, "/a/b/")),
        ("HTTPS://127.0.0.1/", ("127.0.0.1", 443, "/")),
    ],
)
def test_an_address_is_read(url: str, expected: tuple[str, int, str]) -> None:
    assert parse_folder_url(url) == expected


def test_updates_can_be_in_a_folder_of_the_server(world: World) -> None:
    world.server.folder = world.server.folder.parent
    assert world.updater(url=f"{world.server.url}site").refresh().version == 2


def answering(status: int, **headers: str) -> Any:
    def answer(handler: Handler) -> None:
        handler.answer(status, b"something else\n", **headers)

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(world: World, status: int) -> None:
    to = f"{world.server.url}elsewhere/timestamp.json"
    world.server.answers["timestamp"] = answering(status, Location=to)
    error = refusal(world)
    assert error.reason == "network"
    assert f"a redirect ({status}), and none is followed" in error.problem
    assert not [path for path in world.server.taken() if "elsewhere" in path]


def test_a_redirect_to_clear_text_is_not_followed(world: World) -> None:
    world.server.answers[".root"] = answering(302, Location="http://localhost:1/2.root.json")
    assert "redirect" in refusal(world).problem


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 500, 503])
@pytest.mark.parametrize("part", ["timestamp", "snapshot", "targets/"])
def test_an_error_status_for_a_file_is_reported(world: World, part: str, status: int) -> None:
    world.server.answers[part] = answering(status)
    error = refusal(world)
    assert error.reason == "http"
    assert f"status {status}" in error.problem


@pytest.mark.parametrize("status", [201, 203, 204, 206, 226])
def test_an_answer_that_is_not_a_plain_file_is_refused(world: World, status: int) -> None:
    world.server.answers["timestamp"] = answering(status)
    assert refusal(world).reason == "http"


@pytest.mark.parametrize(("status", "reason"), [(403, ""), (404, ""), (500, "http"), (401, "http")])
def test_a_root_is_missing_only_if_the_server_answers_so(
    world: World, status: int, reason: str
) -> None:
    """Status 403 and 404 mean that there is no newer root; other statuses are errors.

    Storage that clients can't list answers 403 for a missing file.
    """
    world.server.answers[".root"] = answering(status)
    if reason:
        assert refusal(world).reason == reason
    else:
        assert world.updater().refresh().version == 2


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "gzip, identity"])
def test_compressed_answers_are_refused(world: World, coding: str) -> None:
    world.server.answers["timestamp"] = answering(200, Content_Encoding=coding)
    error = refusal(world)
    assert error.reason == "network"
    assert "compressed" in error.problem


def test_the_request_refuses_compression_and_reveals_nothing(world: World) -> None:
    heard: list[dict[str, str]] = []

    def note(handler: Handler) -> None:
        heard.append(dict(handler.headers))
        handler.serve_file()

    world.server.answers["timestamp"] = note
    world.updater().refresh()
    assert heard[0] == {
        "Host": f"localhost:{world.server.port}",
        "Accept-Encoding": "identity",
        "User-Agent": f"certpin/{__version__}",
    }


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", b"nonsense\r\n\r\n", b"HTTP/1.1 200",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\n\r\n",
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"],
)  # fmt: skip
def test_an_incomplete_or_invalid_answer_is_refused(world: World, said: bytes) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(said)
        handler.close_connection = True

    world.server.answers["timestamp"] = answer
    # The reader must detect a body that is too short.
    assert refusal(world).reason in {"network", "unreadable"}


def test_an_unreachable_server_is_a_network_error(world: World) -> None:
    from tests.servers._run import free_port

    error = refusal(world, url=f"https://localhost:{free_port()}/")
    assert error.reason == "network"
    assert "Connection refused" in error.problem


def test_an_unknown_name_is_a_network_error(world: World) -> None:
    pins = PinSet.parse(pin_file(1, {"pins.invalid": kit.NOBODY_ELSE}))
    error = refusal(world, pins=pins, url="https://pins.invalid/")
    assert error.reason == "network"
    assert "Name or service not known" in error.problem


def test_no_proxy_of_the_environment_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert world.updater().refresh().version == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["timestamp", ".root", "snapshot", "metadata/1.targets", "targets/"]
)
@pytest.mark.parametrize("how", ["drip", "drip_headers"])
def test_a_server_that_sends_too_slowly_is_abandoned(world: World, part: str, how: str) -> None:
    """Each byte arrives in time, but the whole response would take too long."""
    world.server.answers[part] = getattr(world.server, how)
    error = refusal(world, settings=world.quick(patience=LONG, deadline=SHORT))
    assert error.reason == "slow"
    assert "the time for a refresh is up" in error.problem
    assert not world.server.let_go.is_set()


@pytest.mark.medium
def test_a_silent_server_times_out(world: World) -> None:
    world.server.answers["timestamp"] = world.server.stall
    error = refusal(world, settings=world.quick(patience=SHORT, deadline=MIDDLING))
    assert error.reason == "slow"
    assert "nothing came in time" in error.problem


@pytest.mark.slow
def test_a_server_without_a_handshake_times_out(world: World) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        error = refusal(world, url=url, settings=world.quick(patience=SHORT, deadline=LONG))
        assert error.reason == "slow"
        error = refusal(world, url=url, settings=world.quick(patience=LONG, deadline=SHORT))
        assert error.reason == "slow"


@pytest.mark.medium
def test_endless_100_continue_answers_time_out(world: World) -> None:
    def answer(handler: Handler) -> None:
        try:
            while not world.server.let_go.is_set():
                handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        except OSError:
            handler.close_connection = True

    world.server.answers["timestamp"] = answer
    error = refusal(world, settings=world.quick(patience=LONG, deadline=SHORT))
    # Python 3.15 gives up after 100 interim responses, before the deadline.
    bounded = hasattr(http.client, "_MAXINTERIMRESPONSES")
    assert error.reason == ("network" if bounded else "slow")


@pytest.mark.parametrize("part", ["timestamp", "snapshot", "metadata/1.targets", "targets/"])
def test_an_endless_body_is_refused(world: World, part: str) -> None:
    world.server.answers[part] = world.server.never_end
    error = refusal(world)
    assert error.reason == "too-long"
    assert "more than" in error.problem


def test_an_endless_error_page_is_refused(world: World) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(404)
        handler.send_header("Content-Length", str(10**9))
        handler.end_headers()
        # The connection stays open: a request on one that the server closed is sent once more.
        handler.wfile.write(b"x" * 10**6)

    world.server.answers[".root"] = answer
    assert world.updater().refresh().version == 2


def test_a_check_with_nothing_new_is_one_small_request(world: World) -> None:
    app = world.updater()
    app.refresh()
    world.server.taken()
    world.server.sent = 0
    for _ in range(3):
        app.refresh()
    assert world.server.taken() == ["/metadata/timestamp.json"] * 3
    assert world.server.sent < 3 * 1000


def test_files_that_are_known_are_not_fetched_again(world: World, root: Authority) -> None:
    custom = {"pin-set": "bank", "version": 3}
    files = {"pins.toml": world.text(3).encode(), "ca.pem": root.pem}
    world.repository.publish_targets(files, custom)
    world.repository.publish_online()
    app = world.updater()
    app.refresh()
    world.server.taken()
    custom["version"], files["pins.toml"] = 4, world.text(4).encode()
    world.repository.publish_targets(files, custom)
    world.repository.publish_online()
    assert app.refresh().version == 4
    fetched = [path.rpartition(".")[0][-5:] for path in world.server.taken() if "targets/" in path]
    assert fetched == [".pins"]


def test_no_socket_and_no_thread_is_left_behind(world: World, recwarn: Any) -> None:
    import gc

    before = threading.active_count()
    app = world.updater()
    app.refresh()
    world.server.answers["timestamp"] = world.server.never_end
    with pytest.raises(UpdateError):
        app.refresh()
    world.server.let_go.set()
    until = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before + 1  # a connection of the server, at most
    gc.collect()
    assert not [each for each in recwarn if issubclass(each.category, ResourceWarning)]


def test_a_refused_pin_is_found_inside_the_error(world: World, renewed: Identity) -> None:
    from certpin import pin_error

    world.server.use(renewed)
    assert isinstance(pin_error(refusal(world)), PinMismatchError)
