"""Which hosts and servers a command contacts."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, fields, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from certpin.cli.options import PIN_FILE, read_file, timeout_option

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from certpin.pins import HostPolicy, HostServer, PinSet
    from certpin.probe import Endpoint
    from certpin.probe.contexts import Contexts

    Target = tuple[HostPolicy, Endpoint | None]

    from certpin.errors import ProbeError
    from certpin.pins import HostPolicy
    from certpin.probe import Endpoint, Observation
    from certpin.rotation import Sighting


host_option: Callable[[Any], Any] = click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Only this host: a name of the pin file, or a host that a wildcard covers. A port picks "
    "its server at that port, if the command connects. May be repeated.",
)


def select_policies(pins: PinSet, hosts: Iterable[str]) -> dict[HostPolicy, list[tuple[str, int]]]:
    """Return the policies that ``--host`` selects, in the order of the file; all if it is absent.

    Each with the hosts that were named for it, and their ports; 0 is for none. A name as it is
    written in the pin file, such as ``*.bank.example``, selects its policy and names no host.
    Raises ``HostError``, and ``click.UsageError`` if no policy covers a host.
    """
    from certpin.pins import HostPattern
    from certpin.pins.servers import split_address

    chosen: dict[HostPolicy, list[tuple[str, int]]] = {}
    for text in hosts:
        if text.startswith("*"):
            pattern = HostPattern.parse(text)
            policy = next((each for each in pins.policies if each.pattern == pattern), None)
            named = []
        else:
            host, port = split_address(text, 0)
            policy, named = pins.policy_for(host), [(host, port)]
        if policy is None:
            raise click.UsageError(f"--host {text}: no policy of the pin file covers it")
        chosen.setdefault(policy, []).extend(named)
    return {
        policy: chosen.get(policy, []) for policy in pins.policies if policy in chosen or not chosen
    }


_OPTIONS: tuple[Any, ...] = (
    host_option,
    click.option(
        "--connect",
        "connects",
        multiple=True,
        metavar="[HOST=]ADDRESS[:PORT]",
        help="Call this address for that host, or for all, instead of the servers of the pin "
        "file. May be repeated.",
    ),
    click.option(
        "--starttls",
        multiple=True,
        metavar="[HOST=]PROTOCOL",
        help="Speak this protocol first with that host, or with all. May be repeated.",
    ),
)
_ALL = ""  # an option without HOST= is for every host


class Ways:
    """How hosts are reached: by the servers of the pin file, unless the user names other ways.

    Raises ``HostError`` and ``click.UsageError``.
    """

    def __init__(
        self, hosts: tuple[str, ...], connects: tuple[str, ...], starttls: tuple[str, ...]
    ) -> None:
        self._hosts = hosts
        self._addresses = dict(map(assigned, connects))
        self._protocols = {host: _protocol(name) for host, name in map(assigned, starttls)}

    @property
    def named(self) -> bool:
        """Whether the user named any."""
        return bool(self._hosts or self._addresses or self._protocols)

    def targets(self, pins: PinSet) -> list[Target]:
        """Whom to dial, in the order of the pin file."""
        chosen = select_policies(pins, self._hosts)
        targets = [target for policy in chosen for target in self._of(policy, chosen[policy])]
        self._refuse_unused(pins, chosen, {endpoint.host for _, endpoint in targets if endpoint})
        return targets

    def _of(self, policy: HostPolicy, named: list[tuple[str, int]]) -> list[Target]:
        """Each server of the hosts that were named for a policy; else each that it has."""
        from certpin.probe.endpoint import served_at

        own = served_at(policy)
        wanted = named or list(dict.fromkeys((host, 0) for host, _ in own))
        endpoints = {
            self._endpoint(host, server): None
            for host, port in wanted
            for server in _servers(host, port, own)
        }
        return [(policy, endpoint) for endpoint in endpoints] or [(policy, None)]

    def _endpoint(self, host: str, server: HostServer) -> Endpoint:
        from certpin.probe import split_address
        from certpin.probe.endpoint import endpoint_at

        starttls = self._protocols.get(host, self._protocols.get(_ALL))
        if starttls:
            server = replace(server, starttls=starttls)
        endpoint = endpoint_at(host, server)
        address = self._addresses.get(host, self._addresses.get(_ALL))
        if address is None:
            return endpoint
        return replace(endpoint, connect=split_address(address, endpoint.port), region="")

    def _refuse_unused(
        self, pins: PinSet, chosen: Collection[HostPolicy], dialled: set[str]
    ) -> None:
        """A way to a host that is not dialled is a mistake, unless --host leaves that host out."""
        for host in (*self._addresses, *self._protocols):
            if host in dialled or host == _ALL:
                continue
            policy = pins.policy_for(host)
            if policy is None or policy in chosen:
                raise click.UsageError(f"{host}= names a host that is not dialled")


def _servers(host: str, port: int, own: Iterable[tuple[str, HostServer]]) -> list[HostServer]:
    """The servers of a host; with a port, those at it, or its own name there."""
    from certpin.pins import HostServer
    from certpin.probe.endpoint import default_port

    servers = [server for name, server in own if name == host] or [HostServer()]
    if not port:
        return servers
    at_port = [each for each in servers if (each.port or default_port(each.starttls)) == port]
    return at_port or [HostServer(port=port)]


def ways_options(command: Any) -> Any:
    """Give a command the options of ``Ways``, and one argument, ``ways``, with them all."""

    @wraps(command)
    def with_ways(
        hosts: tuple[str, ...], connects: tuple[str, ...], starttls: tuple[str, ...], **others: Any
    ) -> Any:
        return command(ways=Ways(hosts, connects, starttls), **others)

    wrapped: Any = with_ways
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def contexts_for(targets: Sequence[Target]) -> Contexts:
    """Make the contexts of all targets before the first of them is dialled."""
    from certpin.probe.contexts import Contexts

    contexts = Contexts()
    for policy, _ in targets:
        contexts.of(policy.trust)
    return contexts


def assigned(text: str) -> tuple[str, str]:
    """Read ``HOST=VALUE``, or ``VALUE`` for all hosts."""
    from certpin.pins import normalise

    host, equals, value = text.rpartition("=")
    return (normalise(host) if equals else _ALL), value


def _protocol(name: str) -> str:
    from certpin.probe import PROTOCOLS

    if name not in PROTOCOLS:
        raise click.UsageError(f"{name!r} is not one of {', '.join(sorted(PROTOCOLS))}")
    return name


_STEP_OPTIONS = (
    host_option,
    click.option(
        "--connect",
        "connects",
        multiple=True,
        metavar="[HOST=]ADDRESS[:PORT]",
        help="Call this address for that host, or for all, instead of the servers of the pin "
        "file. Each one more is one more vantage.",
    ),
    click.option(
        "--starttls",
        multiple=True,
        metavar="[HOST=]PROTOCOL",
        help="Speak this protocol first with that host, or with all. May be repeated.",
    ),
    click.option(
        "--served",
        multiple=True,
        metavar="[HOST=]FILE",
        help="A chain that is served elsewhere, and was verified there: PEM, from the leaf to the "
        "root. May be repeated.",
    ),
    click.option(
        "--offline",
        is_flag=True,
        help="Do not connect; skip checks that need the served chain.",
    ),
    timeout_option,
)


@dataclass
class Looked:
    """What was seen, by the pattern of the policy. ``error`` is why somebody could not be asked."""

    sightings: dict[str, list[Sighting]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    error: ProbeError | None = None

    def of(self, policy: HostPolicy) -> tuple[Sighting, ...]:
        """The vantages of a host."""
        return tuple(self.sightings.get(str(policy.pattern), ()))


@dataclass(frozen=True)
class Vantages:
    """Where to look, as the user said it."""

    hosts: tuple[str, ...]
    connects: tuple[str, ...]
    starttls: tuple[str, ...]
    served: tuple[str, ...]
    offline: bool
    timeout: float

    @classmethod
    def unasked(cls, hosts: tuple[str, ...] = ()) -> Self:
        """The hosts only, for a step that connects to none of them."""
        return cls(hosts, (), (), (), offline=True, timeout=0)

    def chosen(self, pins: PinSet) -> list[HostPolicy]:
        """The policies that ``--host`` names. Raises ``HostError`` and ``click.UsageError``."""
        return list(select_policies(pins, self.hosts)) if self.hosts else []

    def look(self, pins: PinSet, policies: Sequence[HostPolicy]) -> Looked:
        """Look at what these policies' hosts serve.

        Raises ``InputError`` on a file, and ``click.UsageError`` if ``--host`` leaves out a policy
        or a server that the step is for.
        """
        self._refuse_left_out(pins, policies)
        looked = Looked()
        for policy in policies:
            for host, name in map(assigned, self.served):
                if not host or policy.pattern.matches(host):
                    looked.sightings.setdefault(str(policy.pattern), []).append(_from_file(name))
        if self.offline:
            looked.unknown.append("what is served now, since nobody was dialled")
        else:
            self._dial(looked, pins, policies)
        return looked

    def _dial(self, looked: Looked, pins: PinSet, policies: Sequence[HostPolicy]) -> None:
        from certpin.cli.at_once import at_once
        from certpin.errors import ProbeError
        from certpin.rotation import Sighting

        targets = [each for each in self._targets(pins) if each[0] in policies]
        self._refuse_unasked(targets, policies)
        contexts = contexts_for(targets)
        jobs = [partial(_ask, *each, contexts, self.timeout) for each in targets]
        for (policy, _), answer in zip(targets, at_once(jobs, "dialling"), strict=True):
            if isinstance(answer, Sighting):
                looked.sightings.setdefault(str(policy.pattern), []).append(answer)
            elif isinstance(answer, ProbeError):
                looked.error = looked.error or answer
                looked.unknown.append(f"what {answer.host}:{answer.port} serves: {answer.problem}")
            else:
                looked.unknown.append(
                    f"what {policy.pattern} serves: a wildcard has no host of its own; "
                    "add its servers to the pin file, or name hosts that it covers with --host"
                )

    def again(
        self,
        command: str,
        path: Path,
        pins: PinSet,
        policies: Sequence[HostPolicy] | None = None,
        *,
        dials: bool = True,
    ) -> str:
        """Return a command to run next, with the options that lead to the same file and servers.

        ``policies`` are those that the command is for, by default all of the file. ``dials`` is
        for a command that connects.
        """
        policies = pins.policies if policies is None else policies
        named = {text: next(iter(select_policies(pins, [text]))) for text in self.hosts}
        hosts = [text for text, policy in named.items() if policy in policies]
        if hosts or len(policies) < len(pins.policies):
            hosts += [str(each.pattern) for each in policies if each not in named.values()]
        words = ["--file", str(path)] if path != PIN_FILE else []
        options = {"--host": hosts}
        if dials:
            options["--connect"] = _for(self.connects, pins, policies)
            options["--starttls"] = _for(self.starttls, pins, policies)
        for option, values in options.items():
            words += [word for value in values for word in (option, value)]
        return " ".join([command, shlex.join(words)]) if words else command

    def _refuse_left_out(self, pins: PinSet, policies: Sequence[HostPolicy]) -> None:
        """A step is judged by what every host that it is for serves."""
        selected = select_policies(pins, self.hosts)
        if left_out := [each for each in policies if each not in selected]:
            raise click.UsageError(
                f"this step is for {left_out[0].pattern} too, and --host leaves it out: "
                "name it too, or none"
            )

    def _refuse_unasked(self, targets: list[Target], policies: Sequence[HostPolicy]) -> None:
        """A step is judged by every server of a host, unless the user names other ways to it."""
        from certpin.probe import join_address
        from certpin.probe.endpoint import endpoint_at, served_at

        if self.connects or self.starttls:
            return
        for policy in policies:
            for name, server in served_at(policy) if policy.servers else ():
                if (policy, endpoint := endpoint_at(name, server)) not in targets:
                    raise click.UsageError(
                        f"this step is for every server of {policy.pattern}, and --host leaves "
                        f"out {join_address(*endpoint.address)}: name the host without a port"
                    )

    def _targets(self, pins: PinSet) -> list[Target]:
        """Each way to each host once; a host with several addresses is several vantages."""
        targets: dict[Target, None] = {}
        for connects in _rounds(self.connects):
            targets |= dict.fromkeys(Ways(self.hosts, connects, self.starttls).targets(pins))
        return list(targets)


def _for(ways: Iterable[str], pins: PinSet, policies: Sequence[HostPolicy]) -> list[str]:
    """The options ``[HOST=]WAY`` that are about the hosts of these policies."""
    hosts = {text: assigned(text)[0] for text in ways}
    return [text for text, host in hosts.items() if not host or pins.policy_for(host) in policies]


def vantage_options(command: Any) -> Any:
    """Give a command the options of ``Vantages``, and one argument, ``vantages``, with them all."""

    @wraps(command)
    def with_vantages(**options: Any) -> Any:
        mine = {each.name: options.pop(each.name) for each in fields(Vantages)}
        return command(vantages=Vantages(**mine), **options)

    wrapped: Any = with_vantages
    for option in reversed(_STEP_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _rounds(connects: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The first address of each host, then the others; a host keeps its first meanwhile."""
    by_host: dict[str, list[str]] = {}
    for connect in connects:
        by_host.setdefault(assigned(connect)[0], []).append(connect)
    count = max(map(len, by_host.values()), default=1)
    return [tuple(each[min(at, len(each) - 1)] for each in by_host.values()) for at in range(count)]


def _ask(
    policy: HostPolicy, endpoint: Endpoint | None, contexts: Contexts, timeout: float
) -> Sighting | ProbeError | None:
    from certpin.errors import ProbeError
    from certpin.probe import join_address, observe
    from certpin.rotation import Sighting
    from certpin.x509 import printable

    if endpoint is None:
        return None
    try:
        seen: Observation = observe(endpoint, contexts.of(policy.trust), patience=timeout)
    except ProbeError as exc:
        return exc
    region = f" ({printable(endpoint.region)})" if endpoint.region else ""
    name = f"{endpoint}{region} at {join_address(seen.address, endpoint.address[1])}"
    return Sighting(name, seen.verified, seen.served)


def _from_file(name: str) -> Sighting:
    from certpin.errors import CertificateParseError, InputError
    from certpin.rotation import Sighting
    from certpin.x509 import Chain, printable
    from certpin.x509.reader import read_certificates

    path = Path(name)
    try:
        return Sighting(f"file {printable(name)}", Chain(read_certificates(read_file(path))))
    except InputError as exc:
        raise CertificateParseError(
            f"{printable(name)} is not a chain: {exc.problem}",
            fix="give its certificates as PEM, from the leaf to the root",
        ) from exc
