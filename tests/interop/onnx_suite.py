"""Runs ONNX's own conformance suite, the node tests and the converted PyTorch models of the pip package `onnx`, through `potstill run`.

    python tests/interop/onnx_suite.py target/release/potstill                 every case of floats, integers and booleans
    python tests/interop/onnx_suite.py target/release/potstill resize pool     those whose name contains one of the words
    python tests/interop/onnx_suite.py target/release/potstill --failures      also what does not agree, a line each

Prints a table: how many cases agree, are refused with exit code 2 and a reason, give other numbers, or end otherwise, by the operator set that
they ask for. Cases with texts, sequences, sparse tensors or floats of 8 and 4 bits are not run. Needs: pip install numpy onnx.
"""

import argparse
import collections
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

PLAIN = {np.dtype(name) for name in "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()}
VERDICTS = ("agree", "refused", "wrong", "crashed")


def cases():
    """Name, model, inputs, expected outputs, tolerances."""
    for case in collect_testcases(None):
        if case.model is not None and case.data_sets:
            inputs, outputs = case.data_sets[0]
            yield case.name, case.model, inputs, outputs, (case.rtol, case.atol)
    for folder in sorted((Path(onnx.__file__).parent / "backend/test/data/pytorch-converted").iterdir()):
        model = onnx.load(folder / "model.onnx")
        arrays = [
            [numpy_helper.to_array(onnx.load_tensor(file)) for file in sorted((folder / "test_data_set_0").glob(f"{kind}_*.pb"))]
            for kind in ("input", "output")
        ]
        yield f"pytorch-converted/{folder.name}", model, *arrays, (1e-3, 1e-5)


def is_plain(model, inputs, outputs):
    stored = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in stored]
    return len(names) == len(inputs) and all(isinstance(a, np.ndarray) and a.dtype in PLAIN for a in [*inputs, *outputs]), names


def verdict(binary, model, feeds, outputs, tolerances):
    """One of VERDICTS, and the reason."""
    with tempfile.TemporaryDirectory() as folder:
        file, given, made = (Path(folder, name) for name in ("model.onnx", "in.npz", "out.npz"))
        onnx.save(model, file)
        np.savez(given, **feeds)
        done = subprocess.run([binary, "run", file, "--input", given, "--output", made], capture_output=True, text=True, timeout=120)
        reason = (done.stderr.strip().splitlines() or ["no reason"])[-1].replace(folder, "")
        if done.returncode:
            return ("refused" if done.returncode == 2 else "crashed"), reason
        with np.load(made) as arrays:
            for value, expected in zip(model.graph.output, outputs, strict=True):
                got = arrays[value.name] if value.name in arrays else None
                if got is None or got.shape != expected.shape:
                    return "wrong", f"{value.name} has the shape {getattr(got, 'shape', None)}, expected {expected.shape}"
                rtol, atol = max(tolerances[0], 1e-3), max(tolerances[1], 1e-5)
                if not np.allclose(got.astype(np.float64), expected.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True):
                    return "wrong", f"{value.name} differs"
    return "agree", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the potstill program")
    parser.add_argument("words", nargs="*", help="only cases whose name contains one of these")
    parser.add_argument("--failures", action="store_true", help="a line for each case that does not agree")
    options = parser.parse_intermixed_args()
    warnings.simplefilter("ignore")
    counts, left_out = collections.Counter(), 0
    for name, model, inputs, outputs, tolerances in cases():
        if options.words and not any(word in name for word in options.words):
            continue
        plain, names = is_plain(model, inputs, outputs)
        if not plain:
            left_out += 1
            continue
        opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)
        result, reason = verdict(options.binary, model, dict(zip(names, inputs, strict=True)), outputs, tolerances)
        counts[opset, result] += 1
        if options.failures and result != "agree":
            print(f"{result}\t{name}\t{reason[:200]}", flush=True)
    print("| operator set | " + " | ".join(VERDICTS) + " |")
    print("| --- |" + " ---: |" * len(VERDICTS))
    for opset in sorted({opset for opset, _ in counts}):
        print(f"| {opset} | " + " | ".join(str(counts[opset, each]) for each in VERDICTS) + " |")
    print("| all | " + " | ".join(str(sum(n for (_, kind), n in counts.items() if kind == each)) for each in VERDICTS) + " |")
    print(f"{left_out} cases of other types were not run")


if __name__ == "__main__":
    main()
