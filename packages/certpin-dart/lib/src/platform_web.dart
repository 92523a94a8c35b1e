/// The web, where code has no sockets and sees no certificate.
library;

/// Throws an [UnsupportedError] about the first use of the class [name].
///
/// Compilers for the web accept `dart:io`, and each of its classes fails at run
/// time with a message that names neither the cause nor a fix.
Never requireSockets(String name) {
  throw UnsupportedError(
    '$name: a browser shows no certificate to code, so that an app on the web '
    "can't pin. fix: use the HTTP client of the web there, without pins, and "
    'choose it with a conditional import. The browser verifies the chain; HSTS '
    'and CAA records on the side of the server protect its users',
  );
}
