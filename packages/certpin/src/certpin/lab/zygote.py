"""The process from which ``certpin prove --warm`` forks a Python client for each case.

It runs in the client's own Python, so it imports nothing of certpin:

    python [OPTIONS] zygote.py DESCRIPTOR (SCRIPT | -m MODULE | -c CODE)

It imports the installed modules that the client's own modules import. No code of the client's own
folder runs in it. Then it writes a byte to the socket DESCRIPTOR. For each run, it reads a byte
from this socket, with two descriptors (``SCM_RIGHTS``, unix(7)): a file for the client's output,
and a socket for the request and the result. It forks a supervisor for the run, which forks the
client, so that a client that hangs or crashes does not disturb the others.

Many libraries import a part of their modules at first use. So a client that ends normally writes
the names of the modules that it has imported into memory that it shares with this process. Before
the next fork, this process imports those of them that are installed.

A request is JSON after its length (four bytes, big-endian): ``client``, the words after the options
of Python; its ``environment``; and ``patience``, its time limit in seconds. The result is JSON: the
exit ``status``, ``null`` if the client was killed after the time limit.
"""

from __future__ import annotations

import array
import ast
import atexit
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import mmap
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import time
import types
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH = struct.Struct("!I")
_DESCRIPTORS = 2  # with each request: the output, and the socket of the run
_INSTALLED = {"site-packages", "dist-packages"}
_HERE = __file__  # Python 3.14 deletes that name before it prints an exception
_SHARED = 256 * 1024  # bytes: the names of some thousand modules
_POLL = 0.01  # seconds between two looks at the client, on a system without pidfd_open(2)


def main(descriptor: int, client: list[str]) -> None:
    """Import the client's installed modules, report that this process is ready, and serve the lab.

    For each run that the lab requests, the process forks. ``descriptor`` is the socket to the lab,
    and ``client`` the words after the options of Python.
    """
    _find_modules_as_the_client_does(client)
    _import(_installed_imports(client))
    shared = mmap.mmap(-1, _SHARED)
    control = socket.socket(fileno=descriptor)
    control.sendall(b"+")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are not waited for
    while received := _receive(control):
        output, run = received
        _import(name for name in _left_names(shared) if _is_installed(name))
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            words = _supervise(socket.socket(fileno=run), output)
            atexit.register(_leave_names, shared, frozenset(sys.modules))
            _run_client(words)
            return
        os.close(output)
        os.close(run)


def _receive(control: socket.socket) -> tuple[int, int] | None:
    """Return the two descriptors that the lab sends for a run; None if the lab has ended.

    The first is the file for the client's output, and the second the socket for the request and the
    result of the run. ``control`` is the socket to the lab.
    """
    descriptors = array.array("i")
    data, ancillary, _, _ = control.recvmsg(
        1, socket.CMSG_SPACE(_DESCRIPTORS * descriptors.itemsize)
    )
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: _DESCRIPTORS * descriptors.itemsize])
    return (descriptors[0], descriptors[1]) if data and len(descriptors) == _DESCRIPTORS else None


# The supervisor of one run.


def _supervise(run: socket.socket, output: int) -> list[str]:
    """Fork the client, wait for it, send its result to the lab, and exit.

    This function returns only in the forked client. It returns the words of the client's command.

    Args:
        run: the socket for the request and the result.
        output: the descriptor of the file for the client's output.
    """
    request = json.loads(_read(run, _LENGTH.unpack(_read(run, _LENGTH.size))[0]))
    pid = os.fork()
    if pid == 0:
        run.close()
        os.setsid()  # as a program of its own: its children are killed with it
        _become(request["environment"], output)
        return list(request["client"])
    os.close(output)
    in_time = _wait(pid, run, request["patience"])
    try:
        os.killpg(pid, signal.SIGKILL)  # the client, or its children; it is not reaped yet
    except (ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)  # before its setsid
    status = os.waitpid(pid, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    with suppress(OSError):  # the lab was interrupted
        run.sendall(json.dumps({"status": code if in_time else None}).encode())
    os._exit(0)


def _read(run: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = run.recv(size - len(data))
        if not part:
            os._exit(1)  # the lab was interrupted
        data += part
    return data


def _wait(pid: int, run: socket.socket, patience: float) -> bool:
    """Wait for the client. Return True if it ended in time; otherwise its run has no exit status.

    Return False after ``patience`` seconds, or if the lab closed its side of the socket ``run``.
    ``pid`` is the process ID of the client.
    """
    end = time.monotonic() + patience
    try:
        ended = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or an old kernel
        ended = -1
    while (left := end - time.monotonic()) > 0:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        watched = [run.fileno()] if ended < 0 else [run.fileno(), ended]
        if run.fileno() in select.select(watched, [], [], _POLL if ended < 0 else left)[0]:
            return False  # nothing follows the request but the end
    return False


def _become(environment: dict[str, str], output: int) -> None:
    """Replace the environment of this process by the client's, and redirect its output to a file.

    ``output`` is the descriptor of the file, for standard output and standard error.
    """
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)


# The client.


def _run_client(client: list[str]) -> None:
    """Run the client's script, module or code as the Python interpreter does: as ``__main__``.

    ``client`` is the script's path, ``-m`` and a module, or ``-c`` and code, with the arguments
    after it. Exceptions of the client are raised.
    """
    kind = client[0]
    name, arguments = (client[1], client[2:]) if kind in {"-m", "-c"} else (kind, client[1:])
    sys.argv = [kind, *arguments]
    sys.excepthook = _print_exception
    if kind == "-m":
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    if kind == "-c":
        code = compile(name, "<string>", "exec")
    else:
        loader = importlib.machinery.SourceFileLoader("__main__", name)
        vars(module).update(__file__=name, __loader__=loader)
        code = compile(loader.get_data(name), name, "exec")
    exec(code, module.__dict__)  # noqa: S102  # the client under test


def _print_exception(kind: type[BaseException], exc: BaseException, trace: Any) -> None:
    """Print the client's exception as the interpreter does, without the frames of this file.

    The interpreter calls this function (``sys.excepthook``) with the exception's class (``kind``),
    the exception and its traceback.
    """
    while trace is not None and trace.tb_frame.f_code.co_filename == _HERE:
        trace = trace.tb_next
    sys.__excepthook__(kind, exc.with_traceback(trace), trace)


# The modules that are imported before.


def _import(names: Iterable[str]) -> None:
    """Import modules. Skip a module that raises an exception: the client will get the same error.

    Exit if a module has started a thread, because a fork doesn't have the threads of this process.
    """
    for name in sorted(names):
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112  # the client may handle it
            continue
    gc.freeze()  # a collection in a fork would copy the pages of these objects
    if threading.active_count() > 1:
        sys.exit("a module that the client imports starts threads, and a fork would lack them")


def _leave_names(shared: mmap.mmap, known: frozenset[str]) -> None:
    """Write the names of the modules that this client has imported into the shared memory.

    The process that forks the clients imports these modules before the next fork. So nothing is
    written if this client has other threads: one of the modules may have started them, and they
    would be missing in a fork. If two clients end at the same time, they may damage the text, which
    is then ignored.

    Args:
        shared: the memory that the client shares with the process that forks the clients.
        known: the names of the modules that were imported before the fork. They are left out.
    """
    names = json.dumps(sorted(set(sys.modules) - known)).encode()
    if threading.active_count() == 1 and _LENGTH.size + len(names) <= _SHARED:
        shared[_LENGTH.size : _LENGTH.size + len(names)] = names
        shared[: _LENGTH.size] = _LENGTH.pack(len(names))


def _left_names(shared: mmap.mmap) -> list[str]:
    """Return the names of modules that a client wrote into the shared memory, and remove them.

    The result is empty if there are none, or the text is damaged.
    """
    length = _LENGTH.unpack(shared[: _LENGTH.size])[0]
    shared[: _LENGTH.size] = _LENGTH.pack(0)
    try:
        return list(json.loads(shared[_LENGTH.size : _LENGTH.size + length]))
    except ValueError:
        return []


def _is_installed(name: str) -> bool:
    """Return True if this process should import a module for its forks.

    It should if the module is not imported yet, and is not from the client's own folder. The code
    of the client's own modules may depend on the case.
    """
    return name not in sys.modules and _own_file(name.partition(".")[0]) is None


def _find_modules_as_the_client_does(client: list[str]) -> None:
    """Change the search path of modules to that of the client, which contains the client's folder.

    By default, Python would search in the folder of this file instead.
    """
    if sys.flags.isolated or getattr(sys.flags, "safe_path", False):
        return
    if client[0] == "-m":
        sys.path[0] = str(Path.cwd())
    else:
        sys.path[0] = "" if client[0] == "-c" else str(Path(client[0]).resolve().parent)


def _installed_imports(client: list[str]) -> set[str]:
    """Return the names of installed modules that the client, and the modules in its folder, import.

    Modules of the client's own folder are parsed, not imported: their code may depend on the case.
    """
    found: set[str] = set()
    own: set[str] = set()
    waiting = [_source(client)]
    while waiting:
        for name in _imports(*waiting.pop()):
            path = _own_file(name)
            if path is None:
                found.add(name)
            elif name not in own:
                own.add(name)
                package = name if path.stem == "__init__" else name.rpartition(".")[0]
                waiting.append((_text(path), package))
    return {name for name in found if _own_file(name.rpartition(".")[0]) is None}


def _source(client: list[str]) -> tuple[str, str]:
    """Return the source text of the module that the client runs as ``__main__``, and its package.

    The package is the name of the package that contains the module. It is empty for a script, and
    for code on the command line.
    """
    if client[0] == "-c":
        return client[1], ""
    if client[0] != "-m":
        return _text(Path(client[0])), ""
    path = _own_file(client[1])
    if path is None:
        return f"import {client[1]}", ""
    if path.stem == "__init__":
        return _text(path.with_name("__main__.py")), client[1]
    return _text(path), client[1].rpartition(".")[0]


def _text(path: Path) -> str:
    try:
        return importlib.util.decode_source(path.read_bytes())
    except (OSError, SyntaxError, UnicodeError):
        return ""


def _imports(source: str, package: str) -> set[str]:
    """Return the names of the modules that a source text may import outside of functions.

    Not every name is a module: ``from a import b`` gives ``a`` and ``a.b``. The result is empty if
    the text can't be parsed. ``package`` is the name of the source's package, for relative imports.
    """
    found: set[str] = set()
    try:
        waiting: list[ast.AST] = [ast.parse(source)]
    except (SyntaxError, ValueError, RecursionError):
        return found
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(filter(None, [*(outer if node.level else []), node.module or ""]))
            # A name may be a module, too. If it is none, importing it fails without an effect.
            found.update((base, *(f"{base}.{alias.name}" for alias in node.names)))
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))
    return {name for name in found if name and not name.startswith(".")}


def _own_file(name: str) -> Path | None:
    """Return the path of a module in the client's own folder; None for any other module.

    ``name`` is the full name of the module.
    """
    path = Path(sys.path[0]).resolve().joinpath(*name.split(".")) if name else Path()
    for candidate in (path.with_name(f"{path.name}.py"), path / "__init__.py") if name else ():
        if candidate.is_file() and not _INSTALLED & set(candidate.parts):
            return candidate
    return None


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
