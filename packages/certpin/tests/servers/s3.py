"""A real S3 server of the package moto, in a thread of the test process.

moto is imported only when the server starts, because the import takes a second.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.servers.moto import moto, send

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

BUCKET = "pins"


class S3:
    """A running S3 server with one bucket.

    ``requests`` lists method and path of each request, in order. If ``refuse_after`` is a number,
    the server accepts that many further uploads, and refuses later ones.
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
    """Run an S3 server with one empty bucket while the block runs. AWS variables are set for it."""
    made: list[S3] = []

    def wrapped(app: Any) -> S3:
        made.append(S3(app))
        return made[0]

    with moto(wrapped, monkeypatch) as url:
        made[0].url = url
        send("PUT", f"{url}/{BUCKET}")
        made[0].requests.clear()
        yield made[0]
