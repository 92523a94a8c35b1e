"""The options ``--host``, ``--connect`` and ``--starttls``: which servers a command contacts.

``check`` and ``lint --live`` use ``server_options``. The ``certpin rotate`` commands use
``probe_options``: from the chains that servers present, rules decide whether a change of the pins
is safe.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from certpin.cli.candidates import complete_hosts
from certpin.cli.options import file_option, option_group, read_file, timeout_option
from certpin.cli.reply import progress, say

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from ssl import SSLContext

    from certpin.errors import ProbeError
    from certpin.pins import HostPolicy, HostServer, PinSet
    from certpin.probe import Endpoint, ServerAnswers
    from certpin.rotation import Sighting

    # The endpoint is None for a wildcard without servers, if no host was named for it.
    ProbeTarget = tuple[HostPolicy, Endpoint | None]

Result = TypeVar("Result")

# Servers that are contacted at the same time. Each takes more threads than the one here, because
# ``ask_each_address`` opens one more pool, with a thread for each IP address of the server's name.
_MAX_THREADS = 64
_ALL = ""  # an option without HOST= is for every host

host_option: Callable[[Any], Any] = click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    shell_complete=complete_hosts,
    help="Only this host: a name of the pin file, or a host that a wildcard covers. A port picks "
    "its server at that port, if the command connects; if the file lists none there, the host "
    "itself at that port. May be repeated.",
)
_starttls_option = click.option(
    "--starttls",
    multiple=True,
    metavar="[HOST=]PROTOCOL",
    help="Begin with this protocol, then start TLS inside it, for that host or for all hosts. "
    "May be repeated.",
)


def _connect_option(repeated: str) -> Callable[[Any], Any]:
    return click.option(
        "--connect",
        "connects",
        multiple=True,
        metavar="[HOST=]ADDRESS[:PORT]",
        help="Connect to this address for that host, or for all, instead of the servers of the pin "
        f"file. {repeated}",
    )


def select_policies(pins: PinSet, hosts: Iterable[str]) -> dict[HostPolicy, list[tuple[str, int]]]:
    """Return the policies that ``--host`` selects, in the order of the file; by default all.

    Args:
        pins: the pin file.
        hosts: the values of ``--host``: hosts, or wildcards that are patterns of the pin file. A
            wildcard selects its policy, but adds no host to the result.

    Returns:
        Each policy, with the hosts and ports that the user named for it. The port is 0 if the user
        gave none.

    Raises:
        HostError: a value is not a host.
        click.UsageError: no policy covers a host.
    """
    from certpin.pins import HostPattern
    from certpin.pins.hosts import split_address

    chosen: dict[HostPolicy, list[tuple[str, int]]] = {}
    for text in hosts:
        if text.startswith("*"):
            pattern = HostPattern.parse(text)
            policy = next((known for known in pins.policies if known.pattern == pattern), None)
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


class ServerOptions:
    """The options ``--host``, ``--connect`` and ``--starttls``: which servers to contact.

    Without them, the servers of the pin file are contacted.

    Raises:
        HostError: a host is invalid.
        click.UsageError: a protocol is unknown.
    """

    def __init__(
        self, hosts: tuple[str, ...], connects: tuple[str, ...], starttls: tuple[str, ...]
    ) -> None:
        self._hosts = hosts
        self._addresses = dict(map(split_assignment, connects))
        self._protocols = {host: _protocol(name) for host, name in map(split_assignment, starttls)}

    @property
    def given(self) -> bool:
        """True if the user gave ``--host``, ``--connect`` or ``--starttls``.

        ``certpin lint`` refuses these options without ``--live``.
        """
        return bool(self._hosts) or self.connects

    @property
    def connects(self) -> bool:
        """True if the user gave ``--connect`` or ``--starttls``, which say how to contact a server.

        ``certpin calendar`` refuses these options if it contacts no server (``--offline``).
        """
        return bool(self._addresses or self._protocols)

    def policies(self, pins: PinSet) -> tuple[HostPolicy, ...]:
        """Return the policies that ``--host`` selects, in the order of the file; by default all.

        Raises:
            HostError: a host is invalid.
            click.UsageError: no policy covers a host.
        """
        return tuple(select_policies(pins, self._hosts))

    def targets(self, pins: PinSet) -> list[ProbeTarget]:
        """Return the servers to contact, each with its policy, in the order of the pin file.

        The policy of a wildcard for which no server is known has None instead of a server.

        Raises:
            HostError: an address is invalid.
            click.UsageError: an option names a host that is not contacted.
        """
        chosen = select_policies(pins, self._hosts)
        targets = [target for policy in chosen for target in self._of(pins, policy, chosen[policy])]
        self._refuse_unused(pins, chosen, {endpoint.host for _, endpoint in targets if endpoint})
        return targets

    def _of(
        self, pins: PinSet, policy: HostPolicy, named: list[tuple[str, int]]
    ) -> list[ProbeTarget]:
        """Return the servers to contact for a policy of the pin file.

        ``named`` has the hosts and ports that the user chose; if it is empty, return all servers of
        the policy. If there is none, because the policy is for a wildcard, return one item with
        None instead of a server.
        """
        from certpin.probe import served_at

        known = served_at(policy, pins)
        _warn_of_other_policy(pins, policy, known)
        wanted = named or list(dict.fromkeys((host, 0) for host, _ in known))
        endpoints = {
            self._endpoint(host, server): None
            for host, port in wanted
            for server in _servers(host, port, known, warn=self._is_listed(policy, host))
        }
        return [(policy, endpoint) for endpoint in endpoints] or [(policy, None)]

    def _is_listed(self, policy: HostPolicy, host: str) -> bool:
        """Return True if the servers of a host are those that ``policy`` lists in the pin file.

        certpin then warns if the user names a port of the host that is not in the list. Return
        False if ``policy`` lists no servers, or if the user gave ``--connect`` or ``--starttls``
        for the host or for all hosts.
        """
        return bool(policy.servers) and not {host, _ALL} & {*self._addresses, *self._protocols}

    def _endpoint(self, host: str, server: HostServer) -> Endpoint:
        from certpin.probe import endpoint_at, split_address

        starttls = self._protocols.get(host, self._protocols.get(_ALL))
        if starttls:
            server = replace(server, starttls=starttls)
        endpoint = endpoint_at(host, server)
        address = self._addresses.get(host, self._addresses.get(_ALL))
        if address is None:
            return endpoint
        return replace(endpoint, connect=split_address(address, endpoint.port), region="")

    def _refuse_unused(
        self, pins: PinSet, chosen: Collection[HostPolicy], contacted: set[str]
    ) -> None:
        """Raise ``click.UsageError`` if a value ``HOST=VALUE`` names a host that isn't contacted.

        There is no error for a host that is not contacted only because ``--host`` names others.

        Args:
            pins: the pin file.
            chosen: the policies that ``--host`` selects.
            contacted: the hosts that are contacted.
        """
        for host in (*self._addresses, *self._protocols):
            if host in contacted or host == _ALL:
                continue
            policy = pins.policy_for(host)
            if policy is None or policy in chosen:
                raise click.UsageError(f"{host}= names a host that is not contacted")


server_options = option_group(
    "servers",
    (host_option, _connect_option("May be repeated."), _starttls_option),
    ServerOptions,
)


def ask_servers(
    targets: Sequence[ProbeTarget],
    ask: Callable[[SSLContext, HostPolicy, Endpoint], Result],
    timeout: float,
) -> list[tuple[HostPolicy, ServerAnswers[Result] | None]]:
    """Contact servers in parallel, each at every IP address of its name.

    Each address can be a different machine with a different key.

    Args:
        targets: the servers, with their policies.
        ask: contacts a server at one address, with a TLS context for its policy. It may raise
            ``ProbeError``.
        timeout: seconds for the resolution of each name.

    Returns:
        For each target, in the given order: the policy, and the answers at all addresses. The
        answers are None if the target has no server, because its policy is for a wildcard.
    """
    from certpin.probe import ContextCache, ask_each_address

    contexts = ContextCache()
    for policy, _ in targets:
        contexts.get(policy.trust)  # before any server is contacted
    jobs = [
        partial(
            ask_each_address,
            endpoint,
            partial(ask, contexts.get(policy.trust), policy),
            timeout=timeout,
        )
        for policy, endpoint in targets
        if endpoint
    ]
    found = iter(run_parallel(jobs, "connecting"))
    return [(policy, next(found) if endpoint else None) for policy, endpoint in targets]


def run_parallel(jobs: Sequence[Callable[[], Result]], word: str) -> list[Result]:
    """Run jobs in parallel, and return their results in the order of the jobs.

    The threads are daemons, unlike those of an executor: a user who stops the program does not wait
    for the slowest server.

    Args:
        jobs: the functions to call.
        word: the label of the progress bar.

    Raises:
        BaseException: a job failed. It is the error of the first failed job in the list, raised
            after all jobs have ended.
    """
    from concurrent.futures import as_completed

    from certpin.support.network import DaemonPool

    with DaemonPool(_MAX_THREADS, "certpin-cli") as pool, progress(len(jobs), word) as advance:
        futures = [pool.submit(job) for job in jobs]
        for _ in as_completed(futures):
            advance()
    return [future.result() for future in futures]


@dataclass
class ProbeResults:
    """The result of connecting to servers: the chains that they present, and failures.

    Attributes:
        sightings: the presented chains, by the host pattern of the policy.
        unknown: what could not be checked, as clauses such as "which keys are served now, because
            no server was contacted".
        errors: the failed connections.
        unanswered: the host patterns of the policies with a server that did not answer, or with an
            address that this machine can't reach.
    """

    sightings: dict[str, list[Sighting]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    errors: list[ProbeError] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)

    def copy(self) -> ProbeResults:
        """Return a copy of the results. Additions to the copy don't change this object."""
        sightings = {pattern: [*found] for pattern, found in self.sightings.items()}
        return ProbeResults(sightings, [*self.unknown], [*self.errors], {*self.unanswered})

    def of(self, policy: HostPolicy) -> tuple[Sighting, ...]:
        """Return the chains that the servers of a policy present; empty if none is known."""
        return tuple(self.sightings.get(str(policy.pattern), ()))

    def add(self, policy: HostPolicy, sighting: Sighting) -> None:
        """Add a chain that a server of a policy presents."""
        self.sightings.setdefault(str(policy.pattern), []).append(sighting)

    def add_answers(self, policy: HostPolicy, answers: ServerAnswers[Sighting]) -> None:
        """Add the chains that a server presents at its addresses.

        An address that did not answer, or that this machine can't reach, is added to ``unknown``,
        and ``policy`` to ``unanswered``. A failed connection is added to ``errors``, too.
        """
        from certpin.errors import ProbeError

        unknown = []
        for endpoint, found in answers.by_address.items():
            if isinstance(found, ProbeError):
                self.errors.append(found)
                unknown.append(f"which keys {endpoint} serves: {found.problem}")
            else:
                self.add(policy, found)
        unknown += [
            f"which keys {endpoint} serves at {address}: {no_family(address)}"
            for endpoint in list(answers.by_address)[:1]
            for address in answers.unreachable
        ]
        self.unknown += unknown
        self.unanswered |= {str(policy.pattern)} if unknown else set()

    def require_answers(self, also: str = "") -> None:
        """Check that every contacted server answered.

        Args:
            also: one more way to go on while a server is down, for the fix: a clause.

        Raises:
            ProbeError: servers did not answer. The error names each of them.
        """
        if not self.errors:
            return
        first, *others = self.errors
        lines = (f"{each.host}:{each.port}: {each.problem}" for each in others)
        fixes = dict.fromkeys(each.fix for each in self.errors if each.fix)
        ways = "if a server stays down: --offline, and the chains from elsewhere (--served)" + also
        raise type(first)(
            "\n  ".join([first.problem, *lines]),
            host=first.host,
            port=first.port,
            fix="; ".join([*fixes, ways]),
        )


@dataclass(frozen=True)
class ProbeOptions:
    """The options that say from where a ``certpin rotate`` command gets the chains of servers.

    It gets them by connecting to the servers, from files, or not at all.

    Attributes:
        hosts: the values of ``--host``.
        connects: the values of ``--connect``.
        starttls: the values of ``--starttls``.
        served: the files with chains (``--served``).
        offline: True to contact no server.
        timeout: the time limit of each connection, in seconds.
    """

    hosts: tuple[str, ...]
    connects: tuple[str, ...]
    starttls: tuple[str, ...]
    served: tuple[str, ...]
    offline: bool
    timeout: float

    @classmethod
    def without_probe(cls, hosts: tuple[str, ...] = ()) -> Self:
        """Return the options for a ``certpin rotate`` command that needs no chains of servers.

        ``hosts`` are the values of ``--host``. No server is contacted, and no file is read.
        """
        return cls(hosts, (), (), (), offline=True, timeout=0)

    def selected(self, pins: PinSet) -> list[HostPolicy]:
        """Return the policies that ``--host`` names; an empty list without ``--host``.

        Raises:
            HostError: a value is not a host.
            click.UsageError: no policy covers a host.
        """
        return list(select_policies(pins, self.hosts)) if self.hosts else []

    def probe(self, pins: PinSet, policies: Sequence[HostPolicy]) -> ProbeResults:
        """Return the chains that the hosts of some policies present.

        The chains come from ``--served`` files, and from the servers unless ``--offline`` is given.
        A failed connection is recorded in the results.

        Args:
            pins: the pin set that contains the policies.
            policies: the policies.

        Raises:
            InputError: a file is not a chain.
            click.UsageError: ``--host`` leaves out one of the policies, or one of their servers.
        """
        self._refuse_left_out(pins, policies)
        results = ProbeResults()
        for policy in policies:
            for host, name in map(split_assignment, self.served):
                if not host or pins.policy_for(host) == policy:
                    results.add(policy, _from_file(name))
        if self.offline:
            results.unknown.append("which keys are served now, because no server was contacted")
        else:
            self._connect(results, pins, policies)
        return results

    def _connect(self, results: ProbeResults, pins: PinSet, policies: Sequence[HostPolicy]) -> None:
        targets = [target for target in self._targets(pins) if target[0] in policies]
        self._refuse_left_out_servers(targets, pins, policies)
        for policy, answers in ask_servers(targets, partial(_probe, self.timeout), self.timeout):
            if answers is None:
                results.unknown.append(
                    f"which keys {policy.pattern} serves: a wildcard names no host; "
                    "add its servers to the pin file, or name hosts that it covers with --host"
                )
            else:
                results.add_answers(policy, answers)

    def next_command(
        self,
        command: str,
        path: Path,
        pins: PinSet,
        policies: Sequence[HostPolicy] | None = None,
        *,
        connects: bool = True,
        names_hosts: bool = False,
    ) -> str:
        """Return a certpin command to suggest next, with options for the same pin file and servers.

        Args:
            command: the command without these options.
            path: the path of the pin file.
            pins: the pin set in that file.
            policies: the policies that the command is for; by default all of the file.
            connects: True if the command has the options ``--connect`` and ``--starttls``.
            names_hosts: True to name all hosts if there are several. It is for ``rotate start``:
                without host names, this command refuses a new key if the hosts' servers use
                different keys.
        """
        policies = pins.policies if policies is None else policies
        named = {text: next(iter(select_policies(pins, [text]))) for text in self.hosts}
        hosts = [text for text, policy in named.items() if policy in policies]
        is_for_some = len(policies) < len(pins.policies)
        if hosts or is_for_some or (names_hosts and len(policies) > 1):
            hosts += [str(policy.pattern) for policy in policies if policy not in named.values()]
        words = shlex.split(file_option(path))
        options = {"--host": hosts}
        if connects:
            options["--connect"] = _for(self.connects, pins, policies)
            options["--starttls"] = _for(self.starttls, pins, policies)
        for option, values in options.items():
            words += [word for value in values for word in (option, value)]
        return " ".join([command, shlex.join(words)]) if words else command

    def _refuse_left_out(self, pins: PinSet, policies: Sequence[HostPolicy]) -> None:
        """Raise ``click.UsageError`` if ``--host`` leaves out one of these policies.

        ``policies`` are all that the ``certpin rotate`` command changes.
        """
        selected = select_policies(pins, self.hosts)
        if left_out := [policy for policy in policies if policy not in selected]:
            raise click.UsageError(
                f"this step is for {left_out[0].pattern} too, and --host leaves it out: "
                "name it too, or give no --host"
            )

    def _refuse_left_out_servers(
        self, targets: list[ProbeTarget], pins: PinSet, policies: Sequence[HostPolicy]
    ) -> None:
        """Raise ``click.UsageError`` if a port in ``--host`` leaves out a server of a policy.

        With ``--connect`` or ``--starttls``, the user has chosen the servers, and no error is
        raised. ``targets`` are the servers to contact, and ``policies`` those of the command, in
        the pin set ``pins``.
        """
        from certpin.probe import endpoint_at, join_address, served_at

        if self.connects or self.starttls:
            return
        for policy in policies:
            for name, server in served_at(policy, pins) if policy.servers else ():
                if (policy, endpoint := endpoint_at(name, server)) not in targets:
                    raise click.UsageError(
                        f"this step is for every server of {policy.pattern}, and --host leaves "
                        f"out {join_address(*endpoint.address)}: name the host without a port"
                    )

    def _targets(self, pins: PinSet) -> list[ProbeTarget]:
        """Return the servers to contact, each once, with their policies.

        If ``--connect`` is given several times for a host, each value is a separate server.
        """
        targets: dict[ProbeTarget, None] = {}
        for connects in _rounds(self.connects):
            options = ServerOptions(self.hosts, connects, self.starttls)
            targets |= dict.fromkeys(options.targets(pins))
        return list(targets)


probe_options = option_group(
    "probes",
    (
        host_option,
        _connect_option("May be repeated: each address is one more server."),
        _starttls_option,
        click.option(
            "--served",
            multiple=True,
            metavar="[HOST=]FILE",
            help="A chain that is served elsewhere, and was verified there: PEM, from the leaf to "
            "the root. May be repeated.",
        ),
        click.option(
            "--offline",
            is_flag=True,
            help="Do not connect; skip checks that need the served chain.",
        ),
        timeout_option,
    ),
    ProbeOptions,
)


def split_assignment(text: str) -> tuple[str, str]:
    """Split an option's value ``[HOST=]VALUE`` into host (empty without ``HOST=``) and value.

    Raises:
        HostError: the host is invalid.
    """
    from certpin.pins import normalise

    host, equals, value = text.rpartition("=")
    return (normalise(host) if equals else _ALL), value


def no_family(address: str) -> str:
    """Return why this machine can't reach an IP address, as a clause for a message.

    The reason is ``this machine has no IPv6``, or ``IPv4``. It is not tested here: the caller has
    found out that the address can't be reached.
    """
    return f"this machine has no {'IPv6' if ':' in address else 'IPv4'}"


def _servers(
    host: str, port: int, known: Iterable[tuple[str, HostServer]], *, warn: bool
) -> list[HostServer]:
    """Return the servers to contact for a host that the user named.

    Args:
        host: the host.
        port: the port that the user named; 0 if the user named no port.
        known: all servers that the pin file lists for the host's policy, each with its host.
        warn: True to print a warning if the host has listed servers, and none at ``port``.

    Returns:
        The listed servers of the host, or only those at ``port`` if it is not 0. If there are none,
        one server: the host itself, at ``port`` or at the default port.
    """
    from certpin.pins import HostServer
    from certpin.probe import default_port, join_address

    listed = [server for name, server in known if name == host]
    if not port:
        return listed or [HostServer()]
    ports = [server.port or default_port(server.starttls) for server in listed]
    if warn and listed and port not in ports:
        say(
            "certpin: warning",
            f"--host {join_address(host, port)}: the pin file lists {host} at port "
            f"{', '.join(map(str, sorted({*ports})))}, and not at {port}: certpin connects to the "
            "host's name",
        )
    at_port = [server for server, its in zip(listed, ports, strict=True) if its == port]
    return at_port or [HostServer(port=port)]


def _warn_of_other_policy(
    pins: PinSet, policy: HostPolicy, known: Iterable[tuple[str, HostServer]]
) -> None:
    """Print a warning for each server of a wildcard's list at which clients use another policy.

    Such a server is not contacted for the wildcard, and should be listed at the other policy.

    Args:
        pins: the pin file.
        policy: a policy of it.
        known: the servers that are contacted for this policy, each with its host.
    """
    from certpin.probe import served_at

    for name, server in served_at(policy) if policy.servers else ():
        if (name, server) not in known:
            used = pins.policy_for(name)
            say(
                "certpin: warning",
                f"{policy.pattern} lists {server.address_text(policy.pattern)}, which is not "
                f"contacted for it, because clients use the pins of {used and used.pattern} there: "
                "list it there",
            )


def _protocol(name: str) -> str:
    from certpin.probe import PROTOCOLS

    if name not in PROTOCOLS:
        raise click.UsageError(f"{name!r} is not one of {', '.join(sorted(PROTOCOLS))}")
    return name


def _for(values: Iterable[str], pins: PinSet, policies: Sequence[HostPolicy]) -> list[str]:
    """Return those values ``[HOST=]VALUE`` of an option that apply to the hosts of ``policies``.

    A value without ``HOST=`` applies to every host.
    """
    hosts = {text: split_assignment(text)[0] for text in values}
    return [text for text, host in hosts.items() if not host or pins.policy_for(host) in policies]


def _rounds(connects: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Divide ``--connect`` values into groups that have one address for each host.

    ``connects`` are the values. ``ServerOptions`` uses one address for each host, so each group
    needs its own ``ServerOptions``. The first group has the first address of each host, the second
    group the second, and so on. If a host has fewer addresses than others, its last address is
    repeated in the later groups.
    """
    by_host: dict[str, list[str]] = {}
    for connect in connects:
        by_host.setdefault(split_assignment(connect)[0], []).append(connect)
    count = max(map(len, by_host.values()), default=1)
    return [
        tuple(values[min(at, len(values) - 1)] for values in by_host.values())
        for at in range(count)
    ]


def _probe(timeout: float, context: SSLContext, policy: HostPolicy, endpoint: Endpoint) -> Sighting:
    from certpin.pins import utc_now
    from certpin.probe import join_address, observe, server_time
    from certpin.rotation import ServerDate, Sighting, server_name
    from certpin.support.text import printable

    observation = observe(endpoint, context, timeout=timeout)
    date, now = server_time(observation, context, timeout=timeout), utc_now()
    region = f" ({printable(endpoint.region)})" if endpoint.region else ""
    name = f"{endpoint}{region} at {join_address(observation.address, endpoint.address[1])}"
    return Sighting(
        name,
        observation.verified,
        observation.served,
        server_name(endpoint, policy.pattern),
        observation.problem,
        ServerDate(name, date, now) if date else None,
        endpoint.name,
        now,
    )


def _from_file(name: str) -> Sighting:
    from certpin.errors import CertificateParseError, InputError
    from certpin.rotation import Sighting
    from certpin.support.text import printable
    from certpin.x509 import Chain
    from certpin.x509.certificate import read_certificates

    path = Path(name)
    try:
        return Sighting(f"file {printable(name)}", Chain(read_certificates(read_file(path))))
    except InputError as exc:
        raise CertificateParseError(
            f"{printable(name)} is not a chain: {exc.problem}",
            fix="give its certificates as PEM, from the leaf to the root",
        ) from exc
