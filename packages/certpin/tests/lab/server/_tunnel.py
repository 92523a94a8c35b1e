"""Run clients without proxy settings on a device that sends traffic to a lab through WireGuard.

test_tunnel.py starts this program with ``unshare`` in separate network, mount and process
namespaces. It prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.lab.authority import Authority
from certpin.lab.device.folder import LabFolder
from certpin.lab.device.tunnel import TunnelKeys, WireGuard
from certpin.lab.lab import Lab
from certpin.lab.lab_server import server_context
from certpin.lab.pki import Style
from certpin.lab.server.conversation import Routed
from certpin.lab.server.dns import Addresses, LabResolver
from tests.lab._clients import BY_NAME
from tests.lab.server._network import Device, isolate

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from certpin.lab.lab import CaseServer

HOST, OTHER = "api.bank.example", "other.example"
REAL = "192.0.2.80"  # RFC 5737: exists only in the lab's network
BODY = b"real_chain" * 40_000  # more than a TCP window of the tunnel
CURL = ("curl", "-sS", "--max-time", "30", "--cacert")
# An app that knows the host name, and no proxy.
APP = """
import sys, urllib.request
from certpin import PinnedSSLContext, PinSet
context = PinnedSSLContext(PinSet.load(sys.argv[2]))
context.load_verify_locations(sys.argv[3])
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
print(opener.open(sys.argv[1], timeout=20).read().decode())
"""
TO_ADDRESS = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
with context.wrap_socket(socket.create_connection((sys.argv[1], 443), 20),
                         server_hostname="api.bank.example") as tls:
    tls.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
    print(tls.recv(9999))
"""
LISTEN = """
import socket, sys
print(socket.create_connection((sys.argv[1], 22), 20).recv(100))
"""
ASK = """
import dns.message, dns.query, sys
question = dns.message.make_query(sys.argv[2], "A")
print(dns.query.udp(question, sys.argv[1], timeout=20).answer)
"""
QUIC = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"quic", (sys.argv[1], 443))
"""


class Scene:
    """A lab behind a WireGuard tunnel, and real servers for hosts that are not under test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leaving = ExitStack()
        self.lab = self.leaving.enter_context(Lab(HOST, Style.LEAF))
        self.case_server: CaseServer
        self.real_chain = Authority("Genuine Root")
        self.packets: list[bytes] = []

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.lab.loop.asyncio).result(60)

    def begin(self) -> Device:
        with LabFolder(self.folder / "kept", lambda _: None) as kept:
            kept.authorities(datetime.now(UTC))
            keys = TunnelKeys.make(kept.secret)
        addresses = Addresses()
        resolver = LabResolver(lambda name: addresses.allot(name) if name == HOST else None)
        guard = WireGuard(lambda to: Routed(self.case_server._case_run, to), resolver, addresses)
        self.wait(guard.start(keys.lab, keys.peer_public))
        self.leaving.callback(lambda: self.wait(guard.stop()))
        self.wait(self.serve())
        return Device(self.folder, keys.peer_configuration("127.0.0.1", guard.port))

    async def serve(self) -> None:
        context = server_context(self.real_chain.issue(OTHER))
        server = await asyncio.start_server(answer, REAL, 443, ssl=context)
        speaker = await asyncio.start_server(greet, REAL, 22)
        loop = asyncio.get_running_loop()
        trap, _ = await loop.create_datagram_endpoint(
            lambda: Trap(self.packets), local_addr=(REAL, 443)
        )
        for closing in (server, speaker, trap):
            self.leaving.callback(self.lab.loop.call, closing.close)

    def run_case(self, device: Device, case: str, *words: str) -> dict[str, Any]:
        """Run a client's command on the device in one case.

        Words of the command such as ``CA`` and ``URL`` are replaced by the case's values.

        Returns:
            the exit status and output of the client, and what the lab recorded, by name
        """
        self.case_server = self.lab.case_server(BY_NAME[case])
        target = self.case_server.open()
        places = {"CA": str(target.ca), "PINS": str(target.pins), "PIN": target.pinnedpubkey}
        places["URL"] = f"https://{HOST}/{target.canary}"
        status, output = device.call(*(places.get(word, word) for word in words))
        seen = self.case_server.close()
        return {
            "status": status,
            "output": output,
            "answered": self.case_server.token in output,
            "names": [connection.hello.server_name for connection in seen if connection.hello],
            "canary": target.canary.encode() in b"".join(connection.said for connection in seen),
        }


class Trap(asyncio.DatagramProtocol):
    def __init__(self, packets: list[bytes]) -> None:
        self._packets = packets

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._packets.append(data)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    await writer.drain()
    writer.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-real\r\n")
    await reader.read()
    writer.close()


CLIENTS = {
    "curl": (*CURL, "CA", "URL"),
    "pinned curl": (*CURL, "CA", "--pinnedpubkey", "PIN", "URL"),
    "app": (sys.executable, "-c", APP, "URL", "PINS", "CA"),
    "to an address": (sys.executable, "-c", TO_ADDRESS, REAL, "CA"),
}


def scenario(folder: Path) -> dict[str, Any]:
    scene = Scene(folder)
    with scene.leaving:
        device = scene.begin()
        with device.up():
            found: dict[str, Any] = {
                f"{case}, {name}": scene.run_case(device, case, *words)
                for case in ("control-good", "rogue-ca-in-store")
                for name, words in CLIENTS.items()
            }
            return found | others(scene, device)


def others(scene: Scene, device: Device) -> dict[str, Any]:
    """Connect from the device to hosts that are not under test. Return what happens, by name."""
    root = scene.folder / "real_chain.pem"
    root.write_bytes(scene.real_chain.pem)
    scene.case_server = scene.lab.case_server(BY_NAME["rogue-ca-in-store"])
    scene.case_server.open()
    python = (sys.executable, "-c")
    device.call(*python, QUIC, REAL)
    return {
        "real_chain": device.call(*CURL, str(root), f"https://{OTHER}/") == (0, BODY.decode()),
        "greeting": device.call(*python, LISTEN, REAL)[1],
        "nobody": device.call(*CURL, str(root), "https://nobody.invalid/")[0],
        "another resolver": device.call(*python, ASK, REAL, HOST)[1],
        "packets": len(scene.packets),
        "seen": len(scene.case_server.close()),
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    isolate(place, {OTHER: REAL}, [REAL])
    sys.stdout.write(json.dumps(scenario(place)))
    sys.stdout.flush()
    # Skip Python's shutdown: the tunnel's library may call into it then (see certpin.cli.main).
    os._exit(0)
