"""Trains every classifier that torchvision lists for one step, from the file that PyTorch's present exporter writes, and holds the student that
Potstill writes against ONNX Runtime.

    python tests/interop/zoo_students.py target/release/potstill                  all of them
    python tests/interop/zoo_students.py target/release/potstill resnet swin      those whose name contains one of the words
    python tests/interop/zoo_students.py target/release/potstill --table FILE     also writes a row per network, tab-separated

The file is made by torch.export with an open batch axis and ten classes, its BatchNorms folded by the exporter; the pictures are noise in ten class folders. A row
says: network, whether the student was written and agrees, its largest difference at batch 1 and 2 relative to the largest logit, or the reason.
Needs: pip install torch torchvision onnx onnxruntime onnxscript pillow.
"""

import argparse
import logging
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision
from judge import compare, last_line
from PIL import Image
from zoo import silence

CLASSES = 10
# These two have auxiliary classifiers, as outputs of their own while they train: left out.
WITHOUT_TOWERS = {"googlenet", "inception_v3"}
SIZES = {"inception_v3": 299}


def made(name):
    extra = {"init_weights": False, "aux_logits": False} if name in WITHOUT_TOWERS else {}
    return torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **extra).eval()


def export(network, size, path):
    torch.onnx.export(
        network, (torch.randn(2, 3, size, size),), path, dynamo=True, opset_version=20, input_names=["input"], output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},), verbose=False, external_data=False,
    )  # fmt: skip


def pictures(folder, size):
    """Two pictures of noise for each class to train with, one to validate, as class folders."""
    random = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 1)):
        for label in range(CLASSES):
            at = folder / split / f"class{label}"
            at.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(random.integers(0, 256, (size, size, 3), np.uint8)).save(at / f"{index}.png")


def configuration(folder, size):
    """A run of one network alone, without a teacher, on the pictures of the folder as they are."""
    path = folder / "run.toml"
    path.write_text(f'''teacher = []

[data]
name = "folder"
dir = "{folder}"
train = ["centre-crop:size={size}"]
test = ["centre-crop:size={size}"]
''')
    return path


def row_of(binary, name, folder):
    """Whether the network's student agrees, the differences, and the reason where it does not."""
    size = SIZES.get(name, 224)
    file, data, run = folder / "network.onnx", folder / "pictures", folder / "run"
    try:
        torch.manual_seed(5)
        with torch.no_grad(), silence():
            export(made(name), size, file)
    except Exception as error:  # noqa: BLE001 - whatever PyTorch does not export is no judge of Potstill
        return "not exported", [], last_line(error)
    pictures(data, size)
    command = [binary, "distill", configuration(data, size), "--student", file, "--opset", "20", "--batch-size", "4", "--max-steps", "1", "--out", run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        return "refused", [], f"exit code {done.returncode}: {done.stderr.strip()[-400:]}".replace("\n", " ")
    differences, reason = compare(binary, run / "student.onnx", (3, size, size))
    if reason:
        return "refused", differences, reason
    return ("agrees" if max(differences) <= 1e-3 else "differs"), differences, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the potstill program")
    parser.add_argument("words", nargs="*", help="only networks whose name contains one of these")
    parser.add_argument("--table", type=Path, help="also append the rows to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(2)
    torch.backends.mha.set_fastpath_enabled(False)
    counts = {}
    for name in torchvision.models.list_models(module=torchvision.models):
        if options.words and not any(word in name for word in options.words):
            continue
        start = time.time()
        with tempfile.TemporaryDirectory() as folder:
            verdict, differences, reason = row_of(options.binary, name, Path(folder))
        counts[verdict] = counts.get(verdict, 0) + 1
        row = "\t".join([name, verdict, *(f"{d:.1e}" for d in differences), reason])
        print(f"{row}\t{time.time() - start:.0f} s", flush=True)
        if options.table:
            with options.table.open("a") as table:
                table.write(row + "\n")
    for verdict, count in sorted(counts.items()):
        print(f"{count} {verdict}")


if __name__ == "__main__":
    main()
