"""Rules of the house that can be read off the source. Who may import whom stands in pyproject.toml, as contracts."""

from __future__ import annotations

import ast
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"


def trees(*packages: str, leave_out: str = "nothing") -> list[tuple[str, ast.Module]]:
    """(name for messages, syntax tree) of every file of the packages."""
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    names = [(str(path.relative_to(ROOT)), path) for path in paths if leave_out not in path.parts]
    return [(name, ast.parse(path.read_text(encoding="utf-8"), path)) for name, path in names]


def calls(tree: ast.Module) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_imports_keep_the_contracts_of_pyproject():
    pytest.importorskip("importlinter")
    done = subprocess.run([sys.executable, "-c", CONTRACTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize(
    "name",
    ["recordings/", "bench.json", "bench-matrix.json", "bench-matrix.md", "trace.json", "trace-2.json", "profile.json",
     "profile-2.json", "evaluate.json", "sheet.png", "neural-world-report.txt", "runs/", "sweeps/"],
)  # fmt: skip
def test_what_the_program_writes_into_the_working_folder_is_not_committed(name):
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert any(fnmatch(f"/{name}", line) for line in lines)


def imported(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, dotted name) of everything a file imports from elsewhere."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def test_others_see_of_a_package_only_what_its_init_names():
    named, open_ones = {}, []
    for name, tree in trees("engine", "game"):
        package = name.removesuffix("/__init__.py").replace("/", ".")
        if not name.endswith("/__init__.py") or "." not in package:
            continue
        lists = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
        named |= {package: set(ast.literal_eval(lists[0]))} if lists else {}
        open_ones += [] if lists else [package]
    assert open_ones == ["engine.nets", "engine.training"], "networks are there to be read; training is a program"
    found = []
    for name, tree in trees("engine", "game", leave_out="training"):
        here = Path(name).with_suffix("").as_posix().replace("/", ".")
        for line, what in imported(tree):
            for package, doors in named.items():
                door = what.removeprefix(f"{package}.").split(".")[0]
                if what.startswith(f"{package}.") and not here.startswith(f"{package}.") and door not in doors:
                    found.append(f"{name}:{line} {package}.{door}")
    assert not found, "name it in __all__ of the package's __init__, or take another door"


def test_the_engine_prints_nothing_asks_nothing_and_rebinds_no_global():
    found = []
    for name, tree in trees("engine", leave_out="training"):
        names = {call.func.id: call.lineno for call in calls(tree) if isinstance(call.func, ast.Name)}
        found += [f"{name}:{line} {what}" for what, line in names.items() if what in ("print", "input", "breakpoint")]
        found += [f"{name}:{node.lineno} global" for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assert not found


def test_no_host_waits_for_the_device_in_the_engine():
    # What never saw a device. The finished frames leave by engine.device, which waits for nothing else.
    # Which pixels are seen is asked of pictures on the CPU alone. Who is in a first frame is asked once, before play;
    # where one can stand, in training.
    allowed = {("engine/actions.py", "tolist"), ("engine/nets/surfaces.py", "nonzero")}
    allowed |= {("engine/nets/cards.py", "nonzero"), ("engine/nets/spotting.py", "tolist")}
    allowed |= {("engine/nets/recogniser.py", "nonzero")}
    waits = {"item", "nonzero", "cpu", "tolist"}
    found = []
    for name, tree in trees("engine", leave_out="training"):
        if name.startswith("engine/measures"):
            continue  # they measure pictures on the host
        attributes = {call.func.attr for call in calls(tree) if isinstance(call.func, ast.Attribute)}
        found += [(name, what) for what in attributes & waits]
    assert set(found) <= allowed


def test_no_error_is_swallowed_whole():
    handlers = [(name, node) for name, tree in trees("engine", "game") for node in ast.walk(tree)]
    bare = [f"{name}:{h.lineno}" for name, h in handlers if isinstance(h, ast.ExceptHandler) and h.type is None]
    assert not bare


def test_weights_are_never_unpickled_nor_loosely_matched():
    found = []
    for name, tree in trees("engine", "game"):
        for call in calls(tree):
            if not isinstance(call.func, ast.Attribute):
                continue
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            if call.func.attr == "load" and isinstance(call.func.value, ast.Name) and call.func.value.id == "torch":
                value = given.get("weights_only")
                if not (isinstance(value, ast.Constant) and value.value is True):
                    found.append(f"{name}:{call.lineno} torch.load without weights_only")
            strict = given.get("strict")
            if call.func.attr == "load_state_dict" and isinstance(strict, ast.Constant) and strict.value is False:
                found.append(f"{name}:{call.lineno} load_state_dict with strict=False")
    assert not found


def test_importing_the_window_brings_no_torch():
    code = "import sys, game.ui.app, game.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
