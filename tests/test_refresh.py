"""tools/refresh.py on small notebooks in fresh kernels."""
import base64
import io

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import IPyNbFile
from PIL import Image

from tools import refresh

PICTURE = """\
import base64, io
import numpy as np
from IPython.display import display
from PIL import Image
pixels = np.full((20, 30), 90, dtype=np.uint8)
pixels[4:8, 5:9] = 200
stream = io.BytesIO()
Image.fromarray(pixels).save(stream, "png")
png = base64.b64encode(stream.getvalue()).decode()
display({"image/png": png, "text/plain": "a square"}, raw=True, metadata={"image/png": {"alt": "a square"}})"""


def write(path, *sources):
    """Write a notebook that was never run, with metadata that must go and metadata that must stay."""
    cells = [new_markdown_cell("# Title", id="title", metadata={"slideshow": {"slide_type": "slide"}})]
    for number, source in enumerate(sources):
        metadata = {"slideshow": {"slide_type": "-"}, "execution": {"iopub.status.busy": "now"}, "collapsed": False}
        cells.append(new_code_cell(source, id=f"code-{number}", metadata=metadata))
    notebook = new_notebook(cells=cells, metadata={"kernelspec": refresh.KERNELSPEC})
    nbformat.write(notebook, path)
    return path


def change(path, number, edit):
    """Edit one stored code cell by hand."""
    notebook = nbformat.read(path, as_version=4)
    edit(notebook.cells[1 + number])
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """A notebook after one refresh; tests change copies of it."""
    path = write(
        tmp_path_factory.mktemp("refreshed") / "01-small.ipynb",
        "print('0.123 ms')\nprint('after')", PICTURE, "x = 6", "x * 7",
    )
    assert refresh.refresh(path)
    return path


@pytest.fixture
def lesson(refreshed, tmp_path):
    path = tmp_path / refreshed.name
    path.write_bytes(refreshed.read_bytes())
    return path


def test_a_second_refresh_leaves_every_byte(lesson):
    before = lesson.read_bytes()
    assert not refresh.refresh(lesson)
    assert lesson.read_bytes() == before
    assert [path.name for path in lesson.parent.iterdir()] == [lesson.name]


def test_a_refresh_numbers_the_cells_and_cleans_only_what_differs_between_machines(lesson):
    notebook = nbformat.read(lesson, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert code[3].outputs[0].execution_count == 4 and code[3].outputs[0].data["text/plain"] == "42"
    assert [cell.id for cell in notebook.cells] == ["title", "code-0", "code-1", "code-2", "code-3"]
    assert [dict(cell.metadata) for cell in code] == [{"slideshow": {"slide_type": "-"}}] * 4
    assert notebook.metadata.kernelspec.name == "python3"
    assert "version" not in notebook.metadata.language_info
    assert code[1].outputs[0].metadata["image/png"]["alt"] == "a square"


def test_an_output_that_the_checks_take_for_equal_is_kept(lesson):
    change(lesson, 0, lambda cell: cell.outputs[0].update(text="7.5 s\nafter\n"))
    before = lesson.read_bytes()
    assert not refresh.refresh(lesson)
    assert lesson.read_bytes() == before


def test_a_different_output_is_replaced_and_the_rest_is_kept(lesson, refreshed):
    change(lesson, 0, lambda cell: cell.outputs[0].update(text="0.123 ms\nbefore\n"))
    assert refresh.refresh(lesson)
    assert lesson.read_bytes() == refreshed.read_bytes()


def test_cells_that_were_run_out_of_order_are_numbered_anew(lesson, refreshed):
    change(lesson, 3, lambda cell: (cell.update(execution_count=9), cell.outputs[0].update(execution_count=9)))
    assert refresh.refresh(lesson)
    assert lesson.read_bytes() == refreshed.read_bytes()


def test_a_stripped_notebook_gets_its_outputs_back(lesson, refreshed):
    for number in range(4):
        change(lesson, number, lambda cell: cell.update(outputs=[], execution_count=None))
    assert refresh.refresh(lesson)
    assert lesson.read_bytes() == refreshed.read_bytes()


def encoded(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png", **options)
    return base64.b64encode(stream.getvalue()).decode()


def square(level):
    pixels = np.full((20, 30), 90, dtype=np.uint8)
    pixels[4:8, 5:9] = level
    return pixels


def test_the_same_picture_in_other_bytes_is_kept(lesson):
    change(lesson, 1, lambda cell: cell.outputs[0].data.update({"image/png": encoded(square(200), compress_level=0)}))
    before = lesson.read_bytes()
    assert not refresh.refresh(lesson)
    assert lesson.read_bytes() == before


@pytest.mark.parametrize("stored", [square(100), square(200)[:, :29]], ids=["other pixels", "other size"])
def test_a_changed_picture_is_replaced(lesson, refreshed, stored):
    change(lesson, 1, lambda cell: cell.outputs[0].data.update({"image/png": encoded(stored)}))
    assert refresh.refresh(lesson)
    assert lesson.read_bytes() == refreshed.read_bytes()


def test_a_changed_alt_text_is_replaced(lesson, refreshed):
    change(lesson, 1, lambda cell: cell.outputs[0].metadata["image/png"].update(alt="a circle"))
    assert refresh.refresh(lesson)
    assert lesson.read_bytes() == refreshed.read_bytes()


@pytest.mark.parametrize(("source", "sentence"), [
    ("import sys\nprint('a warning', file=sys.stderr)", "cell 1 wrote to stderr: a warning"),
    ("1 / 0", "cell 1 stopped with ZeroDivisionError: division by zero"),
], ids=["stderr", "error"])
def test_stderr_and_errors_fail_and_leave_the_file_as_it_was(tmp_path, source, sentence):
    path = write(tmp_path / "01-bad.ipynb", source)
    before = path.read_bytes()
    with pytest.raises(refresh.LessonFailed, match=sentence):
        refresh.refresh(path)
    assert path.read_bytes() == before


def test_a_failure_is_told_and_sets_the_exit_status(tmp_path, monkeypatch, capsys):
    write(tmp_path / "01-bad.ipynb", "1 / 0")
    monkeypatch.setattr(refresh.lab, "NOTEBOOKS", tmp_path)
    assert refresh.main(["1"]) == 1
    assert "01-bad.ipynb left as it was: cell 1 stopped with ZeroDivisionError" in capsys.readouterr().out
    assert refresh.main(["9"]) == 1
    assert "no lesson '9'; there are: 01" in capsys.readouterr().err


def test_what_is_not_compared_is_what_nbval_does_not_compare(request, lesson):
    assert IPyNbFile.from_parent(request.session, path=lesson).skip_compare == refresh.NbvalComparison.skip_compare


@pytest.mark.parametrize("level, same", [(97, True), (98, False)])
def test_pictures_that_are_more_than_a_quarter_of_a_level_apart_are_two(level, same):
    """One pixel of 600 in three of four channels: 7 levels are 0.247 over the whole picture, 8 are 0.283."""
    one, other = (np.full((20, 30), 90, np.uint8) for _ in range(2))
    other[3, 4] = level
    assert refresh.look_the_same(encoded(one), encoded(other)) == same


def test_a_difference_of_one_glyph_is_another_picture():
    picture = np.full((400, 500), 255, dtype=np.uint8)
    glyph = picture.copy()
    glyph[200:207, 250:252] = 0         # a stroke of the smallest text
    assert not refresh.look_the_same(encoded(picture), encoded(glyph))


def test_a_cell_whose_output_is_not_checked_keeps_what_it_has():
    stored, new = (
        new_code_cell("# NBVAL_IGNORE_OUTPUT\nprint(1)", outputs=[new_output("stream", text=text)]) for text in "ab"
    )
    assert refresh.equal_outputs(new, stored, refresh.NbvalComparison())
    stored.outputs = []
    assert not refresh.equal_outputs(new, stored, refresh.NbvalComparison())


def test_a_picture_of_measured_times_may_be_another_but_the_words_beside_it_may_not():
    stored, new, other = (new_code_cell("draw()", metadata={"tags": ["measured"]}, outputs=[
        new_output("display_data", {"image/png": encoded(square(level)), "text/plain": text})])
        for level, text in ((100, "<Figure>"), (200, "<Figure>"), (200, "<Table>")))
    assert refresh.equal_outputs(new, stored, refresh.NbvalComparison())
    assert not refresh.equal_outputs(other, stored, refresh.NbvalComparison())
    stored.metadata.tags = []
    assert not refresh.equal_outputs(new, stored, refresh.NbvalComparison())


PLAYED = PICTURE.replace('"text/plain": "a square"', '"text/plain": "a square", playgrounds.MIME: {"seed": 1}, '
                         'refresh.VIEW: {"model_id": str(id(png))}').replace(
    "import base64, io", "import base64, io\nfrom tools import playgrounds, refresh").replace(
    '{"alt": "a square"}', '{"alt": "a square", "width": 30}')


def test_a_playground_is_stored_as_picture_and_state_without_the_view_that_only_its_kernel_knows(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(refresh.lab.HERE))
    path = write(tmp_path / "01-small.ipynb", PLAYED)
    assert refresh.refresh(path)
    output, = nbformat.read(path, as_version=4).cells[1].outputs
    assert set(output.data) == {"image/png", "text/plain", "application/vnd.xorlab.playground+json"}
    assert not refresh.refresh(path), "a second one changes nothing"
