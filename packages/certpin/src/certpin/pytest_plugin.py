"""The pytest plugin with which tests attack a client that should check pins.

    def test_my_client_is_pinned(attack):
        attack(lambda target: my_client(target.url, proxy=target.proxy, ca=target.ca))

The fixture ``attack`` parametrizes the test with the attack cases. In every worker of pytest-xdist,
a control case with the correct server runs before the first case and after the last one, so that a
client that refuses every server does not pass. The lab (certpin's test servers) is imported only
when a test needs it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from certpin.lab.case import Case
    from certpin.lab.lab import Lab
    from certpin.lab.target import Target
    from certpin.lab.trial import Attack, Mitm, Trial

_OPTIONS = {
    "style": ("leaf", "how clients are pinned: none, leaf or ca"),
    "host": ("api.bank.example", "the host that clients call"),
    "protocol": ("http", "the protocol of clients: http, imap, imaps, postgres, smtp, smtps"),
}
_MARKERS = (
    "certpin(style, host, protocol, cases, case_file): the kind of client, and its cases",
    "mitm(case): the attack that is active while the test runs",
)
_next_item = pytest.StashKey[pytest.Item | None]()
_attack = pytest.StashKey["Attack"]()
_mitm = pytest.StashKey["Mitm"]()


@dataclass(frozen=True)
class _Settings:
    """The kind of client that a test attacks, and the attack cases to run.

    The ``certpin`` markers of the test and pytest's ini file define these settings.

    Attributes:
        style: how the client is pinned: ``none``, ``leaf`` (pins of server keys) or ``ca`` (pins of
            authorities). It decides which reactions of the client are right.
        host: the host that the client calls.
        protocol: the protocol of the client, such as ``http`` or ``imap``.
        cases: the names of the cases; empty for all cases of ``case_file``, or without such a file
            for all cases of the lab that can be judged for this client.
        case_file: the path of a file with the user's own cases; empty for the cases of the lab.
    """

    style: str
    host: str
    protocol: str
    cases: tuple[str, ...] = ()
    case_file: str = ""  # an absolute path; empty for the cases of the lab


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini options certpin_style, certpin_host, certpin_protocol and certpin_cases."""
    for name, (default, words) in _OPTIONS.items():
        parser.addini(f"certpin_{name}", f"certpin: {words}", default=default)
    parser.addini("certpin_cases", "certpin: the cases to run; all by default", type="args")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers ``certpin`` and ``mitm``."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses ``attack`` once for each attack case, in the order of the lab's list.

    pytest calls this hook for each test function, with its description ``metafunc``.
    """
    if "certpin_case" in metafunc.fixturenames:
        names = _cases(_settings(metafunc.definition))
        metafunc.parametrize("certpin_case", names, ids=names, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Store the test that runs after ``item`` (``nextitem``; None after the last test).

    The fixture ``attack`` uses this to recognise the last attack case of a client, after which the
    control case with the correct server runs.
    """
    item.stash[_next_item] = nextitem


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a test that never called its ``attack``, or whose client never connected to ``mitm``."""
    __tracebackhide__ = True
    yield
    if attack := item.stash.get(_attack, None):
        attack.check_used()
    if mitm := item.stash.get(_mitm, None):
        mitm.check_met()


def _settings(node: pytest.Item) -> _Settings:
    given: dict[str, Any] = {name: node.config.getini(f"certpin_{name}") for name in _OPTIONS}
    given |= {"cases": node.config.getini("certpin_cases"), "case_file": ""}
    for mark in reversed(list(node.iter_markers("certpin"))):
        if mark.args or mark.kwargs.keys() - given.keys():
            raise pytest.UsageError(f"{node.nodeid}: certpin({', '.join(given)}) takes no more")
        given |= mark.kwargs
    if given["case_file"]:
        given["case_file"] = str(node.path.parent / given["case_file"])
    return _Settings(**{**given, "style": str(given["style"]), "cases": tuple(given["cases"])})


def _cases(settings: _Settings) -> list[str]:
    from certpin.lab.trial import meaningful

    known = _known_cases(settings.case_file)
    if unknown := [name for name in settings.cases if name not in known]:
        listing = settings.case_file or "certpin lab attacks"
        raise pytest.UsageError(f"no case {unknown[0]!r}: see {listing}")
    every = list(known) if settings.case_file else None
    return (
        list(settings.cases)
        or every
        or meaningful(_style(settings.style), _protocol(settings.protocol))
    )


@cache
def _known_cases(case_file: str) -> dict[str, Case]:
    """Return attack cases by name: those in ``case_file``, or those of the lab if it is empty."""
    from certpin.errors import CaseFileError
    from certpin.lab import load_cases
    from certpin.lab.trial import BY_NAME

    if not case_file:
        return BY_NAME
    try:
        return {case.name: case for case in load_cases(case_file)}
    except CaseFileError as exc:
        raise pytest.UsageError(str(exc)) from exc


def _style(name: str) -> Any:
    from certpin.lab.pki import Style

    try:
        return Style(name)
    except ValueError:
        raise pytest.UsageError(f"no style {name!r}: one of {', '.join(Style)}") from None


def _protocol(name: str) -> str:
    from certpin.lab.server.protocols import PROTOCOLS

    if name not in PROTOCOLS:
        raise pytest.UsageError(f"no protocol {name!r}: one of {', '.join(sorted(PROTOCOLS))}")
    return name


@pytest.fixture(scope="session")
def _certpin_labs() -> Iterator[Callable[[_Settings], Lab]]:
    """Yield a function that returns the lab (the test servers) for a kind of client.

    The function starts each lab at its first use; the labs stop at the end of the session.
    """
    from certpin.lab.lab import Lab

    with ExitStack() as stack:

        @cache
        def begin(style: str, host: str, protocol: str) -> Lab:
            return stack.enter_context(Lab(host, _style(style), protocol=_protocol(protocol)))

        yield lambda wanted: begin(wanted.style, wanted.host, wanted.protocol)


@pytest.fixture
def certpin_lab(request: pytest.FixtureRequest, _certpin_labs: Callable[[_Settings], Lab]) -> Lab:
    """The running test servers (the lab) for the kind of client that this test attacks."""
    return _certpin_labs(_settings(request.node))


@pytest.fixture
def certpin_case(request: pytest.FixtureRequest) -> str:
    """The name of the attack case that ``attack`` runs in this test."""
    return str(request.param)


@pytest.fixture(scope="session")
def _certpin_trials() -> dict[object, Trial]:
    return {}


@pytest.fixture
def attack(
    request: pytest.FixtureRequest,
    certpin_lab: Lab,
    certpin_case: str,
    _certpin_trials: dict[object, Trial],
) -> Attack:
    """A callable that runs one attack case against your client.

    Call it exactly once in the test, with a function that takes a target (the server to contact)
    and connects your client to it.
    """
    from certpin.lab.trial import Attack, Trial

    item = request.node
    client = _client_of(item)
    trial = _certpin_trials.setdefault(client, Trial(certpin_lab))
    following = item.stash.get(_next_item, None)
    last = following is None or _client_of(following) != client
    case = _known_cases(_settings(item).case_file)[certpin_case]
    item.stash[_attack] = made = Attack(trial, case, pytest.skip, last=last)
    return made


def _client_of(item: pytest.Item) -> object:
    """Return a value that identifies the client that a test (``item``) attacks.

    Two tests have equal values if they differ only in their attack case.
    """
    others = dict(getattr(getattr(item, "callspec", None), "indices", {}))
    if "certpin_case" not in others:
        return item.nodeid
    del others["certpin_case"]
    parent = item.parent.nodeid if item.parent else ""
    return parent, getattr(item, "originalname", item.name), tuple(sorted(others.items()))


@pytest.fixture
def mitm(request: pytest.FixtureRequest, certpin_lab: Lab) -> Iterator[Mitm]:
    """A man in the middle during the test. ``@pytest.mark.mitm("case")`` selects the attack.

    The fixture is a ``Target`` (``url``, ``host``, ``port``, ``proxy``, ``ca``, ``pins``) for the
    client under test. ``seen()`` returns the evidence of every connection, and ``leaked`` is the
    data that the man in the middle received; using one of the two stops the man in the middle. The
    test fails if its client never connects.
    """
    from certpin.lab.case import CannotServeError
    from certpin.lab.trial import BY_NAME, Mitm

    mark = request.node.get_closest_marker("mitm")
    name = mark.args[0] if mark and mark.args else "rogue-ca-in-store"
    if name not in BY_NAME:
        raise pytest.UsageError(f"no case {name!r}: see certpin lab attacks")
    try:
        made = Mitm.of(certpin_lab.case_server(BY_NAME[name]))
    except CannotServeError as exc:
        pytest.skip(f"{name} was not run: {exc}")
    request.node.stash[_mitm] = made
    try:
        yield made
    finally:
        made.seen()


@pytest.fixture
def certpin_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., dict[str, str]]:
    """Return a function that sets the environment variables that direct a client to a target.

    ``certpin_environment(target, via="connect")`` sets SSL_CERT_FILE, HTTPS_PROXY, CERTPIN_PINS and
    similar variables until the test ends, and returns them. ``via`` is connect, socks5 or port.
    """
    from certpin.lab.client import environment

    def lead(target: Target, via: str = "connect") -> dict[str, str]:
        variables = environment(target, via)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return variables

    return lead
