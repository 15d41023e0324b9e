"""How long a person waits: import, and from a SymPy expression to the first answer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from measure import machine, publish, table

IMPORT = "import time; t = time.perf_counter(); import implicitops; print(time.perf_counter() - t)"
IMPORT_SYMPY = "import time; t = time.perf_counter(); import sympy; print(time.perf_counter() - t)"
FRAMEWORKS = "import sys, implicitops; print(int(any(m in sys.modules for m in ('theano', 'tensorflow', 'pymc3'))))"
# A first, different problem warms the process up (imports of llvmlite and the like), as "in a running process".
ANSWER = """
import time, sympy as sp, implicitops as iop
x, p, mu, theta = sp.symbols("x p mu theta")
if {warm}:
    iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))(2.0)
t = time.perf_counter()
iop.Root(mu + mu*sp.exp(theta*mu) - 1, mu, [theta], bracket=(0, 1)).solve(0.4, derivatives={derivatives})
print(time.perf_counter() - t)
"""


def seconds(program: str, folder: str) -> float:
    """What a program in a new process prints."""
    environment = {**os.environ, "IMPLICITOPS_CACHE_DIR": folder}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True
    )
    return float(output.stdout)


def main() -> None:
    """Run and publish."""
    rows = [["", "milliseconds"]]
    with tempfile.TemporaryDirectory() as folder:
        rows.append(["import implicitops", f"{1e3 * min(seconds(IMPORT, folder) for _ in range(5)):.0f}"])
        rows.append(["import sympy (part of it)", f"{1e3 * min(seconds(IMPORT_SYMPY, folder) for _ in range(5)):.0f}"])
        rows.append(["frameworks imported with it", f"{seconds(FRAMEWORKS, folder):.0f}"])
    for derivatives in (0, 1):
        label = "value" if derivatives == 0 else "value and derivative"
        cold, cached = [], []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder:
                program = ANSWER.format(warm=True, derivatives=derivatives)
                cold.append(seconds(program, folder))
                cached.append(seconds(program, folder))
        rows.append([f"statement to first {label}, cold", f"{1e3 * min(cold):.1f}"])
        rows.append([f"statement to first {label}, from the disk cache", f"{1e3 * min(cached):.1f}"])
    publish("start_up", f"{machine()}\n\n" + table("Start-up", rows))


if __name__ == "__main__":
    main()
