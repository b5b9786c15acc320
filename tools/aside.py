"""In a lesson's kernel: what a solved cell does, set aside, so that the lesson goes on as if nobody had answered.

tools/untouched.py calls `begin` and `end` there around a solved cell. Solved cells see what earlier ones have set, and
all else as an untouched lesson has it.
"""
import contextlib
import functools
import hashlib
import pickle
import random
import sys
import types

MISSING = object()
IPYTHONS = {"In", "Out"}

_answers = {}       # name: (what solved cells have made it, what the lesson had by that name)
_guesses = {}       # of solved cells
_before = {}        # what `end` puts back
_alike = {}         # (name, type): has its value one digest each time?  A picture's axes have not


def begin(space, task):
    """Let a solved cell run in a namespace, with what earlier ones have set there and the lesson has not set since.

    task : is it the cell of a task?  Any other only calls `check`, which works on copies, or `predict`.
    """
    _before.update(names=dict(space), digests=digests(space) if task else {}, draws=draws(), guesses=dict(guesses()))
    for name, (value, had) in _answers.items():
        if space.get(name, MISSING) is had:
            space[name] = value
    guesses().update(_guesses)


def end(space):
    """Take back what a solved cell has set; print the names of what it has changed without setting it."""
    names = _before["names"]
    made = {name: value for name, value in space.items() if names.get(name, MISSING) is not value}
    _answers.clear()
    _answers.update({name: (value, names.get(name, MISSING)) for name, value in made.items()})
    for name in made.keys() - names.keys():
        del space[name]
    space.update(names)
    _guesses.update(guesses())
    guesses().clear()
    guesses().update(_before["guesses"])
    for put_back, state in _before["draws"]:
        put_back(state)
    after = digests({name: space[name] for name in _before["digests"]})
    print(*(name for name, digest in _before["digests"].items() if after.get(name) != digest))


def digests(space):
    """Return a digest of each value in a namespace that can be pickled, by name."""
    found = {}
    for name, value in space.items():
        if not name.startswith("_") and name not in IPYTHONS:
            with contextlib.suppress(Exception):        # a value may refuse in any way
                found[name] = digest(value)
                kind = name, type(value)
                if kind not in _alike:
                    _alike[kind] = digest(value) == found[name]
                if not _alike[kind]:
                    del found[name]
    return found


def digest(value):
    found = hashlib.sha256()
    Pickler(types.SimpleNamespace(write=found.update), pickle.HIGHEST_PROTOCOL).dump(value)     # makes no copy
    return found.digest()


class Pickler(pickle.Pickler):
    """Leaves out what a cached_property has kept, and takes of Keras's objects their weights: files have dates."""

    def reducer_override(self, value):
        if hasattr(type(value), "get_weights"):
            return dict, ([("weights", value.get_weights())],)
        if type(value).__module__.startswith("keras."):
            return dict, ()
        cached = kept_by(type(value))
        if not cached:
            return NotImplemented
        return dict, ([(name, part) for name, part in vars(value).items() if name not in cached],)


@functools.cache
def kept_by(kind):
    """Return the names under which objects of a class keep what its cached_property have computed."""
    return [name for one in kind.__mro__ for name, made in vars(one).items()
            if isinstance(made, functools.cached_property)]


def draws():
    """Return (function that puts it back, state) of each source of random numbers that cells share."""
    numpy, torch = (sys.modules.get(name) for name in ("numpy", "torch"))
    return [(random.setstate, random.getstate()),
            *([(numpy.random.set_state, numpy.random.get_state())] if numpy else []),
            *([(torch.set_rng_state, torch.get_rng_state())] if torch else [])]


def guesses():
    """Return the guesses that `predict` has noted in this kernel."""
    desk = sys.modules.get("xorlab.exercises.desk")
    return desk._guesses if desk else {}
