"""Straight-line LLVM IR as text, written with Python operators. Knows instructions, not mathematics.

A ``Value`` is one SSA value; ``a * b + c`` appends two instructions to the emitter that both belong to.
Text is built directly because it is several times quicker than an object per instruction, and because one
text serves LLVM 14 (typed pointers) to today's (opaque pointers).
"""

from __future__ import annotations

import struct
from typing import Union

REAL = "double"
INTEGER = "i64"
TRUTH = "i1"

Operand = Union["Value", float, int]


def real_literal(number: float) -> str:
    """The exact IR literal of a double, as the hexadecimal bit pattern."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def integer_literal(number: int) -> str:
    """The IR literal of a 64-bit integer; unsigned patterns are wrapped to signed."""
    number &= (1 << 64) - 1
    return str(number - (1 << 64) if number >> 63 else number)


def function_symbol(name: str) -> str:
    """The symbol of a function; ours have a prefix, for LLVM takes ``sin`` to be the C library's."""
    return name if ":" in name else f"iop.{name}"


class Value:
    """One SSA value of type double, i64 or i1, with the operators of its type.

    Parameters
    ----------
    emitter : Emitter    that receives the instructions
    name : str           ``%12`` or a literal
    kind : str           REAL, INTEGER or TRUTH
    """

    __slots__ = ("emitter", "kind", "name")

    def __init__(self, emitter: Emitter, name: str, kind: str) -> None:
        self.emitter = emitter
        self.name = name
        self.kind = kind

    def _binary(self, real: str, integer: str, other: Operand, swapped: bool = False) -> Value:
        right = self.emitter.operand(other, self.kind)
        left, right = (right, self) if swapped else (self, right)
        operation = real if self.kind == REAL else integer
        return self.emitter.emit(self.kind, f"{operation} {self.kind} {left.name}, {right.name}")

    def _compare(self, real: str, integer: str, other: Operand) -> Value:
        right = self.emitter.operand(other, self.kind)
        operation = f"fcmp {real}" if self.kind == REAL else f"icmp {integer}"
        return self.emitter.emit(TRUTH, f"{operation} {self.kind} {self.name}, {right.name}")

    def __add__(self, other: Operand) -> Value:
        return self._binary("fadd", "add", other)

    def __radd__(self, other: Operand) -> Value:
        return self._binary("fadd", "add", other, swapped=True)

    def __sub__(self, other: Operand) -> Value:
        return self._binary("fsub", "sub", other)

    def __rsub__(self, other: Operand) -> Value:
        return self._binary("fsub", "sub", other, swapped=True)

    def __mul__(self, other: Operand) -> Value:
        return self._binary("fmul", "mul", other)

    def __rmul__(self, other: Operand) -> Value:
        return self._binary("fmul", "mul", other, swapped=True)

    def __truediv__(self, other: Operand) -> Value:
        return self._binary("fdiv", "sdiv", other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self._binary("fdiv", "sdiv", other, swapped=True)

    def __neg__(self) -> Value:
        if self.kind == REAL:
            return self.emitter.emit(REAL, f"fneg double {self.name}")
        return 0 - self

    def __abs__(self) -> Value:
        return self.emitter.intrinsic("fabs", self)

    def __lt__(self, other: Operand) -> Value:
        return self._compare("olt", "slt", other)

    def __le__(self, other: Operand) -> Value:
        return self._compare("ole", "sle", other)

    def __gt__(self, other: Operand) -> Value:
        return self._compare("ogt", "sgt", other)

    def __ge__(self, other: Operand) -> Value:
        return self._compare("oge", "sge", other)

    def equals(self, other: Operand) -> Value:
        """True where both are equal; false where either is NaN."""
        return self._compare("oeq", "eq", other)

    def differs(self, other: Operand) -> Value:
        """True where the operands differ or either is NaN."""
        return self._compare("une", "ne", other)

    def is_nan(self) -> Value:
        """True where the value is not a number."""
        return self._compare("uno", "ne", self)

    def __and__(self, other: Operand) -> Value:
        return self._binary("and", "and", other)

    def __or__(self, other: Operand) -> Value:
        return self._binary("or", "or", other)

    def __xor__(self, other: Operand) -> Value:
        return self._binary("xor", "xor", other)

    def __invert__(self) -> Value:
        return self._binary("xor", "xor", 1 if self.kind == TRUTH else -1)

    def __lshift__(self, other: Operand) -> Value:
        return self._binary("shl", "shl", other)

    def __rshift__(self, other: Operand) -> Value:
        """Logical shift: zeros come in from the left."""
        return self._binary("lshr", "lshr", other)

    def bits(self) -> Value:
        """The bit pattern of a double as i64."""
        return self.emitter.emit(INTEGER, f"bitcast double {self.name} to i64")

    def as_real(self) -> Value:
        """The double with this i64 bit pattern."""
        return self.emitter.emit(REAL, f"bitcast i64 {self.name} to double")

    def where(self, chosen: Operand, otherwise: Operand, kind: str = REAL) -> Value:
        """``chosen`` where this truth value holds, else ``otherwise``; no branch."""
        for candidate in (chosen, otherwise):
            if isinstance(candidate, Value):
                kind = candidate.kind
        first = self.emitter.operand(chosen, kind)
        second = self.emitter.operand(otherwise, kind)
        return self.emitter.emit(kind, f"select i1 {self.name}, {kind} {first.name}, {kind} {second.name}")


class Emitter:
    """Collects the instructions of one basic block and the names of what they call.

    Parameters
    ----------
    fused : bool    whether the host multiplies and adds in one rounding; decides what ``fma`` emits
    """

    def __init__(self, fused: bool) -> None:
        self.fused = fused
        self.lines: list[str] = []
        self.calls: dict[str, int] = {}
        self.intrinsics: dict[str, int] = {}
        self._count = 0

    def emit(self, kind: str, text: str) -> Value:
        """Append one instruction and return its result."""
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"  {name} = {text}")
        return Value(self, name, kind)

    def operand(self, value: Operand, kind: str) -> Value:
        """A ``Value`` of this kind: itself, or the literal of a Python number."""
        if isinstance(value, Value):
            return value
        literal = real_literal(float(value)) if kind == REAL else integer_literal(int(value))
        return Value(self, literal, kind)

    def real(self, number: float) -> Value:
        """A constant."""
        return self.operand(number, REAL)

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        """Call ``llvm.<name>.f64``."""
        self.intrinsics[name] = len(arguments)
        listed = ", ".join(f"double {argument.name}" for argument in arguments)
        return self.emit(REAL, f"call double @llvm.{name}.f64({listed})")

    def call(self, name: str, *arguments: Value) -> Value:
        """Call a function of reals that the module defines, or imports if there is a colon in its name."""
        self.calls[name] = len(arguments)
        listed = ", ".join(f"double {argument.name}" for argument in arguments)
        return self.emit(REAL, f'call double @"{function_symbol(name)}"({listed})')

    def fma(self, a: Operand, b: Operand, c: Operand) -> Value:
        """The value a * b + c, in one rounding where the host can, in two otherwise."""
        first, second, third = (self.operand(value, REAL) for value in (a, b, c))
        if self.fused:
            return self.intrinsic("fma", first, second, third)
        return first * second + third

    def sqrt(self, x: Value) -> Value:
        """Correctly rounded square root, NaN for x < 0."""
        return self.intrinsic("sqrt", x)

    def floor(self, x: Value) -> Value:
        """Largest integer not above x."""
        return self.intrinsic("floor", x)

    def copysign(self, magnitude: Operand, sign: Operand) -> Value:
        """|magnitude| with the sign bit of ``sign``."""
        return self.intrinsic("copysign", self.operand(magnitude, REAL), self.operand(sign, REAL))
