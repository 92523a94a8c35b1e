"""Relayed TLS connections of Java, which pads its records and ends with two alerts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import LabServer
from certpin.lab.attacks import CONTROL
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.upstream import Upstream
from certpin.x509 import Chain

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority

HOST = "localhost"  # a name that Java resolves
_CLIENT = """
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

class Client {
    public static void main(String[] words) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (FileInputStream root = new FileInputStream(words[1])) {
            var factory = CertificateFactory.getInstance("X.509");
            store.setCertificateEntry("root", factory.generateCertificate(root));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        int port = Integer.parseInt(words[0]);
        SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", port);
        socket.startHandshake();
        if (words[2].equals("speaks")) {
            socket.getOutputStream().write("GET / HTTP/1.0\\r\\n\\r\\n".getBytes());
            socket.getInputStream().read();
        }
        socket.close();
    }
}
"""


@pytest.mark.slow
@pytest.mark.peer("javac")
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("does", ["speaks", "leaves"])
def test_its_data_counts_and_nothing_else(
    does: str, asks: bool, version: str, tmp_path: Path, root: Authority, intermediate: Authority
) -> None:
    source, trusted = tmp_path / "Client.java", tmp_path / "root.pem"
    source.write_text(_CLIENT)
    trusted.write_bytes(root.pem)
    identity = intermediate.issue(HOST)
    with LabServer(identity) as server:
        context: Any = server._context
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        if asks:
            context.load_verify_locations(cadata=root.pem.decode())
            context.verify_mode = ssl.CERT_OPTIONAL
        chain = Chain.from_der([identity.certificate.der])
        upstream = Upstream(("127.0.0.1", server.port), chain, root.pem)
        with Lab(HOST, Style.NONE, upstream=upstream) as lab:
            case_server = lab.case_server(CONTROL)
            words = ("java", str(source), "{port}", str(trusted), does)
            ending = Command(words, "port", 60).run(case_server.open())
            [seen] = case_server.close()
    assert (ending.status, ending.problem) == (0, ""), ending.output
    assert (seen.passed, seen.unclear) == (int(does == "speaks"), False)
    assert seen.answered
