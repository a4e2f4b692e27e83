"""Times ONNX files in ONNX Runtime, as `potstill bench` does in tract: one thread, the median of single runs.

    python benches/peers/latency.py student.onnx int8.onnx --batch-size 1

Needs: pip install numpy onnxruntime.
"""

import argparse
import json
import os
import statistics
import time

import numpy
import onnxruntime


def measured(path, batch, repetitions, warm_up):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    dims = [batch] + entry.shape[1:]
    pictures = numpy.random.default_rng(0).standard_normal(dims).astype(numpy.float32)
    seconds = []
    for _ in range(warm_up + repetitions):
        start = time.perf_counter()
        session.run(None, {entry.name: pictures})
        seconds.append(time.perf_counter() - start)
    return {
        "file": path,
        "bytes": os.path.getsize(path),
        "batch": batch,
        "median_ms": 1e3 * statistics.median(seconds[warm_up:]),
        "onnxruntime": onnxruntime.__version__,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N")
    parser.add_argument("--repetitions", type=int, default=100, metavar="N")
    parser.add_argument("--warm-up", type=int, default=10, metavar="N")
    arguments = parser.parse_args()
    for path in arguments.files:
        print(json.dumps(measured(path, arguments.batch_size, arguments.repetitions, arguments.warm_up)), flush=True)


if __name__ == "__main__":
    main()
