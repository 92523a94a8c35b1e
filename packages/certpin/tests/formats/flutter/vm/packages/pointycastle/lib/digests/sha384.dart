export '../src/ecdsa.dart' show SHA384Digest;
