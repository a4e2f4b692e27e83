"""Exports networks of Flax through jax2onnx, and holds what Potstill makes of each file against ONNX Runtime.

    python tests/interop/jax_zoo.py target/release/potstill
    python tests/interop/jax_zoo.py target/release/potstill --keep FOLDER     also leaves the files there

Such files take `[batch, height, width, channels]` and move axes by Transpose. Random weights, ten classes.
Needs: pip install jax flax jax2onnx onnxruntime.
"""

import argparse
import logging
import tempfile
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax2onnx import to_onnx
from judge import compare, last_line

SHAPE = (32, 32, 3)


class Residual(nnx.Module):
    """Strided convolutions with and without padding, a residual sum, pools."""

    def __init__(self, rngs):
        self.first = nnx.Conv(3, 8, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.second = nnx.Conv(8, 8, (3, 3), padding="VALID", kernel_dilation=2, rngs=rngs)
        self.same = nnx.Conv(8, 8, (5, 5), rngs=rngs)
        self.classifier = nnx.Linear(8, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.first(x)))
        x = nnx.leaky_relu(self.second(x), 0.1)
        x = nnx.max_pool(x + jax.nn.silu(self.same(x)), window_shape=(2, 2), strides=(2, 2))
        return self.classifier(jnp.mean(nnx.avg_pool(x, window_shape=(2, 2), strides=(2, 2), padding="SAME"), axis=(1, 2)))


class Inverted(nnx.Module):
    """Depthwise convolution, squeeze and excitation, group normalisation, clipped activations."""

    def __init__(self, rngs):
        self.stem = nnx.Conv(3, 16, (3, 3), strides=2, rngs=rngs)
        self.depthwise = nnx.Conv(16, 16, (3, 3), feature_group_count=16, rngs=rngs)
        self.groups = nnx.GroupNorm(16, num_groups=4, rngs=rngs)
        self.squeeze = nnx.Linear(16, 4, rngs=rngs)
        self.excite = nnx.Linear(4, 16, rngs=rngs)
        self.classifier = nnx.Linear(16 * 16 * 16, 10, rngs=rngs)

    def __call__(self, x):
        x = jax.nn.relu6(self.stem(x))
        x = jax.nn.hard_swish(self.groups(self.depthwise(x)))
        gate = nnx.sigmoid(self.excite(nnx.relu(self.squeeze(x.mean(axis=(1, 2), keepdims=True)))))
        return self.classifier((x * gate).reshape(x.shape[0], -1))


class Attention(nnx.Module):
    """Patches, a class token, two blocks of multi-head attention."""

    def __init__(self, rngs):
        self.patches = nnx.Conv(3, 24, (8, 8), strides=8, padding="VALID", rngs=rngs)
        self.token = nnx.Param(jax.random.normal(rngs.params(), (1, 1, 24)))
        self.places = nnx.Param(jax.random.normal(rngs.params(), (1, 17, 24)))
        self.norms = nnx.List([nnx.LayerNorm(24, rngs=rngs) for _ in range(5)])
        self.attention = nnx.List([nnx.MultiHeadAttention(num_heads=2, in_features=24, decode=False, rngs=rngs) for _ in range(2)])
        self.wide = nnx.List([nnx.Linear(24, 48, rngs=rngs) for _ in range(2)])
        self.narrow = nnx.List([nnx.Linear(48, 24, rngs=rngs) for _ in range(2)])
        self.classifier = nnx.Linear(24, 10, rngs=rngs)

    def __call__(self, x):
        x = self.patches(x)
        x = x.reshape(x.shape[0], 16, 24)
        token = jnp.broadcast_to(self.token[...], (x.shape[0], 1, 24))
        x = jnp.concatenate([token, x], axis=1) + self.places[...]
        for block in range(2):
            x = x + self.attention[block](self.norms[2 * block](x))
            x = x + self.narrow[block](nnx.gelu(self.wide[block](self.norms[2 * block + 1](x))))
        return self.classifier(self.norms[4](x)[:, 0])


class Mixer(nnx.Module):
    """Products over places and channels by turns, written with einsum and swapped axes."""

    def __init__(self, rngs):
        self.patches = nnx.Conv(3, 16, (8, 8), strides=8, padding="VALID", rngs=rngs)
        self.norm = nnx.RMSNorm(16, rngs=rngs)
        self.over_places = nnx.Linear(16, 16, rngs=rngs)
        self.over_channels = nnx.Einsum("bpc,cd->bpd", (16, 16), (16,), rngs=rngs)
        self.classifier = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x):
        x = self.patches(x)
        x = x.reshape(x.shape[0], 16, 16)
        y = jnp.swapaxes(self.norm(x), 1, 2)
        x = x + jnp.swapaxes(jnp.tanh(self.over_places(y)), 1, 2)
        x = x + jax.nn.elu(self.over_channels(x))
        return jax.nn.log_softmax(self.classifier(x.max(axis=1)))


def network(kind):
    """A network in inference mode, its running statistics moved away from 0 and 1."""
    made = kind(nnx.Rngs(5))
    for module in [each for _, each in nnx.iter_modules(made) if isinstance(each, nnx.BatchNorm)]:
        generator = np.random.default_rng(7)
        module.mean[...] = jnp.asarray(generator.normal(size=module.mean.shape), jnp.float32)
        module.var[...] = jnp.asarray(generator.uniform(0.5, 2.0, module.var.shape), jnp.float32)
    made.eval()
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the potstill program")
    parser.add_argument("--keep", type=Path, help="leave the files in this folder")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for kind in (Residual, Inverted, Attention, Mixer):
        name = kind.__name__.lower()
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.keep or Path(scratch)
            path = folder / f"{name}.onnx"
            try:
                to_onnx(network(kind), inputs=[("batch", *SHAPE)], model_name=name, opset=23, return_mode="file", output_path=path)
            except Exception as error:  # noqa: BLE001 - any of the exporter's own errors means "no such file"
                print(f"{name}\tnot exported: {last_line(error)}", flush=True)
                continue
            differences, reason = compare(options.binary, path, SHAPE)
            print(name, *(f"{difference:.1e}" for difference in differences), reason, sep="\t", flush=True)


if __name__ == "__main__":
    main()
