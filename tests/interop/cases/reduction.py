"""The Reduce operators with axes as attribute and as input, ArgMax, ArgMin and CumSum."""

import numpy as np

from fixture import Draw, ints, scalar, single

REDUCTIONS = ["Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp", "LogSum"]


def cases():
    draw = Draw(7)
    for which in REDUCTIONS:
        op, stem = f"Reduce{which}", f"reduce_{which.lower()}"
        # The logarithm of a sum wants a positive sum.
        values = draw.uniform(0.5, 2, 2, 3, 4)
        x = {"x": values if which == "LogSum" else values * np.where(draw.bools(2, 3, 4), 1, -1).astype(np.float32)}
        # ReduceSum takes its axes as an input from opset 13 on, the others from 18 on.
        attribute, as_input = (11, 13) if which == "Sum" else (13, 18)
        yield single(f"{stem}_attribute", op, x, opset=attribute, axes=[1])
        yield single(f"{stem}_attribute_opset9", op, x, opset=9, axes=[0, 2], keepdims=0)
        yield single(f"{stem}_attribute_negative", op, x, opset=attribute, axes=[-1], keepdims=0)
        yield single(f"{stem}_attribute_all", op, x, opset=attribute)
        yield single(f"{stem}_attribute_all_drop", op, x, opset=attribute, keepdims=0)
        yield single(f"{stem}_input", op, x, {"axes": ints(1)}, opset=as_input)
        yield single(f"{stem}_input_two_drop", op, x, {"axes": ints(0, -1)}, opset=as_input, keepdims=0)
        yield single(f"{stem}_input_absent", op, x, opset=as_input, keepdims=0)
        yield single(f"{stem}_input_empty", op, x, {"axes": ints()}, opset=as_input)
        yield single(f"{stem}_input_empty_noop", op, x, {"axes": ints()}, opset=as_input, noop_with_empty_axes=1)
    for rank in (0, 1, 2, 5, 6):
        shape = (2, 3, 2, 1, 2, 2)[:rank]
        yield single(f"reduce_mean_{rank}d", "ReduceMean", {"x": draw.normal(*shape)}, opset=13, keepdims=0)
    yield single("reduce_mean_4d_spatial", "ReduceMean", {"x": draw.normal(2, 3, 4, 4)}, {"axes": ints(2, 3)}, opset=18, keepdims=0)
    yield single("reduce_sum_int64", "ReduceSum", {"x": draw.integers(-9, 9, 2, 3)}, {"axes": ints(1)}, opset=13)
    yield single("reduce_max_int64", "ReduceMax", {"x": draw.integers(-9, 9, 2, 3)}, opset=13, axes=[0])
    yield single("reduce_prod_int64", "ReduceProd", {"x": draw.integers(1, 5, 4)}, opset=13, keepdims=0)
    yield single("reduce_sum_noop_absent", "ReduceSum", {"x": draw.normal(2, 3)}, opset=13, noop_with_empty_axes=1)
    yield single("reduce_logsumexp_large", "ReduceLogSumExp", {"x": np.array([[1000, 1000.5]], np.float32)}, opset=13, axes=[1])

    ties = {"x": np.array([[1, 3, 3, 2], [5, 5, 0, 5], [2, 1, 1, 4]], np.float32)}
    for op in ("ArgMax", "ArgMin"):
        stem = op.lower()
        yield single(f"{stem}_default", op, ties, opset=11)
        yield single(f"{stem}_axis1", op, ties, opset=13, axis=1)
        yield single(f"{stem}_axis1_drop", op, ties, opset=9, axis=1, keepdims=0)
        yield single(f"{stem}_last_of_ties", op, ties, opset=13, axis=-1, keepdims=0, select_last_index=1)
        yield single(f"{stem}_3d", op, {"x": draw.normal(2, 3, 4)}, opset=13, axis=1)

    x = {"x": draw.normal(2, 3, 4)}
    yield single("cumsum_axis1", "CumSum", x, {"axis": scalar(1, np.int64)})
    yield single("cumsum_negative_axis", "CumSum", x, {"axis": scalar(-1, np.int32)}, opset=11)
    yield single("cumsum_exclusive", "CumSum", x, {"axis": scalar(2, np.int64)}, exclusive=1)
    yield single("cumsum_reverse", "CumSum", x, {"axis": scalar(0, np.int64)}, reverse=1)
    yield single("cumsum_exclusive_reverse", "CumSum", x, {"axis": scalar(1, np.int64)}, exclusive=1, reverse=1)
    yield single("cumsum_int64", "CumSum", {"x": draw.integers(-5, 5, 6)}, {"axis": scalar(0, np.int64)})
