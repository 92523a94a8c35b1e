"""Errors of PKCS#11 modules, and of a missing module or extra."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pkcs11
import pytest

from certpin.errors import KeyParseError, TokenError
from certpin.hsm import open_key
from certpin.hsm.module import translated

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("raised", "problem", "fix"),
    [
        (pkcs11.PinIncorrect(), "the token bank refused the PIN", "tried once"),
        (pkcs11.PinLenRange(), "the token bank refused the PIN", "tried once"),
        (pkcs11.PinLocked(), "the PIN of the token bank is locked", "security officer"),
        (pkcs11.PinExpired(), "has no usable PIN: PinExpired", "token's tools"),
        (pkcs11.DeviceRemoved(), "the token bank failed: DeviceRemoved", "log"),
        (pkcs11.PKCS11Error("odd\x1b[2J"), r"failed: PKCS11Error: odd\x1b[2J", "log"),
    ],
)
def test_errors_of_a_module_become_typed_errors(raised: Exception, problem: str, fix: str) -> None:
    with pytest.raises(TokenError) as caught, translated("bank"):
        raise raised
    assert problem in caught.value.problem
    assert fix in caught.value.fix
    assert caught.value.__cause__ is raised
    assert isinstance(caught.value, KeyParseError)


def test_the_name_of_a_token_is_hostile() -> None:
    with pytest.raises(TokenError) as caught, translated("\x1b[2J"):
        raise pkcs11.PinLocked
    assert "\x1b" not in str(caught.value)


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "module.so"
    module.touch()
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(TokenError) as caught:
        open_key(f"pkcs11:object=next?module-path={module}", lambda _: "1234")
    assert caught.value.fix == "pip install 'certpin[pkcs11]'"
