"""The parts of the HTML page. It is built from elements, so that everything is escaped."""
