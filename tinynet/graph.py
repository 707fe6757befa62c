"""A layer graph's order: each node after those it reads."""

from collections import Counter

from tinynet.errors import InputError
from tinynet.layers import Node


def in_order(inputs: Node, outputs: Node) -> list[Node]:
    """Return the nodes that lead to ``outputs``, each after those it reads, the input first.

    Raises
    ------
    InputError
        As `Network`.
    """
    if not isinstance(inputs, Node) or not isinstance(outputs, Node):
        raise InputError("Network: give the tn.Input(...) node and the last layer's node")
    order: list[Node] = []
    done: set[Node] = set()
    stack = [(outputs, False)]
    while stack:
        node, parents_done = stack.pop()
        if node in done:
            continue
        if parents_done:
            done.add(node)
            order.append(node)
        else:
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(node.parents))
    if any(node.layer is None and node is not inputs for node in order):
        raise InputError("Network: the output reads an Input other than the one given")
    if inputs not in done or outputs is inputs:
        raise InputError("Network: no layer leads from the input to the output")
    places = Counter(node.layer for node in order if node.layer is not None)
    for layer, number in places.items():
        if number > 1:
            raise InputError(f"{layer!r} is connected twice; make a layer for each place")
    order.remove(inputs)
    return [inputs, *order]
