/// The platforms of `dart:io`, which have sockets.
library;

/// Does nothing. On the web, `platform_web.dart` replaces this file.
void requireSockets(String name) {}
