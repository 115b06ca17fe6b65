import ast
from pathlib import Path

import catsdogs
from catsdogs.provenance import DECISIVE_CODE, code_digest

PACKAGE = Path(catsdogs.__file__).parent
HARMLESS = {"alike", "doubt", "engine", "errors", "files", "fixes", "log", "machine", "mlflow_server",
            "openvino_alone", "pool", "provenance", "reports", "seal", "settings", "slices", "storage",
            "stores", "tables", "versions"}
"""What training imports without its result depending on it: parameters are in the digest of a training themselves."""


def units(path: Path) -> set[str]:
    files = path.rglob("*.py") if path.is_dir() else [path]
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("catsdogs."):
                names.add(str(node.module).split(".")[1])
            elif isinstance(node, ast.ImportFrom) and node.module == "catsdogs":
                names |= {name.name for name in node.names}
    return names


def test_the_digest_of_the_code_covers_all_that_training_imports() -> None:
    ours = {name.removesuffix(".py") for name in DECISIVE_CODE}
    imported = set().union(*(units(PACKAGE / name) for name in DECISIVE_CODE))
    assert imported - ours <= HARMLESS
    assert all((PACKAGE / name).exists() for name in DECISIVE_CODE)


def test_the_digest_of_the_code_is_stable() -> None:
    code_digest.cache_clear()
    first = code_digest()
    code_digest.cache_clear()
    assert code_digest() == first and len(first) == 64
