"""What the examples share as programs: the choice of the backend, and where figures go. No model lives here."""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

OUTPUT = Path(__file__).resolve().parents[1] / "output"


def chosen_backend(description: str) -> str:
    """Backend named on the command line, "theano" or "tensorflow"; the first line of the text stands in the help."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--backend", choices=("theano", "tensorflow"), default="theano")
    return parser.parse_args().backend


def save(figure: Figure, name: str, dpi: int = 120) -> None:
    """Save a figure under this name in ``output/``, and say where."""
    file = OUTPUT / name
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, dpi=dpi)
    print(f"figure: {file}")
