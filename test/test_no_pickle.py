"""Nothing that is read can run code: no unpickling in what the image ships, and only torch's safe one in training."""

import ast
from pathlib import Path

import pytest
from test_imports import imported

from model.networks.stored import IMAGE_WEIGHTS

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted([ROOT / "process.py", *(ROOT / "model").rglob("*.py"), *(ROOT / "evaluation").rglob("*.py")])
SOURCES = sorted({*SHIPPED, *(ROOT / "training").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")})
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
NEVER = {"torch.jit.load", "torch.package.PackageImporter", "torch.hub.load", "pandas.read_pickle", "read_pickle"}


def problems(source: str) -> list[str]:
    """Calls by which a file that is read could run code, a line each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, options = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        unsafe = any(options.get(option, "False") != "False" for option in ("allow_pickle", "shell"))
        unsafe |= name.endswith(("torch.load", "pickle.load", "pickle.loads")) and options.get("weights_only") != "True"
        if unsafe or name in CALLS | NEVER or name.split(".")[-1] in ("Unpickler", "import_module"):
            found.append(f"{node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_that_is_read_can_run_code(path):
    text = path.read_text(encoding="utf-8")
    assert problems(text) == []
    if path in SHIPPED:
        assert not MODULES & {name.split(".")[0] for name in imported(path)}
        assert "torch.load" not in text


def test_the_search_finds_what_is_not_safe_alone():
    for code in ("torch.load(p)", "torch.load(p, weights_only=False)", "pickle.load(f)", "np.load(p, allow_pickle=True)"):
        assert problems(code), code
    for code in ("eval(x)", "subprocess.run(x, shell=True)", "pickle.Unpickler(f)", "importlib.import_module(x)"):
        assert problems(code), code
    assert problems("torch.load(p, map_location='cpu', weights_only=True); np.load(p); json.loads(x)") == []


def test_every_shipped_weight_file_is_safetensors_with_its_sidecar():
    """A network may have its graph beside it, as ONNX: a protocol buffer, which runs no code either."""
    paths = [path for path in IMAGE_WEIGHTS.rglob("*") if not path.is_dir()]
    stems = {path.with_suffix("") for path in paths if path.suffix == ".safetensors"}
    graphs = {path for path in paths if path.suffix == ".onnx"}
    assert set(paths) - graphs == {stem.with_suffix(suffix) for stem in stems for suffix in (".json", ".safetensors")}
    assert {path.with_suffix("") for path in graphs} <= stems
