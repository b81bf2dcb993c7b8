"""How Sphinx builds the book: `tox -e site` writes it to site/."""

import os

project = "calibrant"
author = "the calibrant authors"
copyright = "the calibrant authors, MIT licence"

extensions = ["myst_parser", "calibrant.edition.site"]
root_doc = "README"
exclude_patterns = ["__pycache__"]

# The headings of a chapter have the anchors that a code host gives them.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath", "html_image"]
myst_dmath_double_inline = True

# A link that leads nowhere is a warning, and `-W` makes it an error.
nitpicky = True
# The boxes of chapter 9 are headings of the fourth level, below those of clauses, wherever they stand.
suppress_warnings = ["myst.header"]
html_math_renderer = "mathml"
html_theme = "furo"
html_title = "calibrant"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["book.css"]
html_js_files = ["search.js"]
html_favicon = "static/favicon.svg"
pygments_style = "a11y-high-contrast-light"

if repository := os.environ.get("GITHUB_REPOSITORY"):
    html_theme_options = {
        "source_repository": f"https://github.com/{repository}/",
        "source_branch": os.environ.get("GITHUB_REF_NAME", "main"),
        "source_directory": "spec/",
    }
