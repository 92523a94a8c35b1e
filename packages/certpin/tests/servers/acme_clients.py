"""Run Debian's ACME clients in temporary folders: no files below /etc, no timer, no network."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers._run import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.pebble import Pebble

HOST = "api.bank.example"
HOOK = Path(__file__).parents[4] / "examples" / "acme" / "install-certificate.sh"
_PATIENCE = 90  # seconds


@dataclass
class Client:
    """An ACME client that gets certificates from pebble, a test authority.

    Its methods for orders and renewals return the client's exit code and output. ``chain`` and
    ``key`` are the files in which the client keeps its certificate chain and key.
    """

    pebble: Pebble
    folder: Path

    def __post_init__(self) -> None:
        self.web.mkdir()
        self.setting = {"HOME": str(self.folder), "CERTPIN_WHO": "acme"}

    @property
    def web(self) -> Path:
        """The folder for responses to HTTP challenges; pebble validates without reading them."""
        return self.folder / "www"

    def run(self, *words: str | Path) -> tuple[int, str]:
        argv = [str(require(str(words[0]))), *map(str, words[1:])]
        done = subprocess.run(
            argv,
            env={**os.environ, **self.setting},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout


class Certbot(Client):
    """The client ``certbot``. If certpin's hook fails, it prints that, and still exits with 0."""

    tells = False

    @property
    def chain(self) -> Path:
        return self.folder / "config/live" / HOST / "fullchain.pem"

    @property
    def key(self) -> Path:
        return self.chain.with_name("privkey.pem")

    def _certbot(self, command: str, *words: str | Path) -> tuple[int, str]:
        self.setting["REQUESTS_CA_BUNDLE"] = str(self.pebble.trust)
        folders = [
            word
            for name in ("config", "work", "logs")
            for word in (f"--{name}-dir", self.folder / name)
        ]
        server = ("--server", self.pebble.directory, "--non-interactive", "--agree-tos")
        return self.run("certbot", command, *folders, *server, *words)

    def install(self) -> tuple[int, str]:
        return self.run(HOOK, self.chain, self.key)

    def first(self) -> tuple[int, str]:
        account = ("--register-unsafely-without-email", "--webroot", "-w", self.web)
        return self._certbot("certonly", *account, "-d", HOST, "--reuse-key")

    def renew(self) -> tuple[int, str]:
        return self._renew()

    def renew_with_a_new_key(self) -> tuple[int, str]:
        return self._renew("--no-reuse-key", "--new-key")

    def _renew(self, *words: str) -> tuple[int, str]:
        now = ("--force-renewal", "--no-random-sleep-on-renew")
        return self._certbot("renew", *now, "--deploy-hook", HOOK, *words)

    def sign(self, csr: Path, key: Path) -> tuple[int, str]:
        chain = self.folder / "signed.pem"
        for file in (chain, self.folder / "leaf.pem", self.folder / "ca.pem"):
            file.unlink(missing_ok=True)  # certbot overwrites no file
        paths = ("--fullchain-path", chain, "--cert-path", "leaf.pem", "--chain-path", "ca.pem")
        code, said = self._certbot("certonly", "--webroot", "-w", self.web, "--csr", csr, *paths)
        assert code == 0, said
        return self.run(HOOK, chain, key)  # certbot runs no hook after --csr


class AcmeSh(Client):
    """The client ``acme.sh``. Its option --fullchain-file would copy files before any hook runs."""

    tells = True

    @property
    def chain(self) -> Path:
        return self.folder / "acme" / f"{HOST}_ecc" / "fullchain.cer"

    @property
    def key(self) -> Path:
        return self.chain.with_name(f"{HOST}.key")

    def _acme(self, *words: str | Path) -> tuple[int, str]:
        server = ("--server", self.pebble.directory, "--ca-bundle", self.pebble.trust)
        home = ("--home", self.folder / "acme")
        return self.run("acme.sh", *home, *server, *words)

    def first(self) -> tuple[int, str]:
        return self._acme("--issue", "-d", HOST, "-w", self.web, "--keylength", "ec-256")

    def install(self) -> tuple[int, str]:
        return self._acme("--install-cert", "-d", HOST, "--ecc", "--reloadcmd", HOOK)

    def renew(self) -> tuple[int, str]:
        return self._acme("--renew", "-d", HOST, "--ecc", "--force")

    def renew_with_a_new_key(self) -> tuple[int, str]:
        return self._acme(
            "--renew", "-d", HOST, "--ecc", "--force", "--always-force-new-domain-key"
        )

    def sign(self, csr: Path, key: Path) -> tuple[int, str]:
        own = ("--cert-home", self.folder / "signed")
        reload = f'{HOOK} "$CERT_FULLCHAIN_PATH" {key}'
        words = ("--csr", csr, "-w", self.web, "--reloadcmd", reload)
        # With --force, because a certificate that the hook refused is not due for renewal.
        code, said = self._acme("--sign-csr", "--force", *own, *words)
        if code:
            return code, said
        return self._acme("--renew", "-d", HOST, "--ecc", "--force", *own)


class Lego(Client):
    """The client ``lego``. It exits with an error if certpin's hook fails."""

    tells = True

    @property
    def chain(self) -> Path:
        return self.folder / "lego/certificates" / f"{HOST}.crt"

    @property
    def key(self) -> Path:
        return self.chain.with_suffix(".key")

    def _lego(self, *words: str | Path, path: str = "lego") -> tuple[int, str]:
        self.setting["LEGO_CA_CERTIFICATES"] = str(self.pebble.trust)
        account = ("--accept-tos", "--email", "ops@bank.example", "--path", self.folder / path)
        web = ("--http", "--http.webroot", self.web)
        return self.run("lego", "--server", self.pebble.directory, *account, *web, *words)

    def install(self) -> tuple[int, str]:
        return self.run(HOOK, self.chain, self.key)

    def first(self) -> tuple[int, str]:
        return self._lego("-d", HOST, "run")

    def renew(self) -> tuple[int, str]:
        return self._renew("--reuse-key")

    def renew_with_a_new_key(self) -> tuple[int, str]:
        return self._renew()  # it is the default

    def _renew(self, *words: str) -> tuple[int, str]:
        now = ("--days", "999", "--no-random-sleep")
        return self._lego("-d", HOST, "renew", *now, "--renew-hook", str(HOOK), *words)

    def sign(self, csr: Path, key: Path) -> tuple[int, str]:
        chain = self.folder / "signed/certificates" / f"{HOST}.crt"
        hook = f"{HOOK} {chain} {key}"
        code, said = self._lego("--csr", csr, "run", "--run-hook", hook, path="signed")
        if code:
            return code, said
        now = ("--days", "999", "--no-random-sleep")
        return self._lego("--csr", csr, "renew", *now, "--renew-hook", hook, path="signed")


CLIENTS: dict[str, Callable[[Pebble, Path], Certbot | AcmeSh | Lego]] = {
    "certbot": Certbot,
    "acme.sh": AcmeSh,
    "lego": Lego,
}
