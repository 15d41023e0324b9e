"""Theano graphs as TensorFlow functions: :func:`translate`, and :func:`register` for an Op that has no entry yet."""

from __future__ import annotations

from implicitops import legacy_stack
from implicitops.errors import TranslationError

legacy_stack.prepare()

from implicitops.sampling.translation import (  # noqa: E402, F401  each registers its Ops
    elementwise,
    implicit,
    indexing,
    linear_algebra,
    matrices,
    neural_network,
    random,
    reductions,
    scan,
    shapes,
    sorting,
    special_functions,
    splines,
)
from implicitops.sampling.translation.dispatch import Translated, register, translate  # noqa: E402

__all__ = ["Translated", "TranslationError", "register", "translate"]
