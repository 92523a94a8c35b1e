"""SoftHSM tokens: Debian's module, with a separate folder of tokens for each test."""

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
    """A folder of tokens with one user ``pin``; ``asked`` are the labels of PIN requests."""

    folder: Path
    pin: str = field(default_factory=lambda: f"{secrets.randbelow(10**8):08}")
    asked: list[str] = field(default_factory=list)

    def ask(self, label: str) -> str:
        """Enter the PIN, as a user would."""
        self.asked.append(label)
        return self.pin

    def uri(self, label: str = "next", more: str = "") -> str:
        """The URI of a key on the first token."""
        return f"pkcs11:token=bank;object={label}{more}"

    def add_token(self, label: str) -> None:
        """Initialise one more token."""
        words = ["--init-token", "--free", "--label", label, "--pin", self.pin]
        complete([require("softhsm2-util"), *words, "--so-pin", secrets.token_hex(4)])
        self.forget()

    def token(self, label: str = "bank") -> Any:
        """The token as a python-pkcs11 object."""
        import pkcs11

        return pkcs11.lib(str(MODULE)).get_token(token_label=label)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a read-write session of the user, beside certpin's."""
        session = self.token().open(rw=True, user_pin=self.pin)
        try:
            yield session
        finally:
            session.close()

    def forget(self) -> None:
        """Make the module read its configuration and its tokens again."""
        import pkcs11

        if str(MODULE) in pkcs11._loaded and pkcs11._loaded[str(MODULE)].initialized:
            pkcs11._loaded[str(MODULE)].finalize()


@contextmanager
def softhsm(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHSM]:
    """A token named ``bank``, in a configuration that certpin finds."""
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
            _clear_openssl_errors()  # of the test's use of the module
