"""IR of the functions that a module calls: ours are defined, imported ones declared with a vector form."""

from __future__ import annotations

from implicitops.codegen.elementary import PURE, definition
from implicitops.codegen.host import Host


def called_functions(
    called: dict[str, int], intrinsics: dict[str, int], host: Host
) -> tuple[list[str], tuple[str, ...]]:
    """Texts of everything that is called, directly or not.

    Parameters
    ----------
    called : names and numbers of arguments: elementary functions, symbols of ``special.py``, or a symbol with
        ``#k`` for the k-th number that it writes
    intrinsics : names and numbers of arguments of LLVM's own functions
    host : Host

    Returns
    -------
    texts : list of str
    imports : tuple of str, the symbols that a linker has to provide
    """
    texts: list[str] = []
    imports: dict[str, int] = {}
    intrinsics = dict(intrinsics)
    pending, seen = dict(called), set()
    while pending:
        name, arity = pending.popitem()
        if name in seen:
            continue
        seen.add(name)
        if ":" in name:
            imports[name] = arity
        else:
            text, calls, used = definition(name, host.fused)
            texts.append(text)
            pending.update(calls)
            intrinsics.update(used)
    for name, arity in sorted(intrinsics.items()):
        texts.append(f"declare double @llvm.{name}.f64({_doubles(arity)}) {PURE}")
    texts += _imported_functions(imports, host)
    return texts, tuple(sorted({name.partition("#")[0] for name in imports}))


def _doubles(arity: int) -> str:
    return ", ".join(["double"] * arity)


def _imported_functions(imports: dict[str, int], host: Host) -> list[str]:
    """Scalar and vector forms of the functions that are imported, each pair tied by an attribute.

    The loop vectoriser refuses a loop with a call that has no vector form. Ours takes the lanes one by one,
    so that all else in the loop is vectorised. ``llvm.compiler.used`` keeps the vector forms until then.
    """
    texts, vector_names = [], []
    for name, arity in sorted(imports.items()):
        vector_names.append(_vector_name(name))
        attributes = f"{PURE} {vector_form_attribute(name, arity, host)}"
        if "#" in name:
            texts.append(_written_number(name, host, attributes))
        else:
            texts.append(f'declare double @"{name}"({_doubles(arity)}) {attributes}')
        texts.append(_vector_form(name, vector_names[-1], arity, host.lanes))
    writing = sorted({name.partition("#")[0] for name in imports if "#" in name})
    texts += [_writing_declaration(symbol, host) for symbol in writing]
    if vector_names:
        texts.append(_kept(vector_names, [imports[name.partition(":")[2]] for name in vector_names], host))
    return texts


def vector_form_attribute(name: str, arity: int, host: Host) -> str:
    """The attribute of a call, or of a function, by which the vectoriser finds the vector form of an import."""
    variant = f"_ZGV_LLVM_N{host.lanes}{'v' * arity}_{name}({_vector_name(name)})"
    return f'"vector-function-abi-variant"="{variant}"'


def _vector_name(name: str) -> str:
    return f"lanes:{name}"


def _vector_form(name: str, vector_name: str, arity: int, lanes: int) -> str:
    vector = f"<{lanes} x double>"
    parameters = ", ".join(f"{vector} %x{k}" for k in range(arity))
    lines = [f'define internal {vector} @"{vector_name}"({parameters}) noinline {PURE} {{']
    result = "undef"
    for lane in range(lanes):
        for k in range(arity):
            lines.append(f"  %x{k}lane{lane} = extractelement {vector} %x{k}, i64 {lane}")
        arguments = ", ".join(f"double %x{k}lane{lane}" for k in range(arity))
        lines.append(f'  %y{lane} = call double @"{name}"({arguments})')
        lines.append(f"  %r{lane} = insertelement {vector} {result}, double %y{lane}, i64 {lane}")
        result = f"%r{lane}"
    return "\n".join([*lines, f"  ret {vector} {result}", "}"])


def _kept(vector_names: list[str], arities: list[int], host: Host) -> str:
    pointer, elements = "ptr" if host.opaque_pointers else "i8*", []
    for name, arity in zip(vector_names, arities):
        vector = f"<{host.lanes} x double>"
        kind = f"{vector} ({', '.join([vector] * arity)})*"
        elements.append(f'ptr @"{name}"' if host.opaque_pointers else f'i8* bitcast ({kind} @"{name}" to i8*)')
    size = len(elements)
    listed = ", ".join(elements)
    return f'@llvm.compiler.used = appending global [{size} x {pointer}] [{listed}], section "llvm.metadata"'


def _writing_declaration(symbol: str, host: Host) -> str:
    pointer = "ptr" if host.opaque_pointers else "double*"
    types = ", ".join("double" if code == "d" else pointer for code in symbol.rpartition(":")[2])
    return f'declare void @"{symbol}"({types}) nounwind'


def _written_number(name: str, host: Host, attributes: str) -> str:
    """``symbol#k``: call a function that writes several numbers and return the k-th."""
    symbol, _, chosen = name.partition("#")
    n_outputs = symbol.rpartition(":")[2].count("p")
    pointer = "ptr" if host.opaque_pointers else "double*"
    lines = [f'define internal double @"{name}"(double %x) noinline {attributes} {{']
    lines += [f"  %p{k} = alloca double" for k in range(n_outputs)]
    listed = ", ".join(f"{pointer} %p{k}" for k in range(n_outputs))
    lines += [f'  call void @"{symbol}"(double %x, {listed})']
    return "\n".join([*lines, f"  %y = load double, {pointer} %p{chosen}", "  ret double %y", "}"])
