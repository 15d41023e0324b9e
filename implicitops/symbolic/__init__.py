"""What kernels and derivative rules ask of expressions: canonical Symbols, tapes, conditions, singularities."""
