"""SoftHSM, a PKCS#11 module with tokens in software: each test has its own folder of tokens."""

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
    """A folder of SoftHSM tokens, all with the same user PIN.

    ``asked`` lists the labels of the tokens for which certpin requested the PIN.
    """

    folder: Path
    pin: str = field(default_factory=lambda: f"{secrets.randbelow(10**8):08}")
    asked: list[str] = field(default_factory=list)

    def ask(self, name: str) -> str:
        """Record a PIN request for the token ``name``, and return the PIN.

        Tests pass this method to certpin in place of the prompt. The name is the label, followed by
        the serial number.
        """
        self.asked.append(name.partition(" (serial ")[0])
        return self.pin

    def uri(self, label: str = "next", more: str = "") -> str:
        """Return the PKCS#11 URI of a key on the token ``bank``.

        Args:
            label: the label of the key.
            more: text to append, such as further attributes.
        """
        return f"pkcs11:token=bank;object={label}{more}"

    def add_token(self, label: str) -> None:
        """Initialise one more token with this label."""
        words = ["--init-token", "--free", "--label", label, "--pin", self.pin]
        complete([require("softhsm2-util"), *words, "--so-pin", secrets.token_hex(4)])
        self.forget()

    def token(self, label: str = "bank") -> Any:
        """Return the token with this label, as an object of the package python-pkcs11."""
        import pkcs11

        return pkcs11.lib(str(MODULE)).get_token(token_label=label)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a read-write session for the token's user, besides any session of certpin."""
        session = self.token().open(rw=True, user_pin=self.pin)
        try:
            yield session
        finally:
            session.close()

    def forget(self) -> None:
        """Finalize the PKCS#11 module, so that it reads its configuration and tokens again."""
        import pkcs11

        if str(MODULE) in pkcs11._loaded and pkcs11._loaded[str(MODULE)].initialized:
            pkcs11._loaded[str(MODULE)].finalize()


@contextmanager
def softhsm(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHSM]:
    """Yield a folder of SoftHSM tokens with one token, ``bank``.

    Environment variables make certpin use the module and this folder.
    """
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
