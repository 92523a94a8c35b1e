"""Rule 1: whether a context still verifies chain, hostname and dates.

A client library may set any of these on the context that it was given, in another thread too, and
OpenSSL copies them when a connection begins. So each change is counted before it is made: a
connection that finds one count before OpenSSL copied, and another one after it, may have anything.
What is set past this class, by a property of a base class or by ``object.__setattr__``, is not
counted: so each connection looks again, once OpenSSL copied. (Python refuses ``CERT_NONE`` while
``check_hostname`` is on, so that the latter tells of both.)
"""

from __future__ import annotations

import ssl
from typing import Any

from certpin.errors import ConfigError
from certpin.tls.mirror import MirroredContext
from certpin.x509.stdlib import OpenSSLContext

_VERIFYING = frozenset({"verify_mode", "check_hostname", "verify_flags"})

# Flags of OpenSSL that take dates or critical extensions out of the verification
# (X509_V_FLAG_USE_CHECK_TIME, _IGNORE_CRITICAL, _NO_CHECK_TIME, openssl/x509_vfy.h).
UNSAFE_FLAGS = 0x2 | 0x10 | 0x200000

# As a number, without the enumeration that Python makes of it, which takes twenty times as long.
flags_of: Any = OpenSSLContext.verify_flags.__get__

# What wraps a connection: with Python's own, a socket could fall back into clear text.
_CHECKING_CLASSES = frozenset({"sslsocket_class", "sslobject_class"})


class VerifyingContext(MirroredContext):
    """A context that knows whether its verification was weakened."""

    # How many there were, and at which of them all was last found in order.
    _verifying_changes = 0
    _verified_changes = -1

    def set_psk_client_callback(self, callback: object) -> None:
        """Refused (rule 2): a pre-shared key shows no chain, and passes for a resumed session."""
        if callback is not None:
            raise ConfigError(
                "a pre-shared key shows no chain to look for a pin in",
                key="set_psk_client_callback",
                fix="authenticate the server by its certificate",
            )

    def _find_weakness(self) -> str:
        """What was switched off, in words; or nothing, and then this count is in order."""
        with self._configuring:  # waits for a change that another thread is making
            if self.verify_mode != ssl.CERT_REQUIRED:
                return f"verify_mode is {self.verify_mode!r}"
            if not self.check_hostname:
                return "check_hostname is off"
            if self.verify_flags & UNSAFE_FLAGS:
                return f"verify_flags are {self.verify_flags!r}"
            self._verified_changes = self._verifying_changes
            return ""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "verify_flags":
            # Rule 7. As a number: the complement of a flag has only the flags that Python knows.
            value = int(value) & ~int(ssl.VERIFY_X509_PARTIAL_CHAIN)
        elif name == "options":
            value |= ssl.OP_NO_RENEGOTIATION  # rule 3: no other certificate after the check
        elif name in _CHECKING_CLASSES:
            raise AttributeError(
                f"{name} cannot be replaced: another class would not check (rule 3)"
            )
        if name in _VERIFYING:
            self._change_verification(name, value)
        else:
            super().__setattr__(name, value)

    def _change_verification(self, name: str, value: Any) -> None:
        with self._configuring:
            if getattr(self, name) == value:
                return  # urllib3 sets the same again with each connection
            self._verifying_changes += 1
            super().__setattr__(name, value)
