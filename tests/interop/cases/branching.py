"""If: conditions that follow from shapes, branches with weights and names of their own; conditions that follow from the data or the batch."""

import numpy as np
from fixture import Case, Draw, ints, node, scalar
from onnx import TensorProto, helper, numpy_helper


def branch(name, nodes, outputs, weights=None):
    """A branch: a graph without inputs, which reads the values around it."""
    infos = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs]
    stored = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    return helper.make_graph(nodes, name, [], infos, stored)


def wider_than(bound):
    """Nodes that say in `condition` whether the second axis of x is longer than a bound."""
    return [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "second"], ["extent"]),
        node("Greater", ["extent", "bound"], ["condition"]),
    ], {"second": scalar(1, np.int64), "bound": scalar(bound, np.int64)}


def cases():
    draw = Draw(61)
    x = draw.normal(2, 3, 4)
    either = {
        "then_branch": branch("wide", [node("Relu", ["x"], ["kept"])], ["kept"]),
        "else_branch": branch("narrow", [node("Neg", ["x"], ["kept"])], ["kept"]),
    }
    for name, bound in (("then", 2), ("else", 3)):
        nodes, weights = wider_than(bound)
        yield Case(f"if_{name}", [*nodes, node("If", ["condition"], **either)], {"x": x}, weights)
    nodes, weights = wider_than(2)
    yield Case("if_opset11", [*nodes, node("If", ["condition"], **either)], {"x": x}, weights, opset=11)
    yield Case("if_open_batch", [*nodes, node("If", ["condition"], **either)], {"x": x}, weights, dynamic={"x": {0: "batch"}},
               records={"batch1": {"x": draw.normal(1, 3, 4)}})  # fmt: skip

    # Two nodes whose branches name their values and weights alike; the second holds a third in its branch.
    def scaled(source, factor, output):
        weights = {"factor": np.asarray(factor, np.float32)}
        return branch("scaled", [node("Mul", [source, "factor"], ["kept"]), node("Identity", ["kept"], [output])], [output], weights)

    inner = branch(
        "outer",
        [node("If", ["condition"], ["chosen"], then_branch=scaled("first", [3.0, 4.0, 5.0, 6.0], "result"), else_branch=scaled("x", [0.0], "result"))],
        ["chosen"],
    )
    yield Case(
        "if_nested",
        [
            *nodes,
            node("If", ["condition"], ["first"], then_branch=scaled("x", [1.0, 2.0, 0.5, -1.0], "result"), else_branch=scaled("x", [0.0], "result")),
            node("If", ["condition"], ["second_if"], then_branch=inner, else_branch=scaled("x", [0.0], "result")),
            node("Add", ["first", "second_if"]),
        ],
        {"x": x},
        weights,
    )
    both = {
        "then_branch": branch("wide", [node("Relu", ["x"], ["a"]), node("Neg", ["x"], ["b"])], ["a", "b"]),
        "else_branch": branch("narrow", [node("Identity", ["x"], ["a"]), node("Abs", ["x"], ["b"])], ["a", "b"]),
    }
    yield Case("if_two_outputs", [*nodes, node("If", ["condition"], ["y", "z"], **both)], {"x": x}, weights, outputs=("y", "z"))
    by_data = [node("ReduceSum", ["x"], ["sum"], keepdims=0), node("Greater", ["sum", "zero"], ["condition"])]
    yield Case("if_by_data", [*by_data, node("If", ["condition"], **either)], {"x": x}, {"zero": scalar(0)})
    by_batch = [node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "first"], ["extent"]), node("Equal", ["extent", "one"], ["condition"])]
    yield Case("if_by_batch", [*by_batch, node("Squeeze", ["condition", "axis"], ["single"]), node("If", ["single"], **either)], {"x": x},
               {"first": ints(0), "one": ints(1), "axis": ints(0)}, dynamic={"x": {0: "batch"}})  # fmt: skip
