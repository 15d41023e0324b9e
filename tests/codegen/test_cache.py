"""The code cache on disk: hits, damage, folders that cannot be used, many processes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings

import pytest
import sympy as sp

from implicitops.codegen import Bundle, cache, compile_bundle
from implicitops.codegen import compile as compilation
from implicitops.codegen.compile import compile_artifact

x = sp.symbols("x")


def make():
    return Bundle((x,), (sp.exp(x) - x,))


def must_not_be_called():
    raise AssertionError("the cache was missed")


def forget():
    """Leave the memory cache behind, as a new process would."""
    compilation._RECENT.clear()
    compilation._COMPILED.clear()


def compile_both(first, second):
    """Compile under two keys: a problem that was reported for the first is not reported for the second."""
    for key in (first, second):
        assert compile_bundle(key, make).n_outputs == 1


def files(folder):
    return sorted(folder.glob("*")) if folder.exists() else []


@pytest.fixture(autouse=True)
def new_process():
    forget()
    yield
    forget()


def test_second_process_finds_the_code_without_sympy_work(cache_folder):
    value = compile_bundle("hit", make).evaluate([[0.5]])
    forget()
    assert compile_bundle("hit", must_not_be_called).evaluate([[0.5]]) == value
    assert len(files(cache_folder)) == 1


def test_folder_is_private(cache_folder):
    compile_bundle("private", make)
    if os.name == "posix":
        assert cache_folder.stat().st_mode & 0o777 == 0o700


def test_name_depends_on_key_host_and_generator(monkeypatch):
    name = cache.entry_name("key", "host")
    assert name != cache.entry_name("other key", "host")
    assert name != cache.entry_name("key", "other host")
    monkeypatch.setattr(cache, "code_version", lambda: "other generator")
    assert name != cache.entry_name("key", "host")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "replaced"])
def test_damaged_file_is_reported_once_and_replaced(cache_folder, damage):
    compile_both("damaged", "damaged too")
    for file in files(cache_folder):
        content = file.read_bytes()
        flipped = content[:200] + bytes([content[200] ^ 1]) + content[201:]
        file.write_bytes({"truncated": content[:-10], "flipped": flipped, "empty": b"", "replaced": b"x" * 999}[damage])
    forget()
    with pytest.warns(RuntimeWarning, match="damaged file") as caught:
        compile_both("damaged", "damaged too")
    assert len(caught) == 1
    forget()
    compile_bundle("damaged", must_not_be_called)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_write_permission_costs_one_warning(cache_folder):
    cache_folder.mkdir(mode=0o500)
    with pytest.warns(RuntimeWarning, match="writable") as caught:
        compile_both("read-only", "read-only too")
    assert len(caught) == 1


@pytest.mark.parametrize("failing", ["mkstemp", "mkdir"])
def test_folder_that_cannot_be_written_costs_one_warning(monkeypatch, failing):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(cache.tempfile if failing == "mkstemp" else cache.pathlib.Path, failing, refuse)
    with pytest.warns(RuntimeWarning, match="Read-only file system") as caught:
        compile_both("unwritable", "unwritable too")
    assert len(caught) == 1


def test_path_that_is_a_file_costs_one_warning(cache_folder):
    cache_folder.write_text("not a folder")
    with pytest.warns(RuntimeWarning) as caught:
        compile_both("file", "file too")
    assert len(caught) == 1


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_folder_that_others_may_write_is_not_trusted(cache_folder, mode):
    cache_folder.mkdir()
    cache_folder.chmod(mode)
    with pytest.warns(RuntimeWarning, match="only you"):
        compile_bundle("open", make)
    assert not files(cache_folder)


HEADER = {"n_inputs": 1, "n_outputs": 1, "imports": [], "fingerprint": "", "scipy_version": ""}
HEADERS = {
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "no object": b"[]",
    "a field missing": json.dumps({name: HEADER[name] for name in list(HEADER)[1:]}).encode(),
    "a field more": json.dumps({**HEADER, "new": 0}).encode(),
    "a field of another type": json.dumps({**HEADER, "n_inputs": "1"}).encode(),
    "imports that are no names": json.dumps({**HEADER, "imports": [0]}).encode(),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
def test_entry_with_a_valid_checksum_and_a_foreign_header_is_compiled_anew(cache_folder, header):
    value = compile_bundle("foreign", make).evaluate([[0.5]])
    (entry,) = files(cache_folder)
    whole = entry.read_bytes()
    payload = len(header).to_bytes(8, "little") + header + b"code"
    entry.write_bytes(whole[: whole.index(b"\n") + 1] + hashlib.sha256(payload).digest() + payload)
    forget()
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert compile_bundle("foreign", make).evaluate([[0.5]]) == value
    assert entry.read_bytes() == whole


def test_empty_variable_switches_the_cache_off(monkeypatch, tmp_path):
    monkeypatch.setenv("IMPLICITOPS_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_bundle("off", make)
    assert cache.cache_directory() is None
    assert not (tmp_path / "xdg").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the folder of Linux")
def test_default_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("IMPLICITOPS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_directory() == tmp_path / "implicitops"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_directory() == tmp_path / ".cache" / "implicitops"


def test_code_for_another_scipy_is_compiled_again(cache_folder, monkeypatch):
    def make_special():
        return Bundle((x,), (sp.digamma(x),))

    compile_bundle("special", make_special)
    forget()
    compile_bundle("special", must_not_be_called)
    forget()
    monkeypatch.setattr(cache, "installed_scipy_version", lambda imports: "0.0")
    with pytest.raises(AssertionError, match="missed"):
        compile_bundle("special", must_not_be_called)


def test_oldest_files_go_when_the_folder_is_full(cache_folder):
    artifact = compile_artifact(make())
    size = len(artifact.to_bytes())
    for age, name in enumerate(["new.o", "middle.o", "old.o", "oldest.o"]):
        cache.store(name, artifact)
        os.utime(cache_folder / name, (1e9 - age, 1e9 - age))
    cache.trim(cache_folder, 4 * size)
    assert len(files(cache_folder)) == 4
    cache.trim(cache_folder, 3 * size)
    assert [file.name for file in files(cache_folder)] == ["middle.o", "new.o"]


def test_processes_may_fill_the_same_folder_at_once(cache_folder):
    script = (
        "import sympy as sp; from implicitops.codegen import Bundle, compile_bundle; x = sp.Symbol('x')\n"
        "for k in range(8):\n"
        "    code = compile_bundle(f'shared {k}', lambda: Bundle((x,), (sp.exp(x) + k,)))\n"
        "    assert code.evaluate([[0.0]])[0, 0] == 1 + k\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-W", "error", "-c", script]
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(4)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), errors
    assert len(files(cache_folder)) == 8
    assert all(file.suffix == ".o" for file in files(cache_folder))
