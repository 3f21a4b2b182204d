"""Which runtime a version of an op needs."""

from __future__ import annotations

import pytest
from ai_edge_litert import schema_py_generated as schema

from tfedge.tflite import versions
from tfedge.tflite.versions import as_numbers, latest, minimum_runtime


@pytest.mark.parametrize(
    ("op", "version", "runtime"),
    [
        ("CONV_2D", 1, "1.5.0"),
        ("FULLY_CONNECTED", 4, "1.14.0"),
        ("FULLY_CONNECTED", 12, "2.17.0"),  # what tflite-runtime 2.14 can't load
        ("TRANSPOSE_CONV", 4, "2.13.0"),
        ("BROADCAST_TO", 1, None),  # was taken back
        ("CONV_2D", 99, None),
        ("CONV_2D", 0, None),
        ("CONV_2D", -1, None),
        ("TFLite_Detection_PostProcess", 1, None),
    ],
)
def test_minimum_runtime(op: str, version: int, runtime: str | None) -> None:
    assert minimum_runtime(op, version) == runtime


def test_the_latest_is_not_the_last_in_the_alphabet() -> None:
    assert latest(["2.9.0", "2.14.4", None, "2.14.0"]) == "2.14.4"
    assert latest([None]) is None


def test_table_has_names_of_the_schema_and_grows_with_the_versions() -> None:
    table = versions._ops()
    known = {name for name in vars(schema.BuiltinOperator) if name.isupper()}
    assert len(table) > 150
    assert set(table) <= known
    for op, runtimes in table.items():
        numbers = [as_numbers(runtime) for runtime in runtimes if runtime]
        assert numbers == sorted(numbers), op
