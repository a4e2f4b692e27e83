"""Pictures read and written at computed places, as spatial transformers and sliding attention do."""

import numpy as np

from fixture import Case, Draw, ints, node, single


def cases():
    draw = Draw(23)
    picture, wide = {"x": draw.normal(2, 3, 4, 5)}, draw.uniform(-1.6, 1.6, 2, 3, 4, 2)
    for padding in ("zeros", "border", "reflection"):
        for align in (0, 1):
            end = f"{padding}_{'aligned' if align else 'edges'}"
            written = {"padding_mode": padding, "align_corners": align}
            yield single(f"grid_sample_{end}_opset16", "GridSample", picture, {"grid": wide}, opset=16, **written)
            yield single(f"grid_sample_nearest_{end}", "GridSample", {**picture, "grid": wide}, opset=20, mode="nearest", **written)
    yield single("grid_sample_opset22", "GridSample", {**picture, "grid": wide}, opset=22)
    yield single("grid_sample_one_pixel", "GridSample", {"x": draw.normal(1, 2, 1, 1)}, {"grid": wide[:1]}, opset=20, padding_mode="reflection", align_corners=1)
    yield single("grid_sample_cubic", "GridSample", picture, {"grid": wide}, opset=20, mode="cubic")

    maps = {"theta": draw.normal(2, 2, 3)}
    for align in (0, 1):
        yield single(f"affine_grid_{'aligned' if align else 'edges'}", "AffineGrid", maps, {"size": ints(2, 3, 4, 5)}, opset=20, align_corners=align)
    yield Case(
        "affine_grid_of_a_shape",
        [node("Shape", ["x"], ["size"]), node("AffineGrid", ["theta", "size"], ["grid"]), node("GridSample", ["x", "grid"])],
        {**picture, **maps},
        opset=20,
        dynamic={"x": {0: "batch"}, "theta": {0: "batch"}},
    )

    def laid(name, columns, image, block, **attributes):
        return single(f"col2im_{name}", "Col2Im", {"x": columns}, {"image": ints(*image), "block": ints(*block)}, opset=18, **attributes)

    yield laid("overlap", draw.normal(2, 12, 12), (4, 5), (2, 2))
    yield laid("apart", draw.normal(1, 8, 4), (4, 4), (2, 2), strides=[2, 2])
    yield laid("border", draw.normal(1, 18, 9), (5, 5), (3, 3), strides=[2, 2], pads=[1, 1, 1, 1])
    yield laid("uneven_border", draw.normal(1, 6, 6), (3, 4), (2, 3), pads=[0, 1, 1, 0], strides=[1, 1], dilations=[2, 1])
    yield laid("dilated", draw.normal(1, 4, 9), (5, 5), (2, 2), dilations=[2, 2])
