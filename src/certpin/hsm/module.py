"""From a URI to its token: the module is loaded, and the one token that fits is taken."""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.errors import TokenError
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pkcs11 import Session, Token

    from certpin.hsm.uri import TokenURI

    AskPIN = Callable[[str], str]

# The name that python-pkcs11 and OpenSC's tools have for it.
MODULE_VARIABLE = "PKCS11_MODULE"
_LONGEST_PIN = 255  # bytes; SoftHSM takes as many (MAX_PIN_LEN), hardware takes fewer


@contextmanager
def translated(token: str = "") -> Iterator[None]:
    """Turn what a module raises into ``TokenError``. ``token`` names the token, for the message."""
    import pkcs11

    try:
        yield
    except pkcs11.PKCS11Error as exc:
        raise _trouble(exc, printable(token)) from exc
    finally:
        _forget_errors()


def find_token(uri: TokenURI, environment: Mapping[str, str] = os.environ) -> Token:
    """The one token that a URI means. Raises ``TokenError`` where there is none, or several."""
    library = _load(_module_path(uri, environment))
    with translated():
        found = [each for each in _tokens(library) if _fits(uri, library, each)]
    if not found:
        raise TokenError(
            f"no token that is {uri} is here",
            fix="compare its name with what the token says: softhsm2-util --show-slots, or "
            "pkcs11-tool --list-slots",
        )
    if len(found) > 1:
        serials = ", ".join(_serial(each) for each in found)
        raise TokenError(
            f"{len(found)} tokens are {uri}",
            fix=f"add serial=… to the URI; theirs are {printable(serials)}",
        )
    return found[0]


def log_in(token: Token, uri: TokenURI, ask: AskPIN, *, writing: bool = False) -> Session:
    """Open a session of the token's user. The PIN is tried once: tokens lock after a few tries.

    Raises ``TokenError``, which never holds the PIN.
    """
    import pkcs11

    pin = _from_file(uri.pin_file) if uri.pin_file else ask(token.label)
    _check(pin)
    with translated(token.label):
        try:
            return token.open(rw=writing, user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:  # with another key of this process
            return token.open(rw=writing)


@contextmanager
def closed_on_failure(session: Session) -> Iterator[Session]:
    """Log out where the block fails; the token may be gone by then."""
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
            "no PKCS#11 module is configured, which a token needs",
            fix=f"set {MODULE_VARIABLE} to the path of the library that came with it, or add "
            "?module-path=/PATH to the URI; SoftHSM's is called libsofthsm2.so",
        )
    if not path.is_absolute() or not path.is_file():
        raise TokenError(
            f"there is no PKCS#11 module {printable(str(path))}",
            fix="give the absolute path of the library that came with the token",
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
        _forget_errors()
        raise TokenError(
            f"{printable(str(path))} cannot be used as a PKCS#11 module: {_words(exc)}",
            fix="give the library that came with the token, built for this machine",
        ) from exc


def _forget_errors() -> None:
    """Empty OpenSSL's queue of errors, which a module may share with Python's ``ssl``.

    SoftHSM leaves errors there that are nobody's, and ``load_verify_locations(cadata=…)`` takes
    the last one for its own (``_add_ca_certs`` in ``_ssl.c`` of Python 3.11). To refuse ciphers
    empties the queue.
    """
    with suppress(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers("none of these")


def _tokens(library: Any) -> Iterator[Token]:
    """Those that are there and set up. A slot whose token was just pulled out has none."""
    import pkcs11

    for slot in library.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
            continue
        if pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags:
            yield token


def _fits(uri: TokenURI, library: Any, token: Token) -> bool:
    slot = token.slot
    says = {
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
    return all(says[name] == value for name, value in uri.token.items())


def _serial(token: Token) -> str:
    return token.serial.decode(errors="replace")


def _from_file(path: Path) -> str:
    """The PIN in a file, less the end of its line."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_PIN + 3).decode().removesuffix("\n").removesuffix("\r")
    except OSError as exc:
        raise TokenError(
            f"the PIN cannot be read from {printable(str(path))}: {exc.strerror}",
            fix="pin-source=file:/PATH names a file that you may read",
        ) from exc
    except UnicodeDecodeError:
        # Not "from exc": a UnicodeDecodeError holds the bytes.
        raise TokenError(f"the PIN in {printable(str(path))} is not UTF-8") from None


def _check(pin: str) -> None:
    try:
        size = len(pin.encode())
    except UnicodeEncodeError:
        raise TokenError("the PIN is no text") from None
    if not 0 < size <= _LONGEST_PIN:
        raise TokenError(
            "there is no PIN" if not size else f"a PIN has at most {_LONGEST_PIN} bytes",
            fix="give the PIN of the token's user, not that of its security officer",
        )


def _trouble(exc: Exception, token: str) -> TokenError:
    import pkcs11

    of = f"the token {token}" if token else "the token"
    if isinstance(exc, pkcs11.PinIncorrect | pkcs11.PinInvalid | pkcs11.PinLenRange):
        return TokenError(
            f"{of} refused the PIN",
            fix="certpin tried once. Be sure of it before you try again: after a few wrong ones, "
            "most tokens lock",
        )
    if isinstance(exc, pkcs11.PinLocked):
        return TokenError(
            f"the PIN of {of} is locked", fix="its security officer can set another one"
        )
    if isinstance(exc, pkcs11.PinExpired | pkcs11.UserPinNotInitialized):
        return TokenError(
            f"{of} has no PIN that could be used: {_words(exc)}", fix="set one with its own tools"
        )
    return TokenError(f"{of} failed: {_words(exc)}", fix="look into the log of its module")


def _words(exc: Exception) -> str:
    """The name of an error of PKCS#11, and its text if it has one."""
    text = printable(str(exc))
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
