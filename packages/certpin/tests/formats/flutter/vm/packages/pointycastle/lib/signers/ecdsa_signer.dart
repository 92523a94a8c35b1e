export '../src/ecdsa.dart' show ECDSASigner;
