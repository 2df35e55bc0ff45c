"""What is installed: version, types, symbols, benchmark and examples."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trimtab
from conftest import ROOT
from trimtab import _trimtab, aio

EXTENSION = Path(str(_trimtab.__file__))
# Whose members say what they do. Those of the others are fields.
DOCUMENTED = (
    trimtab.Pool,
    trimtab.Pick,
    trimtab.Server,
    trimtab.Store,
    trimtab.Store.__base__,
    trimtab.StoreQueue,
    trimtab.StoreResult,
    trimtab.StoreView,
    trimtab.StoreWatch,
    trimtab.StoreWatch.__base__,
    trimtab.Change,
    trimtab.ClusterEvents,
    trimtab.Compacted,
    trimtab.Completion,
    trimtab.Entry,
    trimtab.Lease,
    trimtab.Operation,
    trimtab.Requests,
    trimtab.Transaction,
    aio.AsyncLease,
    aio.AsyncStore,
    aio.AsyncTransaction,
    aio.Hosted,
)
EXAMPLES = sorted((ROOT / "examples" / "python").glob("*.py"))


def test_the_version_is_the_librarys() -> None:
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    found = re.search(r'^\[package\]\n(?:.+\n)*?version = "(.+)"$', manifest, re.MULTILINE)
    assert found
    assert trimtab.__version__ == importlib.metadata.version("trimtab") == found[1]


def test_features_and_limits() -> None:
    assert trimtab.features() == frozenset({"balance", "proxy", "replication", "store", "tls"})
    limits = (trimtab.BACKENDS_MAX, trimtab.WEIGHT_MAX, trimtab.KEY_MAX, trimtab.MAXCONN_MAX)
    assert limits == (65_536, 65_535, 1 << 20, 1 << 30)


def test_the_package_is_typed_and_exports_what_it_says() -> None:
    files = importlib.resources.files(trimtab)
    assert (files / "py.typed").is_file() and (files / "_trimtab.pyi").is_file()
    assert len(set(trimtab.__all__)) == len(trimtab.__all__)
    public = {name for name in vars(trimtab) if not name.startswith("_")}
    # Modules of the package are there as soon as somebody imports them.
    modules = {module.name for module in pkgutil.iter_modules(trimtab.__path__)}
    assert public - modules | {"__version__"} == set(trimtab.__all__)
    assert {module for module in modules if not module.startswith("_")} == {"aio"}
    own = {name for name, thing in vars(aio).items() if getattr(thing, "__module__", "") == "trimtab.aio"}
    assert own == {name for name in aio.__all__ if not name.startswith("Async")}


def test_everything_is_documented() -> None:
    exported = [(name, getattr(module, name)) for module in (trimtab, aio) for name in module.__all__]
    for name, thing in exported:
        if not callable(thing):
            continue
        assert inspect.getdoc(thing), name
        if thing in DOCUMENTED:
            for member, value in vars(thing).items():
                assert member.startswith("_") or inspect.getdoc(value), f"{name}.{member}"


def test_the_stubs_say_what_the_extension_has(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed here; test.sh installs it")
    command = [sys.executable, "-m", "mypy.stubtest", "trimtab"]
    # It leaves its cache where it runs.
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF")
@pytest.mark.skipif(not (shutil.which("nm") and shutil.which("readelf")), reason="binutils are missing")
def test_the_extension_shows_nothing_but_its_entry() -> None:
    symbols = subprocess.check_output(["nm", "-D", "--defined-only", EXTENSION], text=True)
    assert [line.split()[-1] for line in symbols.splitlines()] == ["PyInit__trimtab"]
    # Bearing the library's soname, it would be taken for the library by a program that needs that.
    dynamic = subprocess.check_output(["readelf", "-d", EXTENSION], text=True)
    assert "libtrimtab" not in dynamic


def test_the_extension_serves_later_pythons_too() -> None:
    assert EXTENSION.name.startswith("_trimtab.abi3.")


def test_the_benchmarks_run() -> None:
    benches = ROOT / "bindings" / "python" / "benches"
    command = [sys.executable, str(benches / "pick.py"), "--rounds", "2", "--picks", "100"]
    output = subprocess.check_output(command, text=True, timeout=120)
    for policy in trimtab.Policy:
        assert policy.name.lower().replace("_", "-") in output
    command = [sys.executable, str(benches / "store.py"), "--rounds", "2", "--calls", "20"]
    output = subprocess.check_output(command, text=True, timeout=120)
    for name in ("dict", "sqlite3", "trimtab"):
        assert name in output


@pytest.mark.parametrize("number", range(4))
def test_what_the_readme_shows_can_be_pasted(number: int, tmp_path: Path) -> None:
    text = (ROOT / "bindings" / "python" / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(shown) == 4
    command = [sys.executable, "-W", "error", "-c", shown[number]]
    output = subprocess.check_output(command, text=True, timeout=120, cwd=tmp_path)
    # Which of two backends is first in turn is drawn for each pool.
    wanted = (r"^10\.0\.0\.[78] 8080$", r"b'hello'", r"^b'hello' 2$", r"^1000 True$")
    assert re.search(wanted[number], output, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_run(example: Path) -> None:
    output = subprocess.check_output([sys.executable, str(example)], text=True, timeout=120)
    assert output.strip()
