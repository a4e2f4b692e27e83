"""Weights in every storage: element types other than float, typed and raw fields, Constant nodes, initializers listed as inputs."""

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from fixture import Case, Draw, node, single, typed_tensor


def cases():
    draw = Draw(10)
    x = draw.normal(1, 2, 4, 4)
    kernel = draw.normal(3, 2, 3, 3)
    bias = draw.normal(3)

    def through_cast(name, tensor):
        return Case(
            f"weights_{name}",
            [node("Cast", ["stored"], ["weight"], to=TensorProto.FLOAT), node("Conv", ["x", "weight"], pads=[1, 1, 1, 1])],
            {"x": x},
            {"stored": tensor},
        )

    half, brain = kernel.astype(np.float16), kernel.astype(ml_dtypes.bfloat16)
    levels = np.clip(np.round(kernel * 40), -128, 127)
    yield through_cast("fp16", numpy_helper.from_array(half, "stored"))
    # The typed field of fp16 and bf16 is int32_data, which holds the bits.
    yield through_cast("fp16_typed", helper.make_tensor("stored", TensorProto.FLOAT16, half.shape, half.flatten().tolist()))
    yield through_cast("bf16", helper.make_tensor("stored", TensorProto.BFLOAT16, brain.shape, brain.tobytes(), raw=True))
    yield through_cast("bf16_typed", helper.make_tensor("stored", TensorProto.BFLOAT16, kernel.shape, kernel.flatten().tolist()))
    for kind in (np.int8, np.uint8, np.int16, np.int32, np.int64):
        stored = (levels + (128 if kind == np.uint8 else 0)).astype(kind)
        yield through_cast(np.dtype(kind).name, numpy_helper.from_array(stored, "stored"))
        yield through_cast(f"{np.dtype(kind).name}_typed", typed_tensor("stored", stored))
    yield through_cast("double", numpy_helper.from_array(kernel.astype(np.float64), "stored"))
    yield through_cast("double_typed", typed_tensor("stored", kernel.astype(np.float64)))
    yield through_cast("float_raw", numpy_helper.from_array(kernel, "stored"))
    yield through_cast("float_typed", typed_tensor("stored", kernel))
    yield through_cast("bool", numpy_helper.from_array(kernel > 0, "stored"))
    yield through_cast("bool_typed", typed_tensor("stored", kernel > 0))

    # Whole models of another element type, inputs and outputs included, and the same with casts at the border.
    for name, kind, element in (("double", np.float64, TensorProto.DOUBLE), ("fp16", np.float16, TensorProto.FLOAT16)):
        stored = {"weight": kernel.astype(kind), "bias": bias.astype(kind)}
        yield single(f"weights_{name}_conv", "Conv", {"x": x.astype(kind)}, stored, pads=[1, 1, 1, 1])
        yield Case(
            f"weights_{name}_inside",
            [
                node("Cast", ["x"], ["inner"], to=element),
                node("Conv", ["inner", "weight", "bias"], ["convolved"], pads=[1, 1, 1, 1]),
                node("Relu", ["convolved"], ["active"]),
                node("Cast", ["active"], to=TensorProto.FLOAT),
            ],
            {"x": x},
            stored,
        )
    dense = {"weight": draw.normal(4, 3).astype(np.float64), "bias": draw.normal(3).astype(np.float64)}
    yield single("weights_double_gemm", "Gemm", {"x": draw.normal(2, 4).astype(np.float64)}, dense)

    yield Case(
        "weights_constant_node",
        [
            node("Constant", [], ["weight"], value=numpy_helper.from_array(kernel)),
            node("Constant", [], ["bias"], value=typed_tensor("", bias)),
            node("Conv", ["x", "weight", "bias"]),
        ],
        {"x": x},
        opset=13,
    )
    yield Case("weights_listed_as_inputs", [node("Conv", ["x", "weight", "bias"])], {"x": x}, {"weight": kernel, "bias": bias}, opset=9, listed=True)
    yield Case("weights_shared", [node("Conv", ["x", "weight"], ["a"], pads=[1, 1, 1, 1]), node("Conv", ["a", "weight"])], {"x": x}, {"weight": draw.normal(2, 2, 3, 3)})
    yield Case("weights_are_the_output", [node("Identity", ["weight"])], {}, {"weight": bias})
    yield Case("weights_fake_quantised", dequantised(), {"x": x}, {"stored": levels.astype(np.int8), "scale": np.array([0.02, 0.03, 0.025], np.float32), "zero": np.zeros(3, np.int8)}, opset=13)


def dequantised():
    return [node("DequantizeLinear", ["stored", "scale", "zero"], ["weight"], axis=0), node("Conv", ["x", "weight"])]
