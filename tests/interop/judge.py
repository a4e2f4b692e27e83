"""Holds what Potstill makes of a file against ONNX Runtime: what the scripts that export zoos share."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime


def judged(path, x):
    """The input's name, and ONNX Runtime's first output."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return name, session.run(None, {name: x})[0]


def compare(binary, path, shape, batches=(1, 2)):
    """The largest difference relative to the largest logit at each batch size, or the reason why one is missing."""
    differences = []
    for batch in batches:
        x = np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)
        try:
            name, expected = judged(path, x)
        except Exception as error:  # noqa: BLE001 - whatever ONNX Runtime refuses is no judge of Potstill
            return differences, f"ONNX Runtime refuses batch {batch}: {last_line(error)}"
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder, "in.npz"), Path(folder, "out.npz")
            np.savez(given, **{name: x})
            command = [binary, "run", path, "--input", given, "--output", made]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=900)
            except subprocess.TimeoutExpired:
                return differences, "no end within 15 minutes"
            if done.returncode:
                return differences, f"exit code {done.returncode}: {done.stderr.strip()[:400]}".replace("\n", " ")
            with np.load(made) as outputs:
                got = outputs[outputs.files[0]]
        if got.shape != expected.shape:
            return differences, f"shape {got.shape}, expected {expected.shape}"
        differences.append(float(np.abs(got - expected).max() / np.abs(expected).max()))
    return differences, ""


def last_line(error):
    """What an error says, in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
