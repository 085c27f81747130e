"""Tensors in shared memory ↔ numpy arrays.

What stays the same from request to request is kept: views of the regions for the shapes seen last, and the descriptors
that go with them. A request of a known shape then costs a look into a dictionary.
"""
import json
import struct

import numpy as np

from .channel import INTERNAL, INVALID_ARGUMENT, UNIMPLEMENTED, WorkerError

# kind of element, as in tensor/data_type.h: number, Open Inference Protocol's name, numpy's
_TYPES = [(1, "BOOL", np.bool_), (2, "UINT8", np.uint8), (3, "UINT16", np.uint16), (4, "UINT32", np.uint32),
          (5, "UINT64", np.uint64), (6, "INT8", np.int8), (7, "INT16", np.int16), (8, "INT32", np.int32),
          (9, "INT64", np.int64), (10, "FP16", np.float16), (11, "FP32", np.float32), (12, "FP64", np.float64)]
BYTES = 13
NUMPY_OF_NUMBER = {number: np.dtype(kind) for number, _, kind in _TYPES}
NUMPY_OF_NAME = {name: np.dtype(kind) for _, name, kind in _TYPES}
NUMBER_OF_NAME = {name: number for number, name, _ in _TYPES} | {"BYTES": BYTES}
NAME_OF_NUMPY = {np.dtype(kind): name for _, name, kind in _TYPES}

_HEAD = struct.Struct("<BBHIQQ")  # type, rank, index, reserved, offset, bytes; then the dimensions
ALIGNMENT = 64
MAX_RANK = 8
_KEPT_SHAPES = 64  # per direction; more are forgotten all at once


class Spec:
    """One input or output. `text`: strings come as str; otherwise as bytes."""

    __slots__ = ("name", "datatype", "shape", "optional", "text", "number", "numpy")

    def __init__(self, name, datatype, shape, optional=False, text=None):
        datatype = str(datatype).upper()
        if text is None:
            text = datatype == "STRING"
        if datatype == "STRING":
            datatype = "BYTES"
        if datatype == "BF16":
            raise WorkerError(UNIMPLEMENTED, f"{name} is of type BF16, which numpy does not have: use FP32")
        if datatype not in NUMBER_OF_NAME:
            known = ", ".join([*NUMBER_OF_NAME, "STRING"])
            raise WorkerError(INVALID_ARGUMENT, f"{name} is of the unknown type {datatype!r}; known are {known}")
        shape = [int(-1 if d is None else d) for d in shape]
        if len(shape) > MAX_RANK or any(d < -1 for d in shape):
            raise WorkerError(INVALID_ARGUMENT, f"{name} has the shape {shape}: at most {MAX_RANK} dimensions, each -1 "
                              "(any length) or more")
        self.name, self.datatype, self.shape = str(name), datatype, shape
        self.optional, self.text = bool(optional), bool(text)
        self.number, self.numpy = NUMBER_OF_NAME[datatype], NUMPY_OF_NAME.get(datatype)

    def describe(self):
        return {"name": self.name, "datatype": self.datatype, "shape": self.shape, "optional": self.optional}

    def zeros(self, rows):
        """A tensor of zeros, or of empty strings, for finding out what a model answers."""
        shape = [max(d, 1) for d in self.shape]
        if self.shape and self.shape[0] < 0:
            shape[0] = rows
        if self.numpy is None:
            return np.full(shape, "" if self.text else b"", dtype=object)
        return np.zeros(shape, self.numpy)


def spec_of_array(name, array):
    """The spec of what a model was seen to answer; its first dimension is the batch."""
    array = as_array(array, name)
    shape = [-1, *array.shape[1:]] if array.ndim else []
    if array.dtype.kind in "OUS":
        return Spec(name, "BYTES", shape)
    if array.dtype not in NAME_OF_NUMPY:
        raise WorkerError(UNIMPLEMENTED, f"the model's answer {name} is of numpy's type {array.dtype}, which no protocol "
                          "can carry; convert it in the model")
    return Spec(name, NAME_OF_NUMPY[array.dtype], shape)


def as_array(value, name):
    """Whatever a model gave, as an array that can be written out."""
    if value is None:
        raise WorkerError(INTERNAL, f"the model gave None for the output {name}")
    if hasattr(value, "toarray"):  # scipy's sparse matrices
        value = value.toarray()
    elif hasattr(value, "to_numpy"):  # pandas
        value = value.to_numpy()
    elif hasattr(value, "detach"):  # torch
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except Exception as error:
        raise WorkerError(INTERNAL, f"the model's output {name} is no array: {type(error).__name__}: {error}") from None
    if array.dtype.kind == "O" and array.size:
        kinds = {type(v) for v in array.flat}
        if not kinds <= {str, bytes, np.str_, np.bytes_}:
            try:  # numbers in a column of objects
                array = np.array(array.tolist())
            except Exception:
                pass
            if array.dtype.kind == "O":
                names = ", ".join(sorted(kind.__name__ for kind in kinds))
                raise WorkerError(INTERNAL, f"the model's output {name} holds Python objects ({names}), not numbers or "
                                  "strings of one shape")
    return array


class Reader:
    """Inputs. `read` gives one array per input of the signature, None for an optional one that did not come."""

    def __init__(self, channel, specs):
        self.channel, self.specs = channel, specs
        self._kept, self._generation = {}, -1

    def read(self, count, size):
        channel = self.channel
        if self._generation != channel.generation:
            self._kept, self._generation = {}, channel.generation
        key = channel.requests[:size]
        plan = self._kept.get(key)
        if plan is None:
            plan = self._plan(key, count)
            if len(self._kept) >= _KEPT_SHAPES:
                self._kept.clear()
            self._kept[key] = plan
        # A view of its own for each request: a model may set its shape.
        return [item if item is None else item.view() if type(item) is np.ndarray else self._strings(*item)
                for item in plan]

    def _plan(self, key, count):
        plan, at = [None] * len(self.specs), 0
        for _ in range(count):
            number, rank, index, _, offset, size = _HEAD.unpack_from(key, at)
            at += _HEAD.size
            shape = struct.unpack_from(f"<{rank}q", key, at)
            at += 8 * rank
            if number == BYTES:
                plan[index] = (index, shape, offset)
                continue
            kind = NUMPY_OF_NUMBER[number]
            plan[index] = np.frombuffer(self.channel.requests, kind, size // kind.itemsize, offset).reshape(shape)
        return plan

    def _strings(self, index, shape, offset):
        spec, requests = self.specs[index], self.channel.requests
        total = int(np.prod(shape, dtype=np.int64))
        ends = np.frombuffer(requests, np.uint64, total + 1, offset).tolist()
        start = offset + 8 * (total + 1)
        data = requests[start:start + ends[-1]]
        out = np.empty(total, dtype=object)
        if spec.text:
            try:
                out[:] = [data[ends[i]:ends[i + 1]].decode() for i in range(total)]
            except UnicodeDecodeError:
                raise WorkerError(INVALID_ARGUMENT, f"the input {spec.name} has a string that is not UTF-8") from None
        else:
            out[:] = [data[ends[i]:ends[i + 1]] for i in range(total)]
        return out.reshape(shape)


class Writer:
    """Outputs. `write` puts them into the response region, gives the size of the descriptors."""

    def __init__(self, channel, specs):
        self.channel, self.specs = channel, specs
        self._kept, self._generation, self._written = {}, -1, None

    def write(self, values):
        channel, specs = self.channel, self.specs
        if self._generation != channel.generation:
            self._kept, self._generation, self._written = {}, channel.generation, None
        arrays = [v if type(v) is np.ndarray and v.dtype.kind != "O" else as_array(v, s.name)
                  for v, s in zip(values, specs)]
        key = tuple([(a.shape, a.dtype) for a in arrays])
        plan = self._kept.get(key)
        if plan is None:
            plan = self._plan(key, arrays)
        places, head = plan
        if places is None:  # strings: another size each time
            self._written = None
            return self._write_strings(arrays)
        for place, array in zip(places, arrays):
            place[...] = array
        if self._written is not head:
            channel.responses[:len(head)] = head
            self._written = head
        return len(head)

    def forget(self):
        """Something else was written over the descriptors."""
        self._written = None

    def _plan(self, key, arrays):
        for spec, array in zip(self.specs, arrays):
            _check(spec, array)
        if any(spec.number == BYTES for spec in self.specs):
            plan = (None, None)
        else:
            sizes = [array.size * spec.numpy.itemsize for spec, array in zip(self.specs, arrays)]
            head, offsets, total = _layout(self.specs, arrays, sizes)
            self._grow(total)
            places = [np.frombuffer(self.channel.responses, spec.numpy, array.size, offset).reshape(array.shape)
                      for spec, array, offset in zip(self.specs, arrays, offsets)]
            plan = (places, head)
        if len(self._kept) >= _KEPT_SHAPES:
            self._kept.clear()
        self._kept[key] = plan
        return plan

    def _grow(self, total):
        if total > len(self.channel.responses):
            self.channel.need(total)
            self._kept, self._generation, self._written = {}, self.channel.generation, None

    def _write_strings(self, arrays):
        blobs = []
        for spec, array in zip(self.specs, arrays):
            if spec.number != BYTES:
                blobs.append(np.ascontiguousarray(array, spec.numpy).tobytes())
                continue
            parts = [v if isinstance(v, bytes) else str(v).encode("utf-8", "surrogatepass") for v in array.ravel().tolist()]
            ends = np.zeros(len(parts) + 1, np.uint64)
            np.cumsum([len(p) for p in parts], out=ends[1:], dtype=np.uint64)
            blobs.append(ends.tobytes() + b"".join(parts))
        head, offsets, total = _layout(self.specs, arrays, [len(blob) for blob in blobs])
        self._grow(total)
        responses = self.channel.responses
        responses[:len(head)] = head
        for blob, offset in zip(blobs, offsets):
            responses[offset:offset + len(blob)] = blob
        return len(head)


def _layout(specs, arrays, sizes):
    at = sum(_HEAD.size + 8 * array.ndim for array in arrays)
    head, offsets = b"", []
    for index, (spec, array, size) in enumerate(zip(specs, arrays, sizes)):
        at = -(-at // ALIGNMENT) * ALIGNMENT
        head += _HEAD.pack(spec.number, array.ndim, index, 0, at, size) + struct.pack(f"<{array.ndim}q", *array.shape)
        offsets.append(at)
        at += size
    return head, offsets, at


def _check(spec, array):
    wanted = spec.shape
    if array.ndim != len(wanted) or any(w >= 0 and w != have for w, have in zip(wanted, array.shape)):
        raise WorkerError(INTERNAL, f"the model's output {spec.name} has the shape {json.dumps(array.shape)}, its signature "
                          f"says {json.dumps(wanted)}")
    is_text = array.dtype.kind in "OUS"
    if spec.number == BYTES:
        fits = is_text or array.size == 0
    else:
        fits = not is_text and (array.size == 0 or np.can_cast(array.dtype, spec.numpy, "same_kind"))
    if not fits:
        have = "strings" if is_text else NAME_OF_NUMPY.get(array.dtype, str(array.dtype))
        raise WorkerError(INTERNAL, f"the model's output {spec.name} holds {have}, its signature says {spec.datatype}")
