"""What SECURITY.md promises, tried: whatever a lesson or a file says, it loads nothing and runs nothing."""
import ast
import json
import os
import re
import sys
import zipfile
from contextlib import suppress
from functools import cache
from types import SimpleNamespace

import made_files
import nbformat
import numpy as np
import onnx
import pytest
from browsing import IN_A_BROWSER, text, visit
from bs4 import BeautifulSoup
from IPython.core.inputtransformer2 import TransformerManager
from nbconvert.filters import markdown2html
from nbformat.v4 import new_code_cell, new_notebook, new_output

import lab
from tools import chromium, harmless, pages, playgrounds, site, slides
from xorlab import cli, editions, export, files, models, ports, predictors, report
from xorlab.exercises import record
from xorlab.playground import script
from xorlab.playground import state as states
from xorlab.tables import Table

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SECRET = "what only this machine knows"
# What a lesson's text could say to have SECRET, at {it}, in a page or shown by one, or to have something run there
ROADS = [
    "![x]({it})", "![x][r]\n\n[r]: {it}", "![x](<{it}>)", "![x](../../../../../../etc/hostname)", "![x](docs/film.png)",
    "![x](%2e%2e/%2e%2e/etc/hostname)", "![x](//127.0.0.1/x.png)", "![x](http://127.0.0.1:9/x.png)",
    r"![x](C:\Users\x.png)", "![x](FILE:///etc/hostname)", "![x](data:text/html,x)",
    '<img src="{it}">', "<IMG SRC={it}>", '<img src="&#102;ile:///etc/hostname">', '<img srcset="{it} 2x">',
    '<img alt="" src="data:image/png;base64,AAAA" srcset="{it}">', "<picture><source srcset='{it}'></picture>",
    '<iframe src="{it}"></iframe>', '<iframe srcdoc="<img src={it}>"></iframe>', '<object data="{it}"></object>',
    '<embed src="{it}">', '<frameset><frame src="{it}"></frameset>', '<link rel="stylesheet" href="{it}">',
    '<link rel="prefetch" href="{it}">', '<video src="{it}" poster="{it}"></video>', '<audio src="{it}"></audio>',
    '<track src="{it}">', '<input type="image" src="{it}">', '<body background="{it}">',
    '<table background="{it}"><tr><td>x</td></tr></table>', '<base href="{it}">',
    '<meta http-equiv="refresh" content="0;url={it}">', '<form action="{it}"><button>x</button></form>',
    '<div style="background: url({it})">x</div>', r'<div style="background: u\72l({it})">x</div>',
    '<div style="background: url/**/({it})">x</div>', "<div style='background: image-set(\"{it}\" 1x)'>x</div>",
    '<style>@import "{it}";</style>', "<style>p { background: url({it}) }</style>",
    "<style>@font-face { font-family: x; src: url({it}) }</style>", '<svg><image href="{it}"/></svg>',
    '<svg><use xlink:href="{it}#x"/></svg>', '<svg><rect fill="url({it}#x)"/></svg>',
    '<svg><foreignObject><img src="{it}"></foreignObject></svg>', '<svg><feImage href="{it}"/></svg>',
    '<section data-background-iframe="{it}">x</section>', '<section data-background-image="{it}">x</section>',
    '<section data-background-color="url({it})">x</section>', '<section data-markdown="{it}"></section>',
    '<img data-src="{it}">', '<a href="#x" ping="{it}">x</a>', '<a href="{it}">x</a>',
    "<script>RUN</script>", '<script src="{it}"></script>', '<script type="module">RUN</script>',
    '<script type="application/json"><!--<script>RUN</script>', '<script type="text/plain">x</script>',
    '<img src="data:image/png;base64,AAAA" onerror="RUN">', '<p onclick="RUN">x</p>', '<svg onload="RUN"></svg>',
    '<svg><script>RUN</script></svg>', "<svg><style><img src=x onerror=RUN></style></svg>",
    '<svg><animate onbegin="RUN"/></svg>', '<math><mtext href="javascript:RUN">x</mtext></math>',
    "[x](javascript:RUN)", '<a href="java\tscript:RUN">x</a>', '<a href=" &#1;javascript:RUN">x</a>',
    '<a href="vbscript:RUN">x</a>', '<a href="data:text/html,<script>RUN</script>">x</a>',
    "<!--><img src=x onerror=RUN>-->", "<!-- playground -->", "<!-- x -->", "<![CDATA[<img src={it}>]]>",
    "<template><script>RUN</script></template>", "<noscript><p title='</noscript><script>RUN</script>'></noscript>",
    "<textarea></textarea>", "<title></title>", "<plaintext>", "<xmp></xmp>", "<details ontoggle=RUN open>x</details>",
]
HARMLESS = [
    "[a page](https://example.org/x?y=1)", "[mail](mailto:a@example.org)", "[here](#place)", "[lesson](02-x.ipynb)",
    "[up](../README.md)", '<div style="color: rgb(1, 2, 3)">x</div>', '<svg><rect fill="red"/></svg>',
    "<style scoped>.dataframe tbody tr th:only-of-type { vertical-align: middle; }</style>",
    "![x](data:image/png;base64,iVBORw0KGgo=)", "`<script>RUN</script>`", "    <iframe src='{it}'>", r"\<script>",
]


def lesson_of(folder, *cells, title="01 Small"):
    """Store a lesson of these cells and return it as pages.Lesson."""
    path = folder / "01-small.ipynb"
    nbformat.write(new_notebook(cells=[text(f"# {title}\n\nAbout 5 minutes."), *cells]), path)
    return pages.Lesson(path)


exporter = cache(pages.exporter)                        # it reads its templates once


def deck_of(lesson):
    return pages.render(exporter("slides"), slides.deck(slides.shown(lesson)), "small", title=lesson.title,
                        css="", night="#161616")


def page_of(lesson):
    return site.page(exporter("page", exclude_anchor_links=False), lesson, [lesson])


def shown(output, **metadata):
    """Return a cell with this output, a dict of MIME types."""
    return new_code_cell("show()", metadata={"slideshow": {"slide_type": "slide"}},
                         outputs=[new_output("display_data", output, metadata=metadata)])


@pytest.fixture
def it(tmp_path):
    """The address of a file with SECRET outside the checkout."""
    secret = tmp_path / "elsewhere" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text(SECRET)
    return secret.as_uri()


# Pages and decks

@pytest.mark.parametrize("road", ROADS)
def test_no_text_or_output_of_a_lesson_makes_a_page_load_or_run_something(road, it):
    said = road.replace("{it}", it).replace("RUN", "console.error('ran')")
    for content in {markdown2html("## H\n\n" + said), said if said.startswith("<") else "<p onclick='x'>"}:
        html = str(BeautifulSoup(f"<body>{content}</body>", "html.parser"))         # as nbconvert does
        with pytest.raises(lab.Problem, match="01 Small: .* cannot be shown: a page made of a lesson"):
            harmless.check(html, "<body></body>", "01 Small")


@pytest.mark.parametrize("words", HARMLESS)
def test_what_loads_and_runs_nothing_is_left_as_it_is(words, it):
    html = str(BeautifulSoup(markdown2html(words.replace("{it}", it)), "html.parser"))
    assert harmless.check(html, "", "01 Small") is None     # and raises nothing


@pytest.mark.parametrize(("make", "title"), [(deck_of, "01 Small"), (page_of, "01-small.ipynb")])
def test_wherever_a_lesson_says_it_it_becomes_no_page(make, title, tmp_path, it):
    img, png = f'<img src="{it}">', PNG
    slide = {"slideshow": {"slide_type": "slide"}}
    state = playgrounds.states.preset("stuck")
    places = [
        text("## H\n\n" + img), shown({"text/html": img}), shown({"text/markdown": f"![x]({it})"}),
        shown({"image/png": png}, filenames={"image/png": it}), shown({"image/png": png}, **{"image/png": {
            "width": "1 onload=x"}}), shown({"text/html": "x"}, **{"text/html": {"isolated": True}}),
        shown({playgrounds.MIME: state, "image/png": f'{png}"><img src="{it}'}, **{"image/png": {
            "alt": "x", "width": 5}}),
    ]
    if make == deck_of:
        places += [text("## H", slide={"headline": img}, tags=["layout-claim"], **slide),
                   text("## H", slide={"note": img}, tags=["layout-claim"], **slide)]
    for cell in places:
        with pytest.raises(lab.Problem) as problem:
            make(lesson_of(tmp_path, cell))
        said = str(problem.value)           # by the check of pages, or already where the notebook is read
        assert said.startswith((f"{title}: <", "01-small.ipynb: cell ")) and "\n" not in said


def test_a_malformed_task_becomes_no_page_and_its_file_is_named(tmp_path):
    task = new_code_cell("x### BEGIN SOLUTION", metadata={"tags": ["task"]})
    with pytest.raises(lab.Problem, match="^01-small.ipynb: cell .* a marker stands alone on its line"):
        page_of(lesson_of(tmp_path, task))


@pytest.mark.parametrize("make", [deck_of, page_of])
def test_text_is_text_whatever_templates_and_builders_would_make_of_it(make, tmp_path):
    code = ("{{ 7 * 191 }}{% for x in [1] %}\n# /*inline ../../README.md*/ <!-- playground -->"
            "</script><script>alert(1)</script>")
    cell = shown({"text/plain": code})
    cell.source = code
    cell.metadata["deck"] = {"html": "<script>alert(1)</script>", "role": '"><script>'}
    title = r"01 \</title>\<script>alert(1)\</script>"
    html = make(lesson_of(tmp_path, cell, text("## H\n\n{{ 7 * 191 }}"), title=title))
    assert "1337" not in html and html.count("{{") + html.count("{</span><span") >= 2
    assert "<script>alert(1)" not in html and "alert(1)" in html
    assert "git clone" not in pages.with_files_inside(html) and "inline ../../README.md" in html


def test_a_lesson_that_is_a_link_to_a_file_elsewhere_becomes_no_page(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    lesson = lesson_of(tmp_path, text("## H"))
    (tmp_path / "notebooks" / "01-small.ipynb").symlink_to(lesson.path)
    monkeypatch.setattr(lab, "NOTEBOOKS", tmp_path / "notebooks")
    with pytest.raises(lab.Problem, match="01-small.ipynb is a link to .*; a page is made of lessons that stand in"):
        pages.lessons([])
    assert site.main([]) == 1


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as browser:
        yield browser


@IN_A_BROWSER
def test_a_browser_would_load_nothing_of_what_the_check_missed(browser, tmp_path, it, monkeypatch):
    """The second lock: a policy in each page, but for scripts and sheets; a printer of one file."""
    monkeypatch.setattr(harmless, "check", lambda *_: None)
    loading = "\n\n".join(road.replace("{it}", it) for road in ROADS if "{it}" in road and not re.search(
        "<plaintext|<frameset|http-equiv|<base|markdown|<xmp|CDATA|<script|<link|import", road))
    lesson = lesson_of(tmp_path, text("## H\n\n" + loading))
    (tmp_path / "page.html").write_text(page_of(lesson), encoding="utf-8")
    page, strangers, _ = visit(browser, tmp_path / "page.html")
    finished = []
    page.on("requestfinished", lambda request: finished.append(request.url))
    page.reload()
    page.wait_for_load_state("networkidle")
    page.close()
    assert finished and [url for url in finished if "secret" in url or url.startswith("http")] == []
    deck, = slides.write(tmp_path / "slides", [lesson])
    printed = []

    class Recorder:
        def new_page(self):
            page = browser.new_page()
            page.on("requestfinished", lambda request: printed.append(request.url))
            return page

    chromium.print_deck(Recorder(), deck, tmp_path / "deck.pdf")
    assert {url.partition("?")[0] for url in printed if not url.startswith(("data:", "blob:"))} == {deck.as_uri()}


@IN_A_BROWSER
def test_neither_a_formula_nor_an_id_runs_anything(browser, tmp_path):
    state = states.preset("stuck")
    play = shown({playgrounds.MIME: state, "image/png": PNG}, **{"image/png": {"alt": "x", "width": 5}})
    lesson = lesson_of(tmp_path, text(
        "## H\n\n<div id='playground-module'>console.error('ran'); export default {render() {}}</div>\n\n"
        r"$\href{javascript:console.error('ran')}{x}$ $\require{physics} x$ $\style{background:url(x.png)}{y}$"), play)
    deck, = slides.write(tmp_path / "slides", [lesson])
    page, strangers, complaints = visit(browser, deck)
    page.evaluate("() => MathJax.startup.promise")
    assert page.evaluate("[...document.querySelectorAll('a')].map(a => a.outerHTML)") == []
    page.close()
    assert strangers == [] and "ran" not in " ".join(complaints)


# Names

HOSTILE = ("<img src=x onerror=\"console.error('ran')\">\x1b[31m\x9b2J\r\u202e\n"
           "</style><script>console.error('ran')</script>")


@pytest.fixture
def named(tmp_path):
    """A TFLite file whose tensors all have a hostile name."""
    made = made_files.dense([[1, 2]], name=HOSTILE)
    for tensor in made.graph.tensors:
        tensor.name = HOSTILE
    path = tmp_path / "</title><script>.tflite".replace("/", "")
    path.write_bytes(made.content())
    return path


@IN_A_BROWSER
def test_a_report_of_hostile_names_runs_nothing_in_a_browser(browser, named, tmp_path):
    page = report.inspect(named).save_page(tmp_path / "page.html")
    shown, strangers, complaints = visit(browser, page)
    assert shown.locator("script, img").count() == 0 and "onerror" in shown.locator("body").inner_text()
    shown.close()
    assert (strangers, complaints) == ([], [])


def test_no_control_character_of_a_name_reaches_a_terminal(named, capsys):
    said = [str(Table((HOSTILE,), ((HOSTILE,),))), str(ports.Port(HOSTILE, "a\x1b", None, ()))]
    for arguments in (["inspect", str(named)], ["inspect", str(named), "--json"], ["compare", str(named)],
                      ["inspect", "gone\x1b[31m.tflite"]):
        with suppress(SystemExit):
            cli.main(arguments)
        said.append("".join(capsys.readouterr()))
    for words in said:
        assert words and not [letter for letter in words if not letter.isprintable() and letter != "\n"], words


def test_a_state_from_an_address_breaks_out_of_no_script():
    for preset in ('"""\nimport os', "a\\", "a\nb", "", "x" * 41):
        with pytest.raises(ValueError, match="preset must be a preset's name or null"):
            states.complete({"preset": preset})
    for name in states.PRESETS:
        ast.parse(script.text(states.preset(name)))


# Files of weights

def test_an_onnx_file_that_names_another_is_read_by_nobody(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    net = onnx.load(models.reference_file("relu-2-4-1", "model.onnx"))
    onnx.save(net, path, save_as_external_data=True, location="net.data", size_threshold=0, convert_attribute=True)
    monkeypatch.chdir(tmp_path)
    for read in (predictors.from_onnx, export.check_onnx, lambda path: export.to_saved_model(path, tmp_path / "saved"),
                 lambda path: report.layers(models.reference_file("relu-2-4-1", "int8.tflite"), path)):
        with pytest.raises(ValueError, match=r"keeps weights in another file \('net.data'\), .*; save it whole"):
            read(path)
    onnx.save(onnx.load(path), path)                    # as the sentence advises
    assert len(predictors.from_onnx(path)(np.float32([[0, 1]]))) == 1


def packed(path, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_a_keras_file_with_a_program_in_it_is_not_opened(tmp_path, monkeypatch):
    opened = SimpleNamespace(load_model=lambda *_, **__: pytest.fail("it was opened"))
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(models=opened))
    layer = {"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__"}}}
    settings = {"class_name": "Sequential", "config": {"layers": [layer]}}
    path = packed(tmp_path / "net.keras", **{"config.json": json.dumps(settings).replace("_l", "\\u005fl")})
    with pytest.raises(ValueError, match="net.keras .*Lambda layer, which is a program and not weights"):
        report.layers(models.reference_file("relu-2-4-1", "int8.tflite"), path)


def test_what_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    path = packed(tmp_path / "x.npz", **{"x.npy": b"123456"})
    small = path.read_bytes()
    declared = (6).to_bytes(4, "little") + (6).to_bytes(4, "little")
    path.write_bytes(small.replace(declared, declared[:4] + (2**31).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="x.npz .* claims to hold more than 536,870,912 bytes"):
        report.compare(models.reference_file("relu-2-4-1", "int8.tflite"), inputs=path)


# What the code never does

ROOT = lab.HERE
OURS = [ROOT / "lab.py",
        *(path for folder in ("xorlab", "tools", "benchmarks") for path in (ROOT / folder).rglob("*.py"))]
ALLOWED = {
    "xorlab/exercises/judging.py: exec",        # an exercise's own solution and wrong answers
    "tools/tinker.py: exec",                    # a lesson's cells
    "tools/aside.py: pickle",                   # writes, for a digest, and reads none
    "tools/trust/proofs.py: eval",              # questions that stand in outputs.py
    "tools/trust/calls.py: eval",               # calls that stand in calls.txt beside it
    "02-pytorch-mlp.ipynb/cell-27: pickle",     # the one demonstration of what a pickle can do
    "02-pytorch-mlp.ipynb/cell-27: torch.load",
    "11-from-scikit-learn-to-tflite.ipynb/cell-51: keras.models.load_model",    # its own file, and safe by default
}
NEEDS = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False),
         "numpy.load": ("allow_pickle", False),
         "keras.models.load_model": ("safe_mode", True), "keras.saving.load_model": ("safe_mode", True),
         "load_model": ("safe_mode", True)}
NEVER = {"eval", "exec", "os.system", "os.popen", "tempfile.mktemp", "joblib.load", "yaml.load", "yaml.unsafe_load",
         "pd.read_pickle", "shutil.unpack_archive", "load_delegate"}
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}


def unsafe(source, where):
    """Return what a program does that it must not, as "where: what"."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} & MODULES
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            given = {key.arg: getattr(key.value, "value", key.value) for key in node.keywords}
            key, value = NEEDS.get(name, ("", None))
            if (name in NEVER or name.endswith((".load_delegate", ".extractall")) or key and given.get(key) is not value
                    or given.get("shell") or "experimental_delegates" in given):
                found.add(name)
    return {f"{where}: {what}" for what in found}


def dotted(node):
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def programs():
    """Yield (where, source) of everything that is ours, lessons cell by cell."""
    for path in OURS:
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in lab.lessons():
        for cell in editions.read(path)["cells"]:
            source = editions.source(cell)
            if cell["cell_type"] == "code":
                magic = re.search("(?m)^ *[%!]", source)
                yield f"{path.name}/{cell['id']}", TransformerManager().transform_cell(source) if magic else source


def test_nothing_reads_a_file_as_a_program_but_what_is_listed():
    assert set().union(*(unsafe(source, where) for where, source in programs())) == ALLOWED


@pytest.mark.parametrize("line", [
    "torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p)", "np.load(p, allow_pickle=True)",
    "import pickle", "from pickle import loads", "keras.models.load_model(p)", "joblib.load(p)", "yaml.load(t)",
    "eval(t)", "exec(t)", "subprocess.run(c, shell=True)",
    "os.system(c)", "tempfile.mktemp()", "a.extractall(p)", "litert.load_delegate(p)",
    "Interpreter(p, experimental_delegates=[])"])
def test_what_must_not_be_is_found(line):
    assert unsafe(line, "here")


def test_no_script_of_ours_makes_markup_or_code_of_text():
    markup = r"(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextual"
    scripts = [*(ROOT / "xorlab").rglob("*.js"), *(ROOT / "tools" / "templates").glob("*.js"),
               *(ROOT / "tools" / "templates" / "playground").glob("*.js")]
    assert len(scripts) > 10
    found = [f"{path.name}: {line.strip()}" for path in scripts
             for line in path.read_text(encoding="utf-8").splitlines() if re.search(markup, line)]
    assert found == []


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users share no temporary folder here")
def test_the_lock_of_a_student_s_progress_is_where_nobody_else_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("XORLAB_CHECK", raising=False)
    (tmp_path / "work").mkdir()
    assert record.note("01.1", "right", tmp_path / "work") == ""
    (own,) = tmp_path.glob("xorlab-*")
    assert own.stat().st_mode & 0o777 == 0o700 and len(list(own.iterdir())) == 1
    own.chmod(0o777)                                    # as another user might have made it
    assert "not a folder that only you can write to" in record.note("01.2", "right", tmp_path / "work")
