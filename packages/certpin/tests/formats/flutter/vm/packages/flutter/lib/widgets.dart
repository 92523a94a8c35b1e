/// A substitute for Flutter: the types that the recipe for images names, without
/// a function.
library;

abstract class BuildContext {}

abstract class Widget {
  const Widget();
}

abstract class StatelessWidget extends Widget {
  const StatelessWidget();

  Widget build(BuildContext context);
}

class Text extends Widget {
  const Text(this.data);

  final String data;
}

typedef ImageErrorWidgetBuilder = Widget Function(
  BuildContext context,
  Object error,
  StackTrace? stackTrace,
);

class Image extends Widget {
  const Image.network(String src, {this.errorBuilder});

  final ImageErrorWidgetBuilder? errorBuilder;
}

void runApp(Widget app) => throw UnimplementedError();
