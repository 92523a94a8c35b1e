/// A substitute for `package:flutter_cache_manager` 3.4: the types that the recipe
/// names, without a function.
library;

import 'package:http/http.dart' as http;

abstract class FileService {}

class HttpFileService extends FileService {
  HttpFileService({http.Client? httpClient});
}

class Config {
  Config(this.cacheKey, {FileService? fileService});

  final String cacheKey;
}

class CacheManager {
  CacheManager(Config config);
}
