"""The playground in JupyterLab: what is seen and touched, in step with Python."""
import anywidget
import traitlets

from xorlab import arguments
from xorlab.playground import bundle, picture, script, take
from xorlab.playground import state as states

SHAPES = ("full", "small")


class Playground(anywidget.AnyWidget):
    """XOR to touch: a network that trains while you look, in float and in int8.

    preset : where to begin, a name in `state.PRESETS`, e.g. "lesson 05"; None for an untrained network of three units.
    points : your own, (x, y) with x (n, 2) from 0 to 1 and y (n,) of 0 and 1, or the path of a CSV file.
    shape : "full", or "small": the network and its maps only.
    changes : any key of the state, e.g. rate=0.5, hidden=[4], data="circle"; see `state.START`.
    Attributes: `state`, a dict, which may be set too; `net`, a models.MLP with the weights as they are now; `points`.
    Raises ValueError, in one sentence, for what a playground does not know.

    >>> Playground("stuck", rate=0.5).state["seed"]
    0
    """

    _esm = bundle.module()
    state = traitlets.Dict().tag(sync=True)
    kernel = traitlets.Bool(True, read_only=True).tag(sync=True)        # false on pages
    shape = traitlets.Enum(SHAPES, "full").tag(sync=True)
    address = traitlets.Bool(False, read_only=True).tag(sync=True)      # true where the page's address keeps the state

    def __init__(self, preset: str | None = None, *, points=None, shape: str = "full", **changes):
        if points is not None:
            if isinstance(points, tuple) and len(points) != 2:
                raise ValueError("points must be a pair (x, y) or the path of a CSV file, got "
                                 f"{arguments.shown(points)}")
            changes["data"] = states.own_points(*points) if isinstance(points, tuple) else states.read_csv(points)
        arguments.one_of("shape", shape, SHAPES)
        first = states.complete({}) if preset is None else states.preset(preset)
        super().__init__(state=states.changed(first, **changes), shape=shape)
        self.on_msg(self._answer)

    def set(self, **changes) -> None:
        """Change these keys of the state, e.g. rate=0.5; a change of the start takes the network back to it.

        Raises ValueError, in one sentence, and leaves everything as it is, for what a playground does not know.
        """
        self.state = states.changed(self.state, **changes)

    @property
    def net(self):
        """The network with the weights as they are now: a models.MLP in float32, in eval mode."""
        return states.net(self.state)

    @property
    def points(self):
        """The points to learn, those held back for validation left out: x (n, 2) and labels y (n,), float64."""
        return states.points(self.state)

    def python(self) -> str:
        """Return a Python script that needs PyTorch alone, with these points, weights and settings, to train on."""
        return script.text(self.state)

    def __repr__(self):
        preset = self.state["preset"]
        return f"Playground({preset!r})" if preset else "Playground()"

    def _repr_mimebundle_(self, **kwargs):
        """Return what a notebook stores: the live widget, and for where nothing runs the state and a picture of it."""
        shown, about = super()._repr_mimebundle_(**kwargs)
        png, said = picture.png(self.state)
        stored = {"text/plain": repr(self), "image/png": png, states.MIME: self.state}
        return {**shown, **stored}, {**about, "image/png": said}

    @traitlets.validate("state")
    def _checked(self, proposal):
        return states.complete(proposal["value"])

    def set_state(self, sync_data):
        """Take what the page sends; of a state that cannot be, say why to the page, and keep the one there is."""
        try:
            if "state" in sync_data:
                sync_data = {**sync_data, "state": states.complete(sync_data["state"])}
        except ValueError as problem:
            self.send({"failed": "state", "sentence": str(problem)})
            self.send_state("state")
            return
        super().set_state(sync_data)

    def _answer(self, _widget, message, _buffers):
        """Send what the page asks to take away, or a sentence that says why there is none."""
        kind = message.get("take") if isinstance(message, dict) else None
        try:
            name, content, sentence = take.file(kind, states.complete(message["state"]))
        except Exception as problem:            # whatever it is, the page must hear of it and the kernel go on
            self.send({"failed": kind, "sentence": (str(problem).splitlines() or [type(problem).__name__])[0]})
        else:
            self.send({"taken": kind, "name": name, "sentence": sentence}, [content])
