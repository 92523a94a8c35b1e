/// Images on pinned connections: Flutter's `Image.network`, and
/// flutter_cache_manager 3, with which cached_network_image loads its images.
library;

import 'dart:io';

import 'package:certpin/certpin.dart';
import 'package:flutter/widgets.dart';
import 'package:flutter_cache_manager/flutter_cache_manager.dart';
import 'package:http/io_client.dart';

/// Starts an app in which `Image.network` is pinned.
///
/// Flutter creates one client for all images, when it loads the first one, and
/// keeps it: set the overrides before `runApp`.
void runPinnedApp(PinSet pins, Widget app) {
  HttpOverrides.global = PinnedHttpOverrides(pins);
  runApp(app);
}

/// Returns an image, and a text instead of it if its connection was refused.
Widget pinnedImage(String url) {
  return Image.network(
    url,
    errorBuilder: (context, error, stack) =>
        Text(ConnectionException.of(error)?.userMessage ?? 'No image.'),
  );
}

/// Returns the `cacheManager` for each `CachedNetworkImage`. Create it once.
///
/// Its default manager is pinned only if the overrides are set.
CacheManager pinnedCacheManager(PinSet pins) {
  final client = IOClient(PinnedHttpClient(pins));
  return CacheManager(
    Config('pinned', fileService: HttpFileService(httpClient: client)),
  );
}
