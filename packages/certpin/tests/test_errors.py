"""The exception classes: documented as one tree, complete after pickling, and found in causes.

Their messages contain the fix, and a pin error has the fields of OpenSSL's certificate error.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import certpin
import certpin_watch
from certpin import errors
from certpin.errors import (
    CertpinError,
    ConfigError,
    InputError,
    PinError,
    PinFileError,
    PinMismatchError,
    PinSetExpiredError,
    ProbeError,
    StoreError,
    TransparencyError,
    UnpinnedHostError,
    UpdateError,
    pin_error,
)
from certpin.lab import Authority
from certpin.pins import verify
from certpin.x509 import Chain
from tests import kit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BRANCH = re.compile(r"^ {4}((?:│   |    )*)(?:[├└]── )?(\w+)(?: \(([\w.]+)\))?(?:  +\S.*)?$")

ROOT = Authority("Error Root")
CHAIN = Chain((ROOT.issue("error.example").certificate, ROOT.certificate))
VERDICT = verify(CHAIN, kit.policy("error.example"), datetime(2027, 1, 1, tzinfo=UTC))


def _drawn() -> dict[str, tuple[str | None, str | None]]:
    """Return the tree that the docstring of ``certpin.errors`` draws.

    For each class, the value is its parent and the class in its brackets, each ``None`` if missing.
    """
    drawing: dict[str, tuple[str | None, str | None]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := _BRANCH.match(line):
            depth = 0 if not re.search("[├└]", line) else len(match[1]) // 4 + 1
            drawing[match[2]] = (above[depth - 1] if depth else None, match[3])
            above[depth:] = [match[2]]
    return drawing


def _classes() -> dict[str, type[CertpinError]]:
    return {
        name: each
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, CertpinError) and not name.startswith("_")
    }


def test_the_drawn_tree_matches_the_classes() -> None:
    drawn = _drawn()
    assert drawn.keys() == _classes().keys()
    for name, (parent, beside) in drawn.items():
        bases = [each.__name__ for each in _classes()[name].__mro__[1:]]
        public = [each for each in bases if each in drawn]
        assert public[:1] == ([parent] if parent else [])
        if beside:
            assert eval(beside, {"ssl": ssl}) in _classes()[name].__mro__


def test_every_error_is_public_under_its_name() -> None:
    for name, each in _classes().items():
        assert getattr(certpin, name) is each
        assert name in certpin.__all__
        assert each.__doc__


def _made() -> Iterator[CertpinError]:
    """Yield one instance of each exception class, with every field set."""
    for each in _classes().values():
        if issubclass(each, PinFileError):
            yield each("wrong", path="pins.toml", line=3, key="host[0].name", fix="do it")
        elif issubclass(each, ConfigError):
            yield each("wrong", key="host[0].name", fix="do it")
        elif issubclass(each, PinMismatchError | PinSetExpiredError | TransparencyError):
            yield each("wrong", verdict=VERDICT, host="error.example", fix="do it")
        elif issubclass(each, PinError):
            yield each("wrong", host="error.example", fix="do it")
        elif issubclass(each, ProbeError):
            yield each("wrong", host="error.example", port=443, fix="do it")
        elif issubclass(each, InputError):
            yield each("wrong", fix="do it")
    yield StoreError("wrong", reason="away", fix="do it")
    yield UpdateError("wrong", reason="rollback", fix="do it")
    yield CertpinError("wrong")


MADE = {type(error).__name__: error for error in _made()}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(
    "again", [lambda exc: pickle.loads(pickle.dumps(exc)), copy.copy], ids=["pickled", "copied"]
)
def test_an_error_survives_with_all_its_fields(
    name: str, again: Callable[[CertpinError], CertpinError]
) -> None:
    error = MADE[name]
    copied = again(error)
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert copied.args == error.args
    assert vars(copied) == vars(error)


@pytest.mark.parametrize("name", [name for name in MADE if name != "CertpinError"])
def test_a_message_contains_its_fix(name: str) -> None:
    error = MADE[name]
    assert error.fix == "do it"
    assert "wrong" in str(error)
    assert "do it" in str(error)


@pytest.mark.parametrize("name", [name for name in MADE if name != "CertpinError"])
def test_a_message_without_a_fix_contains_only_the_problem(name: str) -> None:
    kind = type(MADE[name])
    keywords: dict[str, Any] = {}
    if issubclass(kind, ProbeError):
        keywords = {"host": "error.example", "port": 443}
    elif issubclass(kind, PinMismatchError | PinSetExpiredError | TransparencyError):
        keywords = {"verdict": VERDICT}
    error = kind("wrong", **keywords)
    assert error.fix == ""
    assert str(error).endswith("wrong")


def test_the_root_of_the_tree_has_an_empty_fix() -> None:
    assert CertpinError("wrong").fix == ""


def test_a_message_names_the_place_first() -> None:
    assert str(MADE["ConfigError"]) == "host[0].name: wrong\n  fix: do it"
    assert str(MADE["PinFileError"]) == "pins.toml:3: host[0].name: wrong\n  fix: do it"
    assert str(PinFileError("wrong", path="pins.toml")) == "pins.toml: wrong"
    assert str(PinFileError("wrong")) == "<text>: wrong"
    assert str(MADE["DialError"]) == "error.example:443: wrong\n  fix: do it"
    assert str(MADE["HostError"]) == "wrong (do it)"


PIN_ERRORS = [name for name, error in MADE.items() if isinstance(error, PinError)]


@pytest.mark.parametrize("name", PIN_ERRORS)
def test_a_refusal_is_a_certificate_failure_as_openssl_would_report_it(name: str) -> None:
    """Each pin error has the fields of OpenSSL's certificate error.

    Client libraries map errors by these fields, and none of them retries in clear text.
    """
    error = MADE[name]
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert isinstance(error, OSError)
    assert isinstance(error, ValueError)
    assert (error.verify_code, error.verify_message) == (50, "wrong")
    assert (error.reason, error.library) == ("CERTIFICATE_VERIFY_FAILED", "SSL")
    assert (error.errno, error.strerror) == (1, "wrong\n  fix: do it")
    assert str(error) == "wrong\n  fix: do it"


def test_a_verification_message_is_one_line() -> None:
    assert PinError("one\ntwo").verify_message == "one"
    assert PinError("").verify_message == ""


REFUSAL = UnpinnedHostError("refused", host="error.example")


def _caused() -> Exception:
    error = RuntimeError("outer")
    error.__cause__ = ValueError("middle")
    error.__cause__.__cause__ = REFUSAL
    return error


def _in_context() -> Exception:
    error = RuntimeError("outer")
    error.__context__ = REFUSAL
    error.__suppress_context__ = True
    return error


def _with_field(name: str) -> Exception:
    error = RuntimeError("outer")
    setattr(error, name, REFUSAL)
    return error


def _deep() -> Exception:
    error: Exception = REFUSAL
    for _ in range(5000):
        error = RuntimeError(error)
    return error


WRAPPED = {
    "itself": REFUSAL,
    "a cause of a cause": _caused(),
    "a context that is not shown": _in_context(),
    "an argument": RuntimeError("outer", REFUSAL),
    "an argument of an argument": RuntimeError(OSError("inner", REFUSAL)),
    "a group": ExceptionGroup("many", [ValueError("other"), REFUSAL]),
    "a group within a group": BaseExceptionGroup(
        "many", [KeyboardInterrupt(), ExceptionGroup("more", [RuntimeError(REFUSAL)])]
    ),
    "urllib's reason": _with_field("reason"),
    "aiohttp's certificate_error": _with_field("certificate_error"),
    "aiohttp's os_error": _with_field("os_error"),
    "5000 wrappings": _deep(),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_a_refusal_is_found_in_the_error_of_a_library(how: str) -> None:
    assert pin_error(WRAPPED[how]) is REFUSAL


def _circle() -> Exception:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    one.args = (one, other)
    return one


NOTHING_IN_IT: dict[str, BaseException | None] = {
    "nothing": None,
    "another error": ValueError("x"),
    "a certificate failure of OpenSSL": ssl.SSLCertVerificationError(1, "failed"),
    "a circle": _circle(),
    "a group": ExceptionGroup("many", [ValueError("x")]),
    "another error of certpin": PinFileError("x"),
}


@pytest.mark.parametrize("what", NOTHING_IN_IT)
def test_an_error_without_a_refusal_contains_none(what: str) -> None:
    assert pin_error(NOTHING_IN_IT[what]) is None


def test_a_text_attribute_is_ignored() -> None:
    error = RuntimeError("outer")
    error.reason = "text"  # type: ignore[attr-defined]
    assert pin_error(error) is None


def test_the_nearest_refusal_is_found() -> None:
    inner, outer = PinError("inner"), PinError("outer")
    outer.__cause__ = inner
    assert pin_error(RuntimeError(outer)) is outer


def test_a_refusal_is_found_in_a_cycle_of_causes() -> None:
    circle = _circle()
    circle.args = (*circle.args, REFUSAL)
    assert pin_error(circle) is REFUSAL


def test_a_fix_has_one_label_everywhere() -> None:
    """No source prints a label such as "to do:" for a fix: the only label is `fix: …`.

    Web pages of the monitoring service are exempt, because they state the fix in a sentence.
    """
    packages = (Path(str(package.__file__)).parent for package in (certpin, certpin_watch))
    files = (path for folder in packages for path in folder.rglob("*.py"))
    sources = [path for path in files if not {"api", "html", "web"} & set(path.parts)]
    assert len(sources) > 300
    label = re.compile(r"[\"n ](?:what to do|to do): ", re.IGNORECASE)
    others = [str(path) for path in sources if label.search(path.read_text(encoding="utf-8"))]
    assert not others
