"""Object code that is not linked: what a cache stores and a pickle carries, and its form as bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from implicitops.codegen.special import is_scipy
from implicitops.errors import CorruptArtifactError

_MAGIC = b"implicitops object code 1\n"
_DIGEST_SIZE = hashlib.sha256().digest_size
_LENGTH_SIZE = 8


@dataclass(frozen=True)
class Artifact:
    """Object code with what a linker has to know.

    Parameters
    ----------
    object_code : bytes
    n_inputs, n_outputs : int
    imports : tuple of str, the symbols that a linker has to provide, see ``special.py``
    fingerprint : str, of the host that the code is for
    scipy_version : str, of the scipy that the code calls; empty if it calls none
    """

    object_code: bytes
    n_inputs: int
    n_outputs: int
    imports: tuple[str, ...]
    fingerprint: str
    scipy_version: str = ""

    def to_bytes(self) -> bytes:
        """A checksum, a header and the object code."""
        header = {name: value for name, value in vars(self).items() if name != "object_code"}
        encoded = json.dumps(header).encode()
        payload = len(encoded).to_bytes(_LENGTH_SIZE, "little") + encoded + self.object_code
        return _MAGIC + hashlib.sha256(payload).digest() + payload


def artifact_from_bytes(content: bytes) -> Artifact:
    """The artifact that ``Artifact.to_bytes`` wrote.

    Raises
    ------
    CorruptArtifactError : the checksum does not fit, or the header is not one that ``Artifact.to_bytes`` writes
    """
    payload_start = len(_MAGIC) + _DIGEST_SIZE
    payload = content[payload_start:]
    if not content.startswith(_MAGIC) or hashlib.sha256(payload).digest() != content[len(_MAGIC) : payload_start]:
        raise CorruptArtifactError("Expected object code with its checksum; got other bytes. Delete the file.")
    length = int.from_bytes(payload[:_LENGTH_SIZE], "little")
    try:
        header = json.loads(payload[_LENGTH_SIZE : _LENGTH_SIZE + length])
    except ValueError:
        header = None
    if not _is_header(header):
        raise CorruptArtifactError("Expected object code with a header of implicitops; got another. Delete the file.")
    header["imports"] = tuple(header["imports"])
    return Artifact(object_code=payload[_LENGTH_SIZE + length :], **header)


def _is_header(header: Any) -> bool:
    """Whether these are the fields of an Artifact, as JSON gives them back."""
    kinds = {"n_inputs": int, "n_outputs": int, "imports": list, "fingerprint": str, "scipy_version": str}
    return (
        isinstance(header, dict)
        and header.keys() == kinds.keys()
        and all(type(header[name]) is kind for name, kind in kinds.items())
        and all(isinstance(symbol, str) for symbol in header["imports"])
    )


def installed_scipy_version(imports: tuple[str, ...]) -> str:
    """The version of the scipy that these symbols come from; empty if none of them does."""
    if not any(is_scipy(symbol) for symbol in imports):
        return ""
    import scipy

    return str(scipy.__version__)
