"""What test_exercises.py starts as kernels of their own: it notes progress, and imports no framework."""
import json
import os
import time
from pathlib import Path

from xorlab.exercises import record


def hold(folder, held):
    """Hold a folder's record for a second between reading it and writing that 02.2 is right."""
    with record._alone(Path(folder)):
        states = record._read(Path(folder) / record.NAME)[0]
        held.set()
        time.sleep(1)
        (Path(folder) / record.NAME).write_text(json.dumps({**states, "02.2": "right"}))


def note_many(folder, names, together):
    """Note one after another that these exercises are done, once the other kernel is ready too."""
    together.wait()
    os.environ.pop("XORLAB_CHECK", None)
    for name in names:
        assert record.note(name, "done", Path(folder)) == ""
