"""How a client that never connected to the lab can reach it: the likely reason, and another way.

A client reaches the lab through the proxy in its environment variables, or by the address and port
in its command (``--via``). Some clients ignore these variables. Others look the host up in the DNS,
and connect to the real one.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from certpin.lab.case import CONTROL
from certpin.lab.verdict import WAYS
from certpin.support.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.lab.runner import Run

_VARIABLES = {"connect": "HTTPS_PROXY", "socks5": "ALL_PROXY"}
# https://github.com/nodejs/node/blob/main/doc/api/cli.md#node_use_env_proxy1
_EXAMPLES = {
    "connect": ", as Node.js before 22.21 and 24.5 does if its code sets no agent",
    "socks5": ", as Node.js does if its code sets no agent",
}
_LOCAL = "localhost"
_NAMED_PORT = ("{url}", "{url2}", "{port}", "{endpoint}")
_MAX_CASES = 3  # that a sentence names


def unreached_lines(run: Run) -> list[str]:
    """Return a sentence for each way in which the client never connected to the lab.

    It names the likely reason, and another way. The list is empty if every way led to the lab, or
    if no reason is known.
    """
    return [line for way, names in _unreached(run).items() for line in _lines(run, way, names)]


def other_command(run: Run, given: Sequence[tuple[str, ...]]) -> str:
    """Return the command that attacks a client which did not connect to the lab in the control.

    The control is the case with the honest server. The command is for a shell. It is empty if the
    client connected, or no other way is known.

    Args:
        run: the results of all cases for one client.
        given: the options of ``certpin prove`` that the user gave, each with its value. A flag has
            no value.
    """
    ways = [way for way, names in _unreached(run).items() if CONTROL.name in names]
    changed = next(filter(None, (_changed(run, way) for way in ways)), {})
    if not changed:
        return ""
    kept = [option for option in given if option[0].removeprefix("--") not in changed]
    options = [(f"--{name}", value) for name, value in changed.items()]
    words = [word for option in (*options, *kept) for word in option]
    return shlex.join(["certpin", "prove", *words, "--", *_with_port(run)])


def _unreached(run: Run) -> dict[str, list[str]]:
    """Return the cases in which the client never connected to the lab, by the way to the lab."""
    found: dict[str, list[str]] = {}
    for result in run.results:
        for way in result.unreached:
            if result.case.name not in found.setdefault(way, []):
                found[way].append(result.case.name)
    return found


def _lines(run: Run, way: str, names: list[str]) -> Iterator[str]:
    """Yield the sentence that says why a client never used one way to the lab.

    Nothing is yielded if no reason is known.

    Args:
        run: the results of all cases for one client.
        way: the way, a key of ``WAYS``.
        names: the cases in which the client never connected this way.
    """
    if CONTROL.name in names:
        changed = _changed(run, way)
        if changed:
            through = f" through {WAYS[way]}" if way in _VARIABLES else ""
            yield (
                f"The client never connected to the lab{through}: {_reason(run, way)}. "
                f"{_other_way(run, changed)}."
            )
    elif not _names_address(run):
        listed = ", ".join(names[:_MAX_CASES]) + (", …" if len(names) > _MAX_CASES else "")
        yield (
            f"In {counted(len(names), 'case')} ({listed}), the client never connected to the lab. "
            "If its output shows no other reason, it connects to such a host without the lab: with "
            "{address} and {port} in its command, it reaches the lab under every host (--via port)."
        )


def _reason(run: Run, way: str) -> str:
    if way in _VARIABLES:
        ignores = f"ignores the proxy in {_VARIABLES[way]}{_EXAMPLES[way]}"
        if run.host == _LOCAL:
            return f"it probably uses no proxy for {_LOCAL}, or {ignores}"
        return f"it probably {ignores}, and tried to reach the real {run.host}"
    if run.host == _LOCAL:
        return "its command has no {url} or {port}, so it can't know the lab's port"
    return f"it probably tried to reach the real {run.host}"


def _other_way(run: Run, changed: dict[str, str]) -> str:
    """Return the advice to use other options of ``certpin prove``, which are ``changed``."""
    options = " ".join(f"--{name} {value}" for name, value in changed.items())
    named = any(map(_names_port, run.about.command))
    command = "" if named else ", and {url} in its command"
    advice = f"If its output shows no other reason, run it with {options}{command}"
    if "upstream" in changed:
        advice += f", and let it resolve {run.host} to 127.0.0.1, for example by /etc/hosts"
    return advice


def _changed(run: Run, way: str) -> dict[str, str]:
    """Return the options with which the client can reach the lab, without the dashes.

    The result is empty if no other options are known. Then the client got the lab's address, and
    only its output can show the reason.

    Args:
        run: the results of all cases for one client.
        way: the way, a key of ``WAYS``, in which the client did not connect to the lab.
    """
    by_port = {"via": "port"}
    if way != "port" and (_names_address(run) or run.host == _LOCAL):
        return by_port
    if _names_address(run):
        return {}
    if run.about.real_server:  # the pins are those of the host's name
        return {**by_port, "upstream": run.about.real_server}
    if run.host == _LOCAL:
        return {} if any(map(_names_port, run.about.command)) else by_port
    return {"host": _LOCAL, **by_port}


def _names_address(run: Run) -> bool:
    """Return True if the client's command contains the lab's address, for every host."""
    words = run.about.command
    return any("{address}" in word or "{endpoint}" in word for word in words)


def _names_port(word: str) -> bool:
    return any(name in word for name in _NAMED_PORT)


def _with_port(run: Run) -> list[str]:
    """Return the client's command with a URL that contains the lab's port.

    A URL of the host gets the port. If the command has no URL, one is added.
    """
    url = re.compile(rf"https://(?:\{{host\}}|{re.escape(run.host)})(?=[/?#]|$)", re.IGNORECASE)
    words = [url.sub("https://{host}:{port}", word) for word in run.about.command]
    return words if any(map(_names_port, words)) else [*words, "{url}"]
