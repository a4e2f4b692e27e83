"""Conv over one, two and three axes, ConvTranspose over one and two: groups, dilation, strides, explicit and automatic padding."""

from fixture import Case, Draw, node, single


def cases():
    draw = Draw(1)
    line, plane = draw.normal(2, 4, 9), draw.normal(1, 4, 7, 6)

    def conv(name, x, weight, bias=None, **attributes):
        weights = {"weight": draw.normal(*weight)}
        if bias is not None:
            weights["bias"] = draw.normal(bias)
        return single(f"conv_{name}", "Conv", {"x": x}, weights, **attributes)

    yield conv("1d", line, (3, 4, 3), 3)
    yield conv("1d_grouped", line, (6, 2, 3), 6, group=2, pads=[1, 1])
    yield conv("1d_dilated_strided", line, (2, 4, 3), dilations=[2], strides=[2], pads=[2, 1])
    yield conv("1d_same_upper", line, (2, 4, 4), auto_pad="SAME_UPPER", strides=[2])
    yield conv("2d_no_attributes", plane, (3, 4, 3, 2))
    yield conv("2d_bias", plane, (3, 4, 3, 3), 3, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    yield conv("2d_opset9", plane, (3, 4, 3, 3), 3, opset=9, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    yield conv("2d_opset21", plane, (3, 4, 3, 3), 3, opset=21, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    yield conv("2d_pointwise", plane, (5, 4, 1, 1), 5)
    yield conv("2d_strided", plane, (3, 4, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1])
    yield conv("2d_strided_unequally", plane, (3, 4, 3, 3), strides=[2, 1], pads=[1, 1, 1, 1])
    yield conv("2d_pointwise_strided", plane, (3, 4, 1, 1), strides=[2, 2])
    yield conv("2d_rectangular", plane, (3, 4, 1, 5), 3, pads=[0, 2, 0, 2])
    yield conv("2d_pads_asymmetrical", plane, (3, 4, 3, 3), 3, pads=[0, 1, 2, 3])
    yield conv("2d_grouped", plane, (6, 2, 3, 3), 6, group=2, pads=[1, 1, 1, 1])
    yield conv("2d_depthwise", plane, (4, 1, 3, 3), 4, group=4, pads=[1, 1, 1, 1])
    yield conv("2d_depthwise_multiplier", plane, (8, 1, 3, 3), 8, group=4, strides=[2, 2], pads=[1, 1, 1, 1])
    yield conv("2d_dilated", plane, (3, 4, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2])
    yield conv("2d_dilated_unequally", plane, (3, 4, 3, 3), dilations=[2, 1], pads=[2, 1, 2, 1])
    for padding in ("SAME_UPPER", "SAME_LOWER"):
        what = padding.lower()
        yield conv(f"2d_{what}", plane, (3, 4, 3, 3), auto_pad=padding)
        yield conv(f"2d_{what}_even_kernel", plane, (3, 4, 2, 4), auto_pad=padding)
        yield conv(f"2d_{what}_strided", plane, (3, 4, 3, 3), auto_pad=padding, strides=[2, 2])
        yield conv(f"2d_{what}_stride_beyond_kernel", plane, (3, 4, 1, 1), auto_pad=padding, strides=[3, 3])
    yield conv("2d_same_upper_dilated", plane, (3, 4, 3, 3), auto_pad="SAME_UPPER", dilations=[2, 2])
    yield conv("2d_valid", plane, (3, 4, 3, 3), auto_pad="VALID", strides=[2, 2])
    yield conv("2d_notset", plane, (3, 4, 3, 3), auto_pad="NOTSET", pads=[1, 0, 1, 0])
    yield conv("3d", draw.normal(1, 2, 3, 4, 3), (2, 2, 2, 2, 2), 2)
    yield single("conv_2d_weight_is_input", "Conv", {"x": plane, "weight": draw.normal(2, 4, 3, 3)}, pads=[1, 1, 1, 1])
    open_axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    yield Case(
        "conv_2d_dynamic",
        [node("Conv", ["x", "weight"], pads=[1, 1, 1, 1], strides=[2, 2])],
        {"x": draw.normal(1, 2, 5, 6)},
        {"weight": draw.normal(3, 2, 3, 3)},
        dynamic=open_axes,
        records={"batch3": {"x": draw.normal(3, 2, 5, 6)}, "large": {"x": draw.normal(2, 2, 8, 7)}},
    )

    small = draw.normal(1, 4, 4, 3)

    def transposed(name, x, weight, bias=None, **attributes):
        weights = {"weight": draw.normal(*weight)}
        if bias is not None:
            weights["bias"] = draw.normal(bias)
        return single(f"conv_transpose_{name}", "ConvTranspose", {"x": x}, weights, **attributes)

    yield transposed("1d", line, (4, 3, 3), 3)
    yield transposed("1d_strided", line, (4, 2, 4), strides=[2], pads=[1, 1])
    yield transposed("2d", small, (4, 3, 3, 3), 3)
    yield transposed("2d_opset9", small, (4, 3, 3, 3), 3, opset=9)
    yield transposed("2d_strided", small, (4, 3, 2, 2), 3, strides=[2, 2])
    yield transposed("2d_strided_unequally", small, (4, 3, 3, 3), strides=[3, 2])
    yield transposed("2d_pads", small, (4, 3, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
    yield transposed("2d_pads_asymmetrical", small, (4, 3, 4, 4), strides=[2, 2], pads=[0, 1, 2, 1])
    yield transposed("2d_output_padding", small, (4, 3, 3, 3), 3, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    yield transposed("2d_output_padding_unequal", small, (4, 3, 3, 3), strides=[3, 2], output_padding=[2, 1])
    yield transposed("2d_grouped", small, (4, 3, 3, 3), 6, group=2, strides=[2, 2])
    yield transposed("2d_depthwise", small, (4, 1, 3, 3), 4, group=4)
    yield transposed("2d_dilated", small, (4, 2, 3, 3), dilations=[2, 2])
    yield transposed("2d_output_shape", small, (4, 2, 3, 3), strides=[2, 2], output_shape=[8, 6])
    yield transposed("2d_output_shape_same_upper", small, (4, 2, 3, 3), strides=[2, 2], output_shape=[8, 6], auto_pad="SAME_UPPER")
    yield transposed("2d_same_upper", small, (4, 2, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    yield transposed("2d_same_lower", small, (4, 2, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER")
    yield transposed("2d_valid", small, (4, 2, 3, 3), strides=[2, 2], auto_pad="VALID")

    # Later cases draw from their own stream, so that the earlier ones keep their numbers.
    draw = Draw(101)
    solid = draw.normal(2, 4, 3, 5, 4)
    yield conv("3d_grouped", solid, (6, 2, 2, 3, 3), 6, group=2, pads=[1, 1, 1, 1, 1, 1])
    yield conv("3d_depthwise", solid, (4, 1, 3, 3, 3), group=4, pads=[1, 1, 1, 1, 1, 1])
    yield conv("3d_strided", solid, (3, 4, 3, 3, 2), strides=[2, 2, 1], pads=[1, 1, 0, 1, 1, 0])
    yield conv("3d_dilated", solid, (3, 4, 2, 3, 2), 3, dilations=[1, 2, 2], pads=[0, 2, 1, 0, 2, 1])
    yield conv("3d_pads_asymmetrical", solid, (3, 4, 3, 3, 3), 3, strides=[1, 2, 1], pads=[0, 1, 2, 3, 0, 1])
    yield conv("3d_same_upper", solid, (3, 4, 2, 3, 4), auto_pad="SAME_UPPER", strides=[1, 2, 2])
    yield conv("3d_pointwise", solid, (5, 4, 1, 1, 1), 5)
    # A window over the last two axes of three, as lambda layers have it.
    yield conv("3d_flat", solid, (3, 4, 1, 3, 3), 3, pads=[0, 1, 1, 0, 1, 1])
