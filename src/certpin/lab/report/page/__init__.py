"""The parts of the HTML page. All of it is built as elements, so that nothing goes unescaped."""
