"""The list of client modules (one per HTTP library), and errors that merge two exception types."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from contextvars import copy_context
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import certpin
from certpin import PinnedSSLContext, clients
from certpin.clients import aiohttp, httpx, httpx2, requests, stdlib, urllib3
from certpin.clients._common import admitted, both, context_of, refuse_options
from tests import kit

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[4]


class LibraryError(Exception):
    def __init__(self, request: str) -> None:
        super().__init__("of the library")
        self.request = request


class OtherLibraryError(Exception):
    pass


@pytest.mark.parametrize("secret", ["correct horse", b"a correct horse", ("a", "correct horse")])
def test_the_error_of_a_refused_option_has_no_secret(secret: object) -> None:
    """The options for a client certificate have a password, or the private key itself."""
    with pytest.raises(certpin.ConfigError, match=r"a (str|bytes|tuple) is refused") as caught:
        refuse_options({"key_password": secret}, "key_password")
    assert caught.value.key == "key_password"
    assert "correct horse" not in f"{caught.value}{caught.value!r}"


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("cert", ("client.pem", "client.key"), "context.load_cert_chain(CERTIFICATE, KEY)"),
        ("key_file", "client.key", "context.load_cert_chain(CERTIFICATE, KEY)"),
        ("verify", "ca.pem", 'trust = "ROOT.pem"'),
        ("ca_certs", "ca.pem", 'trust = "ROOT.pem"'),
        ("assert_hostname", False, "remove it"),
    ],
)
def test_the_fix_of_a_refused_option_names_its_replacement(
    name: str, value: object, fix: str
) -> None:
    with pytest.raises(certpin.ConfigError) as caught:
        refuse_options({name: value}, name)
    assert fix in caught.value.fix


def test_a_pinned_context_as_an_option_belongs_in_the_place_of_the_pins() -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy("api.test")))
    with pytest.raises(certpin.ConfigError, match="in place of the pins"):
        refuse_options({"ssl_context": context}, "ssl_context")


def refusal() -> certpin.InsecureRequestError:
    return certpin.InsecureRequestError("api.test refused", host="api.test", fix="use https://")


def test_the_registry_names_each_module() -> None:
    files = {path.stem for path in Path(clients.__file__).parent.glob("[!_]*.py")}
    assert set(clients.CLIENTS) == files


# niquests is in another environment (test_replaced_libraries.py).
with_each_module = pytest.mark.parametrize("name", sorted({*clients.CLIENTS} - {"niquests"}))


@pytest.mark.medium
@with_each_module
def test_a_module_loads_only_its_own_library(name: str) -> None:
    libraries = {"aiohttp", "httpx", "httpx2", "requests"} - {name}
    program = f"import certpin.clients.{name}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not libraries & set(done.stdout.split())


@with_each_module
def test_a_module_has_a_documented_public_face(name: str) -> None:
    module = importlib.import_module(f"certpin.clients.{name}")
    public = [
        value
        for key, value in vars(module).items()
        if key[0] != "_" and getattr(value, "__module__", "") == module.__name__
    ]
    assert public
    assert all(value.__doc__ for value in public)


def test_a_pin_set_gets_a_strict_context_and_a_context_is_kept() -> None:
    pins = kit.pin_set(kit.policy("api.test"))
    made = context_of(pins)
    assert made.strict
    assert made.pins is pins
    assert context_of(made) is made


MAKERS: dict[str, Callable[..., Any]] = {
    "context": PinnedSSLContext,
    "httpx": httpx.PinnedClient,
    "httpx-async": httpx.AsyncPinnedClient,
    "httpx-transport": httpx.PinnedTransport,
    "httpx2": httpx2.PinnedClient,
    "requests": requests.PinnedSession,
    "requests-adapter": requests.PinnedAdapter,
    "urllib3": urllib3.PinnedPoolManager,
    "aiohttp": aiohttp.PinnedConnector,
    "stdlib": stdlib.opener,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("path", ["svc.toml", Path("svc.toml")], ids=["str", "Path"])
def test_a_path_in_the_place_of_pins_is_refused(make: Callable[..., Any], path: object) -> None:
    with pytest.raises(certpin.ConfigError, match="not a PinSet") as caught:
        make(path)
    assert "certpin.PinSet.load('svc.toml')" in caught.value.fix


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_an_asynchronous_hook_is_refused(make: Callable[..., Any]) -> None:
    async def hook(failure: certpin.PinFailure) -> None: ...

    with pytest.raises(certpin.ConfigError, match="asynchronous"):
        make(kit.pin_set(kit.policy("api.test")), on_failure=[hook])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_hook_without_a_list_is_refused(make: Callable[..., Any]) -> None:
    with pytest.raises(certpin.ConfigError, match="not a list of functions") as caught:
        make(kit.pin_set(kit.policy("api.test")), on_failure=print)
    assert caught.value.fix == "give a list, also for one function: [hook]"


def test_a_hook_without_a_list_is_refused_beside_a_context() -> None:
    with pytest.raises(certpin.ConfigError, match="not a list of functions"):
        context_of(PinnedSSLContext(kit.pin_set(kit.policy("api.test"))), print)  # type: ignore[arg-type]


def test_a_clock_without_a_time_zone_is_refused() -> None:
    with pytest.raises(certpin.ConfigError, match="time zone") as caught:
        PinnedSSLContext(kit.pin_set(kit.policy("api.test")), clock=datetime.now)
    assert caught.value.key == "clock"


def test_another_request_inside_the_block_is_checked() -> None:
    context = PinnedSSLContext(kit.pin_set(kit.policy("api.test")))
    with admitted(context, "https", "api.test", None):
        with admitted(context, "https", "api.test", 443):
            pass
        with (
            pytest.raises(certpin.InsecureRequestError),
            admitted(context, "http", "api.test", 443),
        ):
            pass
        with pytest.raises(certpin.UnpinnedHostError), admitted(context, "https", "x.test", 443):
            pass


def test_a_task_of_the_block_is_checked_after_its_end() -> None:
    """It inherits the variable of the block, but the pin set may have been replaced meanwhile."""
    context = PinnedSSLContext(kit.pin_set(kit.policy("api.test", mode="report")), strict=False)
    with admitted(context, "http", "api.test", 80):
        task = copy_context()
    context.swap(kit.pin_set(kit.policy("api.test"), version=2))

    def request() -> None:
        with admitted(context, "http", "api.test", 80):
            pass

    with pytest.raises(certpin.InsecureRequestError):
        task.run(request)


def test_a_merged_error_has_both_types() -> None:
    ours = refusal()
    error = both(LibraryError("GET /"), ours)
    assert isinstance(error, certpin.InsecureRequestError)
    assert isinstance(error, LibraryError)
    assert certpin.pin_error(error) is error
    assert error.request == "GET /"
    assert (error.host, error.fix, error.problem) == (ours.host, ours.fix, ours.problem)
    assert (str(error), error.args, error.errno) == (str(ours), ours.args, ours.errno)
    assert type(error).__name__ == "InsecureRequestError"


def test_an_already_merged_error_is_merged_again() -> None:
    inner = both(LibraryError("GET /"), refusal())
    assert isinstance(inner, certpin.PinError)
    error = both(OtherLibraryError(), inner)
    assert isinstance(error, certpin.InsecureRequestError)
    assert not isinstance(error, LibraryError)


def test_the_cause_of_a_refusal_is_kept() -> None:
    ours = refusal()
    ours.__cause__ = ValueError("why")
    assert both(LibraryError("GET /"), ours).__cause__ is ours.__cause__


@pytest.mark.parametrize("name", sorted({*clients.CLIENTS} - {"stdlib"}))
def test_a_module_without_its_library_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [each for each in sys.modules if each.startswith("certpin.clients.")]:
        monkeypatch.delitem(sys.modules, loaded)
    for library in {name, "urllib3"} if name == "requests" else {name}:
        monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(ImportError) as caught:
        importlib.import_module(f"certpin.clients.{name}")
    assert isinstance(caught.value, certpin.MissingExtraError)
    message = str(caught.value)
    assert message.endswith(f"fix: pip install 'certpin[{name}]'")
    assert len(message.splitlines()) == 1


def test_every_extra_that_a_message_names_exists() -> None:
    project = tomllib.loads((ROOT / "packages/certpin/pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    assert set(clients.CLIENTS) - {"stdlib"} <= project["optional-dependencies"].keys()
