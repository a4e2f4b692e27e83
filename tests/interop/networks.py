"""Writes small whole networks as PyTorch exports them: `tests/interop/networks/<case>.onnx`, with records at batch 1 and 3.

    python tests/interop/networks.py              writes all of them
    python tests/interop/networks.py text         writes those whose name contains "text", leaves the others

Each network has random weights from a fixed seed, a dynamic batch axis, and is exported by the older exporter (TorchScript) and by
the newer one (dynamo), at several opsets. The records (`<case>.npz` for batch 1, `<case>.batch3.npz`; the scheme: `fixture.py`) hold
ONNX Runtime's outputs, which must agree with PyTorch's. Needs: pip install torch onnx onnxruntime onnxscript ml_dtypes.
"""

import argparse
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from fixture import run_onnxruntime, write_index, write_record
from torch import nn
from torch.nn import functional

FOLDER = Path(__file__).parent / "networks"


class Residual(nn.Module):
    """Convolution, BatchNorm, ReLU, a residual block with a projected shortcut, global pool: a ResNet in miniature."""

    size = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.first, self.first_norm = nn.Conv2d(6, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.second, self.second_norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.shortcut = nn.Sequential(nn.Conv2d(6, 8, 1, 2, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = functional.relu(self.stem_norm(self.stem(x)))
        y = functional.relu(self.first_norm(self.first(x)))
        y = functional.relu(self.second_norm(self.second(y)) + self.shortcut(x))
        return self.head(functional.adaptive_avg_pool2d(y, 1).flatten(1))


class Mobile(nn.Module):
    """Inverted residual with HardSwish and squeeze-and-excitation, dropout before the head: a MobileNetV3 block."""

    size = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.expand = nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid())
        self.project = nn.Sequential(nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 5))

    def forward(self, x):
        x = self.stem(x)
        y = self.depthwise(self.expand(x))
        x = x + self.project(y * self.squeeze(y))
        return self.head(x.mean((2, 3), keepdim=True))


class Attention(nn.Module):
    """Multi-head self-attention spelled out in matrix products."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        weights = (query @ key.transpose(-2, -1) * self.scale).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(batch, length, width))


class Vision(nn.Module):
    """Patch embedding, class token, position embedding, one pre-norm transformer block: a ViT."""

    size = (3, 8, 8)

    def __init__(self, approximate="none"):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.position = nn.Parameter(torch.randn(1, 5, 8))
        self.norm1, self.norm2, self.norm = nn.LayerNorm(8), nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = Attention(8, 2)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(approximate), nn.Linear(16, 8))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(self.norm(x)[:, 0])


class FusedVision(Vision):
    """The same with PyTorch's own scaled_dot_product_attention and the tanh form of GELU."""

    def __init__(self):
        super().__init__("tanh")

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        y = self.attention.qkv(self.norm1(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(y[0], y[1], y[2])
        x = x + self.attention.out(y.transpose(1, 2).flatten(2))
        x = x + self.mlp(self.norm2(x))
        return self.head(self.norm(x).mean(1))


class Windows(nn.Module):
    """Attention in shifted windows, cut and joined through six dimensions, then patch merging by strided slices: a Swin block."""

    size = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 2, 2)
        self.norm, self.merge_norm = nn.LayerNorm(8), nn.LayerNorm(32)
        self.attention = Attention(8, 2)
        self.reduce, self.head = nn.Linear(32, 12, bias=False), nn.Linear(12, 5)

    def forward(self, x):
        x = self.patch(x).permute(0, 2, 3, 1)
        batch, height, width, channels = x.shape
        y = torch.roll(self.norm(x), (-1, -1), (1, 2))
        y = y.view(batch, height // 2, 2, width // 2, 2, channels).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, channels)
        y = self.attention(y)
        y = y.view(batch, height // 2, width // 2, 2, 2, channels).permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)
        x = x + torch.roll(y, (1, 1), (1, 2))
        corners = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
        x = self.reduce(self.merge_norm(torch.cat(corners, -1)))
        return self.head(x.flatten(1, 2).mean(1))


class Decoder(nn.Module):
    """A vector to an image: transposed convolutions, GroupNorm, InstanceNorm, interpolation, pixel shuffle."""

    size = (6,)

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(6, 32)
        self.up1 = nn.Sequential(nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1), nn.GroupNorm(2, 8), nn.LeakyReLU(0.2))
        self.up2 = nn.Sequential(nn.ConvTranspose2d(8, 4, 4, 2, 1, groups=2), nn.InstanceNorm2d(4, affine=True), nn.PReLU(4))
        self.out = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")

    def forward(self, x):
        x = self.dense(x).view(-1, 8, 2, 2)
        x = self.up2(self.up1(x))
        x = functional.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=False)
        return torch.tanh(functional.pixel_shuffle(self.out(x), 2))


class Dense(nn.Module):
    """Every layer sees all earlier ones, transitions with average pooling, SiLU and channel chunks: a DenseNet."""

    size = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.layers = nn.ModuleList([nn.Sequential(nn.BatchNorm2d(6 + 3 * i), nn.ReLU(), nn.Conv2d(6 + 3 * i, 3, 3, padding=1, bias=False)) for i in range(3)])
        self.transition = nn.Sequential(nn.BatchNorm2d(15), nn.SiLU(), nn.Conv2d(15, 8, 1, bias=False), nn.AvgPool2d(2))
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        features = [self.stem(x)]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        first, second = self.pool(self.transition(torch.cat(features, 1))).chunk(2, 1)
        x = torch.cat([second, first], 1)
        return functional.log_softmax(self.head(x.amax((2, 3))), 1)


class Flattening(nn.Module):
    """The flattening that older code writes, by size and view; channel shuffle."""

    size = (4, 8, 8)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        x = functional.elu(self.conv(x))
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous().view(batch, -1, height, width)
        x = functional.avg_pool2d(x, 4)
        return self.head(x.view(x.size(0), -1))


class Text(nn.Module):
    """Tokens to classes: embedding, positions, two encoder layers with a padding mask, mean over what is no padding: a BERT in miniature."""

    size = (6,)
    tokens = 11

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(self.tokens, 8)
        self.position = nn.Parameter(torch.randn(1, 6, 8))
        self.norm = nn.LayerNorm(8)
        self.layers = nn.ModuleList([nn.ModuleDict({"attention": Attention(8, 2), "norm1": nn.LayerNorm(8), "norm2": nn.LayerNorm(8), "up": nn.Linear(8, 16), "down": nn.Linear(16, 8)}) for _ in range(2)])
        self.head = nn.Linear(8, 5)

    def forward(self, tokens):
        seen = (tokens != 0).unsqueeze(-1)
        x = self.norm(self.embedding(tokens) + self.position[:, : tokens.shape[1]])
        for layer in self.layers:
            x = layer["norm1"](x + layer["attention"](torch.where(seen, x, torch.zeros_like(x))))
            x = layer["norm2"](x + layer["down"](functional.gelu(layer["up"](x))))
        weight = seen.to(x.dtype)
        return self.head((x * weight).sum(1) / weight.sum(1).clamp(min=1))


class Sequence(nn.Module):
    """Rows of a picture as a sequence: bidirectional LSTM, then a GRU, whose last state decides."""

    size = (3, 4, 6)

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(18, 5, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(10, 6, batch_first=True)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x, _ = self.lstm(x.permute(0, 2, 1, 3).flatten(2))
        _, state = self.gru(torch.tanh(x))
        return self.head(state[-1])


class Spatial(nn.Module):
    """Turns its picture before it looks, then cuts it into patches that overlap and lays them back: a spatial transformer, and VOLO's fold."""

    size = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.where = nn.Linear(3 * 16, 6)
        self.value = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4 * 16, 5)

    def forward(self, x):
        turn = self.where(functional.avg_pool2d(x, 2).flatten(1)).view(-1, 2, 3)
        x = functional.grid_sample(x, functional.affine_grid(turn, (x.shape[0], 3, 8, 8), align_corners=False), align_corners=False)
        patches = functional.unfold(self.value(x), 3, padding=1, stride=2)
        x = functional.fold(functional.softmax(patches, 1), (8, 8), 3, padding=1, stride=2)
        return self.head(functional.avg_pool2d(x, 2).flatten(1))


# Network, exporter, opset, whether in training-preserving mode (BatchNormalization nodes and parameter names kept).
EXPORTS = {
    "residual_legacy_opset11": (Residual, "legacy", 11, False),
    "residual_batchnorm_legacy_opset13": (Residual, "legacy", 13, True),
    "residual_batchnorm_legacy_opset17": (Residual, "legacy", 17, True),
    "residual_dynamo_opset18": (Residual, "dynamo", 18, False),
    "mobile_legacy_opset11": (Mobile, "legacy", 11, False),
    "mobile_batchnorm_legacy_opset14": (Mobile, "legacy", 14, True),
    "mobile_dynamo_opset20": (Mobile, "dynamo", 20, False),
    "vision_legacy_opset13": (Vision, "legacy", 13, False),
    "vision_legacy_opset17": (Vision, "legacy", 17, False),
    "vision_dynamo_opset18": (Vision, "dynamo", 18, False),
    "vision_dynamo_opset20": (Vision, "dynamo", 20, False),
    "fused_vision_legacy_opset17": (FusedVision, "legacy", 17, False),
    "fused_vision_dynamo_opset20": (FusedVision, "dynamo", 20, False),
    "windows_legacy_opset13": (Windows, "legacy", 13, False),
    "windows_dynamo_opset18": (Windows, "dynamo", 18, False),
    "decoder_legacy_opset11": (Decoder, "legacy", 11, False),
    "decoder_legacy_opset17": (Decoder, "legacy", 17, False),
    "decoder_dynamo_opset18": (Decoder, "dynamo", 18, False),
    "decoder_dynamo_opset21": (Decoder, "dynamo", 21, False),
    "dense_legacy_opset13": (Dense, "legacy", 13, False),
    "dense_batchnorm_legacy_opset17": (Dense, "legacy", 17, True),
    "dense_dynamo_opset20": (Dense, "dynamo", 20, False),
    "flattening_legacy_opset11": (Flattening, "legacy", 11, False),
    "flattening_dynamo_opset18": (Flattening, "dynamo", 18, False),
    "text_legacy_opset14": (Text, "legacy", 14, False),
    "text_dynamo_opset20": (Text, "dynamo", 20, False),
    "text_dynamo_opset23": (Text, "dynamo", 23, False),
    "fused_vision_dynamo_opset23": (FusedVision, "dynamo", 23, False),
    "sequence_legacy_opset17": (Sequence, "legacy", 17, False),
    "spatial_legacy_opset20": (Spatial, "legacy", 20, False),
    "spatial_dynamo_opset20": (Spatial, "dynamo", 20, False),
}


def drawn(kind, batch, generator=None):
    """Pictures, or tokens of which the last of each sequence are padding."""
    tokens = getattr(kind, "tokens", None)
    if tokens is None:
        return torch.randn(batch, *kind.size, generator=generator)
    drawn = torch.randint(1, tokens, (batch, *kind.size), generator=generator)
    drawn[:, -2:] = 0
    return drawn


def network(kind):
    """The network in inference mode, with running statistics that a few batches have moved."""
    torch.manual_seed(5)
    built = kind()
    with torch.no_grad():
        for _ in range(3):
            built(drawn(kind, 4))
    return built.eval()


def export(built, exporter, opset, keep, path):
    """Writes the ONNX file; the batch axis is called `batch`."""
    example = drawn(type(built), 2)
    if exporter == "dynamo":
        batch = torch.export.Dim("batch", min=1, max=4096)
        program = torch.onnx.export(
            built, (example,), dynamo=True, opset_version=opset, input_names=["input"], output_names=["output"],
            dynamic_shapes=({0: batch},), verbose=False,
        )  # fmt: skip
        model = program.model_proto
    else:
        mode = torch.onnx.TrainingMode.PRESERVE if keep else torch.onnx.TrainingMode.EVAL
        torch.onnx.export(
            built, (example,), path, dynamo=False, opset_version=opset, input_names=["input"], output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}}, training=mode, do_constant_folding=not keep,
        )  # fmt: skip
        model = onnx.load(path)
    if model.opset_import[0].version != opset:
        raise RuntimeError(f"{path.name}: asked for opset {opset}, got {model.opset_import[0].version}")
    forget_sources(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return model


def forget_sources(model):
    """Drops what the exporters note about the Python source (stack traces, folders): bulk that is not the network."""
    model.ClearField("metadata_props")
    graph = model.graph
    graph.ClearField("metadata_props")
    for part in [*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for function in model.functions:
        function.ClearField("metadata_props")


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", default="", help="write only the networks whose name contains this")
    part = parser.parse_args().part
    FOLDER.mkdir(exist_ok=True)
    entries = []
    if part:
        known = json.loads((FOLDER / "cases.json").read_text())
        entries = [entry for entry in known if part not in entry["name"]]
    for name, (kind, exporter, opset, keep) in EXPORTS.items():
        if part not in name:
            continue
        built = network(kind)
        model = export(built, exporter, opset, keep, FOLDER / f"{name}.onnx")
        records = []
        for batch, suffix in ((1, ""), (3, ".batch3")):
            x = drawn(kind, batch, torch.Generator().manual_seed(batch))
            outputs = run_onnxruntime(model, {"input": x.numpy()})
            np.testing.assert_allclose(outputs["output"], built(x).detach().numpy(), rtol=1e-4, atol=1e-5)
            write_record(FOLDER / f"{name}{suffix}.npz", {"input": x.numpy()}, outputs)
            records.append(f"{name}{suffix}.npz")
        operators = sorted({each.op_type for each in model.graph.node})
        entries.append({"name": name, "opset": opset, "operators": operators, "judge": "onnxruntime", "second": "absent", "records": records})
        print(f"{name}: {len(model.graph.node)} nodes, {len(model.functions)} functions: {' '.join(operators)}")
    write_index(FOLDER, entries)
    size = sum(file.stat().st_size for file in FOLDER.iterdir())
    print(f"{len(entries)} networks, {size / 1e6:.2f} MB in {FOLDER.name}/")


if __name__ == "__main__":
    main()
