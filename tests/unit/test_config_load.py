"""Reading a pipeline file: what it says, where it is wrong, and that it can do no harm."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tfedge.config.nodes import MAX_BYTES
from tfedge.config.words import _PATTERNS, expected_at
from tfedge.data.schema import Data
from tfedge.data.sources import source_digest
from tfedge.errors import ConfigError, DataError
from tfedge.pipeline.load import load, load_pipeline
from tfedge.pipeline.schema import Pipeline, schema_of

SMALL = "name: small\ndata: {path: sample:digits}\n"


def write(folder: Path, text: str | bytes, name: str = "p.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(path: Path, *overrides: str) -> list[str]:
    """The problems of a file, without the folder it is in."""
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    text = "\n".join(caught.value.problems)
    assert "pydantic" not in text and "http://errors" not in text and "Traceback" not in text
    return [problem.replace(f"{path.parent}{os.sep}", "") for problem in caught.value.problems]


def only(path: Path, *overrides: str) -> str:
    (problem,) = problems(path, *overrides)
    return problem


# ------------------------------------------------------------------ what is read


def test_a_left_out_section_is_off_and_an_empty_one_has_its_defaults(tmp_path: Path) -> None:
    pipeline = load_pipeline(write(tmp_path, SMALL + "quantize:\nevaluate:\n  gates:\n"))
    assert pipeline.prune is None and pipeline.data.augment is None
    assert pipeline.quantize is not None and pipeline.quantize.recipe == "auto"
    assert pipeline.evaluate is not None and pipeline.evaluate.gates.max_size is None
    assert load_pipeline(write(tmp_path, SMALL + "evaluate: {}\n")).evaluate == pipeline.evaluate


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    text = SMALL + "finetune: {learning_rate: 1e-3, weight_decay: 0, dropout: .25, epochs: 010}\n"
    finetune = load_pipeline(write(tmp_path, text)).finetune
    assert finetune.learning_rate == 0.001 and finetune.dropout == 0.25
    assert (finetune.weight_decay, type(finetune.weight_decay)) == (0.0, float)
    assert finetune.epochs == 10  # octal in YAML 1.1


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "1:30", "2024-01-01", "1_000"])
def test_what_yaml_1_1_turns_into_something_else_stays_text(tmp_path: Path, word: str) -> None:
    text = f"name: a\ndata: {{path: sample:digits}}\nprune: {{layers: [{word}]}}\n"
    assert f"no kernel is called '{word}'" in only(write(tmp_path, text))


@pytest.mark.parametrize("word", ["true", "True", "FALSE"])
def test_booleans(tmp_path: Path, word: str) -> None:
    path = write(tmp_path, SMALL + f"finetune: {{tensorboard: {word}}}\n")
    assert load_pipeline(path).finetune.tensorboard is (word.lower() == "true")


def test_unfreeze_tells_a_count_from_a_fraction(tmp_path: Path) -> None:
    for text, value in (("1", 1), ("1.0", 1.0), ("block_16", "block_16"), ("none", "none")):
        path = write(tmp_path, SMALL + f"finetune: {{unfreeze: {text}}}\n")
        unfreeze = load_pipeline(path).finetune.unfreeze
        assert (unfreeze, type(unfreeze)) == (value, type(value))


def test_paths_in_the_file_are_relative_to_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "w.npz").touch()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", "/home/someone")
    text = "name: a\ndata: {path: ../photos}\nbackbone: {weights: w.npz}\n"
    path = write(tmp_path / "pipelines", text)
    pipeline = load_pipeline(path)
    assert pipeline.data.path == str(tmp_path / "photos")
    assert pipeline.backbone.weights == str(tmp_path / "pipelines" / "w.npz")
    # An override is typed where one stands, whatever way it gives the key.
    for override in ("data.path=photos", "data={path: photos}"):
        assert load_pipeline(path, [override]).data.path == str(tmp_path / "here" / "photos")
    assert load_pipeline(path, ["data.path=~/p"]).data.path == "/home/someone/p"
    assert load_pipeline(path, ["data.path=sample:digits"]).data.path == "sample:digits"
    for name in ("none", "wheel", "imagenet"):
        assert load_pipeline(path, [f"backbone.weights={name}"]).backbone.weights == name


def test_resolved_is_a_pipeline_file_that_gives_the_same_again(tmp_path: Path) -> None:
    text = SMALL + "prune: {learning_rate: 1e-05}\nevaluate: {gates: {min_accuracy: 0.5}}\n"
    loaded = load(write(tmp_path, text), ["data.split={val: 0.3}"])
    again = write(tmp_path, json.dumps(loaded.resolved()), "resolved.json")
    assert load_pipeline(again) == loaded.pipeline
    assert loaded.text == text  # as it was given


def test_aliases_work_and_carry_comments_and_bom(tmp_path: Path) -> None:
    text = "\ufeffname: a # b\ndata: {path: sample:digits}\nprune: &x {epochs: 3}\nquantize: *x\n"
    quantize = load_pipeline(write(tmp_path, text)).quantize
    assert quantize is not None and quantize.epochs == 3


# ------------------------------------------------------------------ overrides


def test_overrides_replace_what_the_file_says(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL + "prune: {epochs: ten}\nfinetune: 5\n")
    overrides = ["prune.epochs=3", "prune.epochs=4", "finetune.epochs=7", "benchmark.threads=[4]"]
    pipeline = load_pipeline(path, overrides)
    assert pipeline.prune is not None and pipeline.prune.epochs == 4  # the last one counts
    assert pipeline.finetune.epochs == 7
    assert pipeline.benchmark is not None and pipeline.benchmark.threads == (4,)


def test_an_override_of_a_section_leaves_nothing_of_what_the_file_said(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL + "prune: {sparsity: 0.1, unfreeze: all}\n")
    problem = only(path, "prune={unfreeze: top}")  # too little for the default sparsity
    assert problem.startswith("--set prune={unfreeze: top}: prune.sparsity: 0.5 of the model")


def test_an_override_can_switch_a_section_on(tmp_path: Path) -> None:
    assert load_pipeline(write(tmp_path, SMALL), ["prune="]).prune is not None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.image_sise=97", "data.image_sise: unknown key, did you mean image_size? (allowed:"),
        ("data.image_size=big", "data.image_size: must be a whole number from 32 to 1024, got 'b"),
        ("data.image_size", "must be key=value, such as data.image_size=97"),
        ("=3", "must be key=value"),
        ("data..x=3", "must be key=value"),
        ("benchmark.threads=[1", "not valid YAML: "),
        ("seed.x=1", "seed: must be a whole number of at least 0 and below 2147483648, got a sec"),
        ("finetune.epochs=!!python/name:os.system", "tag !!python/name:os.system is not allowed"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, said: str) -> None:
    assert only(write(tmp_path, SMALL), override).startswith(f"--set {override}: {said}")


# ------------------------------------------------------------------ what is wrong


def test_all_problems_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
data:
  path: photos
  image_sise: 97
  split: {val: "0.5"}
backbone: {name: MobileNetV9}
finetune:
  epochs: ten
  learning_rate: true
  unfreeze: [1]
prune: {sparsity: 1}
evaluate: {gates: {max_latency: 3}}
benchmark: {threads: [0, 2]}
package: {targets: [linxu, linux]}
nmae: x
"""
    said = problems(write(tmp_path, text), "quantize.epochs=0")
    assert [re.sub(r"\(allowed.*", "", line).strip() for line in said] == [
        "p.yaml:1:1: name: missing; must be a name of letters, digits, dots, dashes and "
        "underscores (at most 64)",
        "p.yaml:3:3: data.image_sise: unknown key, did you mean image_size?",
        "p.yaml:4:16: data.split.val: must be a number above 0 and below 1, got '0.5'",
        "p.yaml:5:18: backbone.name: no backbone 'MobileNetV9', did you mean MobileNetV2?",
        "p.yaml:7:11: finetune.epochs: must be a whole number of at least 1, got 'ten'",
        "p.yaml:8:18: finetune.learning_rate: must be a number above 0, got true",
        "p.yaml:9:13: finetune.unfreeze: must be text, or a whole number of at least 0, or a "
        "number from 0 to 1, got a list",
        "p.yaml:10:19: prune.sparsity: must be a number above 0 and below 1, got 1",
        "p.yaml:12:23: benchmark.threads[0]: must be a whole number of at least 1, got 0",
        "p.yaml:13:21: package.targets[0]: no target 'linxu', did you mean linux?",
        "p.yaml:14:1: nmae: unknown key, did you mean name?",
        "--set quantize.epochs=0: quantize.epochs: must be a whole number of at least 1, got 0",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed: 1.5", "4:7: seed: must be a whole number of at least 0 and below 2147483648, got"),
        ("finetune: on", "finetune: must be a section (with epochs, learning_rate, "),
        ("finetune: {epochs: null}", "finetune.epochs: must be a whole number of at least 1, got "),
        ("finetune: {epochs: 2.0}", "must be a whole number of at least 1, got 2.0"),
        ("finetune: {learning_rate: .inf}", "must be a number above 0, got '.inf'"),
        ("finetune: {learning_rate: .nan}", "must be a number above 0, got '.nan'"),
        ("finetune: {learning_rate: 1e999}", "must be a number above 0, got '1e999'"),
        ("finetune: {tensorboard: yes}", "must be true or false, got 'yes'"),
        ("finetune: {schedule: cosin}", "must be cosine, exponential, plateau or constant, got"),
        ("backbone: {name: 7}", "backbone.name: must be text, got 7 (for text, quote it: '7')"),
        ("prune: {also: [frist]}", "prune.also[0]: must be first, depthwise or head, got 'frist'"),
        ("prune: {layers: x}", "prune.layers: must be a list of which each item is text, got 'x'"),
        ("<<: {seed: 3}", "4:1: merge keys (<<) are not supported: write the keys out"),
        ("[1, 2]: 3", "4:1: a key must be text, got a list or a section"),
        ("name: again", "4:1: name: given twice (first in line 1)"),
        ("true: 1", "true: unknown key"),
        ("seed: !!binary aGk=", "4:7: tag !!binary is not allowed: a pipeline holds plain data"),
        ("seed: !!python/object/apply:os.system [id]", "tag !!python/object/apply:os.system is "),
        ("prune: &p {also: *p}", "an alias (*) that holds itself"),
        (f"seed: {'9' * 5000}", "seed: must be a whole number of at least 0 and below"),
        (f"seed: 0x{'f' * 5000}", "seed: must be a whole number of at least 0 and below"),
        (f"finetune: {{learning_rate: 0o{'7' * 5000}}}", "must be a number above 0, got '0o777"),
        ('backbone: {name: "a\\0b"}', "holds a character that no text has (NUL, or a surrogate)"),
        ('"\\ud800": 1', "4:1: a key holds a character that no text has"),
        ('backbone: {weights: "\\ud800"}', "holds a character that no text has"),
        (f"backbone: {{weights: {'w' * 5000}.h5}}", "backbone.weights: no path can be that long"),
    ],
)
def test_one_wrong_line_is_one_problem(tmp_path: Path, line: str, said: str) -> None:
    problem = only(write(tmp_path, f"name: a\ndata:\n  path: sample:digits\n{line}\n"))
    assert problem.startswith("p.yaml:4:") and said in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "p.yaml: the file is empty"),
        ("# nothing but a comment\n", "p.yaml: the file is empty"),
        ("- a\n- b\n", "p.yaml:1:1: must be sections (name:, data:, …), got a list"),
        ("hello", "p.yaml:1:1: must be sections (name:, data:, …), got a single value"),
        ("name: a\n\tdata: b\n", "(a tab: indent with spaces)"),
        ("name: a: b\n", "p.yaml:1:8: not valid YAML: mapping values are not allowed here"),
        ("name: *nobody\n", "p.yaml:1:7: not valid YAML: found undefined alias 'nobody'"),
        ("name: a\n---\nname: b\n", "p.yaml:2:1: not valid YAML: expected a single document"),
        (b"\x89PNG\r\n\x1a\n\xff", "p.yaml: not a text file (a pipeline is YAML in UTF-8)"),
        (b"name: a\0b", "p.yaml: not a text file (it holds a zero byte)"),
        ("name: \x07", "p.yaml: not a YAML file: the character 7 is not allowed in YAML"),
        ("[" * 60_000, "not valid YAML: nested too deeply"),
        ("a: " + "{a: " * 40 + "}" * 40, "not valid YAML: nested too deeply"),
        ("#" * (MAX_BYTES + 1), "p.yaml: larger than 64 kB"),
        ("a: [" + "x, " * 20_000 + "x]", "not valid YAML: more than 10,000 values"),
        ('name: "\\UFFFFFFFF"', "p.yaml: not valid YAML: "),
        (f"%YAML {'1' * 5000}.1\n---\nname: a", "p.yaml: not valid YAML: "),
    ],
)
def test_what_is_no_pipeline_at_all(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in only(write(tmp_path, text))


def test_an_alias_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 12):  # 9 to the power of 12 values
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]")
    assert "more than 10,000 values" in only(write(tmp_path, "\n".join(lines)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, SMALL, "mobilenet.yaml")
    for path, said, hint in (
        (tmp_path / "mobilnet.yaml", "no such file", "did you mean"),
        (tmp_path, "is a folder, not a pipeline file", "pipelines here"),
        (tmp_path / "nowhere" / "x.yaml", "no such file", ""),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            load(path)
        assert caught.value.hint.startswith(hint)


# ------------------------------------------------------------------ the words


def test_every_pattern_of_the_schema_has_words() -> None:
    package = Path(load.__code__.co_filename).parents[1]
    schemas = (package / "config" / "section.py", *package.rglob("schema.py"))
    patterns = [p for f in schemas for p in re.findall(r'pattern=r"([^"]+)"', f.read_text())]
    assert len(patterns) == 5 and set(patterns) == set(_PATTERNS)


def test_words_for_every_kind_of_value() -> None:
    images = schema_of("image-classification")
    assert expected_at(("finetune", "warmup"), Pipeline) == "a number of at least 0 and below 1"
    assert expected_at(("finetune", "weight_decay"), Pipeline) == "a number of at least 0"
    assert expected_at(("data", "augment", "rotate"), images) == "a number from 0 to 180"
    assert expected_at(("data", "download", "sha256"), Pipeline).startswith("a SHA-256")
    assert expected_at(("data", "split"), Pipeline) == "a section (with val, test)"
    limit = expected_at(("evaluate", "gates", "max_size"), Pipeline)
    assert limit == "a whole number of at least 1"


def test_paths_that_can_not_be_looked_at_are_named_with_their_place(tmp_path: Path) -> None:
    """Also where a rule would have asked the system of one before."""
    (tmp_path / "round").symlink_to("round")
    path = write(tmp_path, SMALL + "backbone: {weights: round/w.h5}\n")
    assert (
        only(path) == "p.yaml:3:21: backbone.weights: round/w.h5: Too many levels of symbolic links"
    )
    with pytest.raises(DataError, match=r"data\.path: .*round: Too many levels"):
        source_digest(Data(path=str(tmp_path / "round")), tmp_path / "cache")
    with pytest.raises(DataError, match=r"data\.path: no path can be that long, 5,000"):
        source_digest(Data(path="x" * 5000), tmp_path / "cache")
