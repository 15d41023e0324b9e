"""Object code on disk: found by a hash of all that it depends on, never trusted without its checksum.

A cache that cannot be used costs one warning and time, nothing else. The folder is private because its
files are executed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import stat
import sys
import tempfile
import warnings

from implicitops.codegen.artifact import Artifact, artifact_from_bytes, installed_scipy_version
from implicitops.errors import CacheWarning, CorruptArtifactError

#: The oldest files go when the folder holds more than this.
LARGEST_SIZE = 512 * 2**20

_SUFFIX = ".o"
_WRITABLE_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_STORES_BETWEEN_TRIMS = 64

_warned: set[str] = set()
_n_stores = 0


def cache_directory() -> pathlib.Path | None:
    """$IMPLICITOPS_CACHE_DIR, else the user's cache folder on this platform; None if it is switched off."""
    chosen = os.environ.get("IMPLICITOPS_CACHE_DIR")
    if chosen is not None:
        return pathlib.Path(chosen) if chosen else None
    try:
        home = pathlib.Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "implicitops"
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "implicitops"


@functools.cache
def code_version() -> str:
    """A digest of the code generator itself: object code of another generator is never reused."""
    digest = hashlib.sha256(str(getattr(sys.modules.get("implicitops"), "__version__", "")).encode())
    for source in sorted(pathlib.Path(__file__).parent.rglob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()


def entry_name(key: str, fingerprint: str) -> str:
    """The file name for a caller's key on a host.

    Parameters
    ----------
    key : str, determines the bundle
    fingerprint : str, of the host: processor, features, llvmlite and LLVM
    """
    parts = "\0".join((code_version(), fingerprint, key))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest() + _SUFFIX


def load(name: str) -> Artifact | None:
    """The artifact of this name, or None if it has to be compiled."""
    directory = _usable_directory()
    if directory is None:
        return None
    path = directory / name
    try:
        artifact = artifact_from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn_once("unusable", f"The code cache should be readable; reading {path} failed: {error}. Compiling anew.")
        return None
    except CorruptArtifactError:
        _warn_once("damage", f"The code cache holds a damaged file, {path}. Compiling anew and replacing it.")
        return None
    if artifact.scipy_version != installed_scipy_version(artifact.imports):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return artifact


def store(name: str, artifact: Artifact) -> None:
    """Write an artifact, all of it or nothing; a failure is a warning."""
    global _n_stores
    directory = _usable_directory(create=True)
    if directory is None:
        return
    try:
        _write_atomically(directory, name, artifact.to_bytes())
        if _n_stores % _STORES_BETWEEN_TRIMS == 0:
            trim(directory, LARGEST_SIZE)
        _n_stores += 1
    except OSError as error:
        _warn_once(
            "unusable",
            f"The code cache should be writable; writing to {directory} failed: {error}. Going on without; "
            "set IMPLICITOPS_CACHE_DIR to a folder of yours, or to nothing to switch the cache off.",
        )


def trim(directory: pathlib.Path, largest_size: int) -> None:
    """Delete the files that were not used for longest, until three quarters of the largest size are left."""
    entries = []
    with os.scandir(directory) as listing:
        for entry in listing:
            with contextlib.suppress(OSError):
                status = entry.stat()
                entries.append((status.st_mtime, status.st_size, entry.path))
    total = sum(size for _, size, _ in entries)
    if total <= largest_size:
        return
    for _, size, path in sorted(entries):
        if path.endswith((_SUFFIX, ".tmp")):
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size
        if total <= largest_size * 3 // 4:
            return


def _write_atomically(directory: pathlib.Path, name: str, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=directory, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, directory / name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _usable_directory(create: bool = False) -> pathlib.Path | None:
    directory = cache_directory()
    if directory is None:
        return None
    try:
        if create:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn_once(
            "unusable",
            f"The code cache needs a folder; {directory} cannot be used: {error}. Going on without.",
        )
        return None
    if hasattr(os, "geteuid") and (status.st_uid not in (0, os.geteuid()) or status.st_mode & _WRITABLE_FOR_OTHERS):
        _warn_once(
            "unusable",
            f"The code cache needs a folder that only you can write to; {directory} is another user's or "
            "writable for its group or for all, and code from it would run in this process. Going on without; take the "
            "permission away (chmod go-w), or set IMPLICITOPS_CACHE_DIR to a folder of yours.",
        )
        return None
    return directory


def _warn_once(problem: str, message: str) -> None:
    if problem not in _warned:
        _warned.add(problem)
        warnings.warn(message, CacheWarning, stacklevel=4)
