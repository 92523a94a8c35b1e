"""How ``certpin doctor`` judges the data that it collects: as ok, note, unchecked or problem."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.cli.doctor.facts import (
    Facts,
    MachineFacts,
    PinFileFacts,
    PythonFacts,
    ReplacedFacts,
    ServerFacts,
    TLSFacts,
)
from certpin.cli.doctor.judge import judge
from certpin.cli.doctor.packages import Package
from certpin.cli.doctor.parts import PARTS, judge_parts
from certpin.cli.main import COMMANDS
from certpin.support.requirements import Requirement

if TYPE_CHECKING:
    from certpin.cli.doctor.judge import Check
    from certpin.cli.doctor.parts import PartState

_NOW = datetime(2027, 3, 1, tzinfo=UTC)
_TLS = TLSFacts("", "OpenSSL 3.5.1 1 Jul 2025", 2, True, True, True, 140, False)
_OWN = Package(Requirement("", "click", ">=8.2"), "8.3.0")
GOOD = Facts(
    PythonFacts((3, 13, 1), "CPython", "linux"),
    _TLS,
    ReplacedFacts(),
    MachineFacts(),
    (_OWN,),
    PinFileFacts("pins.toml", exists=True),
    (ServerFacts("a.example:443", date=_NOW, local=_NOW),),
)


def _of(facts: Facts, subject: str) -> Check:
    (check,) = [check for check in judge(facts) if check.subject == subject]
    return check


def _part(facts: Facts, name: str) -> PartState:
    (state,) = [state for state in judge_parts(facts) if state.part.name == name]
    return state


def test_on_a_good_machine_everything_is_good() -> None:
    assert {check.status for check in judge(GOOD)} == {"ok"}


@pytest.mark.parametrize(
    ("subject", "fields", "status"),
    [
        ("Python", {"python": PythonFacts((3, 10, 9), "CPython", "linux")}, "problem"),
        ("Python", {"python": PythonFacts((3, 11, 0), "PyPy", "linux")}, "problem"),
        ("Python", {"python": PythonFacts((3, 16, 0), "CPython", "linux")}, "note"),
        ("Python", {"python": PythonFacts((3, 13, 0), "CPython", "win32")}, "note"),
        ("OpenSSL", {"tls": TLSFacts(problem="ImportError: no _ssl")}, "problem"),
        ("OpenSSL", {"tls": replace(_TLS, version="LibreSSL 4.0.0")}, "problem"),
        ("OpenSSL", {"tls": replace(_TLS, verified_chain=False)}, "problem"),
        ("OpenSSL", {"tls": replace(_TLS, tls12=False)}, "problem"),
        ("OpenSSL", {"tls": replace(_TLS, tls13=False)}, "note"),
        ("OpenSSL", {"tls": replace(_TLS, security_level=0)}, "problem"),
        ("OpenSSL", {"tls": replace(_TLS, version="OpenSSL 1.1.1w")}, "note"),
        ("trusted authorities", {"tls": replace(_TLS, authorities=0)}, "problem"),
        ("trusted authorities", {"tls": replace(_TLS, authorities=0, directory=True)}, "ok"),
        ("ssl", {"replaced": ReplacedFacts(context="gevent.ssl")}, "note"),
        ("ssl", {"replaced": ReplacedFacts(context="truststore._api")}, "note"),
        ("ssl", {"replaced": ReplacedFacts(socket="eventlet.greenio.base")}, "problem"),
        ("ssl", {"replaced": ReplacedFacts(tls_socket="other.tls")}, "problem"),
        ("urllib3", {"replaced": ReplacedFacts(urllib3_future=True)}, "note"),
        ("packages", {"packages": None}, "unchecked"),
        ("packages", {"packages": (replace(_OWN, version=None),)}, "problem"),
        ("packages", {"packages": (replace(_OWN, version="8.1.7"),)}, "problem"),
        ("packages", {"packages": (replace(_OWN, problem="ImportError: x"),)}, "problem"),
        ("clock", {"servers": None}, "unchecked"),
        ("clock", {"servers": ()}, "unchecked"),
        ("loopback", {"machine": MachineFacts(loopback="denied")}, "problem"),
        ("temporary files", {"machine": MachineFacts(temporary="read-only")}, "problem"),
        ("IPv6", {"machine": MachineFacts(loopback6="unsupported")}, "note"),
        ("proxy", {"machine": MachineFacts(variables=("HTTPS_PROXY",))}, "note"),
        ("SSLKEYLOGFILE", {"machine": MachineFacts(variables=("SSLKEYLOGFILE",))}, "problem"),
        ("CERTPIN_DEBUG", {"machine": MachineFacts(variables=("CERTPIN_DEBUG",))}, "note"),
        ("SSL_CERT_DIR", {"machine": MachineFacts(variables=("SSL_CERT_DIR",))}, "note"),
        ("pin file", {"pin_file": PinFileFacts("pins.toml")}, "note"),
        ("pin file", {"pin_file": PinFileFacts("pins.toml", True, "bad")}, "problem"),
    ],
)
def test_each_obstacle_has_its_status_and_a_problem_its_fix(
    subject: str, fields: dict[str, Any], status: str
) -> None:
    check = _of(replace(GOOD, **fields), subject)
    assert check.status == status
    assert bool(check.fix) == (status in {"problem", "unchecked"})


@pytest.mark.parametrize(
    ("name", "rest"),
    [("SSL_CERT_FILE", "directory is still searched"), ("SSL_CERT_DIR", "file is still searched")],
)
def test_a_variable_replaces_one_of_the_two_places_of_authorities(name: str, rest: str) -> None:
    assert rest in _of(replace(GOOD, machine=MachineFacts(variables=(name,))), name).text
    missing = MachineFacts(variables=(name,), missing_files=(name,))
    assert "no authority is trusted" not in _of(replace(GOOD, machine=missing), name).text


@given(st.integers(-10_000_000, 10_000_000), st.integers(-400, 400))
def test_the_clock_is_good_if_one_server_agrees(far: int, near: int) -> None:
    servers = tuple(
        ServerFacts(f"{seconds}.example", date=_NOW, local=_NOW + timedelta(seconds=seconds))
        for seconds in (far, near)
    )
    expected = "ok" if min(abs(far), abs(near)) <= 300 else "problem"
    assert _of(replace(GOOD, servers=servers), "clock").status == expected


def test_a_server_behind_a_proxy_that_does_not_answer_has_a_hint() -> None:
    server = ServerFacts("a.example:443", problem="no connection", fix="check the name")
    facts = replace(GOOD, servers=(server,), machine=MachineFacts(variables=("ALL_PROXY",)))
    assert "certpin connects directly" in _of(facts, "server a.example:443").fix
    assert "proxy" not in _of(replace(facts, machine=MachineFacts()), "server a.example:443").fix


def test_every_command_and_every_extra_is_in_a_part() -> None:
    used = {use.split()[0] for part in PARTS for use in part.uses}
    assert set(COMMANDS) - used == set(), "fix: `uses` of a Part in cli/doctor/parts.py"
    extras = set(metadata.metadata("certpin").get_all("Provides-Extra") or ()) - {"all"}
    fix = "fix: a Part with this extra in cli/doctor/parts.py"
    assert {part.extra for part in PARTS} - {""} == extras, fix


def _with(*found: Package) -> Facts:
    return replace(GOOD, packages=(_OWN, *found))


_NUMPY = Package(Requirement("simulate", "numpy", ">=2.1"), "2.3.1")
_PLOT = Package(Requirement("simulate", "matplotlib", ">=3.9"), "3.10")


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ((_NUMPY, _PLOT), "works"),
        ((), "missing"),
        ((replace(_NUMPY, version=None), _PLOT), "missing"),
        ((replace(_NUMPY, version="1.26"), replace(_PLOT, version=None)), "missing"),
        ((replace(_NUMPY, version="1.26"), _PLOT), "broken"),
        ((replace(_NUMPY, problem="ImportError: x"), _PLOT), "broken"),
        ((Package(Requirement("simulate", "numpy", "", "Python < 3.15")), _PLOT), "impossible"),
    ],
)
def test_a_part_works_if_all_packages_of_its_extra_do(
    found: tuple[Package, ...], status: str
) -> None:
    state = _part(_with(*found), "simulation of a rotation")
    assert state.status == status
    assert bool(state.fix) == (status != "works")


@pytest.mark.parametrize(
    ("condition", "fix"),
    [("Python >= 3.12", "use Python 3.12 or newer"), ("Python < 3.15", "use Python below 3.15")],
)
def test_a_part_that_this_python_can_not_have_names_the_other_one(condition: str, fix: str) -> None:
    package = Package(Requirement("simulate", "numpy", "", condition))
    assert _part(_with(package), "simulation of a rotation").fix == fix


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"tls": TLSFacts(problem="ImportError: no _ssl")}, "lint"),
        ({"machine": MachineFacts(loopback="denied")}, "attacks"),
        ({"replaced": ReplacedFacts(socket="eventlet.greenio")}, "pinned connections"),
    ],
)
def test_an_obstacle_of_the_machine_prevents_the_part(fields: dict[str, Any], part: str) -> None:
    assert _part(replace(GOOD, **fields), part).status == "impossible"
    assert _part(GOOD, part).status == "works"


def test_without_metadata_the_state_of_a_part_is_unknown() -> None:
    assert _part(replace(GOOD, packages=None), "lint").status == "unknown"
