"""What ``certpin lab serve`` says first: how to bring a device in, and how to clean up."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.lab.serve.page import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.x509 import Certificate

_ANYBODY = "0.0.0.0"  # noqa: S104  # nothing is bound to it here
# Reserved for documentation (RFC 5737): nothing is sent there.
_FAR = ("192.0.2.1", 9)


def own_address() -> str:
    """The address of this machine in its network; empty where it has none. Nothing is sent."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(_FAR)
        address = str(sock.getsockname()[0])
        return "" if ipaddress.ip_address(address).is_loopback else address
    return ""


def reach(address: str) -> str:
    """What a device calls a lab that listens there."""
    return own_address() or address if address in {_ANYBODY, "::"} else address


def phone_reaches(address: str) -> bool:
    """Return True if a phone can reach a lab that listens there, in some network."""
    there = ipaddress.ip_address(reach(address))
    return not (there.is_loopback or there.is_unspecified)


def how_to_listen(port: int = 0) -> str:
    """Say how to listen where a phone can reach the lab."""
    own = own_address()
    if not own:
        return (
            "Connect this machine to the network of the phone, Wi-Fi or the phone's own hotspot, "
            "and listen on its address there: --listen ADDRESS."
        )
    words = f"--listen {own} --port {port}" if port else f"--listen {own}"
    return f"For a phone in the same network: {words}"


def guide(address: str, port: int, hosts: Sequence[str], roots: Sequence[Certificate]) -> list[str]:
    """The lines to print, for whoever holds the device. ``roots`` are what it must trust."""
    there = reach(address)
    where = f"[{there}]:{port}" if ":" in there else f"{there}:{port}"
    own = len(roots) > 1  # R and R2; where real servers stand behind the lab, R2 alone
    names, what = (_NAMES, "both roots") if own else (_NAMES[1:], "the root R2")
    return [
        f"The lab is an HTTP and SOCKS5 proxy at {where}. Under test: {', '.join(hosts)}.",
        *_reachable(address, port),
        "",
        "Bring the device in:",
        f"  1. Wi-Fi, this network, proxy: manual, {where}. Or give the app that proxy itself.",
        f"  2. In its browser, open http://{HOST}/ (or http://{where}/) and install {what}.",
        "     Compare SHA-256 fingerprints, as the way there is not protected:",
        *(f"       {name} {_fingerprint(root)}" for name, root in zip(names, roots, strict=True)),
        "     iOS: Settings, General, VPN & Device Management: install; then About, Certificate",
        "       Trust Settings: switch on what you installed.",
        "     Android: Settings, Security, Encryption & credentials, Install: CA certificate.",
        "       Apps for Android 7 and later do not trust what a user installed, unless their",
        '       network security config says so: <certificates src="user"/> in <debug-overrides>,',
        "       of a debuggable build. Or build the roots in: /roots.pem.",
        *(_OWN_PINS if own else _REAL_PINS),
        "  4. Use the app, again and again: each case takes a connection or two, and it moves on.",
        "An app that ignores the system's proxy (Flutter's dart:io, say) comes by --wireguard.",
        "",
        "A device has no exit status: what counts is the data that arrives. The lab cannot tell",
        "an app that reports an error after its data has gone (LEAK) from one that is content",
        "(ACCEPT).",
        "Warning: whoever has the lab's keys can read the traffic of a device that trusts it.",
        f"Remove {what}, and the proxy, when you are done.",
        "",
    ]


_NAMES = ("R ", "R2")
_OWN_PINS = (
    f"  3. Give the app the pins of the lab, if it is to be pinned: http://{HOST}/pins.toml",
)
_REAL_PINS = (
    "  3. Leave the app its own roots and pins: its real servers answer what is honest.",
    "     See that it trusts R2 too: else what it refuses says nothing of its pins.",
)


def _reachable(address: str, port: int) -> list[str]:
    """Say what to pass if only this machine reaches the lab; warn if every machine does."""
    if ipaddress.ip_address(address).is_loopback:
        return [f"Only this machine reaches it. {how_to_listen(port)}"]
    return ["Everybody who reaches this address can use it as a proxy, while the lab runs."]


def _fingerprint(root: Certificate) -> str:
    """As devices show it."""
    return root.sha256.hex(":").upper()
