"""Read a file's keys in another process first, with limits of time and memory.

OpenSSL derives the key of PKCS#12 and of encrypted PKCS#8 with as many iterations as the file says,
also in parts that are encrypted themselves, and checks the numbers of a private key, however large.
A signal doesn't interrupt it. So a process that can be killed does the work once, and only if it
ends in time does the caller do it again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from certpin.errors import CertificateParseError, KeyParseError

if TYPE_CHECKING:
    from certpin.errors import InputError

# PBKDF2 takes about 3 s for 10 million iterations; OpenSSL writes 2048, and some tools a million.
_SECONDS = 10.0
_MEMORY = 2 * 1024**3  # bytes: scrypt takes as much as the file says (RFC 7914)

# The process gets the passphrase in the first line, in hexadecimal, and then the file. It prints
# whether it asked for a passphrase that it doesn't have, and the error.
_PROGRAM = """
import json
import sys
from contextlib import suppress
from certpin.errors import InputError
from certpin.x509.certificate import parse_items

with suppress(ImportError, OSError, ValueError):  # not on Windows
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
given = sys.stdin.buffer.readline().strip()
asked, error = False, None


def passphrase():
    global asked
    asked = given == b"-"
    return None if asked else bytes.fromhex(given.decode())


try:
    parse_items(sys.stdin.buffer.read(), passphrase)
except InputError as exc:
    error = type(exc).__name__, exc.problem, exc.fix
json.dump([asked, error], sys.stdout)
"""


class Rehearsal(NamedTuple):
    """The result of reading a file: the error, and whether it needs a passphrase that is missing.

    ``error`` is None if the file was read.
    """

    needs_passphrase: bool
    error: InputError | None


def rehearse(data: bytes, secret: bytes | None) -> Rehearsal:
    """Read the certificates and keys of a file in another process, and discard them.

    Args:
        data: the content of the file.
        secret: the passphrase; None for none.

    Raises:
        KeyParseError: it takes more than ten seconds, or the process can't do it.
    """
    given = b"-" if secret is None else secret.hex().encode()
    paths = os.pathsep.join(filter(None, sys.path))  # -P: and not the current directory
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROGRAM, str(_MEMORY)],
            input=given + b"\n" + data,
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
        needs_passphrase, error = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as exc:
        raise KeyParseError(
            f"its keys can't be read in another process within {_SECONDS:g} s and "
            f"{_MEMORY / 1024**3:g} GiB of memory",
            fix="give the certificates, or the public key, as PEM",
        ) from exc
    if error is None:
        return Rehearsal(needs_passphrase, None)
    name, problem, fix = error
    kind = CertificateParseError if name == CertificateParseError.__name__ else KeyParseError
    return Rehearsal(needs_passphrase, kind(problem, fix=fix))
