/// SHA-256 and SHA-384 (FIPS 180-4). The constants are computed as the standard
/// defines them: the first bits of the roots of the first primes.
library;

import 'dart:typed_data';

const int _mask32 = 0xffffffff;

Uint8List sha256Of(Uint8List message) {
  final h = [for (final prime in _primes.take(8)) _rootBits(prime, 2, 32)];
  final data = _padded(message, 64);
  for (var at = 0; at < data.length; at += 64) {
    final w = List<int>.filled(64, 0);
    for (var t = 0; t < 16; t += 1) {
      w[t] = data.buffer.asByteData().getUint32(at + 4 * t);
    }
    for (var t = 16; t < 64; t += 1) {
      final x = w[t - 15];
      final y = w[t - 2];
      w[t] = (w[t - 16] +
              (_rotate32(x, 7) ^ _rotate32(x, 18) ^ (x >> 3)) +
              w[t - 7] +
              (_rotate32(y, 17) ^ _rotate32(y, 19) ^ (y >> 10))) &
          _mask32;
    }
    final v = [...h];
    for (var t = 0; t < 64; t += 1) {
      final e = v[4];
      final a = v[0];
      final one = v[7] +
          (_rotate32(e, 6) ^ _rotate32(e, 11) ^ _rotate32(e, 25)) +
          ((e & v[5]) ^ (~e & v[6] & _mask32)) +
          _k32[t] +
          w[t];
      final two = (_rotate32(a, 2) ^ _rotate32(a, 13) ^ _rotate32(a, 22)) +
          ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
      v
        ..insert(0, (one + two) & _mask32)
        ..removeLast();
      v[4] = (v[4] + one) & _mask32;
    }
    for (var i = 0; i < 8; i += 1) {
      h[i] = (h[i] + v[i]) & _mask32;
    }
  }
  final out = ByteData(32);
  for (var i = 0; i < 8; i += 1) {
    out.setUint32(4 * i, h[i]);
  }
  return out.buffer.asUint8List();
}

/// Integers of Dart have 64 bits and wrap, as those of SHA-384 do.
Uint8List sha384Of(Uint8List message) {
  final h = [
    for (final prime in _primes.skip(8).take(8)) _rootBits(prime, 2, 64),
  ];
  final data = _padded(message, 128);
  for (var at = 0; at < data.length; at += 128) {
    final w = List<int>.filled(80, 0);
    for (var t = 0; t < 16; t += 1) {
      w[t] = data.buffer.asByteData().getInt64(at + 8 * t);
    }
    for (var t = 16; t < 80; t += 1) {
      final x = w[t - 15];
      final y = w[t - 2];
      w[t] = w[t - 16] +
          (_rotate64(x, 1) ^ _rotate64(x, 8) ^ (x >>> 7)) +
          w[t - 7] +
          (_rotate64(y, 19) ^ _rotate64(y, 61) ^ (y >>> 6));
    }
    final v = [...h];
    for (var t = 0; t < 80; t += 1) {
      final e = v[4];
      final a = v[0];
      final one = v[7] +
          (_rotate64(e, 14) ^ _rotate64(e, 18) ^ _rotate64(e, 41)) +
          ((e & v[5]) ^ (~e & v[6])) +
          _k64[t] +
          w[t];
      final two = (_rotate64(a, 28) ^ _rotate64(a, 34) ^ _rotate64(a, 39)) +
          ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
      v
        ..insert(0, one + two)
        ..removeLast();
      v[4] = v[4] + one;
    }
    for (var i = 0; i < 8; i += 1) {
      h[i] += v[i];
    }
  }
  final out = ByteData(48);
  for (var i = 0; i < 6; i += 1) {
    out.setInt64(8 * i, h[i]);
  }
  return out.buffer.asUint8List();
}

int _rotate32(int x, int by) => ((x >> by) | (x << (32 - by))) & _mask32;

int _rotate64(int x, int by) => (x >>> by) | (x << (64 - by));

Uint8List _padded(Uint8List message, int block) {
  final length = message.length + 1 + block ~/ 8;
  final out = Uint8List((length + block - 1) ~/ block * block)
    ..setAll(0, message);
  out[message.length] = 0x80;
  out.buffer.asByteData().setInt64(out.length - 8, 8 * message.length);
  return out;
}

final List<int> _primes = [
  for (var n = 2; n < 410; n += 1)
    if ([for (var d = 2; d * d <= n; d += 1) n % d].every((rest) => rest != 0))
      n,
];
final List<int> _k32 = [
  for (final prime in _primes.take(64)) _rootBits(prime, 3, 32),
];
final List<int> _k64 = [
  for (final prime in _primes.take(80)) _rootBits(prime, 3, 64),
];

/// The first [bits] bits of the fraction of a square or cube root.
int _rootBits(int prime, int degree, int bits) {
  final wanted = BigInt.from(prime) << (degree * bits);
  var low = BigInt.zero;
  var high = BigInt.one << (bits + 5);
  while (high - low > BigInt.one) {
    final middle = (low + high) >> 1;
    if (middle.pow(degree) <= wanted) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low.toUnsigned(bits).toSigned(64).toInt();
}
