"""How large a model's inputs are when it is timed, and how much of it a delegate takes."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Sequence

from tfedge.benchmark.script.problem import Problem

SHAPE = re.compile(r"(?:(?P<name>.+)=)?(?P<sides>[1-9]\d*(?:x[1-9]\d*)*)")
HOW = "1x224x224x3, or NAME=1x224x224x3 for each of several inputs, with commas between them"


class Port(NamedTuple):
    """An input of a model. A side of -1 is open."""

    name: str
    shape: list[int]


def resize(interpreter: Any, text: str) -> bool:
    """Give the open inputs of an interpreter the sizes of ``--shape``; whether there were any.

    Before its tensors are allocated. Problem as of ``sized``.
    """
    details = interpreter.get_input_details()
    ports = [Port(one.get("name", ""), open_shape(one)) for one in details]
    for detail, port, sides in zip(details, ports, sized(ports, text)):
        if -1 in port.shape:
            interpreter.resize_tensor_input(detail["index"], sides)
    return any(-1 in port.shape for port in ports)


def open_shape(port: dict) -> list[int]:
    """The shape of an interpreter's input, -1 where the file leaves a side open."""
    shape = [int(side) for side in port["shape"]]
    told = port.get("shape_signature")
    signature = shape if told is None or len(told) != len(shape) else [int(side) for side in told]
    return [-1 if given < 1 or side < 1 else side for side, given in zip(shape, signature)]


def sized(ports: Sequence[Port], text: str) -> list[list[int]]:
    """The shapes in which a model with these inputs is timed, by ``--shape``.

    Problem names the input that is open and has no size, or can't have the one that is given.
    """
    given = parsed(text)
    if None in given and len(ports) != 1:
        names = ", ".join(port.name for port in ports)
        raise Problem(2, f"--shape {text}: of which input? NAME=SHAPE, with NAME of {names}")
    unknown = [name for name in given if name not in (None, *(port.name for port in ports))]
    if unknown:
        names = ", ".join(port.name for port in ports)
        raise Problem(2, f"--shape: no input is called {unknown[0]}; there are: {names}")
    return [_size(port, given.get(port.name, given.get(None, []))) for port in ports]


def parsed(text: str) -> dict[Any, list[int]]:
    """Sides by input; by None where no input is named. Problem when it is none of ``HOW``."""
    found: dict[Any, list[int]] = {}
    for part in text.split(",") if text else []:
        match = SHAPE.fullmatch(part.strip())
        if not match or match["name"] in found:
            raise Problem(2, f"--shape {text}: not {HOW}")
        found[match["name"]] = [int(side) for side in match["sides"].split("x")]
    return found


def _size(port: Port, sides: list[int]) -> list[int]:
    if not sides:
        if -1 not in port.shape:
            return port.shape
        proposal = written(_proposal(port.shape))
        raise Problem(
            2,
            f"the input {port.name} is open: {written(port.shape)}; it is timed in one shape only",
            f"say which with --shape, such as --shape {proposal}",
        )
    fits = len(sides) == len(port.shape)
    if not fits or any(side not in (-1, given) for side, given in zip(port.shape, sides)):
        raise Problem(
            2, f"--shape {written(sides)}: the input {port.name} is {written(port.shape)}"
        )
    return sides


def _proposal(shape: Sequence[int]) -> list[int]:
    """A usual one: images of 224 pixels, one at a time."""
    image = len(shape) == 4 and shape[3] in (1, 3, 4)
    usual = [1, 224, 224, 3] if image else [1] * len(shape)
    return [given if side < 0 else side for side, given in zip(shape, usual)]


def written(shape: Sequence[int]) -> str:
    """1x?x?x3."""
    return "x".join("?" if side < 0 else str(side) for side in shape)


def delegated(interpreter: Any) -> Any:
    """How many of a model's nodes a delegate has taken, as "31 of 65 nodes"; None: not known here.

    A delegate's node has the inputs and outputs of those that it took: they are the ones that lead
    from these to those.
    """
    if not hasattr(interpreter, "_get_ops_details"):
        return None
    nodes = interpreter._get_ops_details()
    own = [node for node in nodes if not node["op_name"].startswith("DELEGATE")]
    makers = {int(tensor): node for node in own for tensor in node["outputs"]}
    taken = set()
    for delegate in nodes:
        if not delegate["op_name"].startswith("DELEGATE"):
            continue
        known = {int(tensor) for tensor in delegate["inputs"]}
        left = [int(tensor) for tensor in delegate["outputs"]]
        while left:
            tensor = left.pop()
            node = makers.get(tensor)
            if tensor not in known and node is not None and node["index"] not in taken:
                taken.add(node["index"])
                left += [int(tensor) for tensor in node["inputs"]]
    return f"{len(taken)} of {len(own)} nodes"
