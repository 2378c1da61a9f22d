"""The Open Inference Protocol v2 as messages: what is taken, what is refused and why, what is answered.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from cornjacket_model.model import Floats, Model, Scores

# Values of a request, all windows together.
MOST_VALUES = 1_000_000
INPUT = "x"
OUTPUTS = ("score", "expected", "lower", "upper")
_TYPES = {"FP32": np.float32, "FP64": np.float64}


class BadRequest(Exception):
    """A request that is refused; the text names the field."""


@dataclass(frozen=True)
class Request:
    """A request that can be answered."""

    id: str | None
    windows: Floats
    outputs: tuple[str, ...]


def parse(body: bytes) -> Request:
    """Reads a request. Raises BadRequest."""
    try:
        message = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(message, dict):
        raise BadRequest("the body must be an object")
    id = message.get("id")
    if id is not None and not isinstance(id, str):
        raise BadRequest("id must be a string")
    inputs = message.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise BadRequest(f'inputs must be a list of one tensor, "{INPUT}"')
    return Request(id, _windows(inputs[0]), _outputs(message.get("outputs")))


def answer(model: Model, request: Request, scores: Scores) -> dict[str, Any]:
    """The response to a request."""
    tensors = [
        {"name": name, "shape": [len(request.windows)], "datatype": "FP64", "data": getattr(scores, name).tolist()}
        for name in request.outputs
    ]
    id = {} if request.id is None else {"id": request.id}
    return {"model_name": model.name, "model_version": model.version, **id, "outputs": tensors}


def metadata(model: Model) -> dict[str, Any]:
    """What the protocol tells of a model."""
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "cornjacket_python",
        "inputs": [{"name": INPUT, "datatype": "FP64", "shape": [-1, -1]}],
        "outputs": [{"name": name, "datatype": "FP64", "shape": [-1]} for name in OUTPUTS],
    }


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _outputs(wanted: object) -> tuple[str, ...]:
    """The outputs that a request names; all when it names none."""
    if wanted is None:
        return OUTPUTS
    if not isinstance(wanted, list):
        raise BadRequest("outputs must be a list")
    names = []
    for index, output in enumerate(wanted):
        name = output.get("name") if isinstance(output, Mapping) else None
        if name not in OUTPUTS:
            raise BadRequest(f"outputs[{index}].name must be one of {', '.join(OUTPUTS)}")
        names.append(str(name))
    return tuple(names) or OUTPUTS


def _windows(tensor: object) -> Floats:
    if not isinstance(tensor, Mapping):
        raise BadRequest("inputs[0] must be an object")
    if tensor.get("name") != INPUT:
        raise BadRequest(f'inputs[0].name must be "{INPUT}"')
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in _TYPES:
        raise BadRequest(f"inputs[0].datatype must be one of {', '.join(_TYPES)}")
    count, width = _shape(tensor.get("shape"))
    values = _values(tensor.get("data"), count, width)
    # What FP32 cannot hold becomes infinite there.
    with np.errstate(over="ignore"):
        windows = values.astype(_TYPES[datatype]).astype(np.float64)
    if not np.isfinite(windows).all():
        raise BadRequest(f"inputs[0].data has a number that {datatype} cannot hold")
    return windows.reshape(count, width)


def _shape(shape: object) -> tuple[int, int]:
    lengths = shape if isinstance(shape, list) else []
    if len(lengths) != 2 or not all(type(length) is int and length > 0 for length in lengths):
        raise BadRequest("inputs[0].shape must be two numbers above zero: windows, and values in each")
    count, width = lengths
    if count * width > MOST_VALUES:
        raise BadRequest(f"inputs[0].shape means {count * width} values; the limit is {MOST_VALUES}")
    return count, width


def _values(data: object, count: int, width: int) -> Floats:
    """The numbers of `data`, flat or a list for each window."""
    if not isinstance(data, list):
        raise BadRequest("inputs[0].data must be a list")
    if data and isinstance(data[0], list):
        if len(data) != count or any(not isinstance(row, list) or len(row) != width for row in data):
            raise BadRequest(f"inputs[0].data must have {count} lists of {width} numbers, as inputs[0].shape says")
        data = list(chain.from_iterable(data))
    if len(data) != count * width:
        raise BadRequest(f"inputs[0].data has {len(data)} values; inputs[0].shape says {count * width}")
    if not all(type(value) in (int, float) for value in data):
        raise BadRequest("inputs[0].data must be numbers")
    try:
        return np.array(data, dtype=np.float64)
    except OverflowError as error:
        raise BadRequest("inputs[0].data has a number that FP64 cannot hold") from error
