"""What every stored notebook keeps to, so that its diff is readable and it is short."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cmhot.report.notebooks import NotebookInfo
from cmhot.report.steps import PROFILES, Pace

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_CODE_CELLS = 12
MOST_CODE_LINES = 80
MOST_CELL_LINES = 25  # a cell is read as a whole


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def content(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give each notebook as JSON."""
    path: Path = request.param
    return dict(json.loads(path.read_bytes()))


def code_cells(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the code cells in order."""
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks() -> None:
    """The checks below check something."""
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_text_file(path: Path) -> None:
    """Lines end with LF, the file with one; the name has a number and words."""
    content = path.read_bytes()

    assert b"\r" not in content
    assert content.endswith(b"}\n")
    assert re.fullmatch(r"\d\d-[a-z0-9-]+\.ipynb", path.name)


def test_no_outputs(content: dict[str, Any]) -> None:
    """Nothing that an execution leaves is stored."""
    for cell in code_cells(content):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_minimal_metadata(content: dict[str, Any]) -> None:
    """Metadata say the language, its part in a report, which cell has parameters."""
    metadata = dict(content["metadata"])
    del metadata["cmhot"]
    assert metadata == {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    assert [cell["metadata"] for cell in content["cells"] if cell["metadata"]] == [
        {"tags": ["parameters"]}
    ]


def test_its_part_in_a_report(content: dict[str, Any]) -> None:
    """It says which profiles leave it out and why, its size, and what it waits for."""
    own = content["metadata"]["cmhot"]
    source = "".join(code_cells(content)[0]["source"])
    parameters = re.findall(r"^(\w+):", source, re.MULTILINE)

    assert set(own) == set(NotebookInfo._fields)
    assert set(own["left_out"]) | set(own["values"]) <= set(PROFILES)
    assert all(reason.endswith(".") for reason in own["left_out"].values())
    for values in own["values"].values():
        assert set(values) <= set(parameters)
    amounts = dict(own["waits"])
    assert amounts.pop("for_each", parameters[0]) in parameters
    assert set(amounts) <= set(Pace._fields)


def test_one_import(content: dict[str, Any]) -> None:
    """What is ours comes from `cmhot` itself, of no module below it."""
    code = "\n".join("".join(cell["source"]) for cell in code_cells(content))

    assert re.findall(r"^(?:from|import) cmhot\b.*", code, re.MULTILINE)
    assert not re.findall(r"^(?:from|import) cmhot\..*", code, re.MULTILINE)


def test_parameters_come_first(content: dict[str, Any]) -> None:
    """The first code cell holds the parameters, each annotated and commented."""
    first = code_cells(content)[0]

    assert first["metadata"] == {"tags": ["parameters"]}
    for line in "".join(first["source"]).splitlines():
        # papermill does not see a parameter with an equals sign in its comment
        assert re.fullmatch(r"\w+: [\w\[\]]+ = .+  # [^\s=][^=]*", line), line


def test_short(content: dict[str, Any]) -> None:
    """A notebook is one question: few cells, few lines; its logic is imported."""
    cells = code_cells(content)
    lines = [len("".join(cell["source"]).splitlines()) for cell in cells]

    assert len(cells) <= MOST_CODE_CELLS
    assert sum(lines) <= MOST_CODE_LINES
    assert max(lines) <= MOST_CELL_LINES
    for cell in cells:
        assert not re.search(r"^\s*(def|class) ", "".join(cell["source"]), re.MULTILINE)


def test_first_words(content: dict[str, Any]) -> None:
    """It begins with its question, what one should see, and how long it takes."""
    first = content["cells"][0]
    text = "".join(first["source"])

    assert first["cell_type"] == "markdown"
    assert text.startswith("# ")
    assert re.search(r"\*\*Question\.\*\* .+\?", text)
    assert re.search(r"\*\*What you should see\.\*\* .+\.", text)
    assert re.search(r"\*\*Takes\*\* .+(second|minute)", text)


def test_last_cell_asserts(content: dict[str, Any]) -> None:
    """What the text claims is checked in the end, each check with its message."""
    last = "".join(code_cells(content)[-1]["source"])
    checks = re.findall(r"^\s*assert .+$", last, re.MULTILINE)

    assert checks
    assert [check for check in checks if "," not in check] == []
