"""MaxPool, AveragePool and the global pools."""

from fixture import Draw, single


def cases():
    draw = Draw(5)
    line, plane = {"x": draw.normal(2, 3, 9)}, {"x": draw.normal(1, 2, 7, 6)}
    # All negative, so that a zero taken from the padding would show.
    negative = {"x": -1 - abs(draw.normal(1, 2, 5, 5))}

    for op, stem in (("MaxPool", "max_pool"), ("AveragePool", "average_pool")):
        yield single(f"{stem}_1d", op, line, kernel_shape=[3])
        yield single(f"{stem}_1d_strided", op, line, kernel_shape=[2], strides=[2], pads=[0, 1])
        yield single(f"{stem}_1d_ceil", op, line, kernel_shape=[2], strides=[2], ceil_mode=1)
        yield single(f"{stem}_2d", op, plane, kernel_shape=[2, 2], strides=[2, 2])
        yield single(f"{stem}_2d_opset9", op, plane, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], opset=9)
        yield single(f"{stem}_2d_stride_one", op, plane, kernel_shape=[3, 2])
        yield single(f"{stem}_2d_pads", op, negative, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        yield single(f"{stem}_2d_pads_asymmetrical", op, negative, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 2, 1])
        yield single(f"{stem}_2d_ceil", op, plane, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        yield single(f"{stem}_2d_ceil_pads", op, plane, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
        # The last window of the rounded-up size would start in the end padding.
        yield single(f"{stem}_2d_ceil_window_outside", op, {"x": draw.normal(1, 1, 5, 5)}, kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1)
        yield single(f"{stem}_2d_ceil_stride_beyond_kernel", op, {"x": draw.normal(1, 1, 6, 6)}, kernel_shape=[1, 1], strides=[4, 4], ceil_mode=1)
        yield single(f"{stem}_2d_same_upper", op, plane, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
        yield single(f"{stem}_2d_same_upper_even", op, plane, kernel_shape=[2, 2], auto_pad="SAME_UPPER")
        yield single(f"{stem}_2d_same_lower", op, plane, kernel_shape=[2, 2], auto_pad="SAME_LOWER")
        yield single(f"{stem}_2d_valid", op, plane, kernel_shape=[3, 3], strides=[2, 2], auto_pad="VALID")
        yield single(f"{stem}_2d_dynamic", op, plane, kernel_shape=[2, 2], strides=[2, 2], dynamic={"x": {0: "batch"}})

    yield single("max_pool_2d_dilated", "MaxPool", plane, kernel_shape=[2, 2], dilations=[2, 2])
    yield single("max_pool_2d_dilated_pads", "MaxPool", plane, kernel_shape=[3, 2], dilations=[2, 3], strides=[2, 1], pads=[1, 1, 1, 1])
    yield single("max_pool_1d_dilated", "MaxPool", line, kernel_shape=[3], dilations=[2], opset=10)
    yield single("max_pool_2d_dilated_ceil", "MaxPool", plane, kernel_shape=[2, 2], dilations=[2, 2], strides=[2, 2], ceil_mode=1)
    included = {"count_include_pad": 1}
    yield single("average_pool_2d_include_pad", "AveragePool", plane, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], **included)
    yield single("average_pool_1d_include_pad", "AveragePool", line, kernel_shape=[3], pads=[1, 1], **included)
    yield single("average_pool_2d_include_pad_asymmetrical", "AveragePool", plane, kernel_shape=[3, 3], pads=[0, 1, 2, 1], **included)
    yield single("average_pool_2d_include_pad_same_upper", "AveragePool", plane, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER", **included)
    ceil = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}
    yield single("average_pool_2d_include_pad_ceil_opset11", "AveragePool", plane, opset=11, **ceil, **included)
    yield single("average_pool_2d_include_pad_ceil_opset19", "AveragePool", plane, opset=19, **ceil, **included)
    yield single("average_pool_2d_dilated_opset19", "AveragePool", plane, kernel_shape=[2, 2], dilations=[2, 2], opset=19)

    for op, stem in (("GlobalAveragePool", "global_average_pool"), ("GlobalMaxPool", "global_max_pool")):
        yield single(f"{stem}_1d", op, line)
        yield single(f"{stem}_2d", op, plane)
        yield single(f"{stem}_2d_opset9", op, negative, opset=9)
        yield single(f"{stem}_3d", op, {"x": draw.normal(1, 2, 2, 3, 2)})
