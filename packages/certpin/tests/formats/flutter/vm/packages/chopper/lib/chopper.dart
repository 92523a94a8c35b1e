/// A substitute for `package:chopper` 8.5: the types that the recipe
/// names, without a function.
library;

import 'package:http/http.dart' as http;

abstract class ChopperService {}

base class ChopperClient {
  ChopperClient({
    this.baseUrl,
    http.Client? client,
    Iterable<ChopperService>? services,
  });

  final Uri? baseUrl;
}
