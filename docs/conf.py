"""The documentation: sphinx-build -W --keep-going --nitpicky docs build/docs"""

import sys
from pathlib import Path

import orchestra

sys.path.append(str(Path(__file__).parent / "_ext"))

project = "Orchestra"
author = "The Orchestra contributors"
release = version = orchestra.__version__

extensions = ["generated", "sphinx.ext.autodoc"]
exclude_patterns = ["_ext"]
highlight_language = "none"
html_theme = "furo"
html_title = f"Orchestra {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_copyright = False

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
autodoc_type_aliases = {
    name: f"orchestra.interfaces.{name}"  # which a zope.interface does not tell
    for name in ("IEncoding", "IOutlet")
}
# What is documented elsewhere, and the rooms that are nobody's business.
nitpick_ignore_regex = [
    ("py:.*", r"(autobahn|collections|os|twisted)\..*|I[A-Z]\w+|ConnectionDeny"),
    ("py:.*", r"orchestra\.(head|websocket)\..*"),
]
