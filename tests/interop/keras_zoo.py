"""Exports classifiers of Keras through tf2onnx, and holds what Potstill makes of each file against ONNX Runtime.

    python tests/interop/keras_zoo.py target/release/potstill
    python tests/interop/keras_zoo.py target/release/potstill --keep FOLDER     also leaves the files there

Such files take `[batch, height, width, channels]`, move axes by Transpose and pad with `SAME_UPPER` or unevenly. Random weights, ten classes.
Needs: pip install tensorflow-cpu tf2onnx onnxruntime.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
from judge import compare, last_line  # noqa: E402
from keras import layers  # noqa: E402


def residual():
    """Uneven padding before a strided convolution, depthwise and separable layers, a residual sum: what Keras writes by hand."""
    x = start = keras.Input((32, 32, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Conv2D(8, 3, strides=2, padding="valid", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.Activation("swish")(layers.BatchNormalization()(y))
    y = layers.Conv2D(8, 1)(y)
    x = layers.Add()([x, y])
    x = layers.SeparableConv2D(12, 5, strides=2, padding="same")(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.LeakyReLU(0.1)(x))
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.Flatten()(x)
    return keras.Model(start, layers.Dense(10)(layers.Dropout(0.2)(x)))


def attention():
    """Patches, multi-head attention with layer normalisation, a GRU: what Keras writes for sequences."""
    x = start = keras.Input((32, 32, 3))
    x = layers.Reshape((16, 24))(layers.Conv2D(24, 8, 8)(x))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 12)(x, x)])
    x = layers.LayerNormalization()(x)
    # The exact GELU has an operator that tf2onnx does not translate.
    x = layers.Dense(24, activation=lambda x: keras.activations.gelu(x, approximate=True))(x)
    return keras.Model(start, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def applications():
    of = keras.applications
    common = {"weights": None, "classes": 10, "classifier_activation": None}
    yield "mobilenet", lambda: of.MobileNet((64, 64, 3), alpha=0.25, **common)
    yield "mobilenet_v2", lambda: of.MobileNetV2((64, 64, 3), alpha=0.35, **common)
    yield "mobilenet_v3_small", lambda: of.MobileNetV3Small((64, 64, 3), minimalistic=False, **common)
    yield "efficientnet_b0", lambda: of.EfficientNetB0(input_shape=(64, 64, 3), **common)
    yield "efficientnet_v2_b0", lambda: of.EfficientNetV2B0(input_shape=(64, 64, 3), **common)
    yield "resnet50_v2", lambda: of.ResNet50V2(input_shape=(64, 64, 3), **common)
    yield "densenet121", lambda: of.DenseNet121(input_shape=(64, 64, 3), **common)
    yield "convnext_tiny", lambda: of.ConvNeXtTiny(input_shape=(64, 64, 3), **common)
    yield "nasnet_mobile", lambda: of.NASNetMobile(input_shape=(64, 64, 3), **common)
    yield "xception", lambda: of.Xception(input_shape=(96, 96, 3), **common)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the potstill program")
    parser.add_argument("words", nargs="*", help="only networks whose name contains one of these")
    parser.add_argument("--keep", type=Path, help="leave the files in this folder")
    options = parser.parse_intermixed_args()
    for name, make in [("residual", residual), ("attention", attention), *applications()]:
        if options.words and not any(word in name for word in options.words):
            continue
        keras.utils.set_random_seed(5)
        network = make()
        # Keras exports no network that was never called.
        network(keras.ops.zeros((1, *network.input_shape[1:])))
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.keep or Path(scratch)
            path = folder / f"{name}.onnx"
            try:
                network.export(str(path), format="onnx", verbose=False)
            except Exception as error:  # noqa: BLE001 - any of Keras' own errors means "no such file"
                print(f"{name}\tnot exported: {last_line(error)}", flush=True)
                continue
            differences, reason = compare(options.binary, path, network.input_shape[1:])
            print(name, *(f"{difference:.1e}" for difference in differences), reason, sep="\t", flush=True)


if __name__ == "__main__":
    main()
