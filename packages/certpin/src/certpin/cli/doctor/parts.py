"""The parts of certpin, such as lint or rotation, and which of them work on this machine.

The functions use only the facts that ``certpin doctor`` has collected, and examine nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.cli.doctor.judge import describe, judge_replaced
from certpin.cli.extras import install_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.cli.doctor.facts import Facts
    from certpin.cli.doctor.packages import Package

PartStatus = Literal["works", "missing", "broken", "impossible", "unknown"]


@dataclass(frozen=True)
class Part:
    """A part of certpin that works or doesn't as a whole, such as ``lint``.

    Attributes:
        name: the purpose of the part, in a few words.
        uses: the commands or the module of the part.
        extra: the extra that the part needs; empty if it needs no extra.
        listens: True if the part opens a port on this machine.
        pinned: True if the part makes pinned connections, with sockets of the ``socket`` module.
        always: True if the part works whenever ``certpin doctor`` itself runs.
    """

    name: str
    uses: tuple[str, ...]
    extra: str = ""
    listens: bool = False
    pinned: bool = False
    always: bool = False


# Every command and every extra is in one of them.
PARTS = (
    Part(
        "pins of servers",
        ("decide", "pin", "add", "check", "providers", "calendar", "diff", "scan"),
    ),
    Part("pinned connections", ("get", "certpin.PinnedSSLContext"), pinned=True),
    Part("lint", ("lint", "explain")),
    Part("other platforms", ("export", "import")),
    Part("other platforms, in YAML", ("import envoy",), "yaml"),
    Part("source of apps", ("import dart",), "apps"),
    Part("keys on tokens", ("pkcs11: URIs",), "pkcs11"),
    Part("keys in AWS KMS", ("awskms: URIs",), "awskms"),
    Part("keys in Azure Key Vault", ("azurekms: URIs",), "azurekms"),
    Part("keys in Google Cloud KMS", ("gcpkms: URIs",), "gcpkms"),
    Part("keys in Vault", ("hv: URIs",), "vault"),
    Part("rotation", ("rotate",)),
    Part("simulation of a rotation", ("rotate simulate",), "simulate"),
    Part("signing pin sets", ("publish",), "publish"),
    Part("fetching signed pin sets", ("certpin.updates",), "updates"),
    Part("attacks", ("prove", "lab", "demo"), listens=True),
    Part("attacks by HTTP/2 and DNS", ("prove", "lab serve"), "lab", listens=True),
    Part("attacks through a tunnel", ("lab serve --wireguard",), "wireguard", listens=True),
    Part("monitoring service", ("serve", "watch"), "watch", listens=True),
    Part("monitoring on several machines", ("serve", "watch writer"), "cluster", listens=True),
    Part("traces of the service", ("serve",), "otel"),
    Part("client: aiohttp", ("certpin.clients.aiohttp",), "aiohttp", pinned=True),
    Part("client: httpx", ("certpin.clients.httpx",), "httpx", pinned=True),
    Part("client: httpx2", ("certpin.clients.httpx2",), "httpx2", pinned=True),
    Part("client: niquests", ("certpin.clients.niquests",), "niquests", pinned=True),
    Part("client: requests", ("certpin.clients.requests",), "requests", pinned=True),
    Part("client: urllib3", ("certpin.clients.urllib3",), "urllib3", pinned=True),
    Part("this installation", ("doctor", "completion"), always=True),
)


@dataclass(frozen=True)
class PartState:
    """The state of one part of certpin on this machine.

    Attributes:
        part: the part.
        status: ``works``; ``missing`` (its extra is not installed); ``broken`` (a package can't be
            used); ``impossible`` (no installation helps, such as in a Python without ``ssl``); or
            ``unknown`` (certpin was not installed by pip).
        text: why the part doesn't work; empty if it works.
        fix: how to repair it; may be empty.
    """

    part: Part
    status: PartStatus
    text: str = ""
    fix: str = ""


def judge_parts(facts: Facts) -> tuple[PartState, ...]:
    """Return the state of each part of certpin on this machine: whether it works, or why not.

    ``facts`` are the collected facts about this machine.
    """
    return tuple(_judge(part, facts) for part in PARTS)


def _judge(part: Part, facts: Facts) -> PartState:
    if part.always:
        return PartState(part, "works")
    if (obstacle := _obstacle(part, facts)) is not None:
        return obstacle
    if facts.packages is None:
        return PartState(part, "unknown", "certpin was not installed by pip")
    own = [package for package in facts.packages if not package.needed.extra]
    if (wrong := _first_wrong(own)) is not None:
        text = f"needs {wrong.needed.package}, which is unusable"
        return PartState(part, "broken", text, "pip install --force-reinstall certpin")
    if not part.extra:
        return PartState(part, "works")
    needed = [package for package in facts.packages if package.needed.extra == part.extra]
    return _judge_extra(part, needed)


def _obstacle(part: Part, facts: Facts) -> PartState | None:
    """Return the state of a part that can't work on this machine; None if nothing prevents it.

    ``facts`` are the collected facts about this machine. Only obstacles that installing packages
    does not remove count, such as a Python without ``ssl``.
    """
    if facts.tls.problem:
        fix = "install a Python that has the module ssl"
        return PartState(part, "impossible", "the module ssl can't be used", fix)
    if part.listens and facts.machine.loopback:
        fix = "allow it in the sandbox or container"
        return PartState(part, "impossible", "a program can't listen on 127.0.0.1", fix)
    refused = [check for check in judge_replaced(facts.replaced) if check.status == "problem"]
    if part.pinned and refused:
        text, fix = refused[0].text.partition(":")[0], refused[0].fix
        return PartState(part, "impossible", text, fix)
    return None


def _judge_extra(part: Part, needed: Sequence[Package]) -> PartState:
    """Return the state of a part of certpin, judged by the packages of the extra that it needs.

    ``needed`` are these packages. If a package is missing, the state is ``missing``, even if
    another package has a wrong version. The reason is that the user has probably not installed the
    extra, and the package with the wrong version belongs to another program.
    """
    fix = install_command(part.extra)
    for package in needed:
        if package.needed.python:
            return PartState(part, "impossible", _sentence(package), _other_python(package))
    missing = [package for package in needed if package.version is None]
    if missing or not needed:
        return PartState(part, "missing", f"needs the extra {part.extra}", fix)
    if (wrong := _first_wrong(needed)) is not None:
        return PartState(part, "broken", _sentence(wrong), _repair(wrong, fix))
    return PartState(part, "works")


def _other_python(package: Package) -> str:
    condition = package.needed.python
    if ">=" in condition:
        return f"use {condition.replace('>= ', '')} or newer"
    return f"use {condition.replace('<', 'below')}"


def _repair(package: Package, fix: str) -> str:
    if package.wrong_version:
        return fix
    return f"pip install --force-reinstall {package.needed.package}; then certpin doctor again"


def _first_wrong(packages: Sequence[Package]) -> Package | None:
    return next((package for package in packages if describe(package)), None)


def _sentence(package: Package) -> str:
    return f"{package.needed.package} {describe(package)}"
