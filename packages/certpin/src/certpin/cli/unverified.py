"""The fix for a chain that did not verify, by OpenSSL's error code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.probe import join_address
from certpin.x509.openssl import strict_advice

if TYPE_CHECKING:
    from certpin.probe import Observation

_PRIVATE = "If its authority is private, name it: --ca-file ROOT.pem"

# X509_V_ERR_… of openssl/x509_vfy.h.
_NO_ISSUER = {2, 20, 21}
_OTHER_NAME = {62, 64}
_OTHERS = {
    9: "a certificate of the chain is not valid yet: set the clock of this machine, or wait",
    10: "a certificate of the chain has expired: renew it, then try again",
    18: "the certificate is self-signed. If it is yours, trust only it: --ca-file CERTIFICATE.pem",
    19: f"this machine does not trust the root of the chain. {_PRIVATE}",
}


def chain_fix(observation: Observation, *, strict: str = "") -> str:
    """Return the ``fix:`` text of an error for a server with a chain that did not verify.

    Args:
        observation: the probe of the server.
        strict: how the command accepts a chain that only strict verification refuses; by default
            with a key of the pin file.
    """
    code = observation.code
    if code in _NO_ISSUER:
        return f"{_missing_issuer(observation)}. {_PRIVATE}"
    if code in _OTHER_NAME:
        return _other_name(observation)
    by_rule = strict_advice(code, strict) if strict else strict_advice(code)
    return by_rule or _OTHERS.get(code, "ask the server's operator to repair the chain")


def _missing_issuer(observation: Observation) -> str:
    if len(observation.served.certificates) == 1:
        return (
            "the server sent only its certificate: configure it to send the intermediate "
            "certificates too (the full chain)"
        )
    return "no authority that this machine trusts has issued the chain"


def _other_name(observation: Observation) -> str:
    name = observation.endpoint.name
    try:
        names = ", ".join(observation.served.leaf.names) or "none"
    except CertificateParseError:
        names = "unreadable"
    return (
        f"the certificate is not for {name}; its names: {names}. Pin one of them: "
        f"certpin pin NAME --connect {join_address(*observation.endpoint.address)}"
    )
