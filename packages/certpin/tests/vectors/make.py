"""Generate keys.json, the stored test vectors: python -m tests.vectors.make

It has one self-signed certificate for each kind of key, as the `openssl` command makes it, and the
digests that `openssl` prints. No private key is kept. The tests of certpin use the vectors if
`openssl` is missing, or makes no ML-DSA keys.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from pathlib import Path

from tests.x509._openssl import ALGORITHMS, make, openssl

TARGET = Path(__file__).parent / "keys.json"


def vectors() -> dict[str, dict[str, str]]:
    """Return the test vectors (a certificate and its digests), by the name of the algorithm."""
    return {algorithm: _vector(algorithm) for algorithm in ALGORITHMS}


def _vector(algorithm: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        key = make(algorithm, Path(folder))
        certificate = key.file("certificate.der")
    printed = openssl(
        "x509", "-inform", "DER", "-noout", "-fingerprint", "-sha256", data=certificate
    )
    return {
        "certificate": base64.b64encode(certificate).decode(),
        "fingerprint": printed.decode().strip(),
        "spki_sha256": base64.b64encode(hashlib.sha256(key.spki).digest()).decode(),
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="ascii")
