"""Resize (opsets 11, 13, 18) and Upsample (opset 9)."""

import numpy as np

from fixture import Draw, ints, single


def cases():
    draw = Draw(9)
    x = {"x": draw.normal(1, 2, 4, 5)}

    def resize(name, scales=None, sizes=None, opset=13, x=x, **attributes):
        weights, order = {}, ["x", "", ""]
        if opset < 13:
            # Opset 11 asks for the region and the scales even where they have no part.
            weights["roi"] = np.zeros(0, np.float32)
            order[1] = "roi"
        if scales is not None:
            weights["scales"] = np.array(scales, np.float32)
            order[2] = "scales"
        else:
            if opset < 13:
                weights["scales"] = np.zeros(0, np.float32)
                order[2] = "scales"
            weights["sizes"] = ints(*sizes)
            order.append("sizes")
        return single(f"resize_{name}", "Resize", x, weights, order=order, opset=opset, **attributes)

    twice, uneven, down = (1, 1, 2, 2), (1, 1, 1.5, 2.4), (1, 1, 0.5, 0.6)
    for mode in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        for kind in ("nearest", "linear"):
            settings = {"mode": kind, "coordinate_transformation_mode": mode}
            for name, scales in (("twice", twice), ("uneven", uneven), ("down", down)):
                yield resize(f"{kind}_{mode}_{name}", scales, **settings)
            yield resize(f"{kind}_{mode}_sizes", sizes=(1, 2, 7, 3), **settings)
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        settings = {"mode": "nearest", "nearest_mode": rounding}
        yield resize(f"nearest_{rounding}_twice", twice, coordinate_transformation_mode="asymmetric", **settings)
        yield resize(f"nearest_{rounding}_half_pixel", uneven, coordinate_transformation_mode="half_pixel", **settings)
        yield resize(f"nearest_{rounding}_down", down, coordinate_transformation_mode="asymmetric", **settings)
    for opset in (11, 13, 18, 19):
        yield resize(f"linear_opset{opset}", twice, opset=opset, mode="linear")
        yield resize(f"nearest_opset{opset}_sizes", sizes=(1, 2, 8, 9), opset=opset, mode="nearest")
        yield resize(f"torch_nearest_opset{opset}", twice, opset=opset, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    yield resize("pytorch_half_pixel_to_one", sizes=(1, 2, 1, 1), mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
    yield resize("linear_align_corners_to_one", sizes=(1, 2, 1, 1), mode="linear", coordinate_transformation_mode="align_corners")
    yield resize("linear_1d", (1, 1, 2), x={"x": draw.normal(1, 2, 4)}, mode="linear")
    yield resize("nearest_1d", (1, 1, 3), x={"x": draw.normal(1, 2, 4)}, mode="nearest")
    yield resize("nearest_1d_sizes", sizes=(1, 2, 6), x={"x": draw.normal(1, 2, 4)}, mode="nearest")
    on_axes = {"opset": 18, "order": ["x", "", "scales"], "axes": [2, 3]}
    yield single("resize_axes_scales", "Resize", x, {"scales": np.array([2, 1.5], np.float32)}, **on_axes, mode="linear")
    on_axes["order"] = ["x", "", "", "sizes"]
    yield single("resize_axes_sizes", "Resize", x, {"sizes": ints(6, 7)}, **on_axes, mode="nearest")
    for policy in ("not_larger", "not_smaller"):
        yield single(f"resize_{policy}", "Resize", x, {"sizes": ints(7, 8)}, **on_axes, mode="linear", keep_aspect_ratio_policy=policy)
    yield single("resize_antialias", "Resize", x, {"scales": np.array(down, np.float32)}, opset=18, order=["x", "", "scales"], mode="linear", antialias=1)
    yield resize("cubic_half_pixel", twice, mode="cubic")
    yield resize("cubic_torch", uneven, mode="cubic", coordinate_transformation_mode="pytorch_half_pixel", cubic_coeff_a=-0.75)

    for mode in ("nearest", "linear"):
        scales = {"scales": np.array(twice, np.float32)}
        yield single(f"upsample_{mode}_opset9", "Upsample", x, scales, opset=9, mode=mode)
        yield single(f"upsample_{mode}_uneven_opset9", "Upsample", x, {"scales": np.array(uneven, np.float32)}, opset=9, mode=mode)
