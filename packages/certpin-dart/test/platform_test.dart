import 'package:certpin/src/platform_io.dart' as io;
import 'package:certpin/src/platform_web.dart' as web;
import 'package:test/test.dart';

void main() {
  test('on the web, the first use fails with the cause and the fix', () {
    expect(
      () => web.requireSockets('PinnedHttpClient'),
      throwsA(
        isA<UnsupportedError>()
            .having(
              (error) => error.message,
              'message',
              contains('PinnedHttpClient: a browser shows no certificate'),
            )
            .having((error) => error.message, 'fix', contains('fix: use ')),
      ),
    );
  });

  test('elsewhere it has no effect', () => io.requireSockets('anything'));
}
