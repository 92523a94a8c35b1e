"""A real S3 server: moto's, in a thread. It is imported only by its users: it takes a second."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.servers.moto import moto, send

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

BUCKET = "pins"


class S3:
    """A server with one bucket; ``requests`` lists METHOD and path in order.

    With ``refuse_after`` it accepts this many uploads more, and refuses later ones.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.url = ""
        self.requests: list[str] = []
        self.refuse_after: int | None = None

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append(f"{method} {path}")
        if method == "PUT" and self.refuse_after is not None:
            self.refuse_after -= 1
            if self.refuse_after < 0:
                return self._denied(start)
        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    def _denied(self, start: Any) -> Iterable[bytes]:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start("403 Forbidden", headers)
        return [body]


@contextmanager
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """Run the server with one empty bucket."""
    made: list[S3] = []

    def wrapped(app: Any) -> S3:
        made.append(S3(app))
        return made[0]

    with moto(wrapped, monkeypatch) as url:
        made[0].url = url
        send("PUT", f"{url}/{BUCKET}")
        made[0].requests.clear()
        yield made[0]
