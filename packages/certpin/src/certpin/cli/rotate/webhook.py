"""``certpin rotate webhook``: a Kubernetes admission webhook for requests of cert-manager.

The webhook asks the rotation gate (the rules that refuse a step that locks clients out), so that
cert-manager orders no certificate for a key that clients would refuse.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click

from certpin.cli.main import stop_on_signals
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import print_event, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from certpin.cli.rotate.admission import AdmissionRequest, Decision, GateFacts
    from certpin.cli.rotate.webhook_server import ServerCertificate
    from certpin.rotation import History
    from certpin.x509 import Certificate

_MAX_PORT = 65535
_TRIES = 3  # readings of files that are replaced meanwhile


def _address(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[str, int]:
    from certpin.pins.hosts import is_address

    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not is_address(host) or not port.isdecimal() or int(port) > _MAX_PORT:
        raise click.BadParameter("write ADDRESS:PORT, such as 0.0.0.0:8443", ctx, parameter)
    return host, int(port)


def _issuers(
    ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, Path], ...]:
    found = []
    for text in texts:
        name, _, file = text.partition("=")
        parts = name.split("/")
        forms = {"ClusterIssuer": (2,), "Issuer": (3,)}.get(parts[0], (2, 3))
        if not file or not all(parts) or len(parts) not in forms:
            raise click.BadParameter(
                "write ClusterIssuer/NAME=FILE or Issuer/NAMESPACE/NAME=FILE", ctx, parameter
            )
        found.append((name, Path(file)))
    return tuple(found)


@click.command()
@pin_file_option
@click.option(
    "--tls-certificate",
    "certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The chain of the webhook's own certificate, PEM. It is read again when it changes.",
)
@click.option(
    "--tls-key",
    "key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The private key of that certificate, PEM, unencrypted.",
)
@click.option(
    "--issuer-chain",
    "issuers",
    multiple=True,
    callback=_issuers,
    metavar="ISSUER=FILE",
    help="The certificates with which an issuer signs: ClusterIssuer/NAME=FILE or "
    "Issuer/NAMESPACE/NAME=FILE, the signing certificate first. May be repeated, also for one "
    "issuer: then clients must accept each chain. Without it, only the key is known.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8443",
    show_default=True,
    callback=_address,
    metavar="ADDRESS:PORT",
    help="The address and port for the API server, and for probes.",
)
@json_option
def webhook(
    path: Path,
    certificate: Path,
    key: Path,
    issuers: tuple[tuple[str, Path], ...],
    listen: tuple[str, int],
    as_json: bool,
) -> None:
    """Serve the gate as an admission webhook for cert-manager, until SIGTERM or SIGINT.

    It answers POST /validate: an AdmissionReview (admission.k8s.io/v1) about a CertificateRequest
    of cert-manager.io/v1. The request is allowed if no client has pins for its names; or if every
    client accepts the key of its CSR, and the key is ACTIVE or needs no pin. Any other request is
    refused, with the reason, even if it can't be read. With failurePolicy: Fail, the API server
    refuses it if there is no answer.

    Pin file, journal, chains and the webhook's own certificate are read again when they change.
    The webhook writes nothing. GET /healthz answers 200 if the server runs, and GET /readyz if it
    can judge.

    \b
    certpin rotate webhook --tls-certificate tls.crt --tls-key tls.key --listen 0.0.0.0:8443
    certpin rotate webhook --tls-certificate tls.crt --tls-key tls.key \\
        --issuer-chain ClusterIssuer/internal=issuer.pem

    Exit code 0: stopped by a signal. 2: wrong usage, or an invalid file.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.rotate.webhook_server import ServerCertificate, WebhookServer
    from certpin.errors import ConfigError

    service = _Service(path, issuers, ServerCertificate(certificate, key))
    service.facts()  # report errors now, not at each request
    try:
        server = WebhookServer(listen, service.certificate, service.judge, service.problems)
    except OSError as exc:
        raise ConfigError(
            f"{listen[0]} port {listen[1]} cannot be listened on: {exc.strerror or exc}",
            key="--listen",
            fix="choose an address of this machine, and a free port",
        ) from exc
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    # A signal must not interrupt the printing: a decision would be missing in the log.
    with stop_on_signals(lambda: service.decisions.put(None)), server:
        _print_start(listen[0], server.server_address[1], as_json=as_json)
        thread.start()
        for decided in iter(service.decisions.get, None):
            _print_decision(*decided, as_json=as_json)
        server.shutdown()
        thread.join()
    service.decisions.put(None)  # after the decisions of requests that were under way
    for decided in iter(service.decisions.get, None):
        _print_decision(*decided, as_json=as_json)


def _print_start(host: str, port: int, *, as_json: bool) -> None:
    if as_json:
        print_event("listening", address=host, port=port)
    else:
        say("certpin", f"listening on https://{f'[{host}]' if ':' in host else host}:{port}")


def _print_decision(request: AdmissionRequest | None, decision: Decision, *, as_json: bool) -> None:
    word = "allowed" if decision.allowed else "refused"
    namespace, name = (request.namespace, request.name) if request else ("", "")
    if as_json:
        print_event(word, namespace=namespace, name=name, reason=decision.reason)
    else:
        say("certpin", f"{word} {namespace}/{name}: {decision.reason}")


class _Service:
    """The part of the webhook that reads the pin file and journal, and answers requests with them.

    Attributes:
        certificate: the webhook's TLS certificate.
        decisions: a queue of requests (``None`` if unreadable) with their decisions. The thread of
            the command prints them; the item ``None`` ends that thread's loop.
    """

    def __init__(
        self,
        path: Path,
        issuers: tuple[tuple[str, Path], ...],
        certificate: ServerCertificate,
    ) -> None:
        self.certificate = certificate
        self.decisions: SimpleQueue[tuple[AdmissionRequest | None, Decision] | None]
        self.decisions = SimpleQueue()  # may be filled in a signal handler
        self._read: tuple[tuple[object, ...], History] | None = None
        self._path, self._issuers = path, issuers

    @property
    def _journal(self) -> Path:
        """The path of the pin file's journal of rotations, which is in the same folder.

        It is computed at each use: a pin file that Kubernetes mounts is a link, and each update
        lets the link lead to another folder.
        """
        from certpin.rotation import journal_of

        return journal_of(self._path)

    def facts(self) -> GateFacts:
        """Read the pin file, the journal and the chains of issuers as one consistent snapshot.

        Raises:
            ConfigError: a file is invalid; the journal has no version; the pin file is a symbolic
                link, and there is another journal beside the link; or the files are replaced again
                and again while they are read.
        """
        from certpin.cli.rotate.admission import GateFacts
        from certpin.errors import ConfigError
        from certpin.pinfile import PinSet
        from certpin.pins import utc_now
        from certpin.x509.chain import public_roots

        for _ in range(_TRIES):
            before = self._signature()
            pins, history, issuers = PinSet.load(self._path), self._history(), self._chains()
            if self._signature() == before:
                break
        else:
            raise ConfigError(
                f"{self._path} and the files beside it are replaced too often",
                key="file",
                fix="write them less often",
            )
        if not history.deployed.versions:
            raise ConfigError(
                f"{self._journal} has no published version",
                key="version",
                fix="record the one that clients have, and give the webhook that journal",
            )
        return GateFacts(pins, history, issuers, public_roots(), utc_now())

    def judge(self, body: bytes) -> tuple[int, bytes]:
        """Return the HTTP status and the body of the answer to an AdmissionReview (its JSON body).

        If an error occurs, the answer is a refusal: an AdmissionReview if the request has a UID;
        otherwise status 400, which the API server treats as no answer.
        """
        from certpin.cli.rotate.admission import Decision, decide, parse_review, review_json
        from certpin.errors import CertpinError, InputError
        from certpin.support.text import one_line

        try:
            request = parse_review(body)
        except InputError as exc:
            self.decisions.put((None, Decision(allowed=False, reason=exc.problem, code=400)))
            return 400, json.dumps({"error": exc.problem}).encode()
        try:
            decision = decide(request, self.facts())
        except CertpinError as exc:
            decision = Decision(allowed=False, reason=one_line(str(exc)), code=500)
        except Exception as exc:  # noqa: BLE001  # fails closed, whatever it is
            reason = f"internal error ({type(exc).__name__}): the request was not judged"
            decision = Decision(allowed=False, reason=reason, code=500)
        self.decisions.put((request, decision))
        return 200, json.dumps(review_json(request.uid, decision)).encode()

    def problems(self) -> list[str]:
        """Return the reasons why the webhook can't judge requests now, as texts for ``/readyz``.

        The list is empty if the webhook is ready.
        """
        from certpin.errors import CertpinError
        from certpin.pins import utc_now
        from certpin.support.text import one_line

        found = [problem for problem in [self.certificate.refresh()] if problem]
        not_after = self.certificate.not_after
        if not_after is not None and not_after <= utc_now():
            found.append("the certificate of the webhook has expired")
        try:
            self.facts()
        except (CertpinError, OSError) as exc:
            found.append(one_line(str(exc)))
        return found

    def _history(self) -> History:
        """Return the content of the rotation journal; read the file only if it has changed.

        A missing file is an empty journal. Raises ``JournalError`` if the file is invalid.
        """
        from certpin.cli.rotate.webhook_server import signature
        from certpin.rotation import load_journal

        if not self._journal.exists():
            return load_journal(self._journal)
        signed, read = signature(self._journal), self._read
        if read is None or read[0] != signed:
            self._read = read = (signed, load_journal(self._journal))
        return read[1]

    def _chains(self) -> Mapping[str, list[tuple[Certificate, ...]]]:
        from certpin.errors import ConfigError, InputError
        from certpin.x509.certificate import read_certificates

        found: dict[str, list[tuple[Certificate, ...]]] = {}
        for name, file in self._issuers:
            try:
                chain = tuple(read_certificates(file.read_bytes()))
            except (OSError, InputError) as exc:
                raise ConfigError(
                    f"{file} has no chain: {exc}",
                    key="--issuer-chain",
                    fix="give the certificate that signs, and those above it, as PEM",
                ) from exc
            found.setdefault(name, []).append(chain)
        return found

    def _signature(self) -> tuple[object, ...]:
        from certpin.cli.rotate.webhook_server import signature

        files = [self._path, self._journal, *(file for _, file in self._issuers)]
        return signature(*(file for file in files if file.exists()))
