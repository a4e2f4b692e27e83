"""Gemm, MatMul and Einsum."""

from fixture import Case, Draw, node, single


def cases():
    draw = Draw(3)
    for trans_a in (0, 1):
        for trans_b in (0, 1):
            a = draw.normal(4, 3) if trans_a else draw.normal(3, 4)
            b = draw.normal(5, 4) if trans_b else draw.normal(4, 5)
            yield single(f"gemm_trans{trans_a}{trans_b}", "Gemm", {"a": a}, {"b": b, "c": draw.normal(5)}, transA=trans_a, transB=trans_b)
    a, b = draw.normal(3, 4), draw.normal(4, 5)
    yield single("gemm_alpha_beta", "Gemm", {"a": a}, {"b": b, "c": draw.normal(5)}, alpha=0.5, beta=-2.0)
    yield single("gemm_alpha", "Gemm", {"a": a}, {"b": b}, alpha=0.25)
    yield single("gemm_beta_zero", "Gemm", {"a": a}, {"b": b, "c": draw.normal(5)}, beta=0.0)
    forms = {"scalar": (), "one": (1,), "row": (1, 5), "column": (3, 1), "full": (3, 5), "one_one": (1, 1)}
    for name, shape in forms.items():
        yield single(f"gemm_c_{name}", "Gemm", {"a": a}, {"b": b, "c": draw.normal(*shape)})
    yield single("gemm_no_c", "Gemm", {"a": a}, {"b": b}, opset=11)
    yield single("gemm_opset9", "Gemm", {"a": a}, {"b": draw.normal(5, 4), "c": draw.normal(5)}, opset=9, transB=1)
    yield single("gemm_all_inputs", "Gemm", {"a": a, "b": b, "c": draw.normal(3, 1)})
    yield Case(
        "gemm_dynamic_batch",
        [node("Gemm", ["x", "weight", "bias"], transB=1)],
        {"x": draw.normal(1, 4)},
        {"weight": draw.normal(5, 4), "bias": draw.normal(5)},
        dynamic={"x": {0: "batch"}},
        records={"batch3": {"x": draw.normal(3, 4)}},
    )

    shapes = {
        "1d_1d": ((4,), (4,)),
        "1d_2d": ((4,), (4, 3)),
        "2d_1d": ((3, 4), (4,)),
        "2d_2d": ((3, 4), (4, 2)),
        "1d_3d": ((4,), (2, 4, 3)),
        "3d_1d": ((2, 3, 4), (4,)),
        "3d_3d": ((2, 3, 4), (2, 4, 2)),
        "3d_2d": ((2, 3, 4), (4, 2)),
        "2d_3d": ((3, 4), (2, 4, 2)),
        "4d_4d": ((2, 2, 3, 4), (2, 2, 4, 3)),
        "4d_3d_broadcast": ((2, 2, 3, 4), (2, 4, 3)),
        "4d_broadcast_both": ((2, 1, 3, 4), (1, 3, 4, 2)),
        "5d_2d": ((1, 2, 2, 3, 4), (4, 2)),
        "6d_6d": ((1, 2, 1, 2, 2, 3), (2, 1, 1, 2, 3, 2)),
    }
    for name, (one, other) in shapes.items():
        yield single(f"matmul_{name}", "MatMul", {"a": draw.normal(*one), "b": draw.normal(*other)})
    yield single("matmul_weight_opset9", "MatMul", {"x": draw.normal(2, 3, 4)}, {"weight": draw.normal(4, 5)}, opset=9)
    yield single("matmul_weight_left", "MatMul", {"x": draw.normal(4, 5)}, {"weight": draw.normal(3, 4)}, order=["weight", "x"])

    def einsum(name, equation, *shapes):
        inputs = {f"x{index}": draw.normal(*shape) for index, shape in enumerate(shapes)}
        return single(f"einsum_{name}", "Einsum", inputs, equation=equation, opset=13)

    yield einsum("matmul", "ij,jk->ik", (3, 4), (4, 2))
    yield einsum("batched", "bij,bjk->bik", (2, 3, 4), (2, 4, 2))
    yield einsum("attention", "bhqd,bhkd->bhqk", (1, 2, 3, 4), (1, 2, 5, 4))
    yield einsum("transpose", "ij->ji", (3, 4))
    yield einsum("sum", "ij->i", (3, 4))
    yield einsum("implicit", "ij,jk", (3, 4), (4, 2))
    yield einsum("ellipsis", "...ij,...jk->...ik", (2, 2, 3, 4), (2, 2, 4, 2))
    yield einsum("outer", "i,j->ij", (3,), (4,))
    yield einsum("dot", "i,i->", (4,), (4,))
    yield einsum("spaces", "b h w c , h k c -> b h w k", (1, 2, 3, 4), (2, 3, 4))
