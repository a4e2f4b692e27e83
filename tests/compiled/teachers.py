"""Writes the teachers that tests/compiled_teachers.rs has compiled in, and what ONNX Runtime says of them.

    python tests/compiled/teachers.py          (torch 2.x, onnx, onnxruntime)

tapped.onnx    a residual network with a further output, `hint`, and a normalisation of its own in its metadata
deep.onnx      a network with a transposed convolution over three axes, which the run-time importer does not know
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parent
CLASSES = 20


class Tapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.left = nn.Conv2d(8, 8, 3, padding=1)
        self.right = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(x + self.left(x))
        hint = F.relu(self.right(F.max_pool2d(x, 3, 1, 1)))
        return self.head(hint.mean((2, 3))), hint


class Deep(nn.Module):
    """Makes a volume of the picture by a transposed convolution, and looks at it from the side."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, stride=4)
        self.volume = nn.ConvTranspose3d(4, 8, (4, 2, 2), stride=(1, 2, 2))
        self.head = nn.Linear(8 * 4, CLASSES)

    def forward(self, x):
        x = F.relu(self.conv(x)).unsqueeze(2)
        x = F.relu(self.volume(x)).mean((3, 4))
        return self.head(torch.flatten(x, 1))


def write(name, network, outputs, metadata):
    torch.manual_seed(0)
    network = network()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    path = FOLDER / f"{name}.onnx"
    pictures = torch.randn(3, 3, 32, 32)
    torch.onnx.export(network.eval(), pictures, path, dynamo=False, opset_version=17,
                      input_names=["input"], output_names=outputs,
                      dynamic_axes={value: {0: "batch"} for value in ["input", *outputs]})
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    made = onnxruntime.InferenceSession(path).run(None, {"input": pictures.numpy()})
    np.savez(path.with_suffix(".npz"), input=pictures.numpy(), **dict(zip(outputs, made)))


write("tapped", Tapped, ["logits", "hint"], {"potstill.mean": "0.5,0.4,0.3", "potstill.std": "0.2,0.25,0.3"})
write("deep", Deep, ["logits"], {})
