/// A substitute for `package:retrofit` 4.9: the types that the recipe
/// names, without a function.
library;

class RestApi {
  const RestApi({this.baseUrl});

  final String? baseUrl;
}

class GET {
  const GET(this.path);

  final String path;
}
