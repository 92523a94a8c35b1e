"""AWS servers of the package moto, in a thread of the test process.

moto is imported only when the servers start, because the import takes a second.
"""

from __future__ import annotations

import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.servers._run import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pytest

    App = Callable[[dict[str, Any], Any], Iterable[bytes]]

REGION = "us-east-1"
SECRET = "made-for-this-test"
TOKEN = "session-token-of-this-test"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "a-test",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": TOKEN,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@contextmanager
def moto(wrapped: Callable[[App], App], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run moto's AWS servers while the block runs, and set credentials that only they accept.

    Args:
        wrapped: is called with moto's WSGI application, and returns the one to serve.
        monkeypatch: sets the environment.

    Yields:
        The URL of the servers.
    """
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    for name, value in _CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    app = wrapped(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    with in_thread(server):
        url = f"http://127.0.0.1:{server.server_port}"
        # moto's state belongs to the process.
        send("POST", f"{url}/moto-api/reset")
        yield url


def send(method: str, url: str) -> None:
    """Send an HTTP request without a body. It must get the status 200."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        assert answer.status == 200
