"""XOR to touch: a net that trains while you look, in float and in int8, in JupyterLab, on a page and on a slide.

clouds : the points to learn.
state : what a playground shows, as a dict: checked, completed, made into nets and points of this package.
script : a state as a Python script.
picture : a state as a picture, for where nothing runs.
take : a state's network as files to take away.
bundle : these files as one module, and as part of a page.
widget : the playground in JupyterLab, its state in step with Python.

Beside them:
presets.json : states to start from, each with a sentence and a task.
net.js, int8.js, points.js : the engine, without a page: training, int8 under five rules, data.
away.js : what is taken away as text: JSON, Python, C.
view.js : what is seen and touched; `export default { render }`, as anywidget asks.
"""

__all__ = ["Playground"]


def __getattr__(name):
    if name == "Playground":            # when asked for, since it needs widgets and matplotlib, and `state` does not
        from xorlab.playground.widget import Playground

        return Playground
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
