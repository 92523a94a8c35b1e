"""The challenge mode: what is answered, and what is not."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import ConfigError, TokenError
from certpin.updates.wultra import Answer, ServedList, challenge_app, check_list
from tests.updates.wultra._asgi import Reply, call
from tests.updates.wultra._bank import FINGERPRINT, HOST, NOW, SECONDS, Bank, entry, listing
from tests.updates.wultra._sdk import SDK, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.applications import Starlette

PLACE = "/app/init?appName=bank-app"
CHALLENGE = base64.b64encode(b"0123456789abcdef").decode()


def header(value: str | bytes = CHALLENGE) -> tuple[str, bytes]:
    return "X-Cert-Pinning-Challenge", value if isinstance(value, bytes) else value.encode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fingerprints.json"
    path.write_bytes(listing(entry(), comment="what stands in the file, and is not sent"))
    return path


@pytest.fixture
def app(bank: Bank, file: Path) -> Starlette:
    served = ServedList(file, bank.signer, clock=lambda: NOW)
    return challenge_app({"bank-app": served}, clock=lambda: NOW)


def ask(app: Starlette, challenge: str, place: str = PLACE) -> tuple[bytes, str]:
    reply = call(app, place, (header(challenge),))
    assert reply.status == 200
    return reply.body, reply.headers["x-cert-pinning-signature"]


def test_an_app_believes_the_answer_to_its_own_challenge(app: Starlette, bank: Bank) -> None:
    sdk = SDK(bank.public_key)
    sdk.ask(lambda challenge: ask(app, challenge))
    assert sdk.stored == [{"name": HOST, "fingerprint": FINGERPRINT, "expires": SECONDS}]


def test_an_old_answer_is_believed_by_nobody(app: Starlette, bank: Bank) -> None:
    old = ask(app, CHALLENGE)
    with pytest.raises(RefusedError):
        SDK(bank.public_key).ask(lambda _: old)


def test_the_body_has_the_time_and_what_is_listed(app: Starlette) -> None:
    reply = call(app, PLACE, (header(),))
    assert json.loads(reply.body) == {
        "timestamp": int(NOW.timestamp()),
        "fingerprints": [{"name": HOST, "fingerprint": FINGERPRINT, "expires": SECONDS}],
    }
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store, no-transform"


def test_verify_knows_an_answer(app: Starlette, bank: Bank) -> None:
    body, signature = ask(app, CHALLENGE)
    assert check_list(body, bank.key, NOW, Answer(CHALLENGE, signature)).holds
    assert not check_list(body, bank.key, NOW).holds


def test_the_list_is_swapped_while_it_runs(app: Starlette, file: Path) -> None:
    file.write_bytes(listing(entry(name="pay.bank.example")))
    assert b"pay.bank.example" in ask(app, CHALLENGE)[0]


def test_each_app_has_its_own_list_and_key(bank: Bank, file: Path, tmp_path: Path) -> None:
    other, another = Bank(), tmp_path / "other.json"
    another.write_bytes(listing(entry(name="pay.bank.example")))
    app = challenge_app(
        {
            "bank-app": ServedList(file, bank.signer, clock=lambda: NOW),
            "pay app": ServedList(another, other.signer, clock=lambda: NOW),
        }
    )
    sdk = SDK(other.public_key)
    sdk.ask(lambda challenge: ask(app, challenge, "/app/init?appName=pay%20app"))
    assert sdk.stored[0]["name"] == "pay.bank.example"
    with pytest.raises(RefusedError):
        SDK(other.public_key).ask(lambda challenge: ask(app, challenge))


def test_two_lists_with_one_key_are_refused(bank: Bank, file: Path) -> None:
    first, second = (ServedList(file, bank.signer, clock=lambda: NOW) for _ in range(2))
    with pytest.raises(ConfigError, match="that of another app too"):
        challenge_app({"bank-app": first, "pay-app": second})
    challenge_app({"bank-app": first, "its other name": first})


def refused(reply: Reply, status: int, code: str) -> None:
    assert reply.status == status
    assert "x-cert-pinning-signature" not in reply.headers
    assert json.loads(reply.body)["code"] == code


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (header(""),),
        (header("a" * 15),),
        (header("a" * 129),),
        (header("a" * 16), header("a" * 16)),
        (header(f"{HOST}&{FINGERPRINT}"),),
        (header("a" * 16 + "&"),),
        (header(b"\xff" * 16),),
        (header("ä" * 16),),
        (header("a" * 8 + "\t" + "a" * 8),),
        (header("a, " * 8),),
    ],
)
def test_a_challenge_that_is_none_is_not_signed(
    app: Starlette, headers: tuple[tuple[str, bytes], ...]
) -> None:
    refused(call(app, PLACE, headers), 400, "INSUFFICIENT_CHALLENGE")


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bank, Starlette]:
    bank, file = Bank(), tmp_path_factory.mktemp("wultra") / "fingerprints.json"
    file.write_bytes(listing(entry()))
    return bank, challenge_app({"bank-app": ServedList(file, bank.signer, clock=lambda: NOW)})


@given(st.binary(max_size=40) | st.text("aZ09+/=_-&{.", min_size=14, max_size=40).map(str.encode))
def test_whatever_is_sent_as_a_challenge(lasting: tuple[Bank, Starlette], value: bytes) -> None:
    bank, app = lasting
    reply = call(app, PLACE, (header(value),))
    if reply.status == 400:
        assert "x-cert-pinning-signature" not in reply.headers
        return
    SDK(bank.public_key).require(
        value + b"&" + reply.body, reply.headers["x-cert-pinning-signature"]
    )
    assert value.isascii()
    assert b"&" not in value


def test_an_app_that_nobody_knows(app: Starlette) -> None:
    for name in ("other", "BANK-APP", "bank-app%00", "..%2Fbank-app", ""):
        reply = call(app, f"/app/init?appName={name}", (header(),))
        refused(reply, 404, "PUBLIC_KEY_NOT_FOUND")


@pytest.mark.parametrize("query", ["", "?", "?appname=bank-app", "?appName=bank-app&appName=x"])
def test_a_name_has_to_be_there_once(app: Starlette, query: str) -> None:
    refused(call(app, f"/app/init{query}", (header(),)), 400, "BAD_REQUEST")


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods(app: Starlette, method: str) -> None:
    reply = call(app, PLACE, (header(),), method, b"x")
    assert (reply.status, reply.headers["allow"]) == (405, "GET")
    assert "x-cert-pinning-signature" not in reply.headers


@pytest.mark.parametrize("path", ["/", "/app/init/", "/app", "//app/init", "/app/init/public-key"])
def test_other_paths_lead_nowhere(app: Starlette, path: str) -> None:
    reply = call(app, f"{path}?appName=bank-app", (header(),))
    assert (reply.status, "location" in reply.headers) == (404, False)


@dataclass(frozen=True)
class Pulled:
    """A key on a token that was pulled out."""

    spki: bytes
    public_key: Any

    def sign(self, data: bytes) -> bytes:
        raise TokenError("the token bank failed: DeviceRemoved")


def test_without_a_signature_there_is_no_answer(
    bank: Bank, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signer = Pulled(bank.signer.spki, bank.key)
    app = challenge_app({"bank-app": ServedList(file, signer, clock=lambda: NOW)})
    reply = call(app, PLACE, (header(),))
    refused(reply, 503, "NOT_SIGNED")
    assert b"DeviceRemoved" not in reply.body
    assert "DeviceRemoved" in caplog.text


def test_the_rest_of_the_package_needs_no_starlette() -> None:
    program = "import sys, certpin.updates.wultra\nsys.exit('starlette' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import certpin.updates.wultra as package

    monkeypatch.delitem(sys.modules, "certpin.updates.wultra.challenge")
    monkeypatch.delattr(package, "challenge")
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(ModuleNotFoundError, match=r"certpin\[wultra\]"):
        _ = package.challenge_app
    with pytest.raises(AttributeError, match="no attribute"):
        _ = package.nothing
