"""What is particular to urllib.request."""

from __future__ import annotations

import urllib.error
from typing import TYPE_CHECKING

import pytest

import certpin
from certpin.clients import stdlib

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Bank

pytestmark = pytest.mark.peer("nginx")


def test_the_reason_is_the_refusal(bank: Bank) -> None:
    with pytest.raises(urllib.error.URLError) as caught:
        stdlib.opener(bank.pins).open(bank.url("mitm"))
    assert isinstance(caught.value.reason, certpin.PinMismatchError)


@pytest.mark.parametrize("address", ["file://{file}", "ftp://api.test/", "data:,hello"])
def test_nothing_but_http_is_opened(bank: Bank, tmp_path: Path, address: str) -> None:
    file = tmp_path / "secret"
    file.write_text("secret")
    with pytest.raises(urllib.error.URLError, match="unknown url type"):
        stdlib.opener(bank.pins).open(address.format(file=file))


def test_an_error_of_the_server_is_raised(bank: Bank) -> None:
    loop = bank.redirect(bank.url("api", "/redirect"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        stdlib.opener(bank.pins).open(loop)
    caught.value.close()
