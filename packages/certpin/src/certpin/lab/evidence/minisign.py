"""Sign files in the format of minisign (https://jedisct1.github.io/minisign/).

Only signing with an existing key is supported; ``minisign -G`` makes keys, and ``minisign -V``
verifies. The layout of keys and signatures is from that page, sections "Signature format" and
"Secret key format": Ed25519 (RFC 8032) over the BLAKE2b-512 of the file (RFC 7693), and a second
signature over the first one and the trusted comment. Decision 63 has the reason for not using
py-minisign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAX_KEY_BYTES = 4096  # a key file has about 350
_MAX_MEMORY = 2**30  # bytes, of minisign's own keys (crypto_pwhash_MEMLIMIT_SENSITIVE)
_BLOCK = 8  # scrypt's r, which libsodium fixes
_COMMENT = "untrusted comment: "
_ENCRYPTED, _PLAIN = b"Sc", b"\0\0"

# Offsets in the decoded key: three algorithms of 2 bytes, the salt, two limits, the key itself.
_SALT, _OPERATIONS, _MEMORY, _KEY, _END = 6, 38, 46, 54, 158


@dataclass(frozen=True)
class MinisignKey:
    """A decrypted secret key of minisign, in memory only.

    ``key_id`` is the ID of 8 bytes by which a signature names its key.
    """

    key_id: bytes
    _private: Ed25519PrivateKey

    def sign(self, data: bytes, name: str, timestamp: int) -> str:
        """Return the signature of a file, as the text of its ``.minisig`` file.

        Args:
            data: the content of the file.
            name: the name of the file in ASCII, for the trusted comment.
            timestamp: the time of the signature, in seconds since 1970.
        """
        signature = self._private.sign(hashlib.blake2b(data).digest())
        trusted = f"timestamp:{timestamp}\tfile:{name}\thashed"
        covered = self._private.sign(signature + trusted.encode("ascii"))
        lines = (
            f"{_COMMENT}signature from certpin's evidence",
            _encode(b"ED" + self.key_id + signature),
            f"trusted comment: {trusted}",
            _encode(covered),
        )
        return "\n".join(lines) + "\n"

    @property
    def public(self) -> str:
        """The public key as text, for ``minisign -V -P``."""
        raw = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _encode(b"Ed" + self.key_id + raw)


def load_key(path: Path, ask: Callable[[], bytes | None]) -> MinisignKey:
    """Return the secret key in a file that ``minisign -G`` made.

    The file is read only once, so it can be a pipe.

    Args:
        path: the key file.
        ask: returns the passphrase; None if the user can't be asked. Not called for a key without a
            passphrase (``minisign -G -W``).

    Raises:
        ConfigError: the file is not a secret key of minisign, can't be read or is damaged; or the
            passphrase is missing or wrong.
    """
    data = _decoded(path)
    key = data[_KEY:_END]
    encrypted = data[2:4] == _ENCRYPTED
    if encrypted:
        passphrase = ask()
        if passphrase is None:
            raise _error(path, "has a passphrase", "set CERTPIN_PASSPHRASE, or use a terminal")
        key = _decrypt(path, data, passphrase)
    key_id, seed, public, checksum = key[:8], key[8:40], key[40:72], key[72:]
    expected = hashlib.blake2b(data[:2] + key_id + seed + public, digest_size=32).digest()
    # A key without a passphrase has no checksum; its two halves are compared below.
    if encrypted and not hmac.compare_digest(checksum, expected):
        raise _error(path, "has another passphrase, or is damaged", "check the passphrase")
    private = Ed25519PrivateKey.from_private_bytes(seed)
    if private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != public:
        raise _error(path, "is damaged: its two halves differ", "restore its back-up")
    return MinisignKey(key_id, private)


def _decoded(path: Path) -> bytes:
    """Return the bytes of a secret key: the decoded second line of its file.

    Raises ``ConfigError`` unless the length and the algorithms are those of minisign.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_KEY_BYTES + 1)
    except OSError as exc:
        raise _error(path, f"cannot be read: {exc.strerror}", "check the path") from exc
    lines = text.splitlines()
    fix = "name the secret key that `minisign -G -s FILE` made"
    if len(text) > _MAX_KEY_BYTES or len(lines) < 2 or not lines[0].startswith(_COMMENT.encode()):
        raise _error(path, "is not a secret key of minisign", fix)
    try:
        data = base64.b64decode(lines[1], validate=True)
    except binascii.Error as exc:
        raise _error(path, "is not a secret key of minisign", fix) from exc
    if len(data) != _END or data[:2] != b"Ed" or data[4:6] != b"B2":
        raise _error(path, "is not a secret key of minisign", fix)
    if data[2:4] not in {_ENCRYPTED, _PLAIN}:
        raise _error(path, "is encrypted in an unknown way", fix)
    return data


def _decrypt(path: Path, data: bytes, passphrase: bytes) -> bytes:
    operations = int.from_bytes(data[_OPERATIONS:_MEMORY], "little")
    memory = int.from_bytes(data[_MEMORY:_KEY], "little")
    if memory > _MAX_MEMORY or operations > _MAX_MEMORY:
        problem = "needs more than 1 GiB of memory to decrypt"
        raise _error(path, problem, "use a key with minisign's own parameters")
    rounds, parallel = _scrypt_cost(operations, memory)
    kdf = Scrypt(data[_SALT:_OPERATIONS], _END - _KEY, n=rounds, r=_BLOCK, p=parallel)
    mask = kdf.derive(passphrase)
    return bytes(a ^ b for a, b in zip(data[_KEY:_END], mask, strict=True))


def _scrypt_cost(operations: int, memory: int) -> tuple[int, int]:
    """Return the parameters N and p of scrypt for libsodium's two limits: operations and memory.

    The rule is that of ``pickparams`` in libsodium's ``pwhash_scryptsalsa208sha256.c``. ``memory``
    is in bytes.
    """
    operations = max(operations, 32768)
    by_operations = operations < memory // 32
    most = operations // (_BLOCK * 4) if by_operations else memory // (_BLOCK * 128)
    exponent = 1
    while exponent < 63 and 2**exponent <= most // 2:  # the bound of libsodium
        exponent += 1
    if by_operations:
        return 2**exponent, 1
    return 2**exponent, max(1, min(2**30 - 1, operations // 4 // 2**exponent) // _BLOCK)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _error(path: Path, problem: str, fix: str) -> ConfigError:
    from certpin.support.text import printable

    return ConfigError(f"{printable(str(path))} {problem}", key="--sign-key", fix=fix)
