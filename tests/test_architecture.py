"""Imports point down, stages never meet in each other's code, and serving never loads torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "catsdogs"

# Top to bottom; a module may import from rows below its own, and inside its own unit.
LAYERS = [
    ["__main__"],
    ["cli", "demo", "job"],
    ["commands"],
    ["release"],
    ["sample", "ingest", "preprocess", "train", "package", "serve", "evaluate", "lineage", "doctor", "runs", "gate",
     "backup", "bundle"],
    ["versions"],
    ["export"],
    ["slices"],
    ["weights", "familiarity"],
    ["answering"],
    ["nets"],
    ["predictor", "packed"],
    ["usual"],
    ["engine", "compiled", "model_file", "traced"],
    ["integers"],
    ["ray_cluster", "pool", "figures", "provenance", "fixes", "alike", "doubt", "statistics", "mahalanobis"],
    ["champion", "clusters"],
    ["guarded", "mlflow_server"],
    ["reports"],
    ["artifacts"],
    ["storage"],
    ["stores"],
    ["tables", "images"],
    ["footprint"],
    ["jpeg", "metered", "scans"],
    ["log", "settings", "machine", "openvino_alone", "seal"],
    ["files"],
    ["errors", "names"],
]
# The table of commands names modules as text and imports them when they are asked for.


def units() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        unit = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if unit != "__init__":
            found.setdefault(unit, []).append(path)
    return found


def imports(path: Path) -> set[str]:
    """Units of this package that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules = [node.module or ""]
            if node.module == "catsdogs":
                modules = [f"catsdogs.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        names |= {module.split(".")[1] for module in modules if module.startswith("catsdogs.")}
    return names - {"__version__"}


def level(unit: str) -> int:
    (found,) = [number for number, row in enumerate(LAYERS) if unit in row] or [-1]
    return found


def test_every_unit_has_a_layer() -> None:
    assert {unit for unit in units() if level(unit) < 0} == set()


@pytest.mark.parametrize("unit", units())
def test_imports_point_down(unit: str) -> None:
    for path in units()[unit]:
        for other in imports(path) - {unit}:
            assert level(other) > level(unit), f"{path.relative_to(PACKAGE)} imports {other}, which is not below it"


def test_the_environment_is_read_in_one_module() -> None:
    readers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.getenv", "os.environ.get"):
                readers.add(path.relative_to(PACKAGE).parts[0])
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ" \
                    and isinstance(node.ctx, ast.Load):
                readers.add(path.relative_to(PACKAGE).parts[0])
    assert readers <= {"settings"}


def test_no_file_has_outgrown_one_idea() -> None:
    long = {path.name: count for path in PACKAGE.rglob("*.py") if (count := len(path.read_text().splitlines())) > 250}
    assert long == {}


def _run_at_once(node: ast.AST) -> list[ast.Call]:
    """The calls in an expression, but for those that a lambda puts off."""
    if isinstance(node, ast.Lambda):
        return []
    inner = [call for child in ast.iter_child_nodes(node) for call in _run_at_once(child)]
    return [*inner, node] if isinstance(node, ast.Call) else inner


def test_nothing_happens_at_import() -> None:
    """No module-level call but the declarative ones; work starts when a function is called."""
    declarative = {"TypeVar", "Command", "frozenset", "re.compile", "SettingsConfigDict", "_config", "Annotated",
                   "Field", "namedtuple", "ParamSpec", "np.dtype", "Path", "dataclass", "lru_cache", "run", "dict",
                   "tuple", "ContextVar", "range", "len",
                   "Entry", "Limit", "Recipe", "Phase", "Augmentation", "BeforeValidator",
                   "AfterValidator", "torch.device",
                   "Processes", "slice", "re.escape", "struct.Struct"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr)) else None
            calls = [ast.unparse(call.func) for call in _run_at_once(value)] if value else []
            assert set(calls) <= declarative, f"{path.relative_to(PACKAGE)}:{node.lineno} calls {calls}"


@pytest.mark.parametrize("module", ["catsdogs.serve.app", "catsdogs.predictor", "catsdogs.ingest.stage",
                                    "catsdogs.preprocess.stage", "catsdogs.evaluate.post_deploy",
                                    "catsdogs.doctor.stage", "catsdogs.gate.stage",
                                    "catsdogs.release.stage", "catsdogs.release.rollback"])
def test_torch_and_its_company_stay_out(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'mlflow', 'sklearn', 'matplotlib') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_no_workflow_in_the_table_is_missing() -> None:
    import importlib

    from catsdogs.commands import COMMANDS

    for name, command in COMMANDS.items():
        assert callable(getattr(importlib.import_module(f"catsdogs.{command.module}"), command.function)), name
        assert command.settings_type()() is not None
