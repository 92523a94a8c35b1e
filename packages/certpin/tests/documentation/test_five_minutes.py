"""docs/start/five-minutes.md, followed by copy and paste: from pip to a refused attacker.

``pytest -s`` prints how many commands and seconds a reader needs.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.documentation._blocks import blocks, shell_script, with_few_cases
from tests.documentation._played import Served
from tests.documentation._reader import follow, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from tests.documentation._played import TracedCommand

HOST = "example.com"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.peer("unshare", "ip", "openssl"),
]


def _block(start: str) -> str:
    """Return the only block of the page that begins with a text."""
    (found,) = (
        each.text for each in blocks("start/five-minutes.md") if each.text.startswith(start)
    )
    return found


def _measure(trace: list[TracedCommand], last: str) -> str:
    """Return how many commands, and seconds, it is from pip to the end of a command."""
    first = next(number for number, each in enumerate(trace) if each.words.startswith("pip"))
    end = next(number for number, each in enumerate(trace) if each.words.startswith(last))
    commands = [each for each in trace[first : end + 1] if not re.match(r"\w+=", each.words)]
    seconds = trace[end + 1].at - trace[first].at
    return f"from pip to the end of {last!r}: {len(commands)} commands, {seconds:.0f} s\n"


def _without_numbers(text: str) -> set[str]:
    """Return the lines of an output, without spaces around words, and with N for numbers."""
    return {re.sub(r"\d+", "N", " ".join(line.split())) for line in text.splitlines()}


def _script() -> str:
    """Return a script with the page's commands for both kinds of readers.

    First come the commands for a reader who has a server. Then, in another folder, come the
    commands for a reader who has none.
    """
    page = shell_script("start/five-minutes.md")
    with_server = page
    for start in ("openssl req", "kill $server"):
        with_server = with_server.replace(_block(start), "")
    without = page.partition(_block("HOST=example.com"))[2]
    without = without.replace(_block("certpin prove --warm -- "), "")
    without = with_few_cases(without)
    another = "mkdir without-server\ncp client.py without-server\ncd without-server\n"
    ended = 'sleep 1\necho "still running: $(jobs -rp)"\n'
    return f"{with_server}\n{another}{without}\n{ended}"


def test_a_reader_refuses_a_man_in_the_middle_with_and_without_a_server(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = prepare(tmp_path_factory)
    reader = follow(tmp_path, machine, [Served((HOST,))], _script(), client=_block("import sys"))
    for block in blocks("start/five-minutes.md"):
        if block.language == "text":
            assert _without_numbers(block.text) <= _without_numbers(reader.output)
    assert reader.output.splitlines().count("200") == 2
    assert reader.output.splitlines()[-1].strip() == "still running:"
    proven = re.findall(r"None of the (\d+) attacks got through", reader.output)
    assert all(int(number) > least for number, least in zip(proven, (10, 40, 1), strict=True))
    assert HOST in (reader.folder / "pins.toml").read_text(encoding="utf-8")
    assert "localhost" in (reader.folder / "without-server/pins.toml").read_text(encoding="utf-8")
    for last in ("certpin demo", "certpin prove --warm --pins"):
        sys.stdout.write(_measure(reader.trace, last))
