"""Operators that few classifiers have: recurrent layers, scattering, ordering, norms, bits, and what opsets 22 to 24 brought."""

import numpy as np
from onnx import TensorProto, helper

from fixture import Case, Draw, ints, node, scalar, single


def cases():
    draw = Draw(17)
    yield from recurrent(draw)
    yield from placing(draw)
    yield from norms(draw)
    yield from elementwise(draw)
    yield from newer(draw)
    yield from products(draw)
    yield from rectified(draw)


def recurrent(draw):
    """Sequences of 4 steps, a batch of 2, 3 inputs, 5 hidden units."""
    for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        outputs = ("y", "y_h", "y_c") if op == "LSTM" else ("y", "y_h")

        def layer(name, directions=1, given=(), outputs=outputs, op=op, gates=gates, **attributes):
            weights = {
                "w": draw.normal(directions, gates * 5, 3),
                "r": draw.normal(directions, gates * 5, 5),
                "b": draw.normal(directions, gates * 10),
                "lens": np.array([4, 4], np.int32),
                "h": draw.normal(directions, 2, 5),
                "c": draw.normal(directions, 2, 5),
                "p": draw.normal(directions, 15),
            }
            order = ["x", "w", "r", *(name if name in given else "" for name in ("b", "lens", "h", "c", "p"))]
            while not order[-1]:
                order.pop()
            kept = {name: weights[name] for name in order[1:] if name}
            x = {"x": draw.normal(4, 2, 3)}
            opset = attributes.pop("opset", 17)
            nodes = [helper.make_node(op, order, outputs, name="layer", hidden_size=5, **attributes)]
            return Case(f"{op.lower()}_{name}", nodes, x, kept, tuple(filter(None, outputs)), opset)

        yield layer("plain", opset=14)
        yield layer("bias", given=("b",), opset=9)
        yield layer("reverse", given=("b",), direction="reverse")
        yield layer("bidirectional", 2, given=("b", "h"), direction="bidirectional", opset=22)
        yield layer("lengths", given=("b", "lens"))
        yield layer("last_state", given=("b",), outputs=("", "y_h"))
        if op == "GRU":
            yield layer("linear_before_reset", given=("b", "h"), linear_before_reset=1)
            yield layer("bidirectional_linear", 2, given=("b",), direction="bidirectional", linear_before_reset=1)
        if op == "LSTM":
            yield layer("states", given=("b", "h", "c"))
            yield layer("peepholes", given=("b", "h", "c", "p"))
        if op == "RNN":
            yield layer("relu", given=("b",), activations=["Relu"])


def placing(draw):
    data = {"x": draw.normal(3, 4, 2)}
    yield single("gather_nd_elements", "GatherND", data, {"indices": np.array([[0, 1, 1], [-1, 3, 0]])}, opset=12)
    yield single("gather_nd_rows", "GatherND", data, {"indices": np.array([[[2]], [[0]]])}, opset=11)
    yield single("gather_nd_batch", "GatherND", data, {"indices": np.array([[1], [0], [-1]])}, opset=13, batch_dims=1)
    yield single("gather_nd_int64", "GatherND", {"x": draw.integers(0, 9, 2, 2)}, {"indices": np.array([[1, 0]])}, opset=13)

    flat = {"x": draw.normal(3, 4)}
    places = {"indices": np.array([[2, 0, 1, 2], [0, 1, 2, 0]]), "updates": draw.normal(2, 4)}
    yield single("scatter_opset9", "Scatter", flat, places, opset=9)
    yield single("scatter_elements_axis0", "ScatterElements", flat, places, opset=11)
    yield single("scatter_elements_negative", "ScatterElements", flat, {"indices": np.array([[-1], [0]]), "updates": draw.normal(2, 1)}, opset=13, axis=1)
    repeated = {"indices": np.array([[1, 1, 1, 0]]), "updates": draw.normal(1, 4)}
    for reduction in ("add", "mul", "max", "min"):
        yield single(f"scatter_elements_{reduction}", "ScatterElements", flat, repeated, opset=18, axis=1, reduction=reduction)
    yield single("scatter_elements_int64", "ScatterElements", {"x": ints(1, 2, 3)}, {"indices": ints(1), "updates": ints(9)}, opset=16)

    x = {"x": draw.normal(3, 5)}
    two = ("values", "indices")
    yield single("top_k_opset9", "TopK", x, opset=9, outputs=two, k=2)
    yield single("top_k_opset10", "TopK", x, {"k": ints(3)}, opset=10, outputs=two)
    yield single("top_k_axis0", "TopK", x, {"k": ints(2)}, opset=11, outputs=two, axis=0)
    yield single("top_k_smallest", "TopK", x, {"k": ints(2)}, opset=13, outputs=two, largest=0)
    yield single("top_k_ties", "TopK", {"x": np.array([[1, 2, 2, 1, 2]], np.float32)}, {"k": ints(4)}, opset=11, outputs=two)
    yield single("top_k_int64", "TopK", {"x": draw.integers(0, 99, 2, 4)}, {"k": ints(2)}, opset=11, outputs=two)
    yield single("top_k_4d", "TopK", {"x": draw.normal(1, 3, 2, 2)}, {"k": ints(1)}, opset=11, outputs=two, axis=1)

    labels = {"indices": np.array([[1, -1], [5, 0]])}
    values = {"depth": scalar(3, np.int64), "values": np.array([-1, 2], np.float32)}
    yield single("one_hot_last", "OneHot", labels, values, opset=11)
    yield single("one_hot_first", "OneHot", labels, values, opset=11, axis=0)
    yield single("one_hot_int64", "OneHot", {"indices": ints(0, 2)}, {"depth": ints(4), "values": ints(0, 1)}, opset=11)
    yield single("eye_like_plain", "EyeLike", {"x": draw.normal(3, 4)}, opset=9)
    yield single("eye_like_below", "EyeLike", {"x": draw.normal(3, 3)}, opset=9, k=-1, dtype=TensorProto.INT64)
    yield Case(
        "non_zero_of_shape",
        [
            node("Constant", [], ["mask"], value=helper.make_tensor("value", TensorProto.FLOAT, [2, 3], [0, 1, 0, 2, 0, 3])),
            node("NonZero", ["mask"], ["places"]),
            node("Transpose", ["places"], ["rows"], perm=[1, 0]),
            node("GatherND", ["x", "rows"]),
        ],
        {"x": draw.normal(2, 3)},
        opset=13,
    )
    yield single("non_zero_of_data", "NonZero", {"x": np.array([0, 1, 2], np.float32)}, opset=13)


def norms(draw):
    image = {"x": draw.normal(2, 3, 4, 5)}
    yield single("lp_normalization_default", "LpNormalization", image, opset=9)
    yield single("lp_normalization_l1", "LpNormalization", image, opset=22, p=1, axis=1)
    yield single("global_lp_pool_default", "GlobalLpPool", image, opset=9)
    yield single("global_lp_pool_p3", "GlobalLpPool", image, opset=9, p=3)
    yield single("lp_pool_default", "LpPool", image, opset=11, kernel_shape=[2, 2])
    yield single("lp_pool_strides", "LpPool", image, opset=11, kernel_shape=[3, 2], strides=[2, 1], p=1)
    yield single("lp_pool_pads", "LpPool", image, opset=18, kernel_shape=[3, 3], pads=[1, 1, 0, 1], p=3)
    yield single("lp_pool_1d", "LpPool", {"x": draw.normal(1, 2, 6)}, opset=18, kernel_shape=[3], strides=[2])


def elementwise(draw):
    inside = {"x": draw.uniform(-0.9, 0.9, 2, 3)}
    for op in ("Asin", "Acos", "Atan", "Atanh"):
        yield single(f"{op.lower()}_2d", op, inside, opset=9)
    for op in ("Sinh", "Cosh", "Asinh"):
        yield single(f"{op.lower()}_2d", op, {"x": draw.normal(2, 3)}, opset=9)
    yield single("acosh_2d", "Acosh", {"x": draw.uniform(1.2, 3.0, 2, 3)}, opset=9)
    strange = {"x": np.array([np.nan, np.inf, -np.inf, 0, 1], np.float32)}
    yield single("is_nan", "IsNaN", strange, opset=13)
    yield single("is_inf", "IsInf", strange, opset=10)
    yield single("is_inf_positive", "IsInf", strange, opset=20, detect_negative=0)
    bits = {"a": draw.integers(0, 200, 2, 3, dtype=np.int32), "b": draw.integers(0, 200, 3, dtype=np.int32)}
    for op in ("And", "Or", "Xor"):
        yield single(f"bitwise_{op.lower()}", f"Bitwise{op}", bits, opset=18)
    yield single("bitwise_not", "BitwiseNot", {"x": draw.integers(-9, 9, 4)}, opset=18)
    shift = {"a": draw.integers(0, 200, 4, dtype=np.uint64), "b": draw.integers(0, 5, 4, dtype=np.uint64)}
    for direction in ("LEFT", "RIGHT"):
        yield single(f"bit_shift_{direction.lower()}", "BitShift", shift, opset=11, direction=direction)


def newer(draw):
    """Opsets 22 to 24."""
    x = {"x": draw.normal(2, 3, 4)}
    yield single("swish_plain", "Swish", x, opset=24)
    yield single("swish_alpha", "Swish", x, opset=24, alpha=1.7)
    yield single("rms_normalization_last", "RMSNormalization", x, {"scale": draw.normal(4)}, opset=23)
    yield single("rms_normalization_two", "RMSNormalization", x, {"scale": draw.normal(3, 4)}, opset=23, axis=1, epsilon=0.01)
    yield single("conv_2d_opset22", "Conv", {"x": draw.normal(1, 2, 4, 4)}, {"w": draw.normal(3, 2, 3, 3)}, opset=22)
    yield single("reshape_opset24", "Reshape", x, {"shape": ints(0, -1)}, opset=24)
    yield single("top_k_opset24", "TopK", x, {"k": ints(2)}, opset=24, outputs=("values", "indices"))

    heads = {"q": draw.normal(2, 4, 3, 8), "k": draw.normal(2, 4, 5, 8), "v": draw.normal(2, 4, 5, 6)}
    yield single("attention_plain", "Attention", heads, opset=23)
    yield single("attention_scale", "Attention", heads, opset=23, scale=0.3)
    yield single("attention_causal", "Attention", {**heads, "q": draw.normal(2, 4, 5, 8)}, opset=23, is_causal=1)
    yield single("attention_mask", "Attention", heads, {"mask": draw.normal(3, 5)}, opset=23)
    seen = draw.bools(2, 1, 3, 5)
    seen[..., 0] = True
    yield single("attention_boolean_mask", "Attention", heads, {"mask": seen}, opset=23)
    shared = {"q": draw.normal(2, 4, 3, 8), "k": draw.normal(2, 2, 5, 8), "v": draw.normal(2, 2, 5, 8)}
    yield single("attention_shared_heads", "Attention", shared, opset=23)
    joined = {"q": draw.normal(2, 3, 8), "k": draw.normal(2, 5, 8), "v": draw.normal(2, 5, 8)}
    yield single("attention_joined", "Attention", joined, opset=24, q_num_heads=2, kv_num_heads=2)
    yield single("attention_softcap", "Attention", heads, opset=23, softcap=2.0)


def products(draw):
    def einsum(name, equation, *shapes):
        inputs = {f"x{index}": draw.normal(*shape) for index, shape in enumerate(shapes)}
        return single(f"einsum_{name}", "Einsum", inputs, equation=equation, opset=12)

    yield einsum("diagonal", "ii->i", (3, 3))
    yield einsum("trace", "bii->b", (2, 3, 3))
    yield einsum("three", "ij,jk,kl->il", (2, 3), (3, 4), (4, 2))
    yield einsum("hadamard", "bij,bij->bij", (2, 3, 4), (2, 3, 4))
    yield einsum("relative", "bhwqd,rqd->bhwqr", (1, 2, 3, 2, 4), (5, 2, 4))
    yield einsum("broadcast", "...ij,...jk->...ik", (3, 2, 4), (4, 2))
    yield einsum("scalar", "ij->", (2, 3))


def rectified(draw):
    """Normalisation without weights, and functions with flat parts."""
    image = {"x": draw.normal(2, 3, 4, 5)}
    yield single("mean_variance_normalization_default", "MeanVarianceNormalization", image, opset=9)
    yield single("mean_variance_normalization_spatial", "MeanVarianceNormalization", image, opset=13, axes=[2, 3])
    yield single("mean_variance_normalization_negative", "MeanVarianceNormalization", image, opset=13, axes=[-3, 0])
    equal = {"x": np.array([[[1, 3, 3], [2, 0, -1]], [[5, 5, 5], [0, 7, 7]]], np.float32)}
    yield single("hardmax_opset11", "Hardmax", equal, opset=11)
    yield single("hardmax_opset13", "Hardmax", equal, opset=13)
    yield single("hardmax_axis", "Hardmax", equal, opset=13, axis=1)
    far = {"x": draw.uniform(-2, 2, 3, 4)}
    yield single("shrink_default", "Shrink", far, opset=9)
    yield single("shrink_soft", "Shrink", far, opset=9, lambd=0.7, bias=0.7)
