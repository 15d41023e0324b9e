"""Sphinx configuration, and the one directive of our own."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from implicitops import __version__

project = "implicitops"
author = "implicitops developers"
copyright = "2026, implicitops developers"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "benchmark-results"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name types with their shapes
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = "implicitops"


class BenchmarkResults(SphinxDirective):
    """Every ``*.txt`` of a folder as a literal block under its name; a sentence where there is none yet."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the section's nodes."""
        self.env.note_reread()  # the folder may have gained a file since the last build
        files = sorted((Path(self.env.srcdir) / self.arguments[0]).glob("*.txt"))
        if not files:
            return [nodes.paragraph(text="No results are recorded yet. Run make bench.")]
        blocks: list[nodes.Node] = []
        for file in files:
            text = file.read_text(encoding="utf-8")
            blocks += [nodes.rubric(text=file.stem), nodes.literal_block(text, text, language="none")]
        return blocks


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("benchmark-results", BenchmarkResults)
