"""What the report and the terminal say of mixed precision."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tfedge.report.facts import gather, warnings
from tfedge.report.table import summary
from tfedge.report.written import write

RESULT = {"pipeline": "p", "status": "ok", "seconds": 1.0}


def row(unit: str, divergence: float, agreement: float, kept: str = "int8") -> dict[str, Any]:
    figures = {"divergence": divergence, "agreement": agreement, "error": 0.75, "sqnr_db": 20.0}
    return {"unit": unit, **figures, "kept": kept}


def mixture(kept: dict[str, str], agreement: float) -> dict[str, Any]:
    return {"kept": kept, "divergence": 0.1, "agreement": agreement, "top1": 0.5}


def found(**changed: Any) -> dict[str, Any]:
    return {
        "recipe": "qat",
        "ranges": "graph",
        "quick": False,
        "split": "val",
        "n": 64,
        "limit": 0.02,
        "limit_from": "",
        "float": {"agreement": 1.0, "top1": 0.75},
        "now": mixture({}, 0.5),
        "file": {"agreement": 0.625, "top1": 0.5},
        "proposed": mixture({"bad": "float"}, 1.0),
        "layers": [row("bad", 0.0123, 0.5), *(row(f"l{i}", 0.0, 1.0) for i in range(7))],
        **changed,
    }


def left(folder: Path, debug: dict[str, Any] | None, kept: dict[str, str] | None = None) -> Path:
    if debug:
        (folder / "debug").mkdir()
        (folder / "debug" / "debug.json").write_text(json.dumps(debug))
    if kept is not None:
        (folder / "convert").mkdir()
        port = {"dtype": "uint8", "shape": [1]}
        model = {"recipe": "qat", "kept": kept, "bytes": 9, "sparsity": None, "float_tensors": 2}
        model |= {"deflated": 8, "float_deflated": 9}
        model |= {"input": port, "output": port, "sha256": "0", "layers": []}
        (folder / "convert" / "model.json").write_text(json.dumps(model))
    return folder


def section(folder: Path) -> str:
    text = write(folder, RESULT).read_text("utf-8")
    return text.partition("## Quantization\n")[2].partition("\n## ")[0]


def test_the_terminal_shows_the_worst_layers_and_a_line_to_paste(tmp_path: Path) -> None:
    lines = summary(RESULT, left(tmp_path, found())).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("layer"))
    assert lines[start].split("   ")[0] == "layer"
    assert re.split("   +", lines[start + 1]) == [
        "bad",
        "12.300",
        "50.0 %",
        "0.75",
        "20.0 dB",
        "int8",
    ]
    assert "(3 more in the report; harm in thousandths of a nat)" in lines
    said = " ".join(lines)
    assert "for 100.0 % of 64 val examples instead of 50.0 % with the answer of float" in said
    pasted = yaml.safe_load(next(line for line in lines if line.startswith("  keep:")))
    assert pasted == {"keep": {"bad": "float"}}


def test_a_long_proposal_stays_in_the_report(tmp_path: Path) -> None:
    many = {f"l{i}": "float" for i in range(9)}
    folder = left(tmp_path, found(proposed=mixture(many, 1.0)))
    said = summary(RESULT, folder)
    assert "9 layers, named in the report" in said and "keep:" not in said
    block = section(folder).partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(block) == {"quantize": {"keep": many}}


def test_the_report_lists_every_layer_and_what_is_kept(tmp_path: Path) -> None:
    now = {"logits": "float"}
    debug = found(now=mixture(now, 1.0), proposed=mixture(now, 1.0))
    text = section(left(tmp_path, debug, kept=now))
    assert "Kept in higher precision: logits (float)." in text
    assert "| bad | 12.300 | 50.0 % | 0.75 | 20.0 dB | int8 |" in text and "| l6 |" in text
    assert "- the shipped file: same answer as float 62.5 %, top-1 50.0 %" in text
    assert "Nothing more need be kept: 100.0 % of 64 val examples" in text
    assert "```yaml" not in text


def test_no_good_enough_choice_is_said_aloud_and_so_is_the_gate(tmp_path: Path) -> None:
    gate = "evaluate.gates.max_accuracy_drop"
    folder = left(tmp_path, found(proposed=None, limit=0.001, limit_from=gate))
    said = " ".join(summary(RESULT, folder).split())
    assert "No choice of layers to keep is good enough on 64 val examples: at most 0.1 %" in said
    assert f"may change ({gate})" in said


def test_a_quick_look_names_the_worst_layers_in_a_warning(tmp_path: Path) -> None:
    layers = [row("kept", 0.5, 0.5, "float"), row("bad", 0.0123, 0.5), row("less", 0.004, 0.9)]
    debug = found(quick=True, n=8, proposed=None, layers=layers, now=mixture({}, 0.75))
    folder = left(tmp_path, debug)
    (warning,) = [text for text in warnings(gather(folder, RESULT)) if "8 bits" in text]
    assert "8 bits change the answer to 2 of 8 val examples" in warning
    assert "they harm bad (12.3), less (4.0) most" in warning
    assert "quantize.keep" in warning and "quantize.debug: true" in warning
    said = summary(RESULT, folder)
    assert warning in " ".join(said.split()) and "SQNR" not in said  # no table on the terminal
    text = section(folder)
    assert "| bad | 12.300 |" in text and "A quick look at 8 val examples" in text
    assert "No choice" not in text and "```yaml" not in text


@pytest.mark.parametrize("needed", [False, True])
def test_where_no_layers_were_compared_the_report_is_as_without_debug(
    tmp_path: Path, needed: bool
) -> None:
    folder = left(tmp_path, {"needed": needed, "why": "int8 is as good as float"})
    facts = gather(folder, RESULT)
    assert facts.debug is None and not facts.mixed and warnings(facts) == []
    assert "## Quantization" not in write(folder, RESULT).read_text("utf-8")


def test_without_either_there_is_no_section(tmp_path: Path) -> None:
    assert "## Quantization" not in write(tmp_path, RESULT).read_text("utf-8")
    assert not gather(tmp_path, RESULT).mixed
    text = section(left(tmp_path, None, kept={"logits": "float"}))
    assert "quantize.debug: true" in text
