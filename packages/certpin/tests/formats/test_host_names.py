"""A name in a platform's file that the platform compares with no host pins nothing: it is refused.

Platforms normalise the host of a connection, but not all normalise the names in their files.
"""

from __future__ import annotations

from contextlib import suppress

import pytest

from certpin.errors import CertpinError, FormatError
from certpin.formats import FORMATS
from certpin.formats.limits import OneHost
from tests.formats._files import load, refusal, text_of, two

NAME = "xn--bcher-kva.example"  # its U-label: bücher.example
# The code of these refuses each host without pins, so a name that no connection has is harmless.
REFUSES_OTHERS = frozenset({"dotnet", "flutter", "flutter-pins", "go", "node"})
# Their readers normalise the names.
NORMALISED = frozenset({"json"})
# The file of a format with one host applies to each connection that uses it, for any name.
LITERAL = [
    name
    for name, each in FORMATS.items()
    if name not in REFUSES_OTHERS | NORMALISED
    and not any(isinstance(limit, OneHost) for limit in each.limits)
]
# OkHttp normalises all but the dot, which it also keeps in the hosts of URLs (seen with 3.13).
# Android lower-cases the names of its file.
OKHTTP = frozenset({"ktor", "okhttp-java", "okhttp-kotlin"})
LOWER_CASED = OKHTTP | {"android", "trustkit-android"}


def spelt(platform: str, name: str) -> str:
    """Return an export for a host, in which its name has another spelling."""
    return text_of(platform, two(NAME)).replace(NAME, name)


def test_every_format_refuses_a_literal_name_or_is_listed() -> None:
    accepted = []
    for platform in LITERAL:
        with suppress(CertpinError):
            load(platform, spelt(platform, f"{NAME}."))
            accepted.append(platform)
    assert accepted == [], (
        "fix: let its reader refuse the name (formats/_domains.py), or, if that is right, list the "
        "format in REFUSES_OTHERS or NORMALISED"
    )


@pytest.mark.parametrize("platform", LITERAL)
def test_a_name_that_ends_in_a_dot_is_refused(platform: str) -> None:
    error = refusal(platform, spelt(platform, f"{NAME}."))
    assert isinstance(error, FormatError)
    assert f"'{NAME}.' ends in a dot, so the platform doesn't pin the host without it" in str(error)
    assert error.fix == f"write {NAME}"


@pytest.mark.parametrize("platform", LITERAL)
@pytest.mark.parametrize(
    ("name", "accepted"), [("bücher.example", OKHTTP), (NAME.upper(), LOWER_CASED)]
)
def test_a_name_in_another_spelling_is_refused_if_the_platform_keeps_it(
    platform: str, name: str, accepted: frozenset[str]
) -> None:
    text = spelt(platform, name)
    if platform in accepted:
        assert [str(each.pattern) for each in load(platform, text).policies] == [NAME]
    else:
        assert refusal(platform, text).fix == f"write {NAME}"


def test_a_wildcard_of_okhttp_that_ends_in_a_dot_is_refused() -> None:
    text = text_of("okhttp-java", two(f"*.{NAME}")).replace(NAME, f"{NAME}.")
    assert "ends in a dot" in str(refusal("okhttp-java", text))


@pytest.mark.parametrize("platform", ["android", "react-native", "trustkit-ios"])
@pytest.mark.parametrize("name", ["[2001:db8::1]", "2001:db8:0:0:0:0:0:1"])
def test_another_spelling_of_an_address_is_refused(platform: str, name: str) -> None:
    assert refusal(platform, spelt(platform, name)).fix == "write 2001:db8::1"


@pytest.mark.parametrize("platform", ["okhttp-java", "android"])
def test_a_host_with_a_port_is_refused_and_its_host_is_named(platform: str) -> None:
    error = refusal(platform, spelt(platform, f"{NAME}:8443"))
    assert f"'{NAME}:8443' is not a host name" in str(error)
    assert error.fix == f"write {NAME}"
