"""Files to try the reports on: small nets of the kinds that microcontrollers run, with their float twins."""
from pathlib import Path

from xorlab import arguments

EXAMPLES = Path(__file__).parent.parent / "references" / "examples"


def example(name: str) -> Path:
    """Return the path of a file that comes with the package.

    name : "sine" (one input, 321 parameters), "keywords" (depthwise layers, digits), "residual" (digits), all int8;
        "sine-half", calibrated on the first half of the wave only; or one of the first three with "-float", e.g.
        "sine-float", in float32.
    Raises ValueError for another name.

    >>> example("sine").name
    'sine.tflite'
    """
    there = sorted(file.stem for file in EXAMPLES.glob("*.tflite"))
    arguments.one_of("an example", name, there)
    return EXAMPLES / f"{name}.tflite"
