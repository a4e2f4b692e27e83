"""The activations, with default and given attributes, and Softmax and Clip in the forms of each opset."""

import numpy as np

from fixture import Draw, scalar, single


def cases():
    draw = Draw(4)
    # Values beyond every knee (HardSwish at 3, Softplus' overflow guard), and zero itself.
    x = {"x": np.concatenate([draw.normal(6) * 2, [-30, -3, -0.0, 0, 3, 30]]).astype(np.float32).reshape(3, 4)}

    plain = ["Relu", "Sigmoid", "Tanh", "Erf", "Softplus", "Softsign", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "HardSigmoid"]
    for op in plain:
        # Celu came with opset 12, the others are older than opset 9 or came with it.
        for opset in {"Celu": (13,), "ThresholdedRelu": (10, 17)}.get(op, (9, 17)):
            yield single(f"{op.lower()}_opset{opset}", op, x, opset=opset)
    yield single("mish", "Mish", x, opset=18)
    yield single("hardswish", "HardSwish", x, opset=14)
    yield single("gelu_none", "Gelu", x, opset=20)
    yield single("gelu_tanh", "Gelu", x, opset=20, approximate="tanh")
    yield single("relu_opset14", "Relu", x, opset=14)
    yield single("leakyrelu_alpha", "LeakyRelu", x, alpha=0.3)
    yield single("elu_alpha", "Elu", x, alpha=0.5)
    yield single("celu_alpha", "Celu", x, alpha=2.0)
    yield single("selu_attributes", "Selu", x, alpha=1.5, gamma=0.7)
    yield single("thresholdedrelu_alpha", "ThresholdedRelu", x, alpha=0.2)
    yield single("hardsigmoid_attributes", "HardSigmoid", x, alpha=1 / 6, beta=0.5)
    for rank in range(7):
        shape = (2, 3, 2, 1, 2, 2)[:rank]
        yield single(f"relu_{rank}d", "Relu", {"x": draw.normal(*shape)})
        yield single(f"sigmoid_{rank}d", "Sigmoid", {"x": draw.normal(*shape)})

    image = {"x": draw.normal(2, 3, 2, 2)}
    yield single("prelu_per_channel", "PRelu", image, {"slope": draw.normal(3, 1, 1)})
    yield single("prelu_shared", "PRelu", image, {"slope": draw.normal(1)})
    yield single("prelu_scalar", "PRelu", image, {"slope": draw.normal()})
    yield single("prelu_full", "PRelu", image, {"slope": draw.normal(3, 2, 2)}, opset=9)
    yield single("prelu_2d", "PRelu", {"x": draw.normal(3, 4)}, {"slope": draw.normal(4)}, opset=16)

    cube = {"x": draw.normal(2, 3, 4)}
    for op in ("Softmax", "LogSoftmax"):
        # Up to opset 12 the input is flattened to two dimensions at the axis (1 unless given); from 13 on one axis is normalised (the last).
        yield single(f"{op.lower()}_opset11", op, cube, opset=11)
        yield single(f"{op.lower()}_opset9_axis2", op, cube, opset=9, axis=2)
        yield single(f"{op.lower()}_opset11_axis0", op, cube, opset=11, axis=0)
        yield single(f"{op.lower()}_opset11_negative_axis", op, cube, opset=11, axis=-1)
        yield single(f"{op.lower()}_opset13", op, cube, opset=13)
        yield single(f"{op.lower()}_opset13_axis0", op, cube, opset=13, axis=0)
        yield single(f"{op.lower()}_opset13_axis1", op, cube, opset=13, axis=1)
        yield single(f"{op.lower()}_opset13_4d", op, {"x": draw.normal(1, 2, 3, 4)}, opset=13, axis=-3)
        yield single(f"{op.lower()}_large_logits", op, {"x": np.array([[1000, 1001, -1000]], np.float32)})

    yield single("clip_opset6", "Clip", x, opset=9, min=-1.0, max=2.0)
    yield single("clip_opset6_min", "Clip", x, opset=10, min=0.5)
    yield single("clip_opset6_max", "Clip", x, opset=10, max=0.5)
    yield single("clip_opset11", "Clip", x, {"low": scalar(-1), "high": scalar(2)}, opset=11)
    yield single("clip_min", "Clip", x, {"low": scalar(0.5)}, opset=13)
    yield single("clip_max", "Clip", x, {"high": scalar(0.5)}, opset=13, order=["x", "", "high"])
    yield single("clip_no_bounds", "Clip", x, opset=13)
    yield single("clip_relu6", "Clip", x, {"low": scalar(0), "high": scalar(6)}, opset=12)
    yield single("clip_min_above_max", "Clip", x, {"low": scalar(2), "high": scalar(-1)}, opset=13)
    integers = {"x": draw.integers(-9, 9, 6)}
    yield single("clip_int64", "Clip", integers, {"low": scalar(-3, np.int64), "high": scalar(3, np.int64)}, opset=13)
