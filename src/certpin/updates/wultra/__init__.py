"""For apps with the Wultra SDKs: signed fingerprint lists, and a server for their challenge mode.

signed = sign_set(pins, signer, utc_now())              # what certpin publish wultra does
checked = check_list(data, key, utc_now())              # what certpin publish verify does
app = challenge_app({"bank-app": ServedList(path, signer)})      # pip install 'certpin[wultra]'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.updates.wultra.check import Answer, Checked, CheckedEntry, check_list
from certpin.updates.wultra.finding import Finding
from certpin.updates.wultra.keys import key_of_file, key_of_text
from certpin.updates.wultra.served import ServedList
from certpin.updates.wultra.sign import SignedList, sign_certificates, sign_set

if TYPE_CHECKING:
    from certpin.updates.wultra.challenge import challenge_app

__all__ = [
    "Answer",
    "Checked",
    "CheckedEntry",
    "Finding",
    "ServedList",
    "SignedList",
    "challenge_app",
    "check_list",
    "key_of_file",
    "key_of_text",
    "sign_certificates",
    "sign_set",
]


def __getattr__(name: str) -> Any:
    """Load the server when it is asked for: the rest needs no Starlette."""
    if name != "challenge_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from certpin.updates.wultra.challenge import challenge_app
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in {"starlette", "anyio"}:
            raise
        raise ModuleNotFoundError(
            f"{exc.name} is missing: pip install 'certpin[wultra]'", name=exc.name
        ) from exc
    return challenge_app
