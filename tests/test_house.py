"""The structure of the package: its map is true, and a room that imports one above it is found out."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "calibrant"


def layers() -> list[str]:
    """The rooms in the order of the contract, from top to bottom."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (one for one in config["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    return [room for layer in contract["layers"] for room in re.split(r"\s*[:|]\s*", layer)]


def test_the_map_lists_the_rooms_in_their_order() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (SOURCE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert listed == layers()


def test_every_room_is_on_the_map() -> None:
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")} | {"conformance", "spec"}
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}

    assert packages | modules == set(layers())


def test_the_way_of_a_check_names_what_is_there() -> None:
    way = re.findall(r"`([\w/]+\.py):(\w+)`", (SOURCE / "README.md").read_text(encoding="utf-8"))

    assert len(way) > 10
    for file, name in way:
        assert re.search(rf"^ *(def|class) {name}\b", (SOURCE / file).read_text(encoding="utf-8"), re.MULTILINE), name


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the whole package, as it is when it is installed."""
    folder = tmp_path_factory.mktemp("house")
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE, folder / "calibrant", ignore=without)
    shutil.copytree(ROOT / "tests" / "conformance", folder / "calibrant" / "conformance", ignore=without)
    shutil.copytree(ROOT / "spec", folder / "calibrant" / "spec", ignore=without)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def linted(house: Path) -> str:
    """What import-linter says of a copy."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {code}", "--no-cache"]
    return subprocess.run(command, cwd=house, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("exact/loss.py", "", "0 broken"),
        (
            "exact/loss.py",
            "from calibrant.judge import agree",
            "calibrant.exact is not allowed to import calibrant.judge",
        ),
        (
            "exact/loss.py",
            "import calibrant.mechanics.loss",
            "calibrant.exact is not allowed to import calibrant.mechanics",
        ),
        (
            "target/calling.py",
            "def hidden():\n    from calibrant.suite import session",
            "calibrant.target is not allowed to import calibrant.suite",
        ),
    ],
    ids=["as it is", "upwards", "sideways", "inside a function"],
)
def test_an_import_that_is_not_allowed_breaks_the_contract(house: Path, module: str, line: str, broken: str) -> None:
    file = house / "calibrant" / module
    before = file.read_text(encoding="utf-8")
    file.write_text(f"{before}\n\n{line}\n", encoding="utf-8")

    said = linted(house)

    file.write_text(before, encoding="utf-8")
    assert broken in " ".join(said.split())
