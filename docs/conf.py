"""How Sphinx builds the site from the pages of this folder; `make docs-site` runs it."""

from __future__ import annotations

import re
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

from pygments.lexers import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "scythe"
author = "The scythe maintainers"
release = version = installed_version("scythe-runner")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_tools"]
html_theme = "furo"
html_title = f"scythe {release}"
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
myst_heading_anchors = 3
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
autodoc_default_options = {"exclude-members": "model_config"}
default_role = "code"  # a single backtick in a docstring
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True

_TITLED = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def show_file_names(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Write the name of a file above its block: Markdown viewers ignore `title=`, Sphinx calls it a caption."""
    source[0] = _TITLED.sub(r"```{code-block} \1\n:caption: \2\n\n\3```", source[0])


def keep_colons(_app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Napoleon takes the text before a colon for the type of a property: put the sentence together again."""
    marks = [line for line in lines if what == "property" and line.startswith(":type: ")]
    if marks:
        lines[0] = f"{marks[0].removeprefix(':type: ')}: {lines[0]}"
        lines.remove(marks[0])


def setup(app: Sphinx) -> None:
    """Register what Sphinx does not know by itself."""
    app.connect("autodoc-process-docstring", keep_colons, priority=900)
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", show_file_names)
