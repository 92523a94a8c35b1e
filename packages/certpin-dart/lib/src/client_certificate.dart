/// The certificate of an app, for servers that request one.
library;

import 'dart:io';

/// A client certificate with its key, for servers that request one.
///
/// It replaces the `SecurityContext` to which an app adds its certificate: a
/// context of other code can't be read, and could contain more roots.
final class ClientCertificate {
  /// Creates a client certificate. [chain] and [key] are PEM or PKCS #12, as in
  /// `SecurityContext`; [password] decrypts them, if they are encrypted.
  const ClientCertificate({
    required this.chain,
    required this.key,
    this.password,
  });

  /// Creates a client certificate from a PKCS #12 archive (`.p12`, `.pfx`) with
  /// the chain and the key.
  const ClientCertificate.pkcs12(List<int> archive, {this.password})
      : chain = archive,
        key = archive;

  /// The certificate, followed by its intermediates.
  final List<int> chain;

  /// The private key of the certificate.
  final List<int> key;

  /// The password of the key, if it is encrypted.
  final String? password;
}

/// Adds a client certificate to a context.
///
/// Throws an [ArgumentError] if BoringSSL can't read it: that is a mistake of
/// the app, which must not look like a failed handshake.
void useClientCertificate(SecurityContext context, ClientCertificate own) {
  try {
    context
      ..useCertificateChainBytes(own.chain, password: own.password)
      ..usePrivateKeyBytes(own.key, password: own.password);
  } on TlsException catch (error) {
    throw ArgumentError(
      'the client certificate is unreadable: ${error.message} '
      '${error.osError?.message.trim() ?? ''}. fix: give chain and key as PEM '
      'or PKCS #12, of the same certificate, with the password of the key',
      'clientCertificate',
    );
  }
}
