"""Tokens of SoftHSM: the module is Debian's, each test has a folder of tokens of its own."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.hsm.module import _clear_openssl_errors
from tests.servers._run import complete, require, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from pkcs11 import Session

# Debian's file, on each of its architectures.
MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


@dataclass
class SoftHSM:
    """A folder of tokens. ``pin`` is that of every token's user; ``asked`` are those it was for."""

    folder: Path
    pin: str = field(default_factory=lambda: f"{secrets.randbelow(10**8):08}")
    asked: list[str] = field(default_factory=list)

    def ask(self, label: str) -> str:
        """What stands in for a user who knows the PIN."""
        self.asked.append(label)
        return self.pin

    def uri(self, label: str = "next", more: str = "") -> str:
        """The URI of a key on the first token."""
        return f"pkcs11:token=bank;object={label}{more}"

    def add_token(self, label: str) -> None:
        """Set up one more token."""
        words = ["--init-token", "--free", "--label", label, "--pin", self.pin]
        complete([require("softhsm2-util"), *words, "--so-pin", secrets.token_hex(4)])
        self.forget()

    def token(self, label: str = "bank") -> Any:
        """A token, as python-pkcs11 has it."""
        import pkcs11

        return pkcs11.lib(str(MODULE)).get_token(token_label=label)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session of the user who may write, beside certpin."""
        session = self.token().open(rw=True, user_pin=self.pin)
        try:
            yield session
        finally:
            session.close()

    def forget(self) -> None:
        """Let the module read its configuration, and look for tokens, anew."""
        import pkcs11

        if str(MODULE) in pkcs11._loaded and pkcs11._loaded[str(MODULE)].initialized:
            pkcs11._loaded[str(MODULE)].finalize()


@contextmanager
def softhsm(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHSM]:
    """One token, called ``bank``, that certpin finds by itself."""
    with scratch() as folder:
        tokens = folder / "tokens"
        tokens.mkdir()
        configuration = folder / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\n")
        monkeypatch.setenv("SOFTHSM2_CONF", os.fspath(configuration))
        monkeypatch.setenv("PKCS11_MODULE", os.fspath(MODULE))
        made = SoftHSM(folder)
        made.add_token("bank")
        try:
            yield made
        finally:
            made.forget()
            _clear_openssl_errors()  # of what the test did with the module itself
