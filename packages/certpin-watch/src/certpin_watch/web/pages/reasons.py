"""The reasons of reports in words. Whatever a client says that is not here is shown as it is."""

from __future__ import annotations

# Those of verdicts, of platforms (RFC 7469 clients say `mismatch` for all), of TrustKit, and the
# names of certpin's errors.
_WORDS = {
    "mismatch": "no pin on the path",
    "compromised-key": "a key on the path is marked compromised",
    "expired": "the pins are past their date",
    "no-chain": "there was no chain",
    "debug-anchor": "the debug override",
    "untrusted": "the platform trusts no authority of the chain",
    "name": "the certificate is for another name",
    "date": "a certificate is past its date, or the client's clock is wrong",
    "revoked": "a certificate is revoked",
    "invalid": "the platform refuses a certificate",
    "user-anchor": "an authority that the user installed",
    "bad-parameters": "the app asked for something else",
    "no-spki-hash": "a key of a kind that is not known",
    "UnpinnedHostError": "a host without pins",
    "InsecureRequestError": "a request in clear text",
    "WeakenedContextError": "checks were switched off",
    "UnverifiedSessionError": "a session that was not verified",
}


def reason(value: str) -> str:
    """A reason with what it means: ``untrusted: the platform trusts …``; empty for none."""
    words = _WORDS.get(value)
    return f"{value}: {words}" if words else value
