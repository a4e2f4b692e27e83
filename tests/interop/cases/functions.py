"""Calls of functions that a model defines itself: attributes given, left to their default and left out; calls within functions; outputs that nobody asked for."""

from fixture import Case, Draw, node
from onnx import helper

DOMAIN = "potstill.test"


def call(name, inputs, outputs, **attributes):
    return helper.make_node(name, inputs, outputs, name=f"{outputs[0]}_{name.lower()}", domain=DOMAIN, **attributes)


def function(name, inputs, outputs, nodes, attributes=(), defaults=(), opset=17):
    sets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_function(DOMAIN, name, inputs, outputs, nodes, sets, list(attributes), [helper.make_attribute(key, value) for key, value in defaults])


def referring(op, inputs, outputs, **references):
    """A node whose attributes are those of the function around it."""
    made = helper.make_node(op, inputs, outputs, name=f"{outputs[0]}_{op.lower()}")
    for name, (reference, kind) in references.items():
        attribute = made.attribute.add()
        attribute.name, attribute.ref_attr_name, attribute.type = name, reference, kind
    return made


def cases():
    from onnx import AttributeProto

    draw = Draw(67)
    x = draw.normal(2, 3, 4)
    leaky = function(
        "Leaky", ["x"], ["y"],
        [referring("LeakyRelu", ["x"], ["kept"], alpha=("slope", AttributeProto.FLOAT)), node("Neg", ["kept"])],
        attributes=["slope"],
    )  # fmt: skip
    default = function(
        "Flat", ["x"], ["y"], [referring("Flatten", ["x"], ["y"], axis=("axis", AttributeProto.INT))], defaults=[("axis", 2)]
    )
    twice = function("Twice", ["x"], ["y"], [call("Leaky", ["x"], ["kept"], slope=0.5), call("Leaky", ["kept"], ["y"], slope=0.25)])
    both = function("Both", ["a", "b"], ["sum", "product"], [node("Add", ["a", "b"], ["sum"]), node("Mul", ["sum", "b"], ["product"])])
    yield Case("function_attribute", [call("Leaky", ["x"], ["y"], slope=0.3)], {"x": x}, functions=[leaky])
    yield Case("function_attribute_left_out", [call("Leaky", ["x"], ["y"])], {"x": x}, functions=[leaky])
    yield Case("function_attribute_default", [call("Flat", ["x"], ["y"])], {"x": x}, functions=[default])
    yield Case("function_attribute_not_default", [call("Flat", ["x"], ["y"], axis=1)], {"x": x}, functions=[default])
    yield Case(
        "function_within_function",
        [call("Twice", ["x"], ["kept"]), call("Twice", ["kept"], ["second"]), node("Add", ["second", "kept"])],
        {"x": x},
        functions=[leaky, twice],
    )
    yield Case("function_output_left_out", [call("Both", ["x", "weight"], ["", "y"])], {"x": x}, {"weight": draw.normal(3, 4)}, functions=[both])
