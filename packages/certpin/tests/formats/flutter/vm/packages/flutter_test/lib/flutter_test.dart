/// Replaces `package:flutter_test` for tests without widgets.
library;

export 'package:test/test.dart';
