"""Runs an ONNX classifier in ONNX Runtime: its accuracy on CIFAR-100's test images, and how far it is from recorded outputs.

    python tests/interop/student.py student.onnx --data-dir data                 accuracy at batch 1, 7 and 250
    python tests/interop/student.py student.onnx --data-dir data --limit 2000
    python tests/interop/student.py model.onnx --input record.npz                outputs against the ones of the record

Accuracy is printed as {"batch": {"top1": percent, "top5": percent, "loss": mean cross entropy, "samples": n}}, a comparison as
{"output": {"shape": [...], "difference": largest absolute one}}. In a record an array named like an input is that input; the expected
output `y` is called `out:y`, or `y`. The images are normalised with --mean and --std, else with the metadata keys `potstill.mean` and
`potstill.std` of the file (three numbers with commas between), else with CIFAR-100's own. Needs: pip install numpy onnxruntime.
"""

import argparse
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime

ARCHIVE = "cifar-100-binary.tar.gz"
# Coarse label, fine label, three planes of 32 by 32.
RECORD = 2 + 3 * 32 * 32
MEAN = (0.5071, 0.4865, 0.4409)
STD = (0.2673, 0.2564, 0.2762)


def test_images(folder, limit):
    """The first `limit` test images as [n, 3, 32, 32] in 0..1, and their fine labels."""
    loose = folder / "cifar-100-binary" / "test.bin"
    if loose.exists():
        content = loose.read_bytes()
    else:
        with tarfile.open(folder / ARCHIVE) as archive:
            member = next(each for each in archive if Path(each.name).name == "test.bin")
            content = archive.extractfile(member).read()
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)[:limit]
    return records[:, 2:].reshape(-1, 3, 32, 32).astype(np.float32) / 255, records[:, 1].astype(np.int64)


def three(text):
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError("expected three numbers with commas between")
    return numbers


def per_channel(numbers):
    return np.array(numbers, np.float32).reshape(1, 3, 1, 1)


def accuracy(session, images, labels, batch):
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: images[start : start + batch]})[0] for start in range(0, len(images), batch)]
    logits = np.concatenate(parts).astype(np.float64)
    # How many classes score at least as high as the right one, itself not counted.
    right = logits[np.arange(len(labels)), labels]
    above = (logits > right[:, None]).sum(1)
    peak = logits.max(1)
    loss = np.log(np.exp(logits - peak[:, None]).sum(1)) + peak - right
    percent = lambda hits: round(100 * float(hits.mean()), 4)  # noqa: E731
    return {"top1": percent(logits.argmax(1) == labels), "top5": percent(above < 5), "loss": float(loss.mean()), "samples": len(labels)}


def comparison(session, record):
    """Each output that the record knows: its shape, and the largest absolute difference."""
    arrays = np.load(record)
    feeds = {each.name: arrays[each.name] for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    report = {}
    for name, got in zip(names, session.run(names, feeds), strict=True):
        key = next((key for key in (f"out:{name}", name) if key in arrays), None)
        if key is None:
            continue
        expected = arrays[key]
        if got.shape != expected.shape:
            raise ValueError(f"{name}: expected the shape {expected.shape}, got {got.shape}")
        difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
        report[name] = {"shape": list(got.shape), "difference": float(difference.max(initial=0))}
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--data-dir", type=Path, help=f"the folder of {ARCHIVE}: measures the accuracy")
    parser.add_argument("--limit", type=int, help="only the first n test images")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 7, 250])
    parser.add_argument("--mean", type=three)
    parser.add_argument("--std", type=three)
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime; 0: its own choice")
    parser.add_argument("--input", type=Path, help="a record (.npz) to compare with")
    parser.add_argument("--tolerance", type=float, help="with --input: exit 1 where an output differs by more")
    arguments = parser.parse_args()
    if not arguments.data_dir and not arguments.input:
        parser.error("nothing to do: give --data-dir, --input or both")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(str(arguments.file), options, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    if arguments.data_dir:
        mean = arguments.mean or three(metadata.get("potstill.mean", ",".join(map(str, MEAN))))
        std = arguments.std or three(metadata.get("potstill.std", ",".join(map(str, STD))))
        images, labels = test_images(arguments.data_dir, arguments.limit)
        images = (images - per_channel(mean)) / per_channel(std)
        print(json.dumps({str(batch): accuracy(session, images, labels, batch) for batch in arguments.batch}))
    if arguments.input:
        report = comparison(session, arguments.input)
        print(json.dumps(report))
        if not report:
            sys.exit(f"{arguments.input} holds none of the outputs")
        if arguments.tolerance is not None and any(each["difference"] > arguments.tolerance for each in report.values()):
            sys.exit(1)


if __name__ == "__main__":
    main()
