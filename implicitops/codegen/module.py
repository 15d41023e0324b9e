"""One LLVM module from a bundle: the block loop, the scalar function, and the functions that they call."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from implicitops.codegen.bundle import Bundle
from implicitops.codegen.called import called_functions, vector_form_attribute
from implicitops.codegen.elementary import GUARDS, careful_form
from implicitops.codegen.emitter import Emitter, Value, function_symbol
from implicitops.codegen.host import Host
from implicitops.codegen.printer import print_bundle

BLOCK = "iop_block"
SCALAR = "iop_scalar"

_METADATA = """
!0 = distinct !{!0, !2, !4}
!1 = distinct !{}
!2 = !{!"llvm.loop.parallel_accesses", !1}
!3 = distinct !{!3, !5}
!4 = !{!"llvm.loop.interleave.count", i32 1}
!5 = !{!"llvm.loop.vectorize.enable", i1 false}
"""

_ATTRIBUTES = """
attributes #0 = { nounwind "prefer-vector-width"="512" }
"""

_IMPORTED_CALL = re.compile(r'call double @"([^"]*:[^"]*)"')

#: Instructions beyond which optimising costs more than it gains, and a second, vectorised copy of them as well.
LARGE = 1000

#: The vectorised loop runs over a multiple of this; no processor has wider vectors of doubles.
MOST_LANES = 8


@dataclass(frozen=True)
class ModuleText:
    """LLVM IR and the symbols that it imports."""

    text: str
    imports: tuple[str, ...]
    is_large: bool


def module_text(bundle: Bundle, host: Host) -> ModuleText:
    """The module of a bundle.

    Parameters
    ----------
    bundle : Bundle
    host : Host    decides fused multiply-add and how pointers are written

    Raises
    ------
    UnsupportedExpressionError : an output has no real-valued machine code
    """
    emitter = Emitter(host.fused)
    outputs, guards = print_bundle(bundle, emitter)
    guard = functools.reduce(lambda a, b: a | b, guards) if guards else None
    # An inlined function is some twenty instructions.
    is_large = sum(21 if " call " in line else 1 for line in emitter.lines) > LARGE
    writer = _FunctionWriter(bundle, host, emitter.lines, outputs)
    functions = [writer.scalar(), writer.scalar_block() if is_large else writer.block(guard)]
    called = dict(emitter.calls)
    called.update({careful_form(name): arity for name, arity in called.items() if name in GUARDS})
    definitions, imports = called_functions(called, emitter.intrinsics, host)
    return ModuleText("\n".join([*definitions, *functions, _ATTRIBUTES, _METADATA]), imports, is_large)


class _FunctionWriter:
    """Writes both callback forms around one body of instructions."""

    def __init__(self, bundle: Bundle, host: Host, body: list[str], outputs: list[Value]) -> None:
        self.n_inputs = len(bundle.inputs)
        self.n_outputs = len(bundle.outputs)
        self.host = host
        self.body = body
        self.outputs = outputs
        self.real_pointer = "ptr" if host.opaque_pointers else "double*"
        self.context_pointer = "ptr" if host.opaque_pointers else "i8*"

    def _address(self, name: str, base: str, offset: str) -> str:
        return f"  {name} = getelementptr inbounds double, {self.real_pointer} {base}, i64 {offset}"

    def _load(self, row: int, base: str, offset: str, access: str = "") -> list[str]:
        pointer = f"%inp{row}"
        load = f"  %in{row} = load double, {self.real_pointer} {pointer}, align 8{access}"
        return [self._address(pointer, base, offset), load]

    def _store(self, row: int, value: str, base: str, offset: str, access: str = "") -> list[str]:
        pointer = f"%outp{row}"
        store = f"  store double {value}, {self.real_pointer} {pointer}, align 8{access}"
        return [self._address(pointer, base, offset), store]

    def _signature(self, name: str, leading: str) -> str:
        pointer = self.real_pointer
        arguments = f"{leading}{pointer} noalias %in, {pointer} noalias %out, {self.context_pointer} %ctx"
        return f"define void @{name}({arguments}) #0 {{"

    def scalar(self) -> str:
        """One parameter set, contiguous; the form that is right for every argument."""
        lines = [self._signature(SCALAR, ""), "entry:"]
        for row in range(self.n_inputs):
            lines += self._load(row, "%in", str(row))
        for line in self.body:
            lines.append(_with_careful_calls(line))
        for row, value in enumerate(self.outputs):
            lines += self._store(row, value.name, "%out", str(row))
        return "\n".join([*lines, "  ret void", "}"])

    def block(self, guard: Value | None) -> str:
        """Many parameter sets: a loop that vectorises, then the scalar form for what is left."""
        rows = range(max(self.n_inputs, self.n_outputs))
        return "\n".join(
            [
                self._signature(BLOCK, "i64 %n, i64 %stride, "),
                "entry:",
                f"  %inputs = alloca double, i64 {max(self.n_inputs, 1)}",
                f"  %outputs = alloca double, i64 {max(self.n_outputs, 1)}",
                *(f"  %row{row} = mul i64 %stride, {row}" for row in rows),
                f"  %whole = and i64 %n, -{MOST_LANES}",
                "  %some = icmp sgt i64 %whole, 0",
                "  br i1 %some, label %lanes, label %after",
                *self._vectorised_loop(guard),
                *self._scalar_loop(guard),
                "done:",
                "  ret void",
                "}",
            ]
        )

    def scalar_block(self) -> str:
        """The block form as a loop over the scalar form, for code that is too large to be there twice."""
        return "\n".join(
            [
                self._signature(BLOCK, "i64 %n, i64 %stride, "),
                "entry:",
                f"  %inputs = alloca double, i64 {max(self.n_inputs, 1)}",
                f"  %outputs = alloca double, i64 {max(self.n_outputs, 1)}",
                "  br label %after",
                "after:",
                *self._loop_over_scalar_form("0"),
                "done:",
                "  ret void",
                "}",
            ]
        )

    def _vectorised_loop(self, guard: Value | None) -> list[str]:
        """Lanes 0 to ``%whole``, a multiple of the vector width: LLVM needs no remainder loop of its own."""
        access = ", !llvm.access.group !1"
        lines = ["lanes:", "  %lane = phi i64 [ 0, %entry ], [ %next, %lanes ]"]
        if guard is not None:
            lines.append("  %before = phi i64 [ 0, %entry ], [ %beyond, %lanes ]")
        for row in range(self.n_inputs):
            lines.append(f"  %inat{row} = add i64 %row{row}, %lane")
            lines += self._load(row, "%in", f"%inat{row}", access)
        lines += [self._with_vector_form(line) for line in self.body]
        for row, value in enumerate(self.outputs):
            lines.append(f"  %outat{row} = add i64 %row{row}, %lane")
            lines += self._store(row, value.name, "%out", f"%outat{row}", access)
        if guard is not None:
            lines += [f"  %flag = zext i1 {guard.name} to i64", "  %beyond = or i64 %before, %flag"]
        return [
            *lines,
            "  %next = add nuw nsw i64 %lane, 1",
            "  %more = icmp slt i64 %next, %whole",
            "  br i1 %more, label %lanes, label %after, !llvm.loop !0",
        ]

    def _with_vector_form(self, line: str) -> str:
        """Tie a call of an imported function to its vector form; older LLVM looks at calls only."""
        imported = _IMPORTED_CALL.search(line)
        if imported is None:
            return line
        name, arity = imported.group(1), line.count("double ", imported.end())
        return f"{line} {vector_form_attribute(name, arity, self.host)}"

    def _scalar_loop(self, guard: Value | None) -> list[str]:
        """The remaining lanes through the scalar form; all lanes if one was beyond a guarded range."""
        lines = ["after:"]
        if guard is None:
            lines.append("  %first = phi i64 [ 0, %entry ], [ %whole, %lanes ]")
        else:
            lines.append("  %redo = phi i64 [ 0, %entry ], [ %beyond, %lanes ]")
            lines.append("  %keep = sub i64 %redo, 1")  # all bits if nothing is redone: no branch to thread
            lines.append("  %first = and i64 %whole, %keep")
        return [*lines, *self._loop_over_scalar_form("%first")]

    def _loop_over_scalar_form(self, first: str) -> list[str]:
        """Lanes from ``first`` on, from block %after to block %done."""
        pointer = self.real_pointer
        arguments = f"{pointer} %inputs, {pointer} %outputs, {self.context_pointer} %ctx"
        return [
            f"  %left = icmp slt i64 {first}, %n",
            "  br i1 %left, label %rest, label %done",
            "rest:",
            f"  %index = phi i64 [ {first}, %after ], [ %following, %advance ]",
            *self._copied_rows("gather", self.n_inputs, "%in", "%inputs", "rest", "compute"),
            "compute:",
            f"  call void @{SCALAR}({arguments}) noinline",
            *self._copied_rows("scatter", self.n_outputs, "%outputs", "%out", "compute", "advance"),
            "advance:",
            "  %following = add nuw nsw i64 %index, 1",
            "  %remaining = icmp slt i64 %following, %n",
            "  br i1 %remaining, label %rest, label %done, !llvm.loop !3",
        ]

    def _copied_rows(self, name: str, n_rows: int, source: str, target: str, before: str, after: str) -> list[str]:
        """One lane between the rows of a block and a contiguous array, as a loop of its own."""
        if n_rows == 0:
            return [f"  br label %{after}"]
        row, strided = f"%{name}row", f"%{name}strided"
        from_offset, to_offset = (strided, row) if name == "gather" else (row, strided)
        return [
            f"  br label %{name}",
            f"{name}:",
            f"  {row} = phi i64 [ 0, %{before} ], [ %{name}next, %{name} ]",
            f"  %{name}product = mul i64 {row}, %stride",
            f"  {strided} = add i64 %{name}product, %index",
            self._address(f"%{name}from", source, from_offset),
            f"  %{name}value = load double, {self.real_pointer} %{name}from, align 8",
            self._address(f"%{name}to", target, to_offset),
            f"  store double %{name}value, {self.real_pointer} %{name}to, align 8",
            f"  %{name}next = add nuw nsw i64 {row}, 1",
            f"  %{name}more = icmp slt i64 %{name}next, {n_rows}",
            f"  br i1 %{name}more, label %{name}, label %{after}",
        ]


def _with_careful_calls(line: str) -> str:
    if " call " not in line:
        return line
    for name in GUARDS:
        line = line.replace(f'@"{function_symbol(name)}"(', f'@"{function_symbol(careful_form(name))}"(')
    return line
