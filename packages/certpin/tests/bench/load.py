"""Send a load of reports over keep-alive connections, from one process that needs little CPU time.

    python -m tests.bench.load PORT TEMPLATE --count 100000 --connections 64 --rate 2500

TEMPLATE is the file of a report. Each body has a different identity. Without a rate, each
connection sends the next request as soon as the response has arrived. With a rate, requests are
sent when they are due, and the waiting time counts from then, so that a server that stalls is
measured correctly (the "coordinated omission" of load generators).
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The part of a template that is replaced by a number of each body, 32 digits wide.
MARK = b"00000000000000000000000000000000"
# The time in a template, which is replaced by the time of sending.
MOMENT = b"2027-01-01T12:00:00Z"
_DEADLINE = 60.0  # seconds without any answer


@dataclass
class Outcome:
    """The result of a load: responses by status, the time of each, and the total, in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of requests (0 to 1) got their response."""
        return sorted(self.waits)[min(int(len(self.waits) * share), len(self.waits) - 1)]

    def summary(self) -> dict[str, object]:
        """Return statuses, total seconds, rate per second, median and 99 % wait, for JSON."""
        rate = len(self.waits) / self.seconds
        waits = {f"p{name}": self.quantile(int(name) / 10 ** len(name)) for name in ("50", "99")}
        statuses = {str(status): count for status, count in self.statuses.items()}
        return {"statuses": statuses, "seconds": self.seconds, "rate": rate, **waits}


@dataclass(frozen=True)
class Job:
    """A load to send: the request, how many, the rate per second, and the number of connections.

    A rate of 0 is as fast as possible.
    """

    port: int
    template: bytes
    count: int
    connections: int = 64
    rate: float = 0.0
    headers: Callable[[int], str] = lambda _: ""
    first: int = 0

    def request(self, number: int) -> bytes:
        """Return the bytes of the HTTP request with this number; its body has its own identity."""
        body = self.template.replace(MARK, b"%032d" % (self.first + number))
        body = body.replace(MOMENT, _moment(int(time.time())))
        head = (
            f"POST /reports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{self.headers(number)}\r\n"
        )
        return head.encode() + body


class _Line:
    """One connection to the server, and the part of its outstanding response that has arrived."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since = 0.0
        self.heard = b""

    def answered(self) -> int:
        """Read from the connection. Return the status of a complete response, or 0 before."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        self.heard += data
        head, end, body = self.heard.partition(b"\r\n\r\n")
        if not end:
            return 0
        _, _, rest = head.lower().partition(b"content-length:")
        if len(body) < int(rest.split(b"\r\n")[0] or 0):
            return 0
        self.heard = b""
        return int(head[9:12])


def run(job: Job) -> Outcome:
    """Send all requests of a job, wait for every response, and return the times."""
    lines = [_Line(job.port) for _ in range(min(job.connections, job.count))]
    try:
        return _exchange(job, lines)
    finally:
        for line in lines:
            line.socket.close()


def _exchange(job: Job, lines: Sequence[_Line]) -> Outcome:
    outcome = Outcome()
    free = deque(lines)
    by_number = {line.socket.fileno(): line for line in lines}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    start = last = time.perf_counter()
    sent = 0
    while len(outcome.waits) < job.count:
        now = time.perf_counter()
        while free and sent < job.count and (due := _due(job, sent, start, now)) <= now:
            line = free.popleft()
            line.since = due
            line.socket.sendall(job.request(sent))
            sent += 1
        for number, _ in poll.poll(_pause(job, sent, start, bool(free))):
            line = by_number[number]
            if status := line.answered():
                last = time.perf_counter()
                outcome.statuses[status] += 1
                outcome.waits.append(last - line.since)
                free.append(line)
        if time.perf_counter() - last > _DEADLINE:
            raise TimeoutError(f"no answer for {_DEADLINE:g} seconds")
    outcome.seconds = last - start
    poll.close()
    return outcome


@lru_cache(maxsize=2)
def _moment(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)).encode()


def _due(job: Job, sent: int, start: float, now: float) -> float:
    return start + sent / job.rate if job.rate else now


def _pause(job: Job, sent: int, start: float, idle: bool) -> float:
    """Return how many seconds to wait for responses before the next request is due.

    Args:
        job: the load.
        sent: the number of requests sent so far.
        start: the time of the first request.
        idle: whether a connection is free to send; if not, the result is a second.
    """
    if job.rate and idle and sent < job.count:
        return max(0.0, start + sent / job.rate - time.perf_counter())
    return 1.0


def main() -> None:
    """Run the load that the command line describes, and print its result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("template", type=argparse.FileType("rb"))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--forwarded", action="store_true", help="as many clients behind a proxy")
    asked = parser.parse_args()
    job = Job(
        asked.port,
        asked.template.read(),
        asked.count,
        asked.connections,
        asked.rate,
        _forwarded if asked.forwarded else lambda _: "",
        asked.first,
    )
    print(json.dumps(run(job).summary()))


def _forwarded(number: int) -> str:
    """Return an ``X-Forwarded-For`` header with a client's address in one of 512 networks.

    The networks are those that RFC 2544 reserves for benchmarks.
    """
    return f"X-Forwarded-For: 198.{18 + (number >> 8 & 1)}.{number & 255}.{number % 250 + 1}\r\n"


if __name__ == "__main__":
    main()
