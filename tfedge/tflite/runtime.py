"""Run .tflite models: the Runtime protocol, LiteRT, a fake for tests, and prediction on all cores.

A runtime is loaded by calling its class: ``LiteRT(model, threads=1)``. :class:`Pool` and
:func:`predict` take any such callable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from threading import Event, Lock
from typing import Protocol

import numpy as np

from tfedge.errors import ArtifactError, UnsupportedModel
from tfedge.files.parallel import cores
from tfedge.tflite.reader import read

ModelSource = bytes | str | Path
Report = Callable[[int, int], None]  # images done, images in all
Portion = Sequence[tuple[int, np.ndarray]]  # images with their numbers
Change = Callable[[int, np.ndarray], np.ndarray]  # an image's number and pixels, to other pixels

_CHUNK = 8  # images a worker takes at once: the lock is cheap beside them, the end well shared
_POLL = 0.1  # seconds between two reports; Ctrl-C is answered as quickly


@dataclass(frozen=True)
class Port:
    """An input or an output of a loaded model. ``real = scale * (stored - zero_point)``."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]  # with the batch dimension
    scale: float = 0.0  # 0: not quantized
    zero_point: int = 0

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Stored values as float32; what is not quantized stays as it is."""
        if not self.scale:
            return stored
        return (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


@dataclass(frozen=True)
class SideBySide:
    """The outputs of a model as one array: side by side along their last axis, in the order of
    their names, for in which order a file has them, its converter decided. One output is as it is.
    """

    ports: tuple[Port, ...]  # by name

    @classmethod
    def of(cls, ports: Sequence[Port]) -> SideBySide:
        """UnsupportedModel unless they differ in their last side alone."""
        found = tuple(sorted(ports, key=lambda port: port.name))
        if len({(port.dtype, port.shape[:-1]) for port in found}) != 1:
            told = [f"{port.name}: {port.dtype} {list(port.shape)}" for port in found]
            what = "outputs that don't fit side by side"
            raise UnsupportedModel(what, told, "name the one that is wanted")
        return cls(found)

    @property
    def dtype(self) -> np.dtype:
        return self.ports[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """With the batch dimension."""
        first = self.ports[0].shape
        if len(self.ports) == 1:
            return first
        return (*first[:-1], sum(port.shape[-1] for port in self.ports))

    def joined(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Of one array for each port, in their order."""
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)

    def parts(self, joined: np.ndarray) -> list[np.ndarray]:
        """What stands side by side, […, C], a view for each port."""
        if len(self.ports) == 1:
            return [joined]
        ends = np.cumsum([port.shape[-1] for port in self.ports])
        return np.split(joined, ends[:-1], axis=-1)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Stored values, of any shape that ends as ``shape`` does, as float32; what is not
        quantized stays as it is."""
        parts = zip(self.ports, self.parts(stored), strict=True)
        return self.joined([port.real(part) for port, part in parts])


class Runtime(Protocol):
    """One loaded model on one interpreter. Not shared between threads."""

    name: str
    version: str
    threads: int

    def inputs(self) -> tuple[Port, ...]: ...

    def outputs(self) -> tuple[Port, ...]: ...

    def invoke(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """One inference. Arrays in the dtypes and shapes of ``inputs``; outputs as stored."""
        ...


class Items(Protocol):
    """What predictions are made for: an array [N, …], or anything sized that yields arrays."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


Loader = Callable[[ModelSource, int], Runtime]


def runtime_version() -> str:
    """Version of the installed LiteRT."""
    return version("ai-edge-litert")


class LiteRT:
    """``ai_edge_litert`` with its default XNNPACK delegate."""

    name = "LiteRT"
    delegated = True

    def __init__(self, model: ModelSource, threads: int = 1) -> None:
        """Load, checked first. ArtifactError when the file is broken or LiteRT refuses it."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        ops = OpResolverType.AUTO
        if not self.delegated:
            ops = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        path = "<bytes>" if isinstance(model, bytes) else Path(model)
        read(model)
        content = model if isinstance(model, bytes) else Path(model).read_bytes()
        try:
            self._interpreter = Interpreter(
                model_content=content, num_threads=threads, experimental_op_resolver_type=ops
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ArtifactError(
                path, f"LiteRT {runtime_version()} can't load it: {reason}"
            ) from error
        self.version = runtime_version()
        self.threads = threads
        self._in = self._interpreter.get_input_details()
        self._out = self._interpreter.get_output_details()

    def inputs(self) -> tuple[Port, ...]:
        return tuple(_port(d) for d in self._in)

    def outputs(self) -> tuple[Port, ...]:
        return tuple(_port(d) for d in self._out)

    def invoke(self, *arrays: np.ndarray) -> list[np.ndarray]:
        for detail, array in zip(self._in, arrays, strict=True):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]) for detail in self._out]


class BuiltinLiteRT(LiteRT):
    """The same with its own kernels alone, which round otherwise than XNNPACK's."""

    name = "LiteRT without XNNPACK"
    delegated = False


def _port(detail: dict) -> Port:
    scale, zero_point = detail["quantization"]
    shape = tuple(int(side) for side in detail["shape"])
    return Port(detail["name"], np.dtype(detail["dtype"]), shape, float(scale), int(zero_point))


class FakeRuntime:
    """A runtime for tests: ``function`` stands for the model. ``calls`` counts the inferences."""

    name = "fake"
    version = "0"

    def __init__(
        self,
        function: Callable[..., Sequence[np.ndarray]],
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        threads: int = 1,
    ) -> None:
        self.function = function
        self.threads = threads
        self.calls = 0
        self._ports = tuple(inputs), tuple(outputs)

    def inputs(self) -> tuple[Port, ...]:
        return self._ports[0]

    def outputs(self) -> tuple[Port, ...]:
        return self._ports[1]

    def invoke(self, *arrays: np.ndarray) -> list[np.ndarray]:
        self.calls += 1
        return list(self.function(*arrays))


class Pool:
    """Interpreters of one model with one thread each, loaded once and kept: for work in portions.

    A model of several inputs takes the parts of an item, which are along its first axis, in the
    order of the inputs' names; in which order a file has them, its converter decided.

    LiteRT releases the GIL while it runs, and interpreters share nothing: two workers on two
    cores went through images 1.9 times as fast as one. A pool runs one thing at a time.
    """

    def __init__(self, model: ModelSource, workers: int | None = None, load: Loader = LiteRT):
        """``workers`` None: one for each core.

        Raises:
            ArtifactError: the model can't be loaded.
            UnsupportedModel: it has no input, or one with a batch other than 1.
        """
        self._runtimes = [load(model, 1) for _ in range(workers or cores())]
        self._inputs = _inputs(self._runtimes[0])
        self._outputs = self._runtimes[0].outputs()

    @property
    def side_by_side(self) -> SideBySide:
        """All outputs as one. UnsupportedModel when they don't fit."""
        return SideBySide.of(self._outputs)

    def answers(
        self, items: Items, *, raw: bool = False, progress: Report | None = None
    ) -> np.ndarray:
        """All outputs of the model for every item, [N, …], side by side; see ``run``."""
        found = self.run(items, outputs=self.names, raw=raw, progress=progress)
        return self.side_by_side.joined(found)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the outputs, with the batch, in the order of the file."""
        return [port.shape for port in self._outputs]

    @property
    def names(self) -> list[str]:
        """Of the outputs, in their order; that in the file is its converter's."""
        return sorted(port.name for port in self._outputs)

    def run(
        self,
        items: Items,
        *,
        outputs: Sequence[int | str] | None = None,
        raw: bool = False,
        progress: Report | None = None,
    ) -> list[np.ndarray]:
        """Run the model over images on all cores.

        Args:
            images: an array [N, …], or anything with a length that yields arrays of the model's
                input shape without its batch dimension. The dtype may be narrower than the input's
                (uint8 pixels or float16 features for float32); what would lose something is
                refused.
            outputs: positions or tensor names of the outputs wanted; None: all of them, in order.
            raw: give quantized outputs as stored instead of as float32.
            progress: called from this thread with (done, total).

        Returns:
            For each output wanted an array [N, …] in the order of the images.

        Raises:
            UnsupportedModel: it lacks an output.
            ValueError: an image has another shape or dtype than the model's input.
        """
        wanted = _select(self._outputs, outputs)
        found = [_room(len(items), output, raw) for _, output in wanted]

        def each(worker: int, portion: Portion) -> None:
            for index, item in portion:
                values = self._invoke(worker, index, item)
                for room, (position, output) in zip(found, wanted, strict=True):
                    value = values[position][0]
                    room[index] = value if raw else output.real(value)

        _distribute(items, self.workers, each, progress)
        return found

    @property
    def workers(self) -> int:
        return len(self._runtimes)

    def _invoke(self, worker: int, index: int, item: np.ndarray) -> list[np.ndarray]:
        return self._runtimes[worker].invoke(*_batched(item, self._inputs, index))


def side_by_side(
    pools: Mapping[str, Pool],
    items: Items,
    *,
    change: Change | None = None,
    progress: Report | None = None,
) -> dict[str, np.ndarray]:
    """The outputs [N, …] of several models, by their names, for every image, those of one model
    side by side.

    An image is read once, and changed once, by the worker that runs it through all models.
    """
    outputs = {name: pool.side_by_side for name, pool in pools.items()}
    places = {
        name: [pool._outputs.index(port) for port in outputs[name].ports]
        for name, pool in pools.items()
    }
    found = {
        name: np.empty((len(items), *all_of_them.shape[1:]), _dtype(all_of_them.ports[0]))
        for name, all_of_them in outputs.items()
    }

    def each(worker: int, portion: Portion) -> None:
        shown = portion
        if change is not None:
            shown = [(index, change(index, item)) for index, item in portion]
        # A model at a time: its weights are in the processor's cache then, which is worth 5 %.
        for name, pool in pools.items():
            for index, item in shown:
                values = pool._invoke(worker, index, item)
                stored = outputs[name].joined([values[place][0] for place in places[name]])
                found[name][index] = outputs[name].real(stored)

    _distribute(items, min(pool.workers for pool in pools.values()), each, progress)
    return found


def _distribute(
    items: Items,
    workers: int,
    each: Callable[[int, Portion], None],
    progress: Report | None,
) -> None:
    """Call ``each(worker, portion)`` until all images are done, in as many threads as workers."""
    total, done = len(items), [0] * workers
    source, lock, stop = enumerate(items), Lock(), Event()

    def work(worker: int) -> None:
        while not stop.is_set():
            with lock:
                portion = list(islice(source, _CHUNK))
            if not portion:
                return
            each(worker, portion)
            done[worker] += len(portion)

    with ThreadPoolExecutor(workers, thread_name_prefix="tflite") as pool:
        try:
            _watch([pool.submit(work, i) for i in range(workers)], done, total, progress)
        finally:
            stop.set()  # an error or Ctrl-C: the others finish the images they hold
    if sum(done) != total:
        raise ValueError(f"{total} images were announced and {sum(done)} came")


def predict(
    model: ModelSource,
    items: Items,
    *,
    output: int | str | None = None,
    raw: bool = False,
    workers: int | None = None,
    progress: Report | None = None,
    load: Loader = LiteRT,
) -> np.ndarray:
    """One output of a model for every image, [N, …], on all cores, or (None) all of them side by
    side; see ``Pool``, ``Pool.run``."""
    pool = Pool(model, max(1, min(workers or cores(), len(items))), load)
    if output is None:
        return pool.answers(items, raw=raw, progress=progress)
    return pool.run(items, outputs=(output,), raw=raw, progress=progress)[0]


def _watch(jobs: list[Future], done: list[int], total: int, progress: Report | None) -> None:
    """Wait for the jobs, reporting on the way; raise the first error of any."""
    pending = set(jobs)
    while pending:
        finished, pending = wait(pending, timeout=_POLL, return_when=FIRST_EXCEPTION)
        for job in finished:
            job.result()
        if progress:
            progress(sum(done), total)


def _inputs(runtime: Runtime) -> tuple[Port, ...]:
    """The inputs, as the interpreter takes them."""
    ports = runtime.inputs()
    if not ports or any(not port.shape or port.shape[0] != 1 for port in ports):
        names = [f"{port.name} {list(port.shape)}" for port in ports]
        raise UnsupportedModel(
            "prediction needs inputs with batch 1", names, "convert with a fixed batch of 1"
        )
    return ports


def _select(ports: tuple[Port, ...], outputs: Sequence[int | str] | None) -> list[tuple[int, Port]]:
    names = [port.name for port in ports]
    chosen = []
    for output in range(len(ports)) if outputs is None else outputs:
        position = names.index(output) if output in names else output
        if not isinstance(position, int) or not 0 <= position < len(ports):
            raise UnsupportedModel(
                f"the model has no output {output!r}", names, "name one of these"
            )
        chosen.append((position, ports[position]))
    return chosen


def _room(total: int, port: Port, raw: bool) -> np.ndarray:
    return np.empty((total, *port.shape[1:]), port.dtype if raw else _dtype(port))


def _dtype(port: Port) -> np.dtype:
    """Of real values."""
    return np.dtype(np.float32) if port.scale else port.dtype


def _batched(item: np.ndarray, ports: Sequence[Port], index: int) -> list[np.ndarray]:
    """What the inputs get for an item."""
    if len(ports) == 1:
        return [_checked(item, ports[0], index)]
    if len(item) != len(ports):
        raise ValueError(f"item {index} has {len(item)} parts, the model takes {len(ports)}")
    parts = by_name(item, ports)
    return [_checked(part, port, index) for part, port in zip(parts, ports, strict=True)]


def by_name(item: np.ndarray, ports: Sequence[Port]) -> list[np.ndarray]:
    """The part of an item [inputs, …] that each input gets: parts stand in the order of the inputs'
    names."""
    named = sorted(range(len(ports)), key=lambda at: ports[at].name)
    return [item[named.index(at)] for at in range(len(ports))]


def _checked(item: np.ndarray, port: Port, index: int) -> np.ndarray:
    """An item [1, …] in the dtype of an input."""
    if item.shape != port.shape[1:] or not np.can_cast(item.dtype, port.dtype, "safe"):
        raise ValueError(
            f"item {index} is {item.dtype} {list(item.shape)}, "
            f"the model takes {port.dtype} {list(port.shape[1:])}"
        )
    return np.ascontiguousarray(item[None], port.dtype)
