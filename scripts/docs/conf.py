"""The settings of Sphinx for the documentation site, which ``python -m scripts.docs`` builds."""

from __future__ import annotations

from certpin._version import __version__

project = "certpin"
author = "the certpin authors"
version = release = __version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "scripts.docs.extension",
]
nitpicky = True
smartquotes = False  # they turn --option into a dash
root_doc = "index"
myst_heading_anchors = 6
# Code with an ellipsis, or a header without its request, is shown without all of its colours.
suppress_warnings = ["misc.highlighting_failure"]

add_module_names = False
autoclass_content = "class"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_mock_imports = ["niquests"]
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"certpin {__version__}"
html_static_path = ["static"]
html_css_files = ["certpin.css"]
html_js_files = [("versions.js", {"defer": "defer"})]
html_extra_path = ["extra"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_permalinks_icon = "#"
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = False
pygments_style = "xcode"
pygments_dark_style = "github-dark"
