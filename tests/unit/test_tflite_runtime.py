"""Prediction over many images, with LiteRT and with a fake."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from color_helpers import FLOAT, INT8, pixels

from tfedge.errors import ArtifactError, UnsupportedModel
from tfedge.tflite.runtime import (
    FakeRuntime,
    LiteRT,
    Pool,
    Port,
    predict,
    runtime_version,
    side_by_side,
)

WIDE = Path(__file__).parent / "data" / "color_wide.tflite"


def fake(function, shape=(1, 2), out=(1, 2), dtype=np.float32, seen=None):
    """A loader of fakes; ``seen`` collects them."""
    inputs = [Port("in", np.dtype(dtype), shape)]
    outputs = [Port("out", np.dtype(np.float32), out)]

    def load(model, threads):
        runtime = FakeRuntime(function, inputs, outputs, threads)
        if seen is not None:
            seen.append(runtime)
        return runtime

    return load


def test_int8_and_float_name_the_colour() -> None:
    x = np.stack([pixels(label, seed) for seed in range(10) for label in range(3)])
    for model in (INT8, FLOAT, INT8.read_bytes()):
        scores = predict(model, x)
        assert scores.shape == (30, 3)
        assert scores.dtype == np.float32
        assert scores.argmax(1).tolist() == [0, 1, 2] * 10
        assert np.allclose(scores.sum(1), 1, atol=0.01)


def test_raw_scores_are_bytes_and_dequantise_to_the_same() -> None:
    x = np.stack([pixels(1, seed) for seed in range(4)])
    raw = predict(INT8, x, raw=True)
    assert raw.dtype == np.uint8
    assert np.array_equal(raw.astype(np.float32) / 256, predict(INT8, x))


def test_order_is_kept_whatever_the_workers_do() -> None:
    def slow(batch):
        time.sleep(0.002 * float(batch[0, 0] % 3))
        return [batch * 2]

    x = np.arange(200, dtype=np.float32).reshape(100, 2)
    seen: list[FakeRuntime] = []
    found = predict(b"", x, workers=4, load=fake(slow, seen=seen))
    assert np.array_equal(found, x * 2)
    assert [r.threads for r in seen] == [1] * 4
    assert sum(r.calls for r in seen) == 100
    assert sum(r.calls > 0 for r in seen) > 1


def test_a_pool_loads_once_and_serves_many_portions() -> None:
    seen: list[FakeRuntime] = []
    pool = Pool(b"", workers=2, load=fake(lambda b: [b + 1], seen=seen))
    for start in range(0, 30, 10):
        x = np.arange(start, start + 10, dtype=np.float32).reshape(5, 2)
        assert np.array_equal(pool.run(x)[0], x + 1)
    assert pool.run(np.zeros((0, 2), np.float32))[0].shape == (0, 2)
    assert len(seen) == 2


def test_side_by_side_every_model_sees_every_image_made_once() -> None:
    made: list[int] = []

    def doubled(number: int, image: np.ndarray) -> np.ndarray:
        made.append(number)
        return image * (number + 1)

    functions = {"more": lambda b: [b + 1], "less": lambda b: [b - 1]}
    pools = {name: Pool(b"", workers=2, load=fake(f)) for name, f in functions.items()}
    x = np.arange(80, dtype=np.float32).reshape(40, 2)
    said: list[tuple[int, int]] = []
    found = side_by_side(pools, x, change=doubled, progress=lambda *so_far: said.append(so_far))
    shown = x * np.arange(1, 41, dtype=np.float32)[:, None]
    assert list(found) == ["more", "less"]
    np.testing.assert_array_equal(found["more"], shown + 1)
    np.testing.assert_array_equal(found["less"], shown - 1)
    assert sorted(made) == list(range(40)) and said[-1] == (40, 40)
    plain = side_by_side(pools, x)
    np.testing.assert_array_equal(plain["more"], x + 1)


def test_images_are_changed_by_several_workers_at_once() -> None:
    both = threading.Barrier(2, timeout=20)  # broken, were one to wait for the other

    def together(number: int, image: np.ndarray) -> np.ndarray:
        if number in (0, 8):  # the first of each worker's portion
            both.wait()
        return image

    pools = {"one": Pool(b"", workers=2, load=fake(lambda b: [b]))}
    x = np.arange(32, dtype=np.float32).reshape(16, 2)
    np.testing.assert_array_equal(side_by_side(pools, x, change=together)["one"], x)


def test_workers_agree_with_one() -> None:
    x = np.stack([pixels(seed % 3, seed) for seed in range(40)])
    assert np.array_equal(predict(FLOAT, x, workers=1), predict(FLOAT, x, workers=3))


def test_outputs_by_position_and_by_name() -> None:
    x = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], np.float16)
    names = [port.name for port in LiteRT(WIDE).outputs()]
    both = Pool(WIDE).run(x)
    widths = [array.shape[1] for array in both]
    assert sorted(widths) == [1, 4]
    doubled, total = widths.index(4), widths.index(1)
    assert both[doubled].tolist() == [[2, 4, 6, 8], [0, 0, 0, 2]]
    assert both[total].ravel().tolist() == [10, 1]
    assert np.array_equal(predict(WIDE, x, output=names[total]), both[total])
    assert np.array_equal(Pool(WIDE).run(x, outputs=[1, 0])[0], both[1])
    with pytest.raises(UnsupportedModel, match=r"no output 'x': PartitionedCall"):
        predict(WIDE, x, output="x")
    with pytest.raises(UnsupportedModel, match="no output 2"):
        predict(WIDE, x, output=2)


def test_lossy_dtypes_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"item 0 is float32 \[32, 32, 3\], the model takes uint8"):
        predict(INT8, np.zeros((2, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match=r"item 0 is uint8 \[31, 32, 3\]"):
        predict(INT8, np.zeros((2, 31, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=r"float64"):
        predict(WIDE, np.zeros((1, 4)))


def test_a_batch_other_than_one_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"batch 1: in \[8, 2\]"):
        predict(b"", np.zeros((8, 2)), load=fake(lambda b: [b], shape=(8, 2)))


def test_no_images() -> None:
    assert predict(INT8, np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 3)


def test_an_error_in_a_worker_reaches_the_caller_and_stops_the_others() -> None:
    calls = []

    def broken(batch):
        calls.append(1)
        if batch[0, 0] == 3:
            raise ValueError("item three")
        time.sleep(0.001)
        return [batch]

    x = np.arange(4000, dtype=np.float32).reshape(2000, 2)
    x[:, 0] = np.arange(2000)
    with pytest.raises(ValueError, match="item three"):
        predict(b"", x, workers=2, load=fake(broken))
    assert len(calls) < 500
    assert not [t for t in threading.enumerate() if t.name.startswith("tflite")]


def test_progress_comes_from_the_calling_thread_and_ends_at_the_total() -> None:
    said: list[tuple[int, int, threading.Thread]] = []

    def slow(batch):
        time.sleep(0.01)
        return [batch]

    predict(
        b"",
        np.zeros((40, 2), np.float32),
        workers=2,
        load=fake(slow),
        progress=lambda done, total: said.append((done, total, threading.current_thread())),
    )
    assert said[-1][:2] == (40, 40)
    assert len(said) > 1
    assert {thread for _, _, thread in said} == {threading.main_thread()}


def test_a_lot_that_is_shorter_than_it_says_is_an_error() -> None:
    class Liar:
        def __len__(self) -> int:
            return 5

        def __iter__(self):
            return iter(np.zeros((3, 2), np.float32))

    with pytest.raises(ValueError, match="5 images were announced and 3 came"):
        predict(b"", Liar(), load=fake(lambda b: [b]))


def test_broken_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "cut.tflite").write_bytes(INT8.read_bytes()[:3000])
    with pytest.raises(ArtifactError, match=r"cut\.tflite: broken"):
        LiteRT(tmp_path / "cut.tflite")
    with pytest.raises(ArtifactError, match="can't be read"):
        LiteRT(tmp_path / "none.tflite")


def test_names_itself() -> None:
    runtime = LiteRT(INT8, threads=2)
    assert (runtime.name, runtime.version, runtime.threads) == ("LiteRT", runtime_version(), 2)
    assert runtime.inputs()[0] == Port(
        "serving_default_pixels:0", np.dtype(np.uint8), (1, 32, 32, 3), 1.0, 0
    )
