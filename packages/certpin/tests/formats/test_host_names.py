"""A name in a platform's file that the platform compares with no host pins nothing: it is refused.

Platforms normalise the host of a connection, but not all normalise the names in their files.
"""

from __future__ import annotations

import pytest

from certpin.errors import FormatError
from tests.formats._files import load, refusal, text_of, two

NAME = "xn--bcher-kva.example"  # its U-label: bücher.example
FORMATS = (
    *("android", "apple", "react-native", "trustkit-android", "trustkit-ios"),
    *("ktor", "okhttp-java", "okhttp-kotlin"),
)
# OkHttp normalises all but the dot, which it also keeps in the hosts of URLs (seen with 3.13).
# Android lower-cases the names of its file.
OKHTTP = frozenset({"ktor", "okhttp-java", "okhttp-kotlin"})
LOWER_CASED = OKHTTP | {"android", "trustkit-android"}


def spelt(platform: str, name: str) -> str:
    """Return an export for a host, in which its name has another spelling."""
    return text_of(platform, two(NAME)).replace(NAME, name)


@pytest.mark.parametrize("platform", FORMATS)
def test_a_name_that_ends_in_a_dot_is_refused(platform: str) -> None:
    error = refusal(platform, spelt(platform, f"{NAME}."))
    assert isinstance(error, FormatError)
    assert f"'{NAME}.' ends in a dot, so the platform doesn't pin the host without it" in str(error)
    assert error.fix == f"write {NAME}"


@pytest.mark.parametrize("platform", FORMATS)
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
