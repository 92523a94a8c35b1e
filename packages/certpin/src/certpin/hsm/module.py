"""Load the PKCS#11 module for a URI, find the one token that the URI matches, and log in to it."""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.errors import TokenError
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pkcs11 import Session, Token

    from certpin.hsm.uri import TokenURI

    AskPIN = Callable[[str], str]

# The variable that python-pkcs11 and OpenSC's tools use.
MODULE_VARIABLE = "PKCS11_MODULE"
_MAX_PIN = 255  # bytes; the limit of SoftHSM (MAX_PIN_LEN); hardware allows fewer


@contextmanager
def translated(token: str = "") -> Iterator[None]:
    """Context manager: turn each PKCS#11 error in the ``with`` block into a ``TokenError``.

    ``token`` is the label of the token, which the message contains; empty if none is known. At the
    end of the block, OpenSSL's error queue is cleared (see ``_clear_openssl_errors``).
    """
    import pkcs11

    try:
        yield
    except pkcs11.PKCS11Error as exc:
        raise _token_error(exc, printable(token)) from exc
    finally:
        _clear_openssl_errors()


def find_token(uri: TokenURI, environment: Mapping[str, str] = os.environ) -> Token:
    """Return the token that a PKCS#11 URI (``uri``) names.

    ``environment`` has environment variables, as ``os.environ``: one of them has the path of the
    PKCS#11 module if the URI names none. Raises ``TokenError`` if no token matches, or several do.
    """
    library = _load(_module_path(uri, environment))
    failed: list[str] = []
    with translated():
        found = [token for token in _tokens(library, failed) if _matches(uri, library, token)]
    if not found:
        raise TokenError(
            "; ".join([f"no token matches {uri}", *failed]),
            fix="compare its name with the label of the token: softhsm2-util --show-slots, or "
            "pkcs11-tool --list-slots",
        )
    if len(found) > 1:
        serials = ", ".join(_serial(token) for token in found)
        raise TokenError(
            f"{len(found)} tokens match {uri}",
            fix=f"add serial=… to the URI: {printable(serials)}",
        )
    return found[0]


def log_in(token: Token, uri: TokenURI, ask: AskPIN, *, writing: bool = False) -> Session:
    """Log in to a token as its user, and return the session.

    The PIN is tried only once, because tokens lock after a few failures.

    Args:
        token: the token.
        uri: a URI of the token. It can name a file with the PIN (``pin-source``).
        ask: a function that takes the name of the token (its label with its serial number), and
            returns the PIN. It is called only if the URI names no file.
        writing: True to open a session that can create and delete objects.

    Raises:
        TokenError: the PIN is missing or refused, or the token failed. The message never contains
            the PIN.
    """
    import pkcs11

    if pkcs11.TokenFlag.USER_PIN_FINAL_TRY in token.flags:
        raise TokenError(
            f"one more wrong PIN locks the token {printable(token.label)}",
            fix="log in with the token's own tools first, which resets its counter",
        )
    # Tokens of a pair often have one label, and a PIN of one must not be sent to the other.
    name = f"{token.label} (serial {_serial(token)})"
    pin = _read_pin(uri.pin_file) if uri.pin_file else ask(name)
    _check_pin(pin)
    with translated(token.label):
        try:
            return token.open(rw=writing, user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:  # with another key of this process
            return token.open(rw=writing)


@contextmanager
def closed_on_failure(session: Session) -> Iterator[Session]:
    """Context manager: close the session of a token if the ``with`` block raises an exception.

    The session stays open if the block ends without one. Errors while the session is closed are
    ignored, because the token may have been removed.
    """
    import pkcs11

    try:
        yield session
    except BaseException:
        with suppress(pkcs11.PKCS11Error):
            session.close()
        raise


def _module_path(uri: TokenURI, environment: Mapping[str, str]) -> Path:
    name = environment.get(MODULE_VARIABLE, "")
    path = uri.module or Path(name)
    if not uri.module and not name:
        raise TokenError(
            "no PKCS#11 module is configured",
            fix=f"set {MODULE_VARIABLE} to the path of the token's library, or add "
            "?module-path=/PATH to the URI; SoftHSM's is called libsofthsm2.so",
        )
    if not path.is_absolute() or not path.is_file():
        raise TokenError(
            f"there is no PKCS#11 module {printable(str(path))}",
            fix="give the absolute path of the token's library",
        )
    return path


def _load(path: Path) -> Any:
    try:
        import pkcs11
    except ImportError as exc:
        raise TokenError(
            "keys on tokens need python-pkcs11", fix="pip install 'certpin[pkcs11]'"
        ) from exc
    try:
        return pkcs11.lib(str(path))
    except (pkcs11.PKCS11Error, OSError) as exc:
        _clear_openssl_errors()
        raise TokenError(
            f"{printable(str(path))} cannot be used as a PKCS#11 module: {_describe(exc)}",
            fix="give the token's library, built for this machine; for SoftHSM, check its "
            "configuration (SOFTHSM2_CONF)",
        ) from exc


def _clear_openssl_errors() -> None:
    """Clear OpenSSL's error queue, which a PKCS#11 module may share with Python's ``ssl``.

    For example, SoftHSM leaves errors in the queue, and a later call of
    ``load_verify_locations(cadata=…)`` raises the last of them (``_add_ca_certs`` in ``_ssl.c`` of
    Python 3.11). Python has no function to clear the queue. It is cleared as a side effect when
    ``ssl`` refuses an invalid list of ciphers.
    """
    with suppress(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers("none of these")


def _tokens(library: Any, failed: list[str]) -> Iterator[Token]:
    """Yield the initialized tokens of a PKCS#11 module.

    ``library`` is the loaded module. A token that was removed meanwhile, or that fails, is skipped,
    so that other tokens can be used. For each token that fails, a text about the error is appended
    to ``failed``.
    """
    import pkcs11

    for slot in library.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
            continue
        except pkcs11.PKCS11Error as exc:
            failed.append(f"slot {slot.slot_id} can't be read: {type(exc).__name__}")
            continue
        if pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags:
            yield token


def _matches(uri: TokenURI, library: Any, token: Token) -> bool:
    slot = token.slot
    attributes = {
        "token": token.label,
        "serial": _serial(token),
        "model": token.model,
        "manufacturer": token.manufacturer_id,
        "slot-id": str(slot.slot_id),
        "slot-description": slot.slot_description,
        "slot-manufacturer": slot.manufacturer_id,
        "library-manufacturer": library.manufacturer_id,
        "library-description": library.library_description,
        "library-version": ".".join(map(str, library.library_version)),
    }
    return all(attributes[name] == value for name, value in uri.token.items())


def _serial(token: Token) -> str:
    return token.serial.decode(errors="replace")


def _read_pin(path: Path) -> str:
    """Return the PIN that a file contains, without the line end.

    Raises ``TokenError`` if the file can't be read, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            return file.read(_MAX_PIN + 3).decode().removesuffix("\n").removesuffix("\r")
    except OSError as exc:
        raise TokenError(
            f"the PIN cannot be read from {printable(str(path))}: {exc.strerror}",
            fix="let pin-source=file:/PATH name a file that you may read",
        ) from exc
    except UnicodeDecodeError:
        # Not "from exc": a UnicodeDecodeError contains the bytes.
        raise TokenError(f"the PIN in {printable(str(path))} is not UTF-8") from None


def _check_pin(pin: str) -> None:
    try:
        size = len(pin.encode())
    except UnicodeEncodeError:
        raise TokenError("the PIN is not a text") from None
    if not 0 < size <= _MAX_PIN:
        raise TokenError(
            "there is no PIN" if not size else f"a PIN has at most {_MAX_PIN} bytes",
            fix="give the PIN of the token's user, not that of its security officer",
        )


def _token_error(exc: Exception, token: str) -> TokenError:
    import pkcs11

    name = f"the token {token}" if token else "the token"
    if isinstance(exc, pkcs11.PinIncorrect | pkcs11.PinInvalid | pkcs11.PinLenRange):
        return TokenError(
            f"{name} refused the PIN",
            fix="certpin tried once. Check the PIN before you try again: most tokens lock after a "
            "few wrong ones",
        )
    if isinstance(exc, pkcs11.PinLocked):
        return TokenError(
            f"the PIN of {name} is locked", fix="its security officer can set another one"
        )
    if isinstance(exc, pkcs11.PinExpired | pkcs11.UserPinNotInitialized):
        return TokenError(
            f"{name} has no usable PIN: {_describe(exc)}", fix="set one with the token's tools"
        )
    if isinstance(exc, pkcs11.UserNotLoggedIn):
        return TokenError(
            f"{name} does not let the key sign: {_describe(exc)}",
            fix="take a key without CKA_ALWAYS_AUTHENTICATE; if it has none, run it again",
        )
    return TokenError(f"{name} failed: {_describe(exc)}", fix="read the log of its module")


def _describe(exc: Exception) -> str:
    """Return the name of a PKCS#11 exception, followed by its text if it has one."""
    text = printable(str(exc))
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
