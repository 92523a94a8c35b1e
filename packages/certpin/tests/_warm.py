"""Process that has loaded the packages that tests need, and runs each test in a fork of itself.

To start a Python and load pytest and the libraries takes longer than most tests. Neither certpin
nor a test is loaded before the fork: each run imports certpin from the given folder.

Each line of stdin is a job in JSON, ``{"source", "folder", "output", "words", "limit"}``: the
folder of certpin's source, the working directory, the file for the output, pytest's arguments, and
the time limit of the whole job in seconds. For each job, the process prints pytest's exit code. A
job that isn't done in time is ended with SIGABRT: its exit code is ``-SIGABRT``, and its output
ends with the tracebacks of its threads.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import io
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

# All slow imports except certpin. Packages that aren't installed are skipped.
LIBRARIES = (
    *("aiohttp", "alembic", "apprise", "asyncio", "brotli", "click.testing", "concurrent.futures"),
    *("cryptography.hazmat.primitives.serialization.pkcs12", "cryptography.x509.verification"),
    *("dns.message", "fsspec", "graphlib", "h2.connection", "http.server", "httpx", "httpx2"),
    *("hypothesis.stateful", "idna", "jinja2", "logging", "msgspec", "multiprocessing"),
    *("numpy.random", "plistlib", "requests", "rich.console", "rich.progress", "rich.table"),
    *("securesystemslib.signer", "sqlalchemy", "starlette.routing", "starlette.testclient"),
    *("tomlkit", "tuf.api.metadata", "tuf.ngclient", "unittest.mock", "urllib3"),
    "xml.dom.minidom",
)
# The only plugins that the tests need. As modules, because for a name pytest reads the entry points
# of every installed package.
PLUGINS = [importlib.import_module(name) for name in ("pytest_timeout", "_hypothesis_pytestplugin")]


def main() -> None:
    """Load the packages that tests need, then run the jobs from stdin until stdin ends."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    words = ["--disable-plugin-autoload", "--markers", "-p", "no:cacheprovider", "-c", os.devnull]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(words, plugins=PLUGINS)  # loads what pytest needs
    assert not any(name.partition(".")[0] in {"certpin", "tests"} for name in sys.modules)
    unshrunk = (Phase.explicit, Phase.generate)  # any example that fails is enough
    settings.register_profile(
        "unshrunk", deadline=None, phases=unshrunk, database=None, derandomize=True
    )
    gc.freeze()  # pytest collects garbage at its end: exclude the objects that were loaded here
    for line in sys.stdin:
        sys.stdout.write(f"{_run(json.loads(line))}\n")
        sys.stdout.flush()


def _run(job: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        _test(job)
    # pytest-timeout limits only the test itself: a fixture or the end of pytest can hang, too. (Not
    # faulthandler.dump_traceback_later: with its thread, processes that a test forks hang.)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGABRT))
    signal.alarm(job["limit"])
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        signal.alarm(0)


def _test(job: dict[str, Any]) -> None:
    """Run the tests of a job in the forked process, and exit with pytest's exit code.

    pytest may raise after its summary, instead of returning an exit code: warnings are errors, and
    an exception in a thread or a destructor may be found only when pytest has ended. The result is
    the same as that of ``python -m pytest``: the summary, the traceback, and exit code 1.
    """
    code = 1
    try:
        file = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        faulthandler.enable(file)  # SIGABRT prints the tracebacks
        os.chdir(job["folder"])
        os.environ["PYTHONPATH"] = job["source"]  # for programs that a test starts
        sys.path.insert(0, job["source"])
        certpin = importlib.import_module("certpin")
        assert Path(str(certpin.__file__)).is_relative_to(job["source"])
        code = int(pytest.main(job["words"], plugins=PLUGINS))
    except BaseException:  # noqa: BLE001  # the process ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
