"""A real S3 server: moto's, in a thread. It is imported only by its users: it takes a second."""

from __future__ import annotations

import threading
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
        self.port = 0
        self.requests: list[str] = []
        self.refuse_after: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> None:
        """Start with one empty bucket, because moto's state belongs to the process."""
        for method, path in (("POST", "moto-api/reset"), ("PUT", BUCKET)):
            request = urllib.request.Request(f"{self.url}/{path}", method=method)
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200
        self.requests.clear()

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
    """Run the server, with credentials in the environment that no other server would accept."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    credentials = {
        "AWS_ACCESS_KEY_ID": "a-test",
        "AWS_SECRET_ACCESS_KEY": "made-for-this-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    server = S3(DomainDispatcherApplication(create_backend_app))
    with make_server(
        "127.0.0.1", 0, server, threaded=True, request_handler=MotoRequestHandler
    ) as running:
        server.port = running.server_port
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            server.begin()
            yield server
        finally:
            running.shutdown()
            thread.join()
