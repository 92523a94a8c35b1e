export '../src/ecdsa.dart' show SHA256Digest;
