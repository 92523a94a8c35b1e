"""Every mistake in pins.toml is reported with file, line, key and fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile import PinSet
from tests.pinfile._files import FULL, GOOD, HEAD, HOST, ONE, PINS, TWO

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Broken:
    """The text of a pin file with one mistake, and the expected error.

    ``line`` and ``key`` are where the error is reported (``line`` may be None). ``problem`` and
    ``fix`` are words that the error contains.
    """

    text: str
    line: int | None
    key: str
    problem: str
    fix: str


def _after(text: str) -> str:
    """Return a file with a text after a good host. The text begins on line 14."""
    return GOOD + text


HOST_TWO = '\n[[host]]\nname = "b.example"\n'
PINS_TWO = f'\n[[host.pin]]\npin = "{ONE}"\n\n[[host.pin]]\npin = "{TWO}"\n'

FILES = {
    # Not TOML at all.
    "not TOML": Broken("schema = 1\nname\n", 2, "", "it is not TOML", "toml.io"),
    "a conflict of git": Broken(
        HEAD + "<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> theirs\n",
        4,
        "",
        "the line is a conflict marker of git",
        "of two values of `version` the higher one; and delete git's markers",
    ),
    "the rest of a conflict": Broken(
        GOOD + "\n>>>>>>> 3f2a\n", 15, "", "a conflict marker of git", "delete git's markers"
    ),
    "a conflict in a list": Broken(
        HEAD + 'x = [\n<<<<<<< HEAD\n"a",\n=======\n"b",\n>>>>>>> theirs\n]\n',
        *(5, "", "a conflict marker of git", "delete git's markers"),
    ),
    "a line like a conflict": Broken(
        HEAD + 'x = """\n=======\n"""\nname\n', 7, "", "it is not TOML", "toml.io"
    ),
    "a mistake in a line like a conflict": Broken(
        HEAD + 'x = """\n<<<<<<< \\z\n"""\n', 5, "", "it is not TOML", "toml.io"
    ),
    "a key like a place": Broken(
        HEAD + '["at line 7"]\n["at line 7"]\n', 5, "", "it is not TOML", "toml.io"
    ),
    "an open list": Broken(HEAD + "x = [\n", None, "", "at end of document", "toml.io"),
    "a key twice": Broken(HEAD + 'name = "x"\n', 4, "", "Cannot overwrite", "toml.io"),
    "a table twice": Broken(GOOD + "[debug]\n[debug]\n", 15, "", "twice", "toml.io"),
    "an open string": Broken(HEAD + 'x = "\n', 4, "", "it is not TOML", "toml.io"),
    "a tab in a name": Broken(GOOD.replace("bank-app", "a\x01b"), 2, "", "Illegal", "toml.io"),
    "a lone carriage return": Broken(HEAD.replace("\n", "\r"), 1, "", "it is not TOML", "toml.io"),
    "a number of 5000 digits": Broken("schema = " + "9" * 5000, None, "", "it is not TOML", "toml"),
    "a list of 9000 lists": Broken("x = " + "[" * 9000, None, "", "it is not TOML", "toml.io"),
    "a key of 64 parts": Broken(HEAD + "x." * 64 + "x = 1\n", 4, "", "too many parts", "shorten"),
    "a header of 70 parts": Broken(
        HEAD + "\n[" + "x.'y'." * 35 + "x]\n", 5, "", "too many parts", "shorten"
    ),
    "a deep key in an inline table": Broken(
        HEAD + "x = { " + '"a\\"." . ' * 64 + "x = 1 }\n", 4, "", "too many parts", "shorten"
    ),
    # The top.
    "an empty file": Broken("", None, "schema", "missing", "write schema = 1"),
    "no schema": Broken(
        GOOD.replace("schema = 1\n", ""), None, "schema", "missing", "write schema = 1"
    ),
    "a schema in quotes": Broken(
        GOOD.replace("schema = 1", 'schema = "1"'),
        1,
        "schema",
        "'1' is not allowed",
        "a whole number",
    ),
    "a boolean schema": Broken(
        GOOD.replace("schema = 1", "schema = true"), 1, "schema", "True is not", "a whole number"
    ),
    "a schema of 40 digits": Broken(
        GOOD.replace("schema = 1", "schema = 0x" + "f" * 40),
        1,
        "schema",
        "a number",
        "whole number",
    ),
    "schema 2": Broken(
        GOOD.replace("schema = 1", "schema = 2"), 1, "schema", "the file has 2", "newer"
    ),
    "no name": Broken(
        GOOD.replace('name = "bank-app"\n', ""), None, "name", "missing", "in quotes"
    ),
    "a name that is a date": Broken(
        GOOD.replace('"bank-app"', "2027-01-01"),
        2,
        "name",
        "2027-01-01 is not allowed",
        "in quotes",
    ),
    "a name that is a table": Broken(
        HEAD.replace('name = "bank-app"', "name.x = 1"), 2, "name", "a table is not", "in quotes"
    ),
    "no version": Broken(
        GOOD.replace("version = 12", ""), None, "version", "missing", "whole number"
    ),
    "version 0": Broken(
        GOOD.replace("version = 12", "version = 0"), 3, "version", "1 or more", "version = 1"
    ),
    "a version with a point": Broken(
        GOOD.replace("version = 12", "version = 1.5"), 3, "version", "a number", "whole number"
    ),
    # Hosts.
    "no host": Broken(HEAD, None, "host", "protects nothing", "certpin add HOST"),
    "no hosts in the list": Broken(HEAD + "host = []\n", 4, "host", "protects nothing", "add HOST"),
    "hosts that are a number": Broken(HEAD + "host = 1\n", 4, "host", "a number", "[[host]]"),
    "a single host table": Broken(
        HEAD + '[host]\nname = "a.example"\n', 4, "host", "a table is not allowed", "[[host]]"
    ),
    "a host that is a string": Broken(
        HEAD + 'host = ["a.example"]\n', 4, "host[0]", "must be a table", "write [[host]]"
    ),
    "a host without a name": Broken(
        HEAD + "\n[[host]]\n" + PINS, 5, "host[0].name", "missing", "in quotes"
    ),
    "a name with a port": Broken(
        _after('\n[[host]]\nname = "b.example:443"\n' + PINS_TWO),
        *(16, "host[1].name", "not a host name", "without scheme, port or path"),
    ),
    "a public suffix": Broken(
        _after('\n[[host]]\nmode = "report"\nname = "*.co.uk"\n' + PINS_TWO),
        *(17, "host[1].name", "co.uk is a public suffix", "name your own domain"),
    ),
    "two policies of one host": Broken(
        _after('\n[[host]]\nname = "API.bank.example"\n' + PINS_TWO),
        *(16, "host[1].name", "two policies", "merge them into one"),
    ),
    "a mode of another name": Broken(
        _after(HOST_TWO + 'mode = "block"\n' + PINS_TWO),
        *(17, "host[1].mode", "'block' is not allowed for `mode`", 'one of "enforce", "report"'),
    ),
    "a mode without quotes": Broken(
        _after(HOST_TWO + "mode = true\n" + PINS_TWO),
        *(17, "host[1].mode", "True is not allowed", 'one of "enforce", "report"'),
    ),
    "a match of another name": Broken(
        _after(HOST_TWO + 'match = "root"\n' + PINS_TWO),
        *(17, "host[1].match", "'root' is not allowed", 'one of "leaf", "ca", "any"'),
    ),
    "an expiry in quotes": Broken(
        _after(HOST_TWO + 'expires = "2027-06-01"\n' + PINS_TWO),
        *(17, "host[1].expires", "'2027-06-01' is not allowed", "a date without quotes"),
    ),
    "an expiry without a zone": Broken(
        _after(HOST_TWO + "expires = 2027-06-01T00:00:00\n" + PINS_TWO),
        *(17, "host[1].expires", "no time zone", "add Z for UTC"),
    ),
    "an expiry after the year 9999 in UTC": Broken(
        _after(HOST_TWO + "expires = 9999-12-31T23:59:59-05:00\n" + PINS_TWO),
        *(17, "host[1].expires", "is not in the years 1 to 9999 in UTC", "as in 2027-06-01"),
    ),
    "an expiry before the year 1 in UTC": Broken(
        _after(HOST_TWO + "expires = 0001-01-01T00:00:00+05:00\n" + PINS_TWO),
        *(17, "host[1].expires", "is not in the years 1 to 9999 in UTC", "as in 2027-06-01"),
    ),
    "an expiry that is a time": Broken(
        _after(HOST_TWO + "expires = 12:00:00\n" + PINS_TWO),
        *(17, "host[1].expires", "12:00:00 is not allowed", "as in 2027-06-01"),
    ),
    "an on_expiry of another name": Broken(
        _after(HOST_TWO + 'on_expiry = "open"\n' + PINS_TWO),
        *(
            17,
            "host[1].on_expiry",
            "'open' is not allowed",
            '"fail-closed", "fail-open", "report"',
        ),
    ),
    "trust in a missing file": Broken(
        _after(HOST_TWO + 'trust = "no-such.pem"\n' + PINS_TWO),
        *(17, "host[1].trust", "trust anchors: No such file", "relative to the pin file"),
    ),
    "trust in a folder": Broken(
        _after(HOST_TWO + 'trust = "."\n' + PINS_TWO),
        *(17, "host[1].trust", "no trust anchors", "relative to the pin file"),
    ),
    "trust in a path with a NUL": Broken(
        _after(HOST_TWO + 'trust = "\\u0000"\n' + PINS_TWO),
        *(17, "host[1].trust", "no trust anchors", "relative to the pin file"),
    ),
    "trust in the pin file itself": Broken(
        _after(HOST_TWO + 'trust = "pins.toml"\n' + PINS_TWO),
        *(17, "host[1].trust", "no certificate", "a PEM file of certificates"),
    ),
    "trust in a list": Broken(
        _after(HOST_TWO + 'trust = ["roots.pem"]\n' + PINS_TWO),
        *(17, "host[1].trust", "a list is not allowed", "in quotes"),
    ),
    "reports without TLS": Broken(
        _after(HOST_TWO + 'report_to = ["http://b.example/"]\n' + PINS_TWO),
        *(17, "host[1].report_to", "not an https:// address", "over TLS"),
    ),
    "one address for reports": Broken(
        _after(HOST_TWO + 'report_to = "https://b.example/"\n' + PINS_TWO),
        *(17, "host[1].report_to", "is not allowed", "a list of strings"),
    ),
    "an address that is a number": Broken(
        _after(HOST_TWO + "report_to = [1]\n" + PINS_TWO),
        *(17, "host[1].report_to", "a list is not allowed", "a list of strings"),
    ),
    # Pins.
    "no pins": Broken(HEAD + HOST, 5, "host[0].pin", "no pin that could match", "certpin pin HOST"),
    "a single pin": Broken(
        HEAD + HOST + f'\n[[host.pin]]\npin = "{ONE}"\n',
        *(8, "host[0].pin", "only one pin", "certpin pin FILE"),
    ),
    "pins that are a string": Broken(
        HEAD + HOST + f'pin = "{ONE}"\n', 7, "host[0].pin", "is not allowed", "[[host.pin]]"
    ),
    "pins that are strings": Broken(
        HEAD + HOST + f'pin = ["{ONE}"]\n', 7, "host[0].pin[0]", "must be a table", "[[host.pin]]"
    ),
    "a pin without a pin": Broken(
        _after('\n[[host.pin]]\nrole = "leaf"\n'),
        *(15, "host[0].pin[2].pin", "missing", "in quotes"),
    ),
    "a malformed pin": Broken(
        _after('\n[[host.pin]]\nrole = "leaf"\npin = "abc"\n'),
        *(17, "host[0].pin[2].pin", "'abc' is not a pin", "sha256/BASE64"),
    ),
    "a pin by sha1": Broken(
        _after('\n[[host.pin]]\npin = "sha1/2jmj7l5rSw0yVb/vlWAYkK/YBwk="\n'),
        *(16, "host[0].pin[2].pin", "is not a pin", "sha256/BASE64"),
    ),
    "a pin that is too short": Broken(
        _after('\n[[host.pin]]\npin = "sha256/AAAA"\n'),
        *(16, "host[0].pin[2].pin", "this has 3", "copy the whole pin again"),
    ),
    "a pin twice": Broken(
        _after(f'\n[[host.pin]]\npin = "{ONE}"\n'),
        *(15, "host[0].pin[2]", "is listed twice", "remove one"),
    ),
    "a placeholder": Broken(
        _after(f'\n[[host.pin]]\npin = "sha256/{"A" * 43}="\n'),
        *(15, "host[0].pin[2]", "example from some documentation", "replace it with yours"),
    ),
    "a role of another name": Broken(
        _after(f'\n[[host.pin]]\npin = "sha256/{"AQ" * 21}A="\nrole = "main"\n'),
        *(17, "host[0].pin[2].role", "'main' is not allowed", '"backup"'),
    ),
    "a state of another name": Broken(
        PINS.join([HEAD + HOST, ""]).replace('role = "backup"', 'state = "old"'),
        *(13, "host[0].pin[1].state", "'old' is not allowed", '"compromised"'),
    ),
    "a note that is a number": Broken(
        GOOD + "note = 1\n", 14, "host[0].pin[1].note", "a number is not allowed", "in quotes"
    ),
    "a header in another spelling": Broken(
        HEAD + '\n[[ \'host\' ]]\nname = "b.example"\n[[ "host" . pin ]] # x\npin = 1\n',
        *(8, "host[0].pin[0].pin", "a number is not allowed", "in quotes"),
    ),
    "line ends of Unicode, which are none of TOML": Broken(
        HEAD + "# one\u2028two\x85three\n" + HOST + "pin = 1\n",
        *(8, "host[0].pin", "a number is not allowed", "[[host.pin]]"),
    ),
    "an endless list": Broken(
        _after('\n[[host]]\nname = ["' + "x" * 5000 + '"]\n'),
        *(16, "host[1].name", "a list is not allowed", "in quotes"),
    ),
    "an endless mode": Broken(
        _after(HOST_TWO + 'mode = "' + "x" * 5000 + '"\n'),
        *(17, "host[1].mode", "x…' is not allowed", 'one of "enforce", "report"'),
    ),
    "a wrong pin in a list, and tables of pins in the next host": Broken(
        HEAD + HOST + f'pin = [{{ pin = "{ONE}" }}, {{ pin = "x" }}]\n' + HOST_TWO + PINS_TWO,
        *(7, "host[0].pin[1].pin", "'x' is not a pin", "sha256/BASE64"),
    ),
    # Debug.
    "debug without a table": Broken(
        HEAD + "debug = true\n" + HOST + PINS, 4, "debug", "a table", "[debug]"
    ),
    "debug without anchors": Broken(
        GOOD + "\n[debug]\n", 15, "debug.anchors", "missing", "in quotes"
    ),
    "debug anchors in a missing file": Broken(
        GOOD + '\n[debug]\nanchors = "no.pem"\n', 16, "debug.anchors", "No such file", "PEM file"
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_a_mistake_is_reported_with_its_place_and_a_fix(what: str, tmp_path: Path) -> None:
    broken = FILES[what]
    path = tmp_path / "pins.toml"
    path.write_bytes(broken.text.encode())
    with pytest.raises(PinFileError) as caught:
        PinSet.load(path)
    error = caught.value
    assert (error.path, error.line, error.key) == (str(path), broken.line, broken.key)
    assert broken.problem in error.problem
    assert broken.fix in error.fix
    place = f"{path}:{broken.line}: " if broken.line else f"{path}: "
    assert str(error).startswith(place + (f"{broken.key}: " if broken.key else ""))
    assert len(str(error)) < 800


@pytest.mark.parametrize("what", FILES)
def test_a_mistake_has_the_same_place_with_the_line_ends_of_dos(what: str) -> None:
    broken = FILES[what]
    if "\r" in broken.text:
        return
    with pytest.raises(PinFileError) as caught:
        PinSet.parse(broken.text.replace("\n", "\r\n"), path="no-such-folder/pins.toml")
    assert (caught.value.line, caught.value.key) == (broken.line, broken.key)


def test_the_unbroken_files_load() -> None:
    assert len(PinSet.parse(GOOD).policies) == 1
    assert len(PinSet.parse(FULL).policies) == 2


def test_a_mistake_in_a_pin_set_from_python_has_no_place() -> None:
    with pytest.raises(ConfigError) as caught:
        PinSet("bank-app", 1, ())
    assert not isinstance(caught.value, PinFileError)
