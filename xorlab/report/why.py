"""Why the answers of two runtimes differ: where they part first, by which arithmetic, and how it goes on from there.

Two runtimes that agree in all tensors up to an operator and not in the one that it makes do that operator another way:
what goes into it is the same on both.
"""
import itertools
import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from html import escape
from io import BytesIO

import numpy as np

from xorlab import arguments, conformance, runtimes
from xorlab import compare as comparing
from xorlab.integer.explain.parts import index_text
from xorlab.report.apart import Stage, Tally, steps
from xorlab.report.asked import File, Inputs, inputs_of, session_of
from xorlab.report.compare import Pair, pair_of
from xorlab.report.html import Section, Shown, counted, filled, shape_words, shortened
from xorlab.report.inner import Inner, pieces
from xorlab.report.inspect import without
from xorlab.report.worked import Worst, worked
from xorlab.streams import progress
from xorlab.tables import Table
from xorlab.tflite_file import Graph

ORDER = tuple(conformance.EXPECTED)             # of runtimes, the device's first
PRODUCTS = 10**9                                # that all inputs drawn may cost a runtime; of a large net it gets fewer
LEAST = 16                                      # inputs, however large the net
NAME = 60                                       # letters of a tensor's name that a sentence shows
LABELS = 24                                     # operators that a picture names


@dataclass(frozen=True, repr=False, eq=False)
class Why(Shown):
    """Where two runtimes part on a file; it shows itself.

    file : its name.  between : the runtimes; where nobody named them and all agree, all that run the file.
    inputs : in words, which they were.  count : how many.
    stages : a Stage for each tensor that both show, in the file's order.  endings : a Pair for each output.
    worst : the output, of the first operator that parts, in which it does so most; None if none does.
    notes : sentences about what was not as usual.
    """
    file: str
    between: tuple[str, ...]
    inputs: str
    count: int
    stages: tuple[Stage, ...]
    endings: tuple[Pair, ...]
    worst: Worst | None
    notes: tuple[str, ...]

    @property
    def first(self) -> Stage | None:
        """The Stage where they part; None if there is none."""
        return next((stage for stage in self.stages if stage.differing), None)

    @property
    def agree(self) -> bool:
        """Whether no tensor and no output differs on any input."""
        return not any(one.differing for one in (*self.stages, *self.endings))

    def title(self) -> str:
        names = f"{self.file}: {', '.join(self.between[:-1])} and {self.between[-1]}"
        if self.first:
            return f"{names} part in operator {self.first.operator}, {self.first.kind}"
        return f"{names} {'agree in every number' if self.agree else 'answer otherwise'}"

    def sections(self) -> list[Section]:
        return [Section("", (f"Asked with {self.inputs}.", *self._sentences())),
                *([Section(self._place(), tuple(self._working()))] if self.worst else []),
                *([Section("From there on", (self.growth(), _Picture(self)))] if self.first else []),
                *([Section("Notes", self.notes)] if self.notes else [])]

    def growth(self) -> Table:
        """Return a Table of how the difference goes on from the first operator that parts."""
        later = self.stages[self.stages.index(self.first) :] if self.first else ()
        rows = tuple((f"{stage.operator} {stage.kind}", shape_words(stage.shape), f"{stage.differing:,}",
                      f"{stage.compared:,}", _percent(stage.share), _size(stage.step), f"{stage.inputs:,}")
                     for stage in later)
        return Table(("operator", "makes", "differ", "of", "share", "largest step", "on inputs"), rows)

    def by_hand(self) -> "Worked":
        """Return the output in which the first operator that parts does so most, worked out on both sides.

        Raises ValueError if no operator parts.
        """
        if not self.worst:
            raise ValueError(f"{self.title()}, so there is nothing to work out")
        return Worked(self)

    def plot(self, ax=None):
        """Draw the share of numbers that differ behind every operator, and return the axes."""
        arguments.axes(ax)
        if ax is None:
            # here: whoever wants no picture need not wait for it
            from xorlab import plots

            _, ax = plots.canvas(height=400)
        return _curve(self, ax)

    def to_dict(self) -> dict:
        """Return all of it as dicts, lists, text and numbers, for JSON; a number that is not finite as text."""
        first = None if self.first is None else self.stages.index(self.first)
        return {"file": self.file, "between": list(self.between), "inputs": self.inputs, "count": self.count,
                "agree": self.agree, "first": first, "worst": _plain(self.worst), "stages": _plain(self.stages),
                "outputs": _plain(self.endings), "notes": list(self.notes)}

    def _sentences(self):
        """Yield where they part, and how far their outputs are apart."""
        if self.first:
            first, before = self.first, self.stages.index(self.first)
            yield (f"What it makes, tensor {shortened(first.name, NAME)}, differs on {self._inputs(first.inputs)}, in "
                   f"{first.differing:,} of {first.compared:,} {first.what} ({_percent(first.share)}), by "
                   f"{_size(first.step)} at most. " + (
                       "It is the first operator." if not first.operator else
                       "Nothing before it was compared." if not before else
                       "The tensor before it is the same on all inputs." if before == 1 else
                       f"The {before} tensors before it are the same on all inputs."))
        elif self.agree:
            yield (f"{counted(len(self.stages), 'tensor')} that operators make and "
                   f"{counted(len(self.endings), 'output')} were compared; each is the same on all inputs.")
        for pair in self.endings if not self.agree else ():
            yield self._ending(pair)

    def _ending(self, pair):
        if not pair.differing:
            return f"Output {pair.output} is the same on all inputs."
        other = "" if pair.other_class is None else (
            f" It names another class on {pair.other_class:,}"
            + (f" (ties: {pair.by_tie:,})." if pair.by_tie else ".") if pair.other_class else
            " It names the same class on all.")
        return (f"Output {pair.output} differs on {self._inputs(pair.differing)}, in "
                f"{counted(pair.numbers, 'number')}, by {_size(pair.largest_step)} at most.{other}")

    def _inputs(self, part):
        return f"all {part:,} inputs" if part == self.count > 1 else f"{part:,} of {counted(self.count, 'input')}"

    def _place(self):
        return f"Worked out where it differs most: input {self.worst.input}, output {index_text(self.worst.where)}"

    def _working(self):
        if self.worst.table is not None:
            yield self.worst.table
        if self.worst.scales:
            yield _Lines(self.worst.scales)
        yield _Sides(self.worst.sides)


@dataclass(frozen=True, repr=False, eq=False)
class Worked(Shown):
    """The part of a Why that redoes one output by hand; it shows itself."""
    why: Why

    def title(self) -> str:
        return self.why._place()

    def sections(self) -> list[Section]:
        return [Section("", tuple(self.why._working()))]


def why(path, between: tuple | None = None, inputs=None, *, samples: int | None = None, seed: int | None = None,
        quantize: bool = False) -> Why:
    """Return where two runtimes part on a .tflite file, and by which arithmetic.

    between : two names in runtimes.RUNTIMES.  None takes, of those that run the file, the two whose outputs differ on
        most inputs; where all outputs agree, the two whose tensors do.
    inputs, samples, seed, quantize : as for asked.inputs_of; by default fewer are drawn for a large net.
    An operator that IntegerGraph knows is worked out under both rules; of another the inputs and both answers are told.
    Raises FileNotFoundError; ImportError where TFLite Micro cannot be installed; ValueError, in one sentence, for a
    damaged file, inputs that do not fit, and a runtime that cannot run it.

    >>> from xorlab import models
    >>> found = why(models.reference_file("textbook-2-4-1", "int8.tflite"), ("reference", "xnnpack"), samples=2000)
    >>> found.first.kind, found.first.differing
    ('FULLY_CONNECTED', 1494)
    """
    file = File.read(path)
    asked = ORDER if between is None else _checked_pair(between)
    given = _asked_with(file, inputs, samples, seed, quantize)
    plain, notes = _answers(file, asked, given, must=between is not None)
    pairs = _candidates(plain)
    if between is None and len(pairs) == 1:
        notes.append(f"No other two of {', '.join(plain)} answer otherwise on more inputs.")
    inner, refused = _inner(file, dict.fromkeys(itertools.chain(*pairs)))
    pairs = [pair for pair in pairs if set(pair) <= set(inner)] or pairs
    tallies, moved = _tallies(file, inner, refused, pairs, given.arrays, plain)
    pair = max(pairs, key=lambda pair: tallies[pair].inputs)            # the first of equals
    tally, outputs = tallies[pair], _endings(file, plain, pair)
    stages = tally.stages(file)
    first = next((stage for stage in stages if stage.differing), None)
    worst = first and worked(file, first, tally.worst(first.tensor), given.arrays, inner, pair)
    differ = any(output.differing for output in outputs)
    between = tuple(plain) if between is None and not first and not differ else pair
    for runtime in between:
        notes += [*refused.get(runtime, ()), *(inner[runtime].notes if runtime in inner else ()),
                  *moved.get(runtime, ())]
    notes += [f"Tensor {file.graph.tensors[i].name} is not compared: it has the shapes {a} and {b}."
              for i, (a, b) in tally.unlike.items()]
    if differ and not first:
        notes.append("The outputs differ, and no tensor does that both runtimes show: the cause is not to be seen "
                     "where every tensor is an output.")
    return Why(file.path.name, between, given.words, len(given), stages, outputs, worst, tuple(notes))


def _checked_pair(between):
    pair = tuple(arguments.several("between", between, "two names of runtimes", str))
    if len(pair) != 2 or pair[0] == pair[1]:
        raise ValueError(f"between takes two different runtimes of {', '.join(ORDER)}, got {', '.join(map(str, pair))}")
    for runtime in pair:
        runtimes.require(runtime)
    return pair


def _asked_with(file, given, samples, seed, quantize) -> Inputs:
    """Return the inputs that are asked for; by default no more than a net of this size is asked in a few seconds."""
    made = inputs_of(file, given, samples=samples, seed=seed, quantize=quantize)
    most = affordable(file.graph)
    if given is not None or samples is not None or len(made) <= most:
        return made
    return inputs_of(file, samples=most, seed=seed)


def affordable(graph: Graph) -> int:
    """Return how many inputs of a graph a runtime is asked, if nobody says how many: fewer of a large net."""
    return max(LEAST, PRODUCTS // max(1, products(graph)))


def products(graph: Graph) -> int:
    """Return about how many products the weighted operators of a graph add up in a call."""
    total = 0
    for op in graph.operators:
        if len(op.inputs) > 1 and op.outputs and min(op.outputs[0], op.inputs[1]) >= 0:
            weights, made = graph.tensors[op.inputs[1]].shape, graph.tensors[op.outputs[0]].shape
            each = {"CONV_2D": weights[1:], "FULLY_CONNECTED": weights[1:], "TRANSPOSE_CONV": weights[1:],
                    "DEPTHWISE_CONV_2D": weights[1:3]}.get(op.name)
            total += 0 if each is None else math.prod(made) * math.prod(each)
    return total


def _answers(file, asked, given, must):
    """Return ({runtime: its outputs}, sentences about those that cannot run the file).  must : whether all have to."""
    sessions, notes = {}, []
    for runtime in asked:
        try:
            sessions[runtime] = session_of(file, runtime)
        except (ValueError, ImportError) as error:
            if must:
                raise
            notes.append(_left_out(file, runtime, error))
    parts = {runtime: [] for runtime in sessions}
    turns = [(runtime, piece) for runtime in sessions for piece in pieces(file.graph, len(given))]
    for runtime, piece in progress(turns, "answers"):
        try:
            if runtime in parts:
                parts[runtime].append(sessions[runtime].run(*[x[piece] for x in given.arrays]))
        except ValueError as error:
            if must:
                raise
            del parts[runtime]
            notes.append(_left_out(file, runtime, error))
    if len(parts) < 2:
        raise ValueError(f"{file.path} runs on {' and '.join(parts) or 'none'} of {', '.join(asked)}, and it takes two "
                         f"to differ; {'; '.join(notes)}")
    answers = {runtime: [np.concatenate(one) for one in zip(*made, strict=True)] for runtime, made in parts.items()}
    shapes = {runtime: [one.shape[1:] for one in made] for runtime, made in answers.items()}
    first, *others = shapes
    for other in others:
        if shapes[other] != shapes[first]:
            raise ValueError(f"{file.path}: {first} answers with shapes {shapes[first]} and {other} with "
                             f"{shapes[other]}; only answers of one shape can be compared")
    return answers, notes


def _left_out(file, runtime, error):
    return f"{runtime} is left out: {without(file, str(error))}"


def _candidates(plain):
    """Return the pairs of runtimes to look into: the one whose outputs differ on most inputs, or all."""
    pairs = list(itertools.combinations(plain, 2))
    counts = {pair: int(np.any([comparing.answered_otherwise(a, b) for a, b in zip(
        *(plain[runtime] for runtime in pair), strict=True)], axis=0).sum()) for pair in pairs}
    most = max(pairs, key=counts.get)
    return [most] if counts[most] else pairs


def _endings(file, plain, pair):
    """Return a compare.Pair for each output."""
    return tuple(pair_of(port, *pair, *both) for port, *both in zip(
        file.outputs, *(plain[runtime] for runtime in pair), strict=True))


def _inner(file, asked):
    """Return ({runtime: Inner}, {runtime: [a sentence] where no tensor can be had})."""
    inner, refused = {}, {}
    for runtime in asked:
        try:
            inner[runtime] = Inner(file, runtime)
        except ValueError as error:
            refused[runtime] = [_shows_none(file, runtime, error)]
    return inner, refused


def _shows_none(file, runtime, error):
    return f"{runtime} shows no tensor inside: {without(file, str(error))}."


def _tensors(file, inner, runtime, arrays, refused):
    """Return {tensor: what it holds}; none, and a sentence in `refused`, if the runtime cannot any more."""
    try:
        return inner[runtime].run(arrays)
    except ValueError as error:
        refused[runtime] = [_shows_none(file, runtime, error)]
        return {}


def _tallies(file, inner, refused, pairs, arrays, plain):
    """Return ({pair: Tally}, {runtime: [a sentence] where its outputs are not those of the file itself})."""
    tallies, moved = {pair: Tally() for pair in pairs}, dict.fromkeys(itertools.chain(*pairs), 0)
    made, turns = {}, [(piece, runtime) for piece in pieces(file.graph, len(arrays[0])) for runtime in inner]
    for piece, runtime in progress(turns, "tensors"):
        given = [x[piece] for x in arrays]
        made[runtime] = {} if runtime in refused else _tensors(file, inner, runtime, given, refused)
        moved[runtime] += sum(int((steps(made[runtime][i], whole[piece]) > 0).sum())
                              for i, whole in zip(file.graph.outputs, plain[runtime], strict=True)
                              if i in made[runtime])
        if len(made) == len(inner):                                 # all have done this piece
            for (a, b), tally in tallies.items():
                if a in made and b in made:
                    tally.add(made[a], made[b], piece.start)
            made = {}
    return tallies, {runtime: [f"{runtime} answers {count:,} numbers otherwise where every tensor is an output; what "
                               "it shows inside need not be what it does with the file itself."] if count else []
                     for runtime, count in moved.items()}


# --- how it is shown

class _Lines:
    """Lines that stand as they are; in text indented, and wrapped where they are long."""

    def __init__(self, lines):
        self._lines = tuple(lines)

    def __str__(self):
        return "\n".join(filled(line, initial_indent="  ", subsequent_indent="      ") for line in self._lines)

    def _repr_html_(self):
        return f'<pre style="white-space:pre-wrap">{escape(chr(10).join(self._lines))}</pre>'


class _Sides:
    """What either runtime does: below each other in text, beside each other on a page."""

    def __init__(self, sides):
        self._sides = sides

    def __str__(self):
        return "\n\n".join("\n".join(filled(part) if isinstance(part, str) else str(part) for part in self._parts(side))
                           for side in self._sides)

    def _repr_html_(self):
        columns = "".join(
            '<div style="flex:1 1 24rem;min-width:0">' + "".join(
                f"<p>{escape(part)}</p>" if isinstance(part, str) else part._repr_html_()
                for part in self._parts(side)) + "</div>" for side in self._sides)
        return f'<div style="display:flex;flex-wrap:wrap;gap:1.5rem">{columns}</div>'

    @staticmethod
    def _parts(side):
        yield f"{side.runtime}, {side.value:.9g}{': ' if side.way else ''}{side.way}"
        if side.table:
            yield side.table
        if said := (*side.working, *([side.checked] if side.checked else [])):
            yield _Lines(said)


class _Picture:
    """The curve as an image inside the page; in text, what it shows."""

    def __init__(self, found):
        self._found = found

    def __str__(self):
        return filled(_curve_words(self._found))

    def _repr_html_(self):
        from matplotlib import style
        from matplotlib.figure import Figure

        from xorlab import look

        content = BytesIO()
        with style.context(look.STYLE):
            figure = Figure(figsize=(10, 4), layout="constrained")
            _curve(self._found, figure.subplots())
            figure.savefig(content, format="svg", metadata={"Date": None})
        return (f'<img style="max-width:100%;background:white" alt="{escape(_curve_words(self._found))}" '
                f'src="data:image/svg+xml;base64,{b64encode(content.getvalue()).decode()}">')


def _curve(found, ax):
    from xorlab import look, plots

    stages = found.stages
    places, names = range(len(stages)), [f"{stage.operator} {stage.kind}" for stage in stages]
    numbers, asked = [100 * stage.share for stage in stages], [100 * stage.inputs / found.count for stage in stages]
    ax.plot(places, asked, "o--", color=look.BAR, label="inputs on which some differ")
    ax.plot(places, numbers, "o-", color=look.INK[0], label="numbers that differ")
    every = -(-len(stages) // LABELS) or 1
    ax.set_xticks(places[::every], names[::every], rotation=40, ha="right", rotation_mode="anchor")
    ax.set(ylabel="share, %", ylim=(-3, 103), title=f"{' and '.join(found.between)}, operator by operator")
    ax.legend(loc="center left")
    plots.describe(ax, _curve_words(found))
    return ax


def _curve_words(found):
    if not found.first:
        return f"No number differs between {' and '.join(found.between)} behind any operator."
    largest, last = max(found.stages, key=lambda stage: stage.share), found.stages[-1]
    return (f"Of {' and '.join(found.between)}, {_percent(found.first.share)} of the numbers differ behind operator "
            f"{found.first.operator}, most, {_percent(largest.share)}, behind operator {largest.operator}, "
            f"{largest.kind}, and {_percent(last.share)} behind the last.")


def _percent(share):
    return "0 %" if not share else f"{100 * share:.2f} %" if share >= 1e-4 else f"{100 * share:.1g} %"


def _size(step):
    return f"{step:,}" if isinstance(step, int | np.integer) else f"{step:.4g}"


def _plain(thing):
    """Return dataclasses, tuples and tables as dicts and lists, and numbers that JSON has no word for as text."""
    if isinstance(thing, Table):
        return {"header": list(thing.header), "rows": [list(row) for row in thing.rows]}
    if is_dataclass(thing):
        thing = {field.name: getattr(thing, field.name) for field in fields(thing)}
    if isinstance(thing, Mapping):
        return {key: _plain(value) for key, value in thing.items()}
    if isinstance(thing, tuple | list):
        return [_plain(value) for value in thing]
    if isinstance(thing, np.generic):
        thing = thing.item()
    return str(thing) if isinstance(thing, complex) or isinstance(thing, float) and not math.isfinite(thing) else thing
