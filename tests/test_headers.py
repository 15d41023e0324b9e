"""Promises of the installed C headers: each compiles alone, in C and in C++, and nothing else is installed."""

import re
import shutil
import subprocess
import sysconfig

import numpy as np
import pytest

from implicitops.backends.theano.c_code import INCLUDE

HEADERS = sorted(path.name for path in INCLUDE.iterdir())
PUBLIC = ("implicitops.h", "marked_nan.h", "theano_call.h")


@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize("header", HEADERS)
def test_each_header_compiles_alone(header, language):
    compiler = shutil.which({"c": "cc", "c++": "c++"}[language])
    if compiler is None:
        pytest.skip(f"no compiler for {language} on this machine")
    folders = [f"-I{folder}" for folder in (INCLUDE, sysconfig.get_paths()["include"], np.get_include())]
    # NumPy warns of its own deprecated names.
    flags = ["-fsyntax-only", "-Wall", "-Werror", "-Wno-cpp", "-Wno-unused-function"]
    done = subprocess.run(
        [compiler, "-x", language, *flags, *folders, str(INCLUDE / header)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_headers_are_the_public_ones_and_what_they_include():
    included = set(PUBLIC)
    for header in HEADERS:
        included.update(re.findall(r'^#include "(.+)"', (INCLUDE / header).read_text(), flags=re.MULTILINE))
    assert set(HEADERS) == included
