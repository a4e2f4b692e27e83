"""Operators that move, select or make elements: from Reshape to Trilu, and the chains of them that exporters write."""

import numpy as np
from onnx import TensorProto, helper

from fixture import Case, Draw, ints, node, scalar, single


def cases():
    draw = Draw(8)
    yield from rearranging(draw)
    yield from joining(draw)
    yield from selecting(draw)
    yield from making(draw)
    yield from chains(draw)


def rearranging(draw):
    cube = {"x": draw.normal(2, 3, 4)}

    def reshape(name, shape, x=cube, **attributes):
        return single(f"reshape_{name}", "Reshape", x, {"shape": ints(*shape)}, **attributes)

    yield reshape("plain", (4, 6))
    yield reshape("opset9", (6, 4), opset=9)
    yield reshape("zero_copies", (0, 12))
    yield reshape("minus_one", (2, -1))
    yield reshape("zero_and_minus_one", (0, 0, 2, -1))
    yield reshape("to_6d", (1, 2, 1, 3, 2, 2))
    yield reshape("to_scalar", (), {"x": draw.normal(1, 1)})
    yield reshape("from_scalar", (1, 1), {"x": draw.normal()})
    yield reshape("int64", (3, 2), {"x": draw.integers(0, 9, 6)})
    yield reshape("allowzero", (0, 3), {"x": np.zeros((3, 0), np.float32)}, opset=14, allowzero=1)
    yield reshape("allowzero_off", (0, -1), opset=14, allowzero=0)
    yield single("reshape_shape_is_input", "Reshape", {**cube, "shape": ints(3, -1)})

    image = {"x": draw.normal(2, 3, 2, 2)}
    for axis in (0, 1, 2, 3, 4, -1, -3):
        yield single(f"flatten_axis{axis}".replace("-", "_minus"), "Flatten", image, opset=13, axis=axis)
    yield single("flatten_default_opset9", "Flatten", image, opset=9)
    yield single("flatten_1d", "Flatten", {"x": draw.normal(4)}, axis=0)

    yield single("transpose_default", "Transpose", cube)
    yield single("transpose_2d", "Transpose", {"x": draw.normal(2, 3)}, opset=9, perm=[1, 0])
    yield single("transpose_nchw_to_nhwc", "Transpose", image, perm=[0, 2, 3, 1])
    yield single("transpose_6d", "Transpose", {"x": draw.normal(1, 2, 3, 2, 2, 2)}, perm=[0, 1, 3, 2, 4, 5])
    yield single("transpose_1d", "Transpose", {"x": draw.normal(3)})
    yield single("transpose_int64", "Transpose", {"x": draw.integers(0, 9, 2, 3)}, perm=[1, 0])

    ones = {"x": draw.normal(1, 3, 1, 2)}
    yield single("squeeze_attribute", "Squeeze", ones, opset=9, axes=[2])
    yield single("squeeze_attribute_negative", "Squeeze", ones, opset=11, axes=[-2, 0])
    yield single("squeeze_all_attribute", "Squeeze", ones, opset=11)
    yield single("squeeze_input", "Squeeze", ones, {"axes": ints(0)}, opset=13)
    yield single("squeeze_input_two", "Squeeze", ones, {"axes": ints(0, -2)}, opset=13)
    yield single("squeeze_all", "Squeeze", ones, opset=13)
    yield single("squeeze_to_scalar", "Squeeze", {"x": draw.normal(1)}, {"axes": ints(0)}, opset=13)
    yield single("unsqueeze_attribute", "Unsqueeze", cube, opset=9, axes=[0])
    yield single("unsqueeze_attribute_two", "Unsqueeze", cube, opset=11, axes=[0, -1])
    yield single("unsqueeze_input", "Unsqueeze", cube, {"axes": ints(1)}, opset=13)
    yield single("unsqueeze_input_unordered", "Unsqueeze", {"x": draw.normal(2, 3)}, {"axes": ints(3, 0)}, opset=13)
    yield single("unsqueeze_scalar", "Unsqueeze", {"x": draw.normal()}, {"axes": ints(0)}, opset=13)
    yield single("unsqueeze_to_6d", "Unsqueeze", cube, {"axes": ints(0, 2, 5)}, opset=13)

    blocks = {"x": draw.normal(1, 8, 2, 3)}
    yield single("depth_to_space_default_opset9", "DepthToSpace", blocks, opset=9, blocksize=2)
    yield single("depth_to_space_dcr", "DepthToSpace", blocks, opset=11, blocksize=2, mode="DCR")
    yield single("depth_to_space_crd", "DepthToSpace", blocks, opset=13, blocksize=2, mode="CRD")
    yield single("space_to_depth", "SpaceToDepth", {"x": draw.normal(1, 2, 4, 6)}, blocksize=2)

    for name, k in (("default", None), ("k1", 1), ("k_minus1", -1), ("k_far", 9)):
        diagonal = {} if k is None else {"k": scalar(k, np.int64)}
        yield single(f"trilu_upper_{name}", "Trilu", {"x": draw.normal(3, 4)}, diagonal, opset=14)
        yield single(f"trilu_lower_{name}", "Trilu", {"x": draw.normal(3, 4)}, diagonal, opset=14, upper=0)
    yield single("trilu_batched", "Trilu", {"x": draw.normal(2, 3, 3)}, opset=14)


def joining(draw):
    yield single("concat_axis0", "Concat", {"a": draw.normal(2, 3), "b": draw.normal(1, 3)}, axis=0)
    yield single("concat_channels", "Concat", {"a": draw.normal(1, 2, 2, 2), "b": draw.normal(1, 3, 2, 2), "c": draw.normal(1, 1, 2, 2)}, axis=1, opset=9)
    yield single("concat_negative_axis", "Concat", {"a": draw.normal(2, 3), "b": draw.normal(2, 2)}, axis=-1, opset=11)
    yield single("concat_one", "Concat", {"a": draw.normal(2, 3)}, axis=1)
    yield single("concat_int64", "Concat", {"a": ints(1), "b": ints(2, 3)}, axis=0)
    yield single("concat_weight", "Concat", {"x": draw.normal(2, 3)}, {"weight": draw.normal(2, 2)}, axis=1)
    yield single("concat_6d", "Concat", {"a": draw.normal(1, 2, 1, 2, 1, 2), "b": draw.normal(1, 2, 1, 1, 1, 2)}, axis=3)

    x = {"x": draw.normal(2, 6)}
    two, three = ("a", "b"), ("a", "b", "c")
    yield single("split_equal_opset9", "Split", x, opset=9, outputs=three, axis=1)
    yield single("split_equal_opset13", "Split", x, opset=13, outputs=two, axis=1)
    yield single("split_default_axis", "Split", x, opset=13, outputs=two)
    yield single("split_sizes_attribute", "Split", x, opset=11, outputs=three, axis=-1, split=[1, 3, 2])
    yield single("split_sizes_input", "Split", x, {"split": ints(1, 5)}, opset=13, outputs=two, axis=1)
    yield single("split_num_outputs", "Split", x, opset=18, outputs=three, axis=1, num_outputs=3)
    yield single("split_num_outputs_uneven", "Split", {"x": draw.normal(7)}, opset=18, outputs=three, axis=0, num_outputs=3)
    yield single("split_sizes_input_opset18", "Split", x, {"split": ints(4, 2)}, opset=18, outputs=two, axis=-1)

    yield single("expand_plain", "Expand", {"x": draw.normal(3, 1)}, {"shape": ints(2, 3, 4)})
    yield single("expand_ones_keep", "Expand", {"x": draw.normal(2, 3)}, {"shape": ints(1, 1)}, opset=9)
    yield single("expand_scalar", "Expand", {"x": draw.normal()}, {"shape": ints(2, 2)})
    yield single("expand_both_ways", "Expand", {"x": draw.normal(1, 3, 1)}, {"shape": ints(2, 1, 2)})
    yield single("expand_to_6d", "Expand", {"x": draw.normal(2, 1)}, {"shape": ints(1, 2, 1, 2, 2, 2)})
    yield single("expand_int64", "Expand", {"x": ints(4)}, {"shape": ints(3)})
    yield single("tile_2d", "Tile", {"x": draw.normal(2, 3)}, {"repeats": ints(2, 1)})
    yield single("tile_4d", "Tile", {"x": draw.normal(1, 2, 1, 2)}, {"repeats": ints(2, 1, 3, 2)}, opset=9)
    yield single("tile_int64", "Tile", {"x": ints(1, 2)}, {"repeats": ints(3)})


def selecting(draw):
    x = {"x": draw.normal(4, 5, 3)}
    yield single("slice_opset9", "Slice", x, opset=9, starts=[1, 0], ends=[3, 4])
    yield single("slice_opset9_axes", "Slice", x, opset=9, axes=[2, 0], starts=[0, -2], ends=[2, 1000])

    def slice(name, starts, ends, axes=None, steps=None, x=x, **attributes):
        given = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
        weights = {key: ints(*value) for key, value in given.items() if value is not None}
        order = ["x", "starts", "ends", "axes" if axes else "", "steps" if steps else ""]
        while not order[-1]:
            order.pop()
        return single(f"slice_{name}", "Slice", x, weights, order=order, **attributes)

    yield slice("opset10", (1, 0), (3, 4), opset=10)
    yield slice("axes", (1,), (3,), (1,))
    yield slice("negative_axis", (1,), (3,), (-1,))
    yield slice("negative_bounds", (-3, -2), (-1, 9), (0, 1))
    yield slice("steps", (0, 1), (4, 5), (0, 1), (2, 3))
    yield slice("negative_step", (-1,), (-1000,), (1,), (-1,))
    yield slice("negative_step_two", (4,), (0,), (1,), (-2,))
    yield slice("reverse_to_minimum", (2**63 - 1,), (-(2**63),), (0,), (-1,))
    yield slice("end_out_of_range", (1,), (2**63 - 1,), (2,))
    yield slice("start_out_of_range", (-100,), (2,), (0,))
    yield slice("empty", (3,), (1,), (0,))
    yield slice("steps_without_axes", (0, 0, 0), (4, 5, 3), None, (2, 2, 2))
    yield slice("int64_1d", (1,), (3,), x={"x": ints(5, 6, 7, 8)})
    yield slice("6d", (1, 0), (2, 1), (1, 5), x={"x": draw.normal(1, 2, 1, 2, 1, 2)})
    yield single("slice_int32_bounds", "Slice", x, {"starts": np.array([1], np.int32), "ends": np.array([3], np.int32)})
    yield single("slice_bounds_are_inputs", "Slice", {**x, "starts": ints(1), "ends": ints(3), "axes": ints(1)})

    def gather(name, indices, x=x, **attributes):
        return single(f"gather_{name}", "Gather", x, {"indices": np.array(indices, np.int64)}, **attributes)

    yield gather("axis0", [2, 0])
    yield gather("axis1", [4, 0, 0], axis=1)
    yield gather("negative_axis", [1], axis=-1)
    yield gather("negative_indices", [-1, -4], axis=0, opset=11)
    yield gather("scalar_index", 1, axis=1)
    yield gather("scalar_negative_index", -1, axis=2)
    yield gather("2d_indices", [[0, 1], [3, 2]], axis=0, opset=9)
    yield gather("1d_to_scalar", 2, {"x": ints(5, 6, 7)})
    yield gather("5d_result", [[0, 1], [1, 0]], {"x": draw.normal(2, 2, 2, 1)}, axis=2)
    yield single("gather_int32_indices", "Gather", x, {"indices": np.array([1, 3], np.int32)})
    yield single("gather_indices_are_input", "Gather", {**x, "indices": ints(3, 1)})
    yield single("gather_embedding", "Gather", {"tokens": draw.integers(0, 5, 2, 3)}, {"table": draw.normal(5, 4)}, order=["table", "tokens"])

    flat = {"x": draw.normal(3, 4)}
    yield single("gather_elements_axis0", "GatherElements", flat, {"indices": draw.integers(0, 3, 2, 4)}, axis=0)
    yield single("gather_elements_axis1", "GatherElements", flat, {"indices": draw.integers(0, 4, 3, 2)}, axis=1, opset=11)
    yield single("gather_elements_negative", "GatherElements", flat, {"indices": draw.integers(-4, 0, 3, 2)}, axis=-1)
    yield single("gather_elements_3d", "GatherElements", {"x": draw.normal(2, 3, 2)}, {"indices": draw.integers(0, 3, 2, 2, 2)}, axis=1)

    table = {"x": draw.normal(4, 3)}
    yield single("scatter_nd_rows", "ScatterND", table, {"indices": np.array([[3], [0]]), "updates": draw.normal(2, 3)}, opset=11)
    yield single("scatter_nd_elements", "ScatterND", table, {"indices": np.array([[1, 2], [0, 0], [3, 1]]), "updates": draw.normal(3)}, opset=13)
    yield single("scatter_nd_slices", "ScatterND", {"x": draw.normal(2, 3, 2)}, {"indices": np.array([[[0, 1]], [[1, 0]]]), "updates": draw.normal(2, 1, 2)}, opset=16)
    yield single("scatter_nd_negative", "ScatterND", table, {"indices": np.array([[-1]]), "updates": draw.normal(1, 3)}, opset=16)
    repeated = {"indices": np.array([[1], [1]]), "updates": draw.normal(2, 3)}
    for reduction in ("add", "mul"):
        yield single(f"scatter_nd_{reduction}", "ScatterND", table, repeated, opset=16, reduction=reduction)
    for reduction in ("max", "min"):
        yield single(f"scatter_nd_{reduction}", "ScatterND", table, repeated, opset=18, reduction=reduction)

    image = {"x": draw.normal(1, 2, 3, 4)}
    around = [0, 0, 1, 2, 0, 0, 2, 1]
    for mode in ("constant", "reflect", "edge"):
        yield single(f"pad_{mode}_opset9", "Pad", image, opset=9, mode=mode, pads=around)
        yield single(f"pad_{mode}_opset11", "Pad", image, {"pads": ints(*around)}, opset=11, mode=mode)
        yield single(f"pad_{mode}_axes", "Pad", image, {"pads": ints(2, 1, 1, 0), "axes": ints(3, -2)}, opset=18, mode=mode, order=["x", "pads", "", "axes"])
        yield single(f"pad_{mode}_1d", "Pad", {"x": draw.normal(4)}, {"pads": ints(2, 3)}, opset=13, mode=mode)
    yield single("pad_wrap_opset19", "Pad", image, {"pads": ints(*around)}, opset=19, mode="wrap")
    yield single("pad_value_opset9", "Pad", image, opset=9, pads=around, value=1.5)
    yield single("pad_value", "Pad", image, {"pads": ints(*around), "value": scalar(-2.5)}, opset=13)
    yield single("pad_channels", "Pad", image, {"pads": ints(0, 1, 0, 0, 0, 2, 0, 0)}, opset=13)
    yield single("pad_negative", "Pad", image, {"pads": ints(0, 0, -1, 1, 0, 0, 0, -2)}, opset=13)
    yield single("pad_negative_opset9", "Pad", image, opset=9, pads=[0, 0, -1, -1, 0, 0, -1, -1])
    yield single("pad_minus_infinity", "Pad", image, {"pads": ints(*around), "value": scalar(-np.inf)}, opset=13)
    yield single("pad_int64", "Pad", {"x": ints(1, 2)}, {"pads": ints(1, 1), "value": scalar(7, np.int64)}, opset=13)


def making(draw):
    x = {"x": draw.normal(2, 3, 4)}
    yield single("shape_plain", "Shape", x, opset=9)
    yield single("shape_scalar", "Shape", {"x": draw.normal()}, opset=13)
    for name, bounds in {
        "start": {"start": 1}, "end": {"end": 2}, "start_end": {"start": 1, "end": 2}, "negative": {"start": -2, "end": -1},
        "out_of_range": {"start": -9, "end": 9}, "crossed": {"start": 2, "end": 1},
    }.items():  # fmt: skip
        yield single(f"shape_{name}", "Shape", x, opset=15, **bounds)
    yield single("size_plain", "Size", x)
    yield single("size_scalar", "Size", {"x": draw.normal()}, opset=9)

    values = np.array([-1.7, -0.5, 0, 0.5, 1, 2.9], np.float32)
    types = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "bool": TensorProto.BOOL, "double": TensorProto.DOUBLE, "float": TensorProto.FLOAT}
    for name, kind in types.items():
        yield single(f"cast_float_to_{name}", "Cast", {"x": values}, opset=9 if name == "int64" else 13, to=kind)
        yield single(f"cast_int64_to_{name}", "Cast", {"x": ints(-2, 0, 1, 7)}, opset=13, to=kind)
        yield single(f"cast_bool_to_{name}", "Cast", {"x": np.array([True, False])}, opset=19, to=kind)
    rounding = [node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16), node("Cast", ["half"], to=TensorProto.FLOAT)]
    yield Case("cast_through_float16", rounding, {"x": np.array([1 / 3, 1e-8, 2049, 65504], np.float32)})
    yield single("cast_like", "CastLike", {"x": values, "like": ints(0)}, opset=15)

    def constant(name, opset=13, **attributes):
        return Case(f"constant_{name}", [node("Constant", [], **attributes)], {}, opset=opset)

    def tensor(array):
        return helper.make_tensor("value", helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, array.flatten().tolist())

    yield constant("value", 9, value=tensor(draw.normal(2, 3)))
    yield constant("value_int64", 11, value=tensor(ints(1, 2, 3)))
    yield constant("value_bool", value=tensor(draw.bools(2, 2)))
    yield constant("value_scalar", value=tensor(scalar(2.5)))
    yield constant("value_float", value_float=1.5)
    yield constant("value_floats", value_floats=[1.5, -2.0])
    yield constant("value_int", value_int=7)
    yield constant("value_ints", value_ints=[7, -8, 9])

    yield single("constant_of_shape_default", "ConstantOfShape", {"shape": ints(2, 3)}, opset=9)
    yield single("constant_of_shape_float", "ConstantOfShape", {"shape": ints(4)}, value=tensor(np.array([1.5], np.float32)))
    yield single("constant_of_shape_int64", "ConstantOfShape", {"shape": ints(2, 1, 2)}, value=tensor(ints(-1)))
    yield single("constant_of_shape_bool", "ConstantOfShape", {"shape": ints(3)}, value=tensor(np.array([True])))
    yield single("constant_of_shape_scalar", "ConstantOfShape", {"shape": ints()}, opset=9)

    def range_(name, start, limit, delta, dtype):
        bounds = {"start": scalar(start, dtype), "limit": scalar(limit, dtype), "delta": scalar(delta, dtype)}
        return single(f"range_{name}", "Range", bounds, opset=11)

    yield range_("int64", 1, 10, 3, np.int64)
    yield range_("int64_down", 10, 4, -2, np.int64)
    yield range_("float", 0, 1, 0.3, np.float32)
    yield range_("float_down", 1, -1, -0.5, np.float32)
    yield range_("int64_empty", 5, 1, 1, np.int64)
    yield range_("int32", 0, 5, 2, np.int32)

    yield single("dropout_opset9", "Dropout", x, opset=9, ratio=0.4)
    yield single("dropout_opset10", "Dropout", x, opset=10)
    yield single("dropout_opset12", "Dropout", x, {"ratio": scalar(0.4)}, opset=12)
    yield single("dropout_opset13_training_off", "Dropout", x, {"ratio": scalar(0.4), "training": np.array(False)}, opset=13)
    yield single("dropout_mask", "Dropout", x, opset=13, outputs=("y", "mask"))


def chains(draw):
    """Shapes that the graph computes; each has records at two batch sizes."""
    small, large = draw.normal(1, 3, 2, 2), draw.normal(3, 3, 2, 2)

    def chain(name, nodes, weights=None, opset=17, one=small, three=large):
        return Case(name, nodes, {"x": one}, weights or {}, opset=opset, dynamic={"x": {0: "batch"}}, records={"batch3": {"x": three}})

    yield chain(
        "chain_shape_gather_unsqueeze_concat_reshape",
        [
            node("Shape", ["x"], ["shape"]),
            node("Gather", ["shape", "zero"], ["batch"], axis=0),
            node("Unsqueeze", ["batch", "axes"], ["batch_1d"]),
            node("Concat", ["batch_1d", "rest"], ["target"], axis=0),
            node("Reshape", ["x", "target"]),
        ],
        {"zero": scalar(0, np.int64), "axes": ints(0), "rest": ints(-1)},
    )
    yield chain(
        "chain_shape_gather_unsqueeze_concat_reshape_opset9",
        [
            node("Shape", ["x"], ["shape"]),
            node("Constant", [], ["zero"], value=helper.make_tensor("", TensorProto.INT64, [], [0])),
            node("Gather", ["shape", "zero"], ["batch"], axis=0),
            node("Unsqueeze", ["batch"], ["batch_1d"], axes=[0]),
            node("Constant", [], ["rest"], value=helper.make_tensor("", TensorProto.INT64, [1], [-1])),
            node("Concat", ["batch_1d", "rest"], ["target"], axis=0),
            node("Reshape", ["x", "target"]),
        ],
        opset=9,
    )
    yield chain(
        "chain_flatten_through_shape",
        [
            node("Shape", ["x"], ["shape"]),
            node("Slice", ["shape", "start", "one"], ["batch"]),
            node("Slice", ["shape", "one", "end"], ["others"]),
            node("ReduceProd", ["others"], ["features"], keepdims=1),
            node("Concat", ["batch", "features"], ["target"], axis=0),
            node("Reshape", ["x", "target"]),
        ],
        {"start": ints(0), "one": ints(1), "end": ints(2**63 - 1)},
        opset=13,
    )
    yield chain(
        "chain_product_of_sizes",
        [
            node("Shape", ["x"], ["height"], start=2, end=3),
            node("Shape", ["x"], ["width"], start=3, end=4),
            node("Mul", ["height", "width"], ["pixels"]),
            node("Concat", ["zero", "zero", "pixels"], ["target"], axis=0),
            node("Reshape", ["x", "target"]),
        ],
        {"zero": ints(0)},
    )
    yield chain(
        "chain_class_token",
        [
            node("Shape", ["x"], ["batch"], start=0, end=1),
            node("Concat", ["batch", "rest"], ["target"], axis=0),
            node("Expand", ["token", "target"], ["tokens"]),
            node("Concat", ["tokens", "x"], axis=1),
        ],
        {"rest": ints(1, 4), "token": draw.normal(1, 1, 4)},
        one=draw.normal(1, 3, 4),
        three=draw.normal(3, 3, 4),
    )
    # What PyTorch writes for expand(batch, -1, -1): sizes of -1 are replaced by 1 through Equal and Where.
    yield chain(
        "chain_expand_minus_one",
        [
            node("Shape", ["x"], ["shape"]),
            node("Gather", ["shape", "zero"], ["batch"], axis=0),
            node("Unsqueeze", ["batch", "axes"], ["batch_1d"]),
            node("Concat", ["batch_1d", "minus", "minus"], ["wanted"], axis=0),
            node("Shape", ["wanted"], ["rank"]),
            node("ConstantOfShape", ["rank"], ["ones"], value=helper.make_tensor("", TensorProto.INT64, [1], [1])),
            node("Mul", ["ones", "minus"], ["minuses"]),
            node("Equal", ["wanted", "minuses"], ["open"]),
            node("Where", ["open", "ones", "wanted"], ["target"]),
            node("Expand", ["token", "target"], ["tokens"]),
            node("Concat", ["tokens", "x"], axis=1),
        ],
        {"zero": scalar(0, np.int64), "axes": ints(0), "minus": ints(-1), "token": draw.normal(1, 1, 4)},
        one=draw.normal(1, 3, 4),
        three=draw.normal(3, 3, 4),
    )
    yield chain(
        "chain_channel_shuffle",
        [
            node("Shape", ["x"], ["shape"]),
            node("Gather", ["shape", "zero"], ["batch"]),
            node("Unsqueeze", ["batch", "axes"], ["batch_1d"]),
            node("Concat", ["batch_1d", "grouped"], ["wide"], axis=0),
            node("Reshape", ["x", "wide"], ["groups"]),
            node("Transpose", ["groups"], ["shuffled"], perm=[0, 2, 1, 3, 4]),
            node("Concat", ["batch_1d", "flat"], ["narrow"], axis=0),
            node("Reshape", ["shuffled", "narrow"]),
        ],
        {"zero": scalar(0, np.int64), "axes": ints(0), "grouped": ints(2, 2, 2, 2), "flat": ints(4, 2, 2)},
        one=draw.normal(1, 4, 2, 2),
        three=draw.normal(3, 4, 2, 2),
    )
    # Half of the size, in floats and back, as interpolation with a scale factor is written.
    yield chain(
        "chain_size_arithmetic",
        [
            node("Shape", ["x"], ["shape"]),
            node("Slice", ["shape", "two", "four"], ["spatial"]),
            node("Cast", ["spatial"], ["floats"], to=TensorProto.FLOAT),
            node("Mul", ["floats", "factor"], ["scaled"]),
            node("Floor", ["scaled"], ["floored"]),
            node("Cast", ["floored"], ["sizes"], to=TensorProto.INT64),
            node("Slice", ["shape", "zero", "two"], ["front"]),
            node("Concat", ["front", "sizes"], ["target"], axis=0),
            node("Resize", ["x", "", "", "target"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        ],
        {"zero": ints(0), "two": ints(2), "four": ints(4), "factor": scalar(1.5)},
        opset=13,
    )
    yield chain(
        "chain_position_range",
        [
            node("Shape", ["x"], ["length"], start=1, end=2),
            node("Squeeze", ["length", "axes"], ["limit"]),
            node("Range", ["zero", "limit", "one"], ["positions"]),
            node("Gather", ["table", "positions"], ["embedding"]),
            node("Add", ["x", "embedding"]),
        ],
        {"axes": ints(0), "zero": scalar(0, np.int64), "one": scalar(1, np.int64), "table": draw.normal(5, 4)},
        one=draw.normal(1, 3, 4),
        three=draw.normal(3, 3, 4),
    )
