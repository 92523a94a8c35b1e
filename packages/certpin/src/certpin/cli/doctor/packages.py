"""Find out which packages that certpin and its extras need are installed and can be imported.

The imports are tried in another process, because a package may fail, hang, end its process, or
replace parts of Python. That process gets only the environment variables that Python and its
libraries need to start, so that an error message can contain no secret of the environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.support.requirements import certpin_requirements, installed_version, satisfies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.support.requirements import Requirement

# The modules of packages that are not named as their module.
_MODULES = {
    "azure-identity": "azure.identity",
    "azure-keyvault-keys": "azure.keyvault.keys",
    "certpin-watch": "certpin_watch.service",
    "dnspython": "dns",
    "google-cloud-kms": "google.cloud.kms",
    "nats-py": "nats",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry-instrumentation-asgi": "opentelemetry.instrumentation.asgi",
    "opentelemetry-sdk": "opentelemetry.sdk.metrics",
    "python-pkcs11": "pkcs11",
    "pyyaml": "yaml",
}

# For each process. If a package fails so that its process ends, the packages after it are imported
# in another one. matplotlib builds a cache at its first import.
_IMPORT_SECONDS = 60
_LONGEST = 200  # characters of an error message
_MARK = "certpin-doctor:"
_PROGRAM = f"""\
import importlib, json, sys
for name in sys.argv[1:]:
    problem = ""
    try:
        importlib.import_module(name)
    except BaseException as exc:
        problem = f"{{type(exc).__name__}}: {{exc}}"
    print("{_MARK}" + json.dumps([name, problem]), flush=True)
"""
_VARIABLES = (
    *("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ"),
    *("DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "LD_PRELOAD"),
    *("OPENSSL_CONF", "OPENSSL_MODULES", "SSL_CERT_DIR", "SSL_CERT_FILE"),
    *("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "VIRTUAL_ENV"),
    "SYSTEMROOT",
)
_SECRET = re.compile(r"//[^/\s@]*@")  # the user and password of a URL


@dataclass(frozen=True)
class Package:
    """A package that certpin or an extra requires, with its state on this machine.

    Attributes:
        needed: the requirement: the package, and the versions that certpin accepts.
        version: the installed version; None if the package is not installed.
        problem: why its import failed; empty if it succeeded or was not tried.
    """

    needed: Requirement
    version: str | None = None
    problem: str = ""

    @property
    def wrong_version(self) -> bool:
        """True if the package is installed, in a version that certpin does not accept.

        The part of certpin that needs the package is then reported as not working.
        """
        return self.version is not None and not satisfies(self.version, self.needed.bounds)


def find_packages() -> tuple[Package, ...] | None:
    """Return the state of each package that certpin and its extras require.

    Return None if the requirements are unknown, because certpin is not an installed package.
    """
    needed = certpin_requirements()
    if needed is None:
        return None
    versions = {each.package: installed_version(each.package) for each in needed}
    usable = {each.package for each in needed if versions[each.package] and not each.python}
    problems = import_errors(sorted(map(_module, usable)))
    return tuple(
        Package(each, versions[each.package], problems.get(_module(each.package), ""))
        for each in needed
    )


def import_errors(modules: Sequence[str]) -> dict[str, str]:
    """Import modules in another process; return the error of each failed import, by module name.

    If a module ends the process, its error says how the process ended, and the modules after it are
    imported in a new process.
    """
    errors: dict[str, str] = {}
    rest = list(modules)
    while rest and sys.executable:
        outcomes, ending = _import(rest)
        errors |= {name: _clean(problem) for name, problem in outcomes.items() if problem}
        rest = rest[len(outcomes) :]
        if rest:
            errors[rest.pop(0)] = ending
    return errors


def _module(package: str) -> str:
    return _MODULES.get(package, package.replace("-", "_"))


def _import(modules: list[str]) -> tuple[dict[str, str], str]:
    """Import modules in another process, up to the first module that ends the process.

    Returns:
        The error of each imported module, empty if the import succeeded; and a text on how the
        process ended.
    """
    argv = [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM, *modules]
    env = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_IMPORT_SECONDS,
            check=False,
        )
        out, ending = done.stdout, f"its import ends Python, with exit code {done.returncode}"
    except subprocess.TimeoutExpired as exc:
        out, ending = exc.stdout or b"", f"its import takes more than {_IMPORT_SECONDS} seconds"
    except OSError as exc:
        return dict.fromkeys(modules, f"Python can't be started: {exc.strerror}"), ""
    return dict(_outcomes(out.decode(errors="replace"), modules)), ending


def _outcomes(out: str, modules: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each module with the error of its import, from the output of the importing process.

    ``out`` may contain other lines, which modules printed.
    """
    for line in out.splitlines():
        if line.startswith(_MARK):
            with suppress(ValueError):
                name, problem = json.loads(line.removeprefix(_MARK))
                if name in modules:
                    yield name, str(problem)


def _clean(problem: str) -> str:
    first = (problem.splitlines() or [""])[0]
    return _SECRET.sub("//…@", first)[:_LONGEST]
