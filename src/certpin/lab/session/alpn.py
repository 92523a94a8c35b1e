"""Which protocol a connection speaks: the newest that its client offers and the lab speaks."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

HTTP1, HTTP2 = "http/1.1", "h2"  # RFC 7301 section 6, RFC 9113 section 3.1


@cache
def spoken() -> tuple[str, ...]:
    """What the lab speaks, best first: HTTP/2 with the extra ``http2`` alone."""
    return (HTTP2, HTTP1) if find_spec("h2") else (HTTP1,)


def choose(offered: Collection[str], spoken: Sequence[str]) -> tuple[str, ...]:
    """The best of what is spoken that a client offers, as most servers choose; or none."""
    return tuple(each for each in spoken if each in offered)[:1]


def need_http2() -> None:
    """Raise ``CannotServeError`` where HTTP/2 is not spoken."""
    if HTTP2 not in spoken():
        raise CannotServeError(
            "it takes HTTP/2", fix="install certpin with its extra lab: certpin[lab]"
        )
