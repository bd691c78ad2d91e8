"""How Sphinx builds the documentation: ``make docs``, into ``build/docs/html``.

Warnings are errors there: a broken link inside, or a docstring that does not read.
Nothing is fetched, neither while it is built nor by its pages.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import site_parts

from cmhot import __version__

project = "cmhot"
author = "The cmhot authors"
project_copyright = "The cmhot authors; text and figures CC BY 4.0"
release = version = __version__
language = "en-GB"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "site_parts",
]
nb_execution_mode = "off"  # papermill has executed them (site_parts)
nb_merge_streams = True
exclude_patterns = ["headline"]
if not Path(__file__).with_name("findings.md").exists():
    # they lead to the findings, which `make publish` writes
    exclude_patterns.append("proposed-*")
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

default_role = "py:obj"  # a name in single backticks is a link, if there is such a name
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes of dataclasses once, with what they mean
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 72

html_theme = "furo"
html_title = f"cmhot {release}"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = [str(site_parts.SHOWN)]
