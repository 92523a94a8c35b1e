"""certpin's digests equal those that `openssl` printed into keys.json, for every kind of key."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from certpin.pins import Pin, pins_of
from certpin.x509 import Certificate
from tests.vectors import make
from tests.x509._openssl import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Mapping

VECTORS: dict[str, dict[str, str]] = json.loads(make.TARGET.read_text(encoding="ascii"))


def _holds(vector: Mapping[str, str]) -> None:
    certificate = Certificate.from_der(base64.b64decode(vector["certificate"]))
    key, whole = pins_of(certificate)
    assert key == Pin.parse(f"sha256/{vector['spki_sha256']}")
    assert whole == Pin.parse(vector["fingerprint"])
    assert certificate.subject == "CN=vector"


@pytest.mark.parametrize("algorithm", VECTORS)
def test_a_certificate_has_the_digests_that_openssl_printed(algorithm: str) -> None:
    _holds(VECTORS[algorithm])


def test_there_is_a_vector_for_every_kind_of_key() -> None:
    assert list(VECTORS) == list(ALGORITHMS)


@pytest.mark.peer("openssl")
def test_the_generator_makes_such_vectors() -> None:
    fresh = make._vector("rsa-pss-sha256")
    assert fresh.keys() == VECTORS["rsa-pss-sha256"].keys()
    assert fresh != VECTORS["rsa-pss-sha256"]
    _holds(fresh)
