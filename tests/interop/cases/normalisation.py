"""BatchNormalization, LayerNormalization, GroupNormalization, InstanceNormalization, LRN, as inference runs them."""

import numpy as np

from fixture import Draw, single


def cases():
    draw = Draw(2)

    def batch(name, *shape, **attributes):
        channels = shape[1]
        statistics = {
            "scale": draw.normal(channels),
            "bias": draw.normal(channels),
            "mean": draw.normal(channels),
            "variance": draw.uniform(0.2, 2.0, channels),
        }
        return single(f"batch_normalization_{name}", "BatchNormalization", {"x": draw.normal(*shape)}, statistics, **attributes)

    yield batch("opset9", 2, 3, 4, 5, opset=9)
    yield batch("opset9_epsilon_momentum", 2, 3, 4, 5, opset=9, epsilon=1e-2, momentum=0.5)
    yield batch("opset14", 2, 3, 4, 5, opset=14)
    yield batch("opset14_training_mode_off", 2, 3, 4, 5, opset=14, training_mode=0)
    yield batch("opset15", 2, 3, 4, 5, opset=15, epsilon=1e-3)
    yield batch("2d", 4, 5)
    yield batch("3d", 2, 4, 5)
    yield batch("5d", 2, 3, 2, 2, 3)

    def layer(name, shape, axis, bias=True, **attributes):
        weights = {"scale": draw.normal(*shape[axis:])}
        if bias:
            weights["bias"] = draw.normal(*shape[axis:])
        inputs = {"x": draw.normal(*shape)}
        return single(f"layer_normalization_{name}", "LayerNormalization", inputs, weights, **{"axis": axis, **attributes})

    yield layer("last_axis", (2, 3, 8), -1)
    yield layer("two_axes", (2, 3, 4, 5), -2)
    yield layer("axis1", (2, 3, 4), 1)
    yield layer("no_bias", (2, 3, 8), -1, bias=False)
    yield layer("epsilon", (2, 8), -1, epsilon=0.1)
    yield layer("mean_and_deviation", (2, 3, 8), -1, outputs=("y", "mean", "inverse_deviation"))
    yield single(
        "layer_normalization_scale_broadcast", "LayerNormalization", {"x": draw.normal(2, 4, 6)},
        {"scale": draw.normal(6), "bias": draw.normal(6)}, axis=1,
    )  # fmt: skip

    def group(name, shape, groups, opset, length, **attributes):
        weights = {"scale": draw.normal(length), "bias": draw.normal(length)}
        inputs = {"x": draw.normal(*shape)}
        return single(
            f"group_normalization_{name}", "GroupNormalization", inputs, weights, opset=opset, num_groups=groups, **attributes
        )

    # Opset 18 scales each group, opset 21 each channel.
    yield group("opset18", (2, 6, 3, 2), 3, 18, 3)
    yield group("opset18_epsilon", (2, 4, 5), 2, 18, 2, epsilon=0.1)
    yield group("opset21", (2, 6, 3, 2), 3, 21, 6)
    yield group("opset21_3d", (2, 4, 5), 2, 21, 4)
    yield group("opset21_one_group", (2, 4, 3, 3), 1, 21, 4, epsilon=1e-2)
    yield group("opset21_group_per_channel", (2, 4, 3, 3), 4, 21, 4)

    for name, shape in (("3d", (2, 3, 7)), ("4d", (2, 3, 4, 3)), ("5d", (1, 2, 3, 2, 2))):
        weights = {"scale": draw.normal(shape[1]), "bias": draw.normal(shape[1])}
        yield single(f"instance_normalization_{name}", "InstanceNormalization", {"x": draw.normal(*shape)}, weights)
    weights = {"scale": np.ones(2, np.float32), "bias": np.zeros(2, np.float32)}
    yield single("instance_normalization_epsilon", "InstanceNormalization", {"x": draw.normal(1, 2, 3, 3)}, weights, opset=9, epsilon=0.5)

    x = {"x": draw.normal(2, 7, 3, 2)}
    yield single("lrn_size3", "LRN", x, size=3)
    yield single("lrn_size5", "LRN", x, size=5, alpha=0.2, beta=0.5, bias=2.0)
    yield single("lrn_opset9", "LRN", x, size=5, alpha=0.01, opset=9)
    yield single("lrn_wider_than_channels", "LRN", {"x": draw.normal(1, 2, 2, 2)}, size=5, alpha=0.3)
