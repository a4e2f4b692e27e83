"""Arithmetic, variadic, unary, comparison and logical operators, on ranks 0 to 6 and on several element types."""

import numpy as np

from fixture import Draw, scalar, single


def cases():
    draw = Draw(6)
    positive = lambda *shape: draw.uniform(0.5, 3.0, *shape)  # noqa: E731

    for op in ("Add", "Sub", "Mul", "Div", "Pow"):
        stem = op.lower()
        for rank in range(7):
            shape = (2, 3, 2, 1, 2, 2)[:rank]
            yield single(f"{stem}_{rank}d", op, {"a": positive(*shape), "b": positive(*shape)})
        yield single(f"{stem}_broadcast_left", op, {"a": positive(3), "b": positive(2, 1, 3)})
        yield single(f"{stem}_broadcast_both", op, {"a": positive(2, 1, 3), "b": positive(1, 4, 1)})
        yield single(f"{stem}_weight_opset9", op, {"x": positive(2, 3, 2, 2)}, {"weight": positive(3, 1, 1)}, opset=9)
        yield single(f"{stem}_scalar_weight", op, {"x": positive(2, 3)}, {"weight": scalar(1.5)})
        yield single(f"{stem}_scalar_left", op, {"x": positive(2, 3)}, {"weight": scalar(1.5)}, order=["weight", "x"])
        if op != "Pow":
            yield single(f"{stem}_int64", op, {"a": draw.integers(-20, 20, 2, 3), "b": draw.integers(1, 6, 3)})
    yield single("div_int64_truncates", "Div", {"a": np.array([7, -7, 7, -7]), "b": np.array([2, 2, -2, -2])})
    yield single("div_int32", "Div", {"a": draw.integers(-9, 9, 4, dtype=np.int32), "b": draw.integers(1, 4, 4, dtype=np.int32)})
    yield single("div_by_zero", "Div", {"a": np.array([1, -1, 0], np.float32), "b": np.zeros(3, np.float32)})
    yield single("pow_square", "Pow", {"x": draw.normal(2, 3)}, {"exponent": scalar(2)})
    yield single("pow_integer_exponent", "Pow", {"x": draw.normal(2, 3)}, {"exponent": scalar(3, np.int64)}, opset=12)
    yield single("pow_negative_base", "Pow", {"a": np.array([-2, -2, 2, 0], np.float32), "b": np.array([3, -1, 0.5, 0], np.float32)})

    signs = {"a": np.array([7, -7, 7, -7, 6]), "b": np.array([3, 3, -3, -3, 3])}
    yield single("mod_int64", "Mod", signs)
    yield single("mod_int64_fmod", "Mod", signs, fmod=1)
    yield single("mod_int32_opset10", "Mod", {name: array.astype(np.int32) for name, array in signs.items()}, opset=10)
    yield single("mod_float_fmod", "Mod", {name: array.astype(np.float32) + 0.25 for name, array in signs.items()}, fmod=1)
    yield single("mod_broadcast", "Mod", {"a": draw.integers(0, 50, 2, 3)}, {"b": scalar(7, np.int64)})

    for op in ("Min", "Max", "Mean", "Sum"):
        stem = op.lower()
        yield single(f"{stem}_one", op, {"a": draw.normal(2, 3)})
        yield single(f"{stem}_two", op, {"a": draw.normal(2, 3), "b": draw.normal(2, 3)}, opset=9)
        yield single(f"{stem}_three_broadcast", op, {"a": draw.normal(2, 3), "b": draw.normal(3), "c": draw.normal(2, 1)})
        yield single(f"{stem}_scalars", op, {"a": draw.normal(), "b": draw.normal()})
        yield single(f"{stem}_6d", op, {"a": draw.normal(2, 1, 2, 1, 2, 1), "b": draw.normal(1, 2, 1, 2, 1, 2)})
    for op in ("Min", "Max"):
        yield single(f"{op.lower()}_int64", op, {"a": draw.integers(-9, 9, 4), "b": draw.integers(-9, 9, 4)}, opset=13)

    domains = {
        "Neg": draw.normal, "Abs": draw.normal, "Sqrt": positive, "Exp": draw.normal, "Log": positive, "Reciprocal": positive,
        "Floor": draw.normal, "Ceil": draw.normal, "Round": draw.normal, "Sign": draw.normal, "Sin": draw.normal, "Cos": draw.normal,
        "Identity": draw.normal,
    }  # fmt: skip
    for op, domain in domains.items():
        stem = op.lower()
        for rank in (0, 1, 4, 6):
            yield single(f"{stem}_{rank}d", op, {"x": domain(*(2, 3, 2, 1, 2, 2)[:rank])})
        # Round came with opset 11.
        yield single(f"{stem}_opset{11 if op == 'Round' else 9}", op, {"x": domain(2, 3)}, opset=11 if op == "Round" else 9)
    for op in ("Neg", "Abs", "Sign"):
        yield single(f"{op.lower()}_int64", op, {"x": np.array([3, -4, 0])}, opset=13)
    yield single("round_half_to_even", "Round", {"x": np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)})
    yield single("sign_zero", "Sign", {"x": np.array([-2, 0, 2], np.float32)})
    yield single("sqrt_of_negative", "Sqrt", {"x": np.array([-1, 4], np.float32)})
    yield single("log_of_zero", "Log", {"x": np.array([0, 1], np.float32)})
    yield single("identity_int64", "Identity", {"x": np.array([3, -4, 0])})
    yield single("identity_bool", "Identity", {"x": draw.bools(4)})

    for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        stem = op.lower()
        opset = 12 if op.endswith("OrEqual") else 11
        values = {"a": draw.integers(0, 3, 2, 3).astype(np.float32), "b": draw.integers(0, 3, 2, 3).astype(np.float32)}
        yield single(f"{stem}_float", op, values, opset=opset)
        yield single(f"{stem}_int64", op, {"a": draw.integers(0, 3, 2, 3), "b": draw.integers(0, 3, 3)}, opset=13)
        yield single(f"{stem}_scalar", op, {"a": draw.integers(0, 3)}, {"b": scalar(1, np.int64)})
        yield single(f"{stem}_6d", op, {"a": draw.integers(0, 3, 1, 2, 1, 2, 1, 2), "b": draw.integers(0, 3, 2, 1, 1, 2, 2, 1)})
    yield single("equal_bool", "Equal", {"a": draw.bools(6), "b": draw.bools(6)})
    yield single("equal_int32", "Equal", {"a": draw.integers(0, 2, 4, dtype=np.int32), "b": draw.integers(0, 2, 4, dtype=np.int32)})
    yield single("greater_opset9", "Greater", {"a": draw.normal(2, 3), "b": draw.normal(3)}, opset=9)
    yield single("less_opset9", "Less", {"a": draw.normal(2, 3), "b": draw.normal(3)}, opset=9)
    for op in ("And", "Or", "Xor"):
        yield single(f"{op.lower()}_2d", op, {"a": draw.bools(3, 4), "b": draw.bools(3, 4)})
        yield single(f"{op.lower()}_broadcast", op, {"a": draw.bools(3, 1), "b": draw.bools(4)}, opset=9)
        yield single(f"{op.lower()}_scalars", op, {"a": draw.bools(), "b": draw.bools()})
    yield single("not_2d", "Not", {"x": draw.bools(3, 4)})
    yield single("not_scalar", "Not", {"x": draw.bools()})

    yield single("where_float", "Where", {"condition": draw.bools(2, 3), "a": draw.normal(2, 3), "b": draw.normal(2, 3)})
    yield single("where_broadcast", "Where", {"condition": draw.bools(2, 1, 3), "a": draw.normal(4, 1), "b": draw.normal()})
    yield single("where_int64", "Where", {"condition": draw.bools(4), "a": draw.integers(0, 9, 4), "b": draw.integers(0, 9, 4)}, opset=9)
    yield single("where_scalar", "Where", {"condition": draw.bools(), "a": draw.normal(), "b": draw.normal()})
    yield single("where_infinity", "Where", {"condition": draw.bools(2, 3), "b": draw.normal(2, 3)}, {"a": scalar(-np.inf)}, order=["condition", "a", "b"])
    yield single("where_bool", "Where", {"condition": draw.bools(5), "a": draw.bools(5), "b": draw.bools(5)}, opset=16)
