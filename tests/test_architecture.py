"""The rules of the house that can be read off the source: who may import what, and what the engine never does."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGINE = sorted((ROOT / "engine").rglob("*.py"))
CORE = [path for path in ENGINE if "training" not in path.parts]
GAME = sorted((ROOT / "game").rglob("*.py"))
# Not one of the engine's: windows, picture and video files, settings.
CLIENTS_LIBRARIES = {"pygame", "cv2", "hydra", "omegaconf", "imageio", "imageio_ffmpeg", "yaml", "game", "tests"}
CONCURRENCY = {"threading", "concurrent", "multiprocessing", "asyncio", "queue"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of every module a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(), path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively"
            yield node.module or ""


def top_level_names(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", ENGINE, ids=name_of)
def test_the_engine_knows_no_people(path):
    # Training is a program of its own and reads the embedded model's YAML.
    allowed = set() if path in CORE else {"yaml"}
    assert not top_level_names(path) & CLIENTS_LIBRARIES - allowed


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_engine_has_no_threads_prints_nothing_and_holds_no_globals(path):
    assert not top_level_names(path) & CONCURRENCY
    tree = ast.parse(path.read_text(), path)
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"print", "input", "breakpoint"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_playing_does_not_depend_on_training(path):
    assert not [name for name in imports(path) if name.startswith("engine.training")]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_no_host_waits_for_the_device_in_the_engine(path):
    # What never saw a device. The finished frames leave by engine.device, which waits for nothing else.
    allowed = {"actions.py": {"tolist"}}
    attributes = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text(), path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not attributes & {"item", "nonzero", "cpu", "tolist"} - allowed.get(path.name, set())


@pytest.mark.parametrize("path", sorted((ROOT / "game" / "ui" / "toolkit").glob("*.py")), ids=name_of)
def test_the_menus_parts_know_nothing_of_worlds(path):
    allowed = (
        "game.ui.toolkit",
        "game.errors",
        "game.console",
        "game.media.icons",
        "game.media.palette",
        "game.config.paths",
        "game.media.pictures",
    )
    assert not [name for name in imports(path) if name.startswith(("engine", "game")) and not name.startswith(allowed)]


@pytest.mark.parametrize("path", [*ENGINE, *GAME], ids=name_of)
def test_no_error_is_swallowed_whole(path):
    for node in ast.walk(ast.parse(path.read_text(), path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name_of(path)}:{node.lineno} has a bare except"


@pytest.mark.parametrize("path", [*ENGINE, *GAME], ids=name_of)
def test_weights_are_never_unpickled_nor_loosely_matched(path):
    for node in ast.walk(ast.parse(path.read_text(), path)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        where = f"{name_of(path)}:{node.lineno}"
        if node.func.attr == "load" and isinstance(node.func.value, ast.Name) and node.func.value.id == "torch":
            value = given.get("weights_only")
            assert isinstance(value, ast.Constant) and value.value is True, f"{where} torch.load without weights_only"
        strict = given.get("strict")
        if node.func.attr == "load_state_dict" and isinstance(strict, ast.Constant):
            assert strict.value is not False, f"{where} load_state_dict with strict=False"
