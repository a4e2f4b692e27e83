"""Writes the operator fixtures: `tests/interop/operators/<case>.onnx` with `<case>.npz` (the scheme: `fixture.py`).

    python tests/interop/operators.py            writes all of them
    python tests/interop/operators.py resize     writes the cases whose name contains "resize", leaves the others

The judge is ONNX Runtime, and onnx.reference where ONNX Runtime has no kernel. Needs: pip install onnx onnxruntime ml_dtypes.
Beside the single operators there are four files that are about reading:

    weights_external.onnx       its weights are in weights_external.bin (external data, an offset and a length each)
    unsupported_two_kinds.onnx  three nodes of two operators that no runtime knows: no record
    truncated.onnx              the first half of a valid file: no record
    external_missing.onnx       external data that names a file which is not there: no record
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from cases import activation, branching, convolution, elementwise, functions, linear, normalisation, pooling, rarer, reduction, resizing, sampling, shape, weights
from fixture import Case, Draw, model_of, node, run_onnxruntime, write, write_index, write_record
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

FOLDER = Path(__file__).parent / "operators"
FAMILIES = [activation, branching, convolution, elementwise, functions, linear, normalisation, pooling, rarer, reduction, resizing, sampling, shape, weights]


def external(folder):
    """Two weights in one file beside the model, the second at an aligned offset, as exporters lay them out."""
    draw = Draw(11)
    kernel, bias = draw.normal(3, 2, 3, 3), draw.normal(3)
    case = Case("weights_external", [node("Conv", ["x", "weight", "bias"])], {"x": draw.normal(1, 2, 4, 4)}, {"weight": kernel, "bias": bias})
    expected = run_onnxruntime(model_of(case, None), case.inputs)
    tensors, content = [], b""
    for name, array in case.weights.items():
        content = content.ljust(-(-len(content) // 256) * 256, b"\0")
        tensor = helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.tobytes(), raw=True)
        set_external_data(tensor, "weights_external.bin", offset=len(content), length=array.nbytes)
        tensor.ClearField("raw_data")
        content += array.tobytes()
        tensors.append(tensor)
    case.weights = dict(zip(case.weights, tensors, strict=True))
    (folder / "weights_external.bin").write_bytes(content)
    model = folder / "weights_external.onnx"
    model.write_bytes(model_of(case, expected).SerializeToString(deterministic=True))
    np.testing.assert_array_equal(run_onnxruntime(str(model), case.inputs)["y"], expected["y"])
    write_record(folder / "weights_external.npz", case.inputs, expected)

    lost = onnx.load(model, load_external_data=False)
    for tensor in lost.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = "nowhere.bin"
    (folder / "external_missing.onnx").write_bytes(lost.SerializeToString(deterministic=True))
    entry = {"opset": case.opset, "operators": ["Conv"], "judge": "onnxruntime", "second": "absent"}
    yield {"name": "weights_external", **entry, "records": ["weights_external.npz"]}
    yield {"name": "external_missing", **entry, "judge": "none", "records": []}


def unreadable(folder):
    """Models that an importer must refuse with a clear error."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="active"),
        helper.make_node("NonMaxSuppressionLite", ["a"], ["b"], name="first", domain="example.vision"),
        helper.make_node("NonMaxSuppressionLite", ["b"], ["c"], name="second", domain="example.vision"),
        helper.make_node("GridWarp", ["c"], ["y"], name="third", domain="example.vision"),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "unsupported", [x], [y]),
        producer_name="potstill-fixtures",
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("example.vision", 1)],
        ir_version=8,
    )
    (folder / "unsupported_two_kinds.onnx").write_bytes(model.SerializeToString(deterministic=True))
    whole = (folder / "weights_constant_node.onnx").read_bytes()
    (folder / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
    nothing = {"judge": "none", "second": "absent", "records": []}
    yield {"name": "unsupported_two_kinds", "opset": 17, "operators": ["GridWarp", "NonMaxSuppressionLite", "Relu"], **nothing}
    yield {"name": "truncated", "opset": 13, "operators": [], **nothing}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", default="", help="write only the cases whose name contains this, and their lines of the index")
    part = parser.parse_args().part
    FOLDER.mkdir(exist_ok=True)
    entries, seen = [], set()
    for family in FAMILIES:
        for case in family.cases():
            if case.name in seen:
                raise ValueError(f"two cases are named {case.name}")
            seen.add(case.name)
            if part not in case.name:
                continue
            entry, remark = write(case, FOLDER)
            entries.append(entry)
            if entry["judge"] != "onnxruntime" or entry["second"] != "agrees":
                print(f"{case.name}: judge {entry['judge']}, second {entry['second']}{f': {remark}' if remark else ''}")
    if part:
        written = {entry["name"] for entry in entries}
        kept = json.loads((FOLDER / "cases.json").read_text())
        write_index(FOLDER, [*entries, *(entry for entry in kept if entry["name"] not in written)])
    else:
        entries += [*external(FOLDER), *unreadable(FOLDER)]
        write_index(FOLDER, entries)
    size = sum(file.stat().st_size for file in FOLDER.iterdir())
    print(f"{len(entries)} cases, {size / 1e6:.2f} MB in {FOLDER.name}/")


if __name__ == "__main__":
    main()
