import 'dart:convert';
import 'dart:typed_data';

import 'package:certpin/src/proxy.dart';
import 'package:test/test.dart';

/// The notation of proxies, and the messages that open a tunnel.
void main() {
  group('the result of findProxy', () {
    List<List<Object?>?> parsed(String text) => [
          for (final proxy in parseProxies(text))
            proxy == null ? null : [proxy.host, proxy.port, proxy.credentials],
        ];

    test('is parsed as by dart:io', () {
      expect(parsed('DIRECT'), [null]);
      expect(parsed(' PROXY  a : 1 ;; DIRECT; '), [
        ['a', 1, null],
        null,
      ]);
      expect(parsed('PROXY u:p@q:r@[::1]:8080'), [
        ['::1', 8080, 'u:p@q:r'],
      ]);
      expect(parsed('PROXY user : pass @host:3128; PROXY b:2'), [
        ['host', 3128, 'user:pass'],
        ['b', 2, null],
      ]);
    });

    test('is refused otherwise, without its credentials in the message', () {
      for (final text in [
        ...['', ' ; ', 'direct', 'PROXY', 'PROXY ', 'PROXY a', 'PROXY a:'],
        ...['PROXY :1', 'PROXY a:x', 'PROXY a:0', 'PROXY a:65536'],
        ...['PROXY a:-1', 'HTTPS a:1', 'HTTP a:1', 'SOCKS a:1', 'SOCKS5 a:1'],
        ...['proxy a:1', 'DIRECT a', 'PROXY user:secret@', 'secret@a:1'],
        ...['PROXY secret@a:1', 'PROXY :secret@a:1', 'PROXY secret:@a:1'],
        'DIRECT; HTTPS user:secret@a:1',
      ]) {
        try {
          parseProxies(text);
          fail('$text was accepted');
        } on FormatException catch (error) {
          expect(error.message, isNot(contains('secret')));
          expect(error.source, isNull);
        }
      }
    });
  });

  group('a request for a tunnel', () {
    String request(Proxy proxy, String host) =>
        latin1.decode(connectRequest(proxy, host, 443));

    test('has only the server and the credentials of the proxy', () {
      expect(
        request(const Proxy('p', 1), 'bank.example'),
        'CONNECT bank.example:443 HTTP/1.1\r\n'
        'Host: bank.example:443\r\n\r\n',
      );
      expect(
        request(const Proxy('p', 1, 'user:pä:ss'), '2001:db8::1'),
        'CONNECT [2001:db8::1]:443 HTTP/1.1\r\n'
        'Host: [2001:db8::1]:443\r\n'
        'Proxy-Authorization: Basic dXNlcjpww6Q6c3M=\r\n\r\n',
      );
    });
  });

  group('the response of a proxy', () {
    int statusOf(String text, {int pieces = 1}) {
      final response = ConnectResponse();
      final bytes = latin1.encode(text);
      var place = 0;
      while (place < bytes.length) {
        final end =
            place + pieces < bytes.length ? place + pieces : bytes.length;
        if (response.add(bytes.sublist(place, end))) {
          expect(end, bytes.length);
          return response.status;
        }
        place = end;
      }
      return 0;
    }

    test('is read in pieces of any size', () {
      const text = 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n';
      for (var pieces = 1; pieces <= text.length; pieces += 1) {
        expect(statusOf(text, pieces: pieces), 200);
      }
    });

    test('may be of HTTP/1.0, without a reason, or with bare line feeds', () {
      expect(statusOf('HTTP/1.0 200\r\n\r\n'), 200);
      expect(statusOf('HTTP/1.1 299 \n\n'), 299);
      expect(statusOf('HTTP/1.1 407 Proxy\x80 Auth\r\na: b\r\n\r\n'), 407);
    });

    test('may begin with interim responses', () {
      const text = 'HTTP/1.1 103 Early\r\na: b\r\n\r\n'
          'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad\r\n\r\n';
      expect(statusOf(text, pieces: 1), 502);
      expect(statusOf(text, pieces: 1000), 502);
      expect(statusOf('HTTP/1.1 101 Switching\r\n\r\n'), 101);
    });

    test('is incomplete until its empty line', () {
      expect(statusOf('HTTP/1.1 200 OK\r\n'), 0);
      expect(statusOf('HTTP/1.1 200 OK\r\na: b\r\n'), 0);
      expect(statusOf(''), 0);
    });

    test('is refused if it is no response of HTTP/1', () {
      for (final text in [
        ...['\r\n\r\n', 'HTTP/2 200\r\n', 'HTTP/1.1 20\r\n', 'SSH-2.0-x\r\n'],
        ...['HTTP/1.1 0200 OK\r\n', 'HTTP/1.1  200 OK\r\n', ' HTTP/1.1 200\n'],
        ...['HTTP/1.1 600 x\r\n', 'HTTP/1.1 200OK\r\n', 'HTTP/1.1 200 a\rb\n'],
        'HTTP/1.1 100 Continue\r\n\r\na: b\r\n',
      ]) {
        expect(() => statusOf(text), throwsFormatException);
      }
    });

    test('is refused if bytes follow a success', () {
      const success = 'HTTP/1.1 200 OK\r\n\r\n';
      final response = ConnectResponse();
      expect(
        () => response.add(latin1.encode('$success\x16')),
        throwsFormatException,
      );
      final refusal = latin1.encode('HTTP/1.1 407 Auth\r\n\r\n<html>');
      expect(ConnectResponse().add(refusal), isTrue);
    });

    test('is limited in length, whatever it is made of', () {
      final fill = Uint8List(maxResponseHead - 100)..fillRange(0, 100, 0x61);
      for (final start in [
        'HTTP/1.1 200 OK\r\na: ',
        'HTTP/1.1 200 ',
        '',
      ]) {
        final response = ConnectResponse()..add(latin1.encode(start));
        response.add(fill);
        expect(() => response.add(fill), throwsFormatException);
      }
      final lines = ConnectResponse()..add(latin1.encode('HTTP/1.1 200 \n'));
      final line = latin1.encode('a:b\n');
      expect(
        () {
          for (var at = 0; at < maxResponseHead; at += 1) {
            lines.add(line);
          }
        },
        throwsFormatException,
      );
    });
  });
}
