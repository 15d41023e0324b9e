"""Theano functions that run on TensorFlow: a Linker and a Mode, so that PyMC3's own step methods use it unchanged."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from theano.compile.mode import Mode
from theano.graph.optdb import Query
from theano.link.basic import Container, PerformLinker
from theano.link.utils import map_storage

from implicitops.errors import ProcessError
from implicitops.sampling.compiled_function import CompiledFunction
from implicitops.sampling.translation import translate


class TensorFlowLinker(PerformLinker):
    """Linker that turns a whole graph into one TensorFlow function.

    A call from Python costs about 0.1 ms however small the graph is, which Theano's own linkers do not: this is for
    running unchanged code, not for speed. Sampling by TensorFlow itself is in :func:`implicitops.sampling.sample`.

    Parameters
    ----------
    jit_compile : bool, whether XLA compiles the function, for which all shapes have to follow from those of the inputs
    allow_gc, schedule : as for every linker of Theano
    """

    fgraph: Any

    def __init__(self, jit_compile: bool = False, allow_gc: bool | None = None, schedule: Any = None) -> None:
        super().__init__(allow_gc=allow_gc, schedule=schedule)
        self.jit_compile = jit_compile

    def accept(self, fgraph: Any, no_recycling: Any = None, profile: Any = None) -> TensorFlowLinker:
        """Linker for one graph."""
        if self.fgraph is not None and self.fgraph is not fgraph:
            fresh = type(self)(self.jit_compile, self.allow_gc, self._scheduler)
            return fresh.accept(fgraph, no_recycling, profile)
        self.fgraph, self.no_recycling = fgraph, no_recycling or []
        return self

    def make_all(
        self, input_storage: Any = None, output_storage: Any = None, storage_map: Any = None
    ) -> tuple[Callable[[], None], list[Any], list[Any], list[Any], list[Any]]:
        """What a Theano function consists of: code that runs it, containers of inputs and outputs, thunks and nodes."""
        fgraph = self.fgraph
        nodes = self.schedule(fgraph)
        input_storage, output_storage, storage_map = map_storage(
            fgraph, nodes, input_storage, output_storage, storage_map
        )
        run = _runner(fgraph.inputs, fgraph.outputs, input_storage, output_storage, self.jit_compile)
        run.allow_gc = self.allow_gc  # type: ignore[attr-defined]  # Theano's Function looks for these two
        run.storage_map = storage_map  # type: ignore[attr-defined]
        inputs = [Container(v, storage) for v, storage in zip(fgraph.inputs, input_storage)]
        outputs = [Container(v, storage, readonly=True) for v, storage in zip(fgraph.outputs, output_storage)]
        return run, inputs, outputs, [run] if nodes else [], nodes[:1]


def _runner(
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    input_storage: Sequence[Any],
    output_storage: Sequence[Any],
    jit_compile: bool,
) -> Callable[[], None]:
    """Function that reads one storage and writes the other."""
    unique = list(dict.fromkeys(inputs))
    translated = translate(unique, outputs)
    function = CompiledFunction(translated) if jit_compile else tf.function(translated, autograph=False)
    sources = [input_storage[inputs.index(v)] for v in unique]
    process = os.getpid()

    def run() -> None:
        if os.getpid() != process:
            raise ProcessError(
                "TensorFlow does not work in a forked process. Sample with cores=1, or with mp_ctx='spawn' in "
                "pm.sample."
            )
        results = function(*(tf.constant(np.asarray(storage[0])) for storage in sources))
        for storage, variable, result in zip(output_storage, outputs, results):
            # A copy: Theano's caller owns what it gets, and TensorFlow's memory is its own.
            storage[0] = np.array(result.numpy(), dtype=variable.dtype)

    return run


def tensorflow_mode(jit_compile: bool = False) -> Mode:
    """Mode for ``theano.function(..., mode=...)`` and ``theano.config.change_flags(mode=...)`` that runs on TensorFlow.

    Theano's rewrites for numerical stability apply; those that save memory or make code for a C compiler or BLAS
    don't.

    Parameters
    ----------
    jit_compile : bool, whether XLA compiles each function

    Returns
    -------
    theano.compile.mode.Mode

    Examples
    --------
    >>> import theano, theano.tensor as tt
    >>> from implicitops.sampling.linker import tensorflow_mode
    >>> x = tt.dvector("x")
    >>> float(theano.function([x], (x**2).sum(), mode=tensorflow_mode())([1.0, 2.0]))
    5.0
    """
    rewrites = Query(
        include=["ShapeOpt", "merge", "canonicalize", "stabilize", "specialize"],
        exclude=["inplace", "fusion", "BlasOpt", "cxx_only", "scan", "constant_folding", "topo_constant_folding"],
    )
    return Mode(TensorFlowLinker(jit_compile), rewrites)
