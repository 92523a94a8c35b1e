"""Errors of PKCS#11 modules, and of a missing module or extra."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pkcs11
import pytest

from certpin.errors import KeyParseError, TokenError
from certpin.hsm import module, open_key
from certpin.hsm.module import translated
from certpin.hsm.uri import TokenURI

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
        (pkcs11.UserNotLoggedIn(), "does not let the key sign", "CKA_ALWAYS_AUTHENTICATE"),
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


def test_a_slot_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """SoftHSM and card readers answer with a general error for a token that was pulled out."""

    class Slot:
        def __init__(self, number: int, error: Exception | None = None) -> None:
            self.slot_id, self.error = number, error
            self.slot_description = self.manufacturer_id = ""

        def get_token(self) -> SimpleNamespace:
            if self.error is not None:
                raise self.error
            flags = pkcs11.TokenFlag.TOKEN_INITIALIZED
            names = {"label": "bank", "serial": b"7", "model": "", "manufacturer_id": ""}
            return SimpleNamespace(slot=self, flags=flags, **names)

    slots = [Slot(4, pkcs11.GeneralError()), Slot(5), Slot(6, pkcs11.TokenNotPresent())]
    library = SimpleNamespace(
        get_slots=lambda token_present: slots,
        manufacturer_id="",
        library_description="",
        library_version=(2, 6),
    )
    monkeypatch.setattr(module, "_load", lambda _: library)
    uri = TokenURI.parse(f"pkcs11:token=bank;object=next?module-path={__file__}")
    assert module.find_token(uri).slot.slot_id == 5
    slots.pop(1)
    with pytest.raises(
        TokenError, match=r"no token matches .*; slot 4 can't be read: GeneralError"
    ):
        module.find_token(uri)


def test_the_last_try_of_a_pin_is_left_to_the_user() -> None:
    flags = pkcs11.TokenFlag.TOKEN_INITIALIZED | pkcs11.TokenFlag.USER_PIN_FINAL_TRY
    token = SimpleNamespace(label="bank", flags=flags)
    with pytest.raises(TokenError, match="one more wrong PIN locks the token bank"):
        module.log_in(token, TokenURI.parse("pkcs11:token=bank;object=next"), pytest.fail)  # type: ignore[arg-type]


def test_the_name_of_a_token_is_hostile() -> None:
    with pytest.raises(TokenError) as caught, translated("\x1b[2J"):
        raise pkcs11.PinLocked
    assert "\x1b" not in str(caught.value)


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "module.so"
    file.touch()
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(TokenError) as caught:
        open_key(f"pkcs11:object=next?module-path={file}", lambda _: "1234")
    assert caught.value.fix == "pip install 'certpin[pkcs11]'"
