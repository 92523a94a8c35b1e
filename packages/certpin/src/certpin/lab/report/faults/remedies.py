"""The change that fixes a client's mistake, in each programming language.

The texts name the functions and settings of the platform.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Remedy:
    """The change that fixes a mistake, in each programming language.

    Each text is a phrase without a full stop.
    """

    python: str
    dart: str
    kotlin: str
    swift: str
    go: str
    node: str

    @property
    def by_language(self) -> dict[str, str]:
        """The fixes by the name of the programming language."""
        return {_LANGUAGES[name]: words for name, words in asdict(self).items()}


_LANGUAGES = {
    "python": "Python",
    "dart": "Dart",
    "kotlin": "Kotlin",
    "swift": "Swift",
    "go": "Go",
    "node": "Node.js",
}

VERIFY = Remedy(
    python="make contexts with ssl.create_default_context(), without verify=False, CERT_NONE, or "
    "a path check of your own",
    dart="remove badCertificateCallback and onBadCertificate",
    kotlin="remove your X509TrustManager and HostnameVerifier, so that the platform's are used",
    swift="in urlSession(_:didReceive:), cancel the challenge unless SecTrustEvaluateWithError "
    "returns true",
    go="remove InsecureSkipVerify; put further checks into tls.Config.VerifyConnection",
    node="remove rejectUnauthorized: false and NODE_TLS_REJECT_UNAUTHORIZED=0",
)
NAME = Remedy(
    python="leave check_hostname on, and pass the host as server_hostname to wrap_socket",
    dart="pass the host to SecureSocket.secure(socket, host: host), and remove onBadCertificate",
    kotlin="remove the HostnameVerifier; on an SSLSocket, set "
    'SSLParameters.endpointIdentificationAlgorithm = "HTTPS"',
    swift="evaluate the trust with SecPolicyCreateSSL(true, host)",
    go="remove InsecureSkipVerify, or set VerifyOptions.DNSName to the host",
    node="begin checkServerIdentity with tls.checkServerIdentity(host, certificate), and return "
    "its error",
)
PIN = Remedy(
    python="give certpin.PinnedSSLContext(pins) to the client",
    dart="use PinnedHttpClient(pins) of package:certpin, and PinnedSecureSocket for sockets",
    kotlin="build the OkHttpClient with certificatePinner(CertificatePinner)",
    swift="list the pins in NSPinnedDomains of Info.plist, or compare them in "
    "urlSession(_:didReceive:)",
    go="compare the pins in tls.Config.VerifyConnection, which is also called for resumed sessions",
    node="compare the key of the leaf in checkServerIdentity, after tls.checkServerIdentity",
)
EVERY_CONNECTION = Remedy(
    python="give one PinnedSSLContext to all clients, pools and WebSockets",
    dart="set HttpOverrides.global = PinnedHttpOverrides(pins) at the start of main, and use "
    "PinnedSecureSocket for sockets",
    kotlin="derive all clients and WebSockets from one OkHttpClient with newBuilder()",
    swift="use one URLSession for all tasks, or NSPinnedDomains, which covers all sessions",
    go="give the tls.Config with VerifyConnection to all transports and dialers",
    node="pass one https.Agent with checkServerIdentity to all requests",
)
VERIFIED_PATH = Remedy(
    python="compare pins with SSLSocket.get_verified_chain() (Python 3.13), or use "
    "certpin.PinnedSSLContext",
    dart="compare only peerCertificate; for authorities, use PinnedHttpClient with trust anchors",
    kotlin="compare pins with the result of X509TrustManagerExtensions.checkServerTrusted",
    swift="compare pins with SecTrustCopyCertificateChain after SecTrustEvaluateWithError",
    go="compare pins with ConnectionState.VerifiedChains, not with PeerCertificates or rawCerts",
    node="compare only the leaf: the chain of getPeerCertificate(true) is not verified",
)
FAIL_CLOSED = Remedy(
    python="raise an exception at the end of the check if nothing matched; let no except clause "
    "continue",
    dart="return false from the check if nothing matched, and catch no error around it",
    kotlin="throw a CertificateException at the end of the check, and catch none around it",
    swift="call completionHandler(.cancelAuthenticationChallenge, nil) on every other path",
    go="return an error at the end of the check, and in each default branch",
    node="return an Error at the end of checkServerIdentity, and catch none inside it",
)
NO_SECOND_TRY = Remedy(
    python="let ssl.SSLError and OSError reach the caller, or retry with the same PinnedSSLContext",
    dart="let HandshakeException reach the caller, or retry with the same PinnedHttpClient",
    kotlin="retry only with the same OkHttpClient; let IOException reach the caller",
    swift="retry only in the same URLSession",
    go="retry only with the same http.Client; return its error",
    node="retry only with the same https.Agent; let the error event reach the caller",
)
HTTP3 = Remedy(
    python="use certpin.clients.niquests, or disable_http3=True; with a library for QUIC, compare "
    "the key of its peer certificate before the first request",
    dart="in cronet_http, pass enableQuic: false to CronetEngine.build; HttpClient has no HTTP/3",
    kotlin="in Cronet, call enableQuic(false), or addPublicKeyPins with "
    "enablePublicKeyPinningBypassForLocalTrustAnchors(false); OkHttp has no HTTP/3",
    swift="compare the pins in urlSession(_:didReceive:), and for NWConnection in "
    "sec_protocol_options_set_verify_block of the options of NWProtocolQUIC",
    go="give http3.Transport of quic-go the tls.Config with your VerifyConnection",
    node="remove the library for HTTP/3: fetch and https.request have none",
)
NO_CLEAR_TEXT = Remedy(
    python="send no request to http://; certpin.PinnedSSLContext's clients refuse it",
    dart="use PinnedHttpClient, which refuses http://",
    kotlin='set android:usesCleartextTraffic="false", and connectionSpecs without CLEARTEXT',
    swift="remove NSAllowsArbitraryLoads and NSExceptionAllowsInsecureHTTPLoads",
    go="return the error of http.Client.Do, and refuse other schemes in CheckRedirect",
    node="remove http.request from the error handler",
)
PROXY_ANSWER = Remedy(
    python="leave CONNECT to the library (proxies=, set_tunnel); in code of your own, end the "
    "connection at a status other than 2xx",
    dart="use HttpClient.findProxy, which fails at such a status",
    kotlin="use the proxy of OkHttpClient, which fails at such a status",
    swift="use the proxy of URLSessionConfiguration, and don't show the body of a failed request",
    go="use http.Transport.Proxy; in a DialContext of your own, return an error unless "
    "http.ReadResponse has the status 200",
    node="in an agent of your own, destroy the socket in the event connect unless the statusCode "
    "is 200",
)
PROXY_PASSWORD = Remedy(
    python="answer 407 only with a password that the user set for this proxy",
    dart="add credentials with addCredentials, for the server, and not in authenticateProxy",
    kotlin="return null from proxyAuthenticator; in a java.net.Authenticator, compare "
    "requestorType with RequestorType.PROXY",
    swift="in urlSession(_:didReceive:), compare protectionSpace.isProxy() and its host",
    go="leave ProxyConnectHeader and GetProxyConnectHeader without the server's Authorization",
    node="send the server's authorization with the request, and not in the headers of CONNECT",
)
PROXY_TLS = Remedy(
    python="leave proxy_ssl_context of urllib3 and ssl_context of httpx.Proxy at their defaults, "
    "or give them ssl.create_default_context()",
    dart="open the TLS to the proxy with SecureSocket.connect and without onBadCertificate",
    kotlin="in the SocketFactory that opens TLS to the proxy, keep the default trust manager, and "
    'set endpointIdentificationAlgorithm = "HTTPS"',
    swift="set no verify block in the tlsOptions of ProxyConfiguration(httpCONNECTProxy:)",
    go="remove InsecureSkipVerify: http.Transport uses its TLSClientConfig for the proxy too",
    node="remove rejectUnauthorized: false from the options of tls.connect to the proxy",
)
INSIDE_PROXY = Remedy(
    python="use certpin.clients: they check the pins inside the TLS to the proxy",
    dart="use PinnedHttpClient for the host in the tunnel, and no check of the proxy in its place",
    kotlin="keep the CertificatePinner in the OkHttpClient: it checks the host in the tunnel",
    swift="answer the challenge of the host too, and not only that with protectionSpace.isProxy()",
    go="wrap the connection of the tunnel with tls.Client and the tls.Config that has the pins",
    node="pass checkServerIdentity and servername to tls.connect({ socket }) inside the tunnel",
)
ECH = Remedy(
    python="ssl has no ECH: in another library, let an invalid certificate end the request",
    dart="dart:io has no ECH: in another library, let an invalid certificate end the request",
    kotlin="let the exception of the handshake reach the caller; repeat a call only if the TLS "
    "library reports an authenticated rejection",
    swift="cancel the challenge for the public name if SecTrustEvaluateWithError fails",
    go="remove EncryptedClientHelloRejectionVerify, and repeat only after a tls.ECHRejectionError",
    node="node:tls has no ECH: in another library, let an invalid certificate end the request",
)
VERSION = Remedy(
    python="leave context.minimum_version and the ciphers of ssl.create_default_context() as they "
    "are",
    dart="leave SecurityContext.minimumTlsProtocolVersion at its default, TLS 1.2",
    kotlin="set connectionSpecs(listOf(ConnectionSpec.MODERN_TLS))",
    swift="remove NSExceptionMinimumTLSVersion and tlsMinimumSupportedProtocolVersion",
    go="remove MinVersion and CipherSuites from tls.Config",
    node="set minVersion: 'TLSv1.2', and remove the option ciphers",
)
GROUP = Remedy(
    python="call context.set_ciphers('ECDHE+AESGCM:ECDHE+CHACHA20'); the ssl of OpenSSL refuses "
    "small groups, so look for another TLS library, such as python-gnutls",
    dart="use dart:io, which has no suites with DHE, and no other TLS library",
    kotlin="set connectionSpecs(listOf(ConnectionSpec.RESTRICTED_TLS)), and don't empty "
    "jdk.tls.disabledAlgorithms",
    swift="use URLSession, and remove suites with DHE from tls_ciphersuite_t lists",
    go="use crypto/tls, which has no suites with DHE, and no other TLS library",
    node="remove the option minDHSize, and DHE from the option ciphers",
)
LIBRARY = Remedy(
    python="update Python or the OpenSSL that ssl.OPENSSL_VERSION names",
    dart="update the SDK, and use SecureSocket instead of TLS code of your own",
    kotlin="call ProviderInstaller.installIfNeeded (Android), or update the JDK and Conscrypt",
    swift="use URLSession or Network.framework instead of an OpenSSL that is linked in",
    go="use crypto/tls instead of TLS code of your own, or of a linked OpenSSL",
    node="update Node.js: process.versions.openssl names its OpenSSL",
)
EACH_HOST = Remedy(
    python="keep strict=True of PinnedSSLContext: it normalises hosts, and refuses those without "
    "pins",
    dart="use PinnedHttpClient: it normalises hosts, and refuses those without pins",
    kotlin="refuse hosts without pins in an interceptor, and remove a trailing dot from the host",
    swift="compare the lower-case host without a trailing dot, and cancel the challenge of others",
    go="look up pins by the lower-case ConnectionState.ServerName, and return an error for others",
    node="look up pins by the lower-case host without a trailing dot, and return an Error for "
    "others",
)
KEY = Remedy(
    python="pin with certpin pin HOST, which hashes the SubjectPublicKeyInfo",
    dart="compare the SHA-256 of the SubjectPublicKeyInfo, as PinnedHttpClient does, and not of "
    "certificate.der",
    kotlin="use CertificatePinner.pin(certificate), which hashes the key",
    swift="hash SecCertificateCopyKey with its header, or use NSPinnedLeafIdentities",
    go="hash certificate.RawSubjectPublicKeyInfo, and not certificate.Raw",
    node="hash publicKey.export({ type: 'spki', format: 'der' }), and not fingerprint256",
)
BACKUP = Remedy(
    python="add a pin with role = 'backup' to pins.toml",
    dart="export both pins: certpin export flutter",
    kotlin="add both pins: CertificatePinner.Builder().add(host, pin, backup)",
    swift="list both in NSPinnedLeafIdentities",
    go="compare with a list that has both pins",
    node="compare with an array that has both pins",
)
COMPROMISED = Remedy(
    python="set state = 'compromised' in pins.toml: PinnedSSLContext refuses the key first",
    dart="give the key to HostPolicy.compromised, and pin the leaf",
    kotlin="refuse the key in an EventListener or a trust manager, on the verified path",
    swift="look for the key in SecTrustCopyCertificateChain before pins are compared",
    go="skip each of VerifiedChains that has the key",
    node="return an Error from checkServerIdentity if an issuerCertificate has the key",
)
TRANSPARENCY = Remedy(
    python="set require_ct in pins.toml, and a list of logs as ct_logs",
    dart="verify the SCTs behind your server: dart:io doesn't show them",
    kotlin="set certificateTransparency in the network security configuration (Android 16)",
    swift="keep App Transport Security on: the platform checks SCTs under its roots",
    go="verify the SCTs of the certificate and of ConnectionState with a list of logs",
    node="verify the SCTs of the certificate with a list of logs",
)
