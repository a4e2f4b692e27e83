"""What one fixture is: a small ONNX model, the inputs to feed it, and the outputs that a judge computed from them.

A case is written as

    <case>.onnx            the model
    <case>.npz             one record: the arrays to feed and the arrays to expect
    <case>.<record>.npz    further records of the same model (another batch size, other values)

In a record an array named like a graph input is that input; an array named `out:<name>` is the expected graph output `<name>`.
So a record can be passed as it is to anything that takes inputs by name and ignores the names that it does not know.
Names are the ONNX names unchanged, and the dtype in the record is the dtype of the model (float16 included; bfloat16 never
crosses the border of a model here).

`cases.json` beside the fixtures holds one object per case:

    name        the file stem
    opset       of the default domain
    operators   the operator types in the graph, sorted
    judge       who computed the expected outputs: "onnxruntime", or "reference" (onnx.reference) where ONNX Runtime has no kernel
    second      what the other judge said: "agrees", "differs" (by more than 1e-4; float16: 1e-2), or "absent" (it could not run the model)
    records     the record files; empty for a model that is not meant to run
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# The IR version that was current when each opset was released.
IR_VERSION = {9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12}

# What two judges may differ by, absolutely and relatively.
AGREEMENT = 1e-4
HALF_AGREEMENT = 1e-2

Arrays = Mapping[str, np.ndarray]


@dataclass
class Case:
    """A model by its parts, with the inputs of each record. The outputs' types and shapes come from the judge."""

    name: str
    nodes: list
    inputs: Arrays
    weights: Mapping = field(default_factory=dict)
    outputs: tuple = ("y",)
    opset: int = 17
    # Input name to {axis: symbol}: the axes that the model leaves open.
    dynamic: Mapping = field(default_factory=dict)
    # Record name to inputs, beside the unnamed first record.
    records: Mapping = field(default_factory=dict)
    # Initializers listed as graph inputs too, as IR version 3 demanded.
    listed: bool = False
    # Functions that the model defines itself.
    functions: list = field(default_factory=list)


def node(op, inputs, outputs=("y",), **attributes):
    """A node, named after its first output."""
    return helper.make_node(op, list(inputs), list(outputs), name=f"{outputs[0]}_{op.lower()}", **attributes)


def single(name, op, inputs, weights=None, *, opset=17, outputs=("y",), order=None, dynamic=None, **attributes):
    """A case of one operator. The node takes the inputs, then the weights, unless `order` names them ("" = left out)."""
    weights = weights or {}
    order = order if order is not None else [*inputs, *weights]
    return Case(name, [node(op, order, outputs, **attributes)], inputs, weights, outputs, opset, dynamic or {})


class Draw:
    """Seeded numbers, so that a rerun writes the same bytes."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def normal(self, *shape):
        return np.asarray(self.generator.standard_normal(shape), np.float32)

    def uniform(self, low, high, *shape):
        return np.asarray(self.generator.uniform(low, high, shape), np.float32)

    def integers(self, low, high, *shape, dtype=np.int64):
        return np.asarray(self.generator.integers(low, high, shape), dtype)

    def bools(self, *shape):
        return np.asarray(self.generator.integers(0, 2, shape), np.bool_)


def ints(*values):
    """A one-dimensional int64 tensor."""
    return np.array(values, np.int64)


def scalar(value, dtype=np.float32):
    """A tensor of rank 0."""
    return np.array(value, dtype)


def typed_tensor(name, array):
    """The array in the typed field of its element type (`float_data`, `int64_data`, ...) and not in `raw_data`."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor(name, kind, array.shape, array.flatten().tolist())


def initializer(case, name, value):
    """A weight as TensorProto; half of the cases use `raw_data`, the others typed fields."""
    if isinstance(value, TensorProto):
        return value
    if zlib.crc32(f"{case}/{name}".encode()) % 2:
        return typed_tensor(name, value)
    return numpy_helper.from_array(value, name)


def model_of(case, results):
    """The ModelProto; `results` (output name to array) gives the outputs' types, or None leaves them open."""

    def info(name, array):
        symbols = case.dynamic.get(name, {})
        shape = [symbols.get(axis, size) for axis, size in enumerate(array.shape)]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)

    inputs = [info(name, array) for name, array in case.inputs.items()]
    if case.listed:
        inputs += [info(name, array) for name, array in case.weights.items()]
    if results is None:
        outputs = [onnx.ValueInfoProto(name=name) for name in case.outputs]
    elif case.dynamic:
        # The rank is known, the sizes depend on the open axes.
        outputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), [f"{name}_{axis}" for axis in range(array.ndim)]
            )
            for name, array in results.items()
        ]
    else:
        outputs = [info(name, array) for name, array in results.items()]
    weights = [initializer(case.name, name, value) for name, value in case.weights.items()]
    graph = helper.make_graph(case.nodes, case.name, inputs, outputs, weights)
    model = helper.make_model(
        graph,
        producer_name="potstill-fixtures",
        opset_imports=[helper.make_opsetid("", case.opset), *(helper.make_opsetid(domain, 1) for domain in sorted({each.domain for each in case.functions}))],
        functions=case.functions,
        ir_version=3 if case.listed else IR_VERSION[case.opset],
    )
    return model


def run_onnxruntime(model, inputs):
    """The outputs by name, without graph optimizations, so that each operator itself is what runs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    source = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def run_reference(model, inputs):
    """The outputs by name from onnx.reference, the evaluator that follows the text of the specification."""
    evaluator = ReferenceEvaluator(model)
    with np.errstate(all="ignore"):
        results = evaluator.run(None, dict(inputs))
    return {name: np.asarray(array) for name, array in zip(evaluator.output_names, results, strict=True)}


def attempt(run, model, inputs):
    """The judge's outputs, or None and the reason where it cannot run the model."""
    try:
        return run(model, inputs), None
    except Exception as reason:  # noqa: BLE001 - each judge has errors of its own, all of which mean "not this model"
        return None, str(reason).splitlines()[0] if str(reason) else repr(reason)


def agree(first, second):
    """Whether two judges gave the same names, shapes and (within AGREEMENT) values."""
    for name, one in first.items():
        other = second[name]
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        tolerance = HALF_AGREEMENT if one.dtype == np.float16 else AGREEMENT
        if not np.allclose(one.astype(np.float64), other.astype(np.float64), tolerance, tolerance, equal_nan=True):
            return False
    return True


def check(case, model):
    """ONNX's own checker, but for the two things that it refuses and that files in the wild have."""
    # Opset 18's GroupNormalization was withdrawn in favour of opset 21's, and IR version 3 came before opset 9.
    withdrawn = case.opset < 21 and any(each.op_type == "GroupNormalization" for each in case.nodes)
    if not withdrawn and not case.listed:
        onnx.checker.check_model(model)


def write_record(path, inputs, outputs):
    """One .npz, with the time stamps that zip demands fixed by numpy, so that the bytes do not change."""
    np.savez(path, **dict(inputs), **{f"out:{name}": array for name, array in outputs.items()})


def write(case, folder):
    """Writes the model and its records; returns the case's object for `cases.json` and what the judges said."""
    open_model = model_of(case, None)
    expected, refusal = attempt(run_onnxruntime, open_model, case.inputs)
    other, doubt = attempt(run_reference, open_model, case.inputs)
    judge = "onnxruntime"
    if expected is None:
        if other is None:
            raise RuntimeError(f"{case.name}: no judge runs it: {refusal} / {doubt}")
        judge, expected, other = "reference", other, None
    second = "absent" if other is None else "agrees" if agree(expected, other) else "differs"
    model = model_of(case, expected)
    check(case, model)
    path = folder / f"{case.name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    run = run_onnxruntime if judge == "onnxruntime" else run_reference
    records = []
    for record, inputs in {"": case.inputs, **case.records}.items():
        file = folder / f"{case.name}{'.' if record else ''}{record}.npz"
        write_record(file, inputs, run(model, inputs))
        records.append(file.name)
    entry = {
        "name": case.name,
        "opset": case.opset,
        "operators": sorted({each.op_type for each in case.nodes}),
        "judge": judge,
        "second": second,
        "records": records,
    }
    return entry, refusal or doubt


def write_index(folder, entries):
    """`cases.json`, one case a line, so that a change of one case is a change of one line."""
    lines = ",\n".join(json.dumps(entry) for entry in sorted(entries, key=lambda entry: entry["name"]))
    Path(folder, "cases.json").write_text(f"[\n{lines}\n]\n")
