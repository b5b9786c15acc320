"""Write the files that tell apart how runtimes compute an operator: python -m tools.probes [OPERATOR ...]

Random operators are tried until every two ways to do one have answered differently; those that told are kept, side by
side in one file. The generators of random operators are the tests' own.
"""
import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import random_operators  # noqa: E402
import random_operators_elementwise as elementwise  # noqa: E402
from graph_files import FOLLOWS, alone, differing, made_by  # noqa: E402

from xorlab import conformance  # noqa: E402
from xorlab.files import make_folder, replacing  # noqa: E402
from xorlab.integer import IntegerGraph  # noqa: E402
from xorlab.integer.graph import End, Node  # noqa: E402
from xorlab.integer.rules import RULES  # noqa: E402
from xorlab.integer.write import content_of  # noqa: E402
from xorlab.streams import ended  # noqa: E402

ROWS = random_operators.WINDOWS_AND_MOVES | elementwise.MAKERS
ROWS |= {"RELU6": elementwise.relu, "QUANTIZE FLOAT32": elementwise.quantize, "QUANTIZE INT8": elementwise.requantize}
TRIES, LEAST, EACH = 20_000, 3, 2       # operators tried, kept at least, and telling each pair apart
LARGEST = 2_000                         # numbers in a tensor


def distinct(op) -> list[str]:
    """Return the first rule of each way to do an operator."""
    kernels = {}
    for rule in conformance.ASKED:
        kernels.setdefault(RULES[rule].kernels[type(op)], rule)
    return list(kernels.values())


def telling(name: str, maker) -> list:
    """Return graphs of one operator on which every two ways part."""
    rng, kept, parted = np.random.default_rng(0), [], None
    for number in range(TRIES):
        op, shapes = maker(rng, ("random", "ties", "nearly")[number % len(styles(maker))])
        shapes = [(1, *shape[1:]) for shape in shapes]
        if op.name != name.partition(" ")[0] or max(map(np.prod, shapes)) > LARGEST:
            continue
        try:
            graph = alone(op, *shapes)
            x = [codes[:, None] for codes in conformance.inputs(graph)]
            made = {rule: made_by(graph, x, rule)[0] for rule in distinct(op)}
        except ValueError:
            continue
        parted = parted or dict.fromkeys(itertools.combinations(made, 2), 0)
        new = [pair for pair in parted if parted[pair] < EACH and (made[pair[0]] != made[pair[1]]).any()]
        if (new or len(kept) < LEAST) and taken_by_all(graph, x):
            kept.append(graph)
            parted |= {pair: parted[pair] + 1 for pair in new}
        if len(kept) >= LEAST and min(parted.values(), default=EACH) >= EACH:
            break
    print(f"{name}: {len(kept)} kept of {number + 1} tried, told apart {parted}")
    return kept


def styles(maker):
    return elementwise.STYLES if maker.__module__ == elementwise.__name__ else random_operators.STYLES


def taken_by_all(graph, x) -> bool:
    """Tell whether every runtime runs a graph, as its rule says."""
    try:
        return not any(differing(graph, x, runtime)[0] for runtime in FOLLOWS)
    except (RuntimeError, ValueError):
        return False


def side_by_side(graphs: list) -> IntegerGraph:
    """Return one graph of graphs of one operator, which have nothing in common."""
    nodes, inputs, outputs, tensor = [], [], [], itertools.count()
    for i, graph in enumerate(graphs):
        ends = [End(next(tensor), f"x{i}{j}", end.shape, end.affine) for j, end in enumerate(graph.inputs)]
        node, output = graph.nodes[0], graph.outputs[0]
        made = next(tensor)
        nodes.append(Node(node.operator, tuple(end.tensor for end in ends), made, f"y{i}", node.shape))
        inputs += ends
        outputs.append(End(made, f"y{i}", output.shape, output.affine))
    return IntegerGraph(tuple(nodes), tuple(inputs), tuple(outputs))


def main(names: list[str]):
    make_folder(conformance.PROBES)
    for name in names or conformance.WORDS:
        content = content_of(side_by_side(telling(name, ROWS[name])))
        with replacing(conformance.file_of(name)) as made:
            made.write_bytes(content)


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
