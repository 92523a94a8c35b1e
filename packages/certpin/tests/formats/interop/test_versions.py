"""The exported code of Node.js keeps a lowest TLS version of the app that is stricter."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.formats._sets import KEYS, authorities
from tests.formats._text import exported
from tests.kit import anchors, pin_set, policy
from tests.tls._servers import RecordingServer, server_sending

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.bank.example"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nreached"
PROGRAM = """
import https from "node:https";
import net from "node:net";
import { pinnedAgent } from "./pins.mjs";

const [host, port, options] = process.argv.slice(2);
const socket = net.connect(Number(port), "127.0.0.1");
https
  .get({ host, socket, agent: pinnedAgent(JSON.parse(options)) }, (response) => {
    response.pipe(process.stdout);
    response.on("end", () => socket.destroy());
  })
  .on("error", (error) => {
    console.log(error.message);
    socket.destroy();
  });
"""


@pytest.mark.peer("node")
@pytest.mark.medium
@pytest.mark.parametrize(
    ("words", "options", "refused"),
    [
        ([], '{"minVersion": "TLSv1.3"}', True),
        (["--tls-min-v1.3"], "{}", True),
        (["--tls-min-v1.3"], '{"minVersion": "TLSv1.2"}', False),
        ([], "{}", False),
    ],
)
def test_node_lowers_no_stricter_version_of_the_app(
    words: list[str], options: str, refused: bool, tmp_path: Path
) -> None:
    authority = authorities()[0]
    identity = authority.issue(HOST)
    pins = pin_set(policy(HOST, identity.pin, KEYS[0], match="leaf", trust=anchors(authority)))
    (tmp_path / "pins.mjs").write_text(exported("node", pins), encoding="utf-8")
    (tmp_path / "run.mjs").write_text(PROGRAM, encoding="utf-8")
    context = server_sending(identity, tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with RecordingServer(context, greeting=ANSWER) as server:
        done = subprocess.run(
            ["node", *words, "run.mjs", HOST, str(server.port), options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert ("alert protocol version" if refused else "reached") in done.stdout
