"""Read a file's private keys in another process first, with limits of time and memory.

A hostile file can make OpenSSL work very long, and a signal doesn't interrupt OpenSSL. OpenSSL
derives the key of PKCS#12 and of encrypted PKCS#8 with as many iterations as the file says, also in
parts that are encrypted themselves. It also checks the numbers of a private key, however large they
are. So another process, which can be killed, does the work first. If it succeeds in time, the
caller does the same work: the same function, with the same data and passphrases.

A short unencrypted key is read without another process. Only its size decides this: certpin doesn't
parse the content for it, because a parser can understand the content differently than OpenSSL.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, TypeVar

from certpin.errors import CertificateParseError, KeyParseError
from certpin.x509.keys import PassphraseError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

# PBKDF2 takes about 3 s for 10 million iterations; OpenSSL writes 2048, and some tools a million.
_SECONDS = 10.0
_MEMORY = 2 * 1024**3  # bytes: scrypt takes as much as the file says (RFC 7914)

# An RSA key of 2048 bits has 1.2 KiB as DER and 1.7 KiB as PEM. As many bytes can contain a prime
# of 5000 bits, which OpenSSL tests for some 5 s; for a prime of 10,000 bits, it needs 30 s.
_SHORT_DER, _SHORT_PEM = 1300, 1792

# The process gets the name of the function, the passphrases in the first line as JSON, in
# hexadecimal, and then the data. It prints null, or the error that it has caught.
_PROGRAM = """
import json
import sys
from contextlib import suppress
from importlib import import_module
from cryptography.exceptions import InternalError, UnsupportedAlgorithm

with suppress(ImportError, OSError, ValueError):  # not on Windows
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
work = getattr(import_module(sys.argv[2]), sys.argv[3])
secrets = map(bytes.fromhex, json.loads(sys.stdin.buffer.readline()))
error = None
try:
    work(sys.stdin.buffer.read(), *secrets)
except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as exc:
    error = type(exc).__name__, getattr(exc, "problem", str(exc)), getattr(exc, "fix", "")
json.dump(error, sys.stdout)
"""


class KeyLimitError(KeyParseError):
    """A file's private keys were not read, because reading them takes too much time or memory.

    ``within_limits`` raises this error if another process can't read the keys within its limits (10
    s and 2 GiB), or if no other process can be used. It has its own class because callers try
    another format after other ``KeyParseError``s, but not after this one.
    """


def is_short(key: bytes) -> bool:
    """Return True if an unencrypted private key is so short that reading it takes little time.

    ``key`` is PEM or DER.
    """
    return len(key) <= (_SHORT_PEM if b"-----BEGIN " in key else _SHORT_DER)


def within_limits(
    work: Callable[..., Result], data: bytes, *secrets: bytes, short: bool = False
) -> Result:
    """Call ``work(data, *secrets)`` in another process, and if it succeeds there, in this one.

    Args:
        work: a function that reads the private keys in ``data``, and that the other process can
            import.
        data: the content of a file.
        secrets: the passphrases of encrypted keys in it.
        short: True if the unencrypted keys are short (``is_short``). Then another process is used
            only if there are ``secrets``.

    Returns:
        The result of ``work`` in this process.

    Raises:
        KeyLimitError: ``work`` takes more than ten seconds or 2 GiB of memory, or no other process
            can be used.
        CertificateParseError: ``work`` raised it. ``KeyParseError``, ``PassphraseError`` and
            ``TypeError`` are raised, too, if ``work`` raised them.
        ValueError: ``work`` raised any other error.
    """
    if secrets or not short:
        _rehearse(work, data, secrets)
    return work(data, *secrets)


def _rehearse(work: Callable[..., object], data: bytes, secrets: tuple[bytes, ...]) -> None:
    """Call ``work(data, *secrets)`` in another process, and discard the result.

    Raises the errors that ``within_limits`` lists.

    So the caller knows that the call ends within the limits of time and memory.
    """
    given = json.dumps([secret.hex() for secret in secrets]).encode()
    paths = os.pathsep.join(filter(None, sys.path))  # -P: and not the current directory
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROGRAM, str(_MEMORY), work.__module__, work.__name__],
            input=given + b"\n" + data,
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
        error = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as exc:
        raise KeyLimitError(
            f"its keys can't be read in another process within {_SECONDS:g} s and "
            f"{_MEMORY / 1024**3:g} GiB of memory",
            fix="give the certificates, or the public key, as PEM",
        ) from exc
    if error is None:
        return
    name, problem, fix = error
    for kind in (CertificateParseError, KeyParseError, PassphraseError):
        if name == kind.__name__:
            raise kind(problem, fix=fix)
    raise TypeError(problem) if name == TypeError.__name__ else ValueError(problem)
