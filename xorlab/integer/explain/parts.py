"""What every explanation is made of: the object, what a teller is given and gives, and tables of what goes in."""
import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np

from xorlab.integer.operators import Operator
from xorlab.tables import Table

ROWS = 36                           # inputs that a table shows before it adds the others up: 3 x 3 of 4 channels


@dataclass(frozen=True, repr=False, eq=False)
class Explanation:
    """How one output comes about, or all outputs of a chain; it shows itself.

    title : which output.  inputs : the Table of what goes in; None for a chain.
    working : the lines from there to the code.
    code : the output; a tuple for a chain with several, a float where an operator gives float32.
    accumulator : a weighted operator's sum; None elsewhere.
    """
    title: str
    inputs: Table | None
    working: tuple
    code: int | float | tuple
    accumulator: int | None = None

    def __str__(self):
        inputs = [] if self.inputs is None else [str(self.inputs)]
        return "\n".join([self.title, *inputs, *self.working])

    __repr__ = __str__

    def _repr_html_(self):
        pre = '<pre style="white-space:pre-wrap">'          # a page may be narrower than a line
        if self.inputs is None:
            return f"{pre}{escape(str(self))}</pre>"
        working = escape("\n".join(self.working))
        return f"<p>{escape(self.title)}</p>{self.inputs._repr_html_()}{pre}{working}</pre>"


@dataclass(frozen=True)
class Output:
    """One output of an operator in a call, for a teller.

    x : what goes into the operator, an array for each input, as a call has it.  place : of the output in what the call
    makes, which has this shape.
    """
    op: Operator
    kernel: Callable
    x: list
    place: tuple
    shape: tuple

    def in_vector(self, block: int, run: int | None = None) -> bool:
        """Tell whether the output is one of a whole vector of `block` numbers: see kernels.places.in_vectors."""
        run = run or math.prod(self.shape)
        return int(np.ravel_multi_index(self.place, self.shape)) % run < run - run % block


@dataclass(frozen=True)
class Told:
    """What a teller gives.  value : the code, or number, that the lines arrive at.  accumulator : a weighted sum."""
    inputs: Table
    lines: list
    value: int | float
    accumulator: int | None = None


def disagreement(op: Operator, told, computed) -> RuntimeError:
    """Return the error for an explanation that does not arrive where the kernel does."""
    return RuntimeError(f"the explanation of {op.name} arrives at {told}, but its kernel at {computed}; this is a "
                        "mistake in xorlab.integer, not in the net")


def table_of(header: tuple, rows: list, summed: tuple = ()) -> Table:
    """Return a Table of as many rows as one can read, the others added up in one.  summed : columns to add up there."""
    shown, left = rows[:ROWS], rows[ROWS:]
    if left:
        shown = [*shown, (f"{len(left)} more", *(sum(row[i] for row in left) if i in summed else ""
                                                 for i in range(1, len(header))))]
    return Table(header, tuple(tuple(map(str, row)) for row in shown))


def index_text(place: tuple) -> str:
    """Return an index into one sample as text: 3, or (0, 2, 3)."""
    return str(place[0]) if len(place) == 1 else f"({', '.join(map(str, place))})"


def of_sample(place: tuple) -> str:
    """Return an index into a call's tensor as one into its sample, as text."""
    return index_text(place[1:] or place)


def less(code: int, zero_point: int) -> str:
    """Return how a zero point is taken off a code, as text."""
    return f"{code} {-zero_point:+d} = {code - zero_point}"
