"""Decks for an instructor's plans: docs/plans.toml says which lessons' slides each shows, and for how long."""
import html
import tomllib
from dataclasses import dataclass

import lab
from tools import layouts, pages
from xorlab import files, look

PLANS = lab.HERE / "docs" / "plans.toml"
KEYS = {"minutes", "what", "lessons", "only", "without"}
TWO_COLUMNS = 9         # parts, from which on the opening lists them in two


@dataclass(frozen=True)
class Part:
    """What happens for some minutes: lessons, a break, a project.

    only, without : which slides to show or to leave out, each as "NN/id of the cell that begins it"; a lesson of
        which neither names a slide is shown whole.
    """
    minutes: int
    what: str
    lessons: tuple = ()
    only: tuple = ()
    without: tuple = ()


@dataclass(frozen=True)
class Plan:
    hours: int
    parts: tuple

    @property
    def file(self):
        return f"plan-{self.hours}-hours.html"

    @property
    def title(self):
        return f"XOR Lab in {self.hours} hours"


def read(path=PLANS):
    """Return the plans of a file.

    Raises lab.Problem for a file that is damaged, a key that no part has, a value of another kind, or minutes that are
    not the hours.
    """
    try:
        with files.reading(path.name, "a file of plans"):
            plans = tomllib.loads(files.content_of(path, "plans").decode("utf-8")).get("plan")
    except ValueError as problem:
        raise lab.Problem(str(problem)) from None
    if not _are(plans, dict):
        raise lab.Problem(f"{path.name} holds no [[plan]]")
    return [_plan(path, given) for given in plans]


def _plan(path, given):
    if not (_is_whole(given.get("hours")) and set(given) == {"hours", "part"} and _are(given["part"], dict)):
        raise lab.Problem(f"{path.name}: a plan has hours, a whole number, and [[plan.part]]")
    for part in given["part"]:
        if unknown := sorted(set(part) - KEYS):
            raise lab.Problem(f"{path.name}: a part has {', '.join(sorted(KEYS))}; got {', '.join(unknown)[:100]}")
        if not (_is_whole(part.get("minutes")) and isinstance(part.get("what"), str)
                and all(_are(part.get(key, []), str) for key in ("lessons", "only", "without"))):
            raise lab.Problem(f"{path.name}: a part of the plan of {given['hours']} hours needs minutes, a whole "
                              "number, and what, a text; lessons, only and without are lists of texts")
    parts = tuple(Part(**{key: tuple(value) if isinstance(value, list) else value for key, value in part.items()})
                  for part in given["part"])
    minutes = sum(part.minutes for part in parts)
    if minutes != 60 * given["hours"]:
        raise lab.Problem(f"{path.name}: the plan of {given['hours']} hours has parts of {minutes} minutes")
    return Plan(given["hours"], parts)


def _is_whole(value):
    return type(value) is int and 0 < value < 10_000


def _are(values, kind):
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def slides(plan, shown):
    """Return the slides of a plan: an opening, and those of its lessons.

    shown : a function from a lesson to its slides, tools.slides.shown.
    Raises lab.Problem where a part names a slide that its lessons do not have.
    """
    found = [opening(plan)]
    for part in plan.parts:
        missing = set(part.only) | set(part.without)
        for lesson in pages.lessons(part.lessons) if part.lessons else []:
            chosen = [name for name in part.only if name.startswith(lesson.number)]
            for slide in shown(lesson):
                name = f"{lesson.number}/{slide[0].metadata.deck.id}"
                missing.discard(name)
                if name not in part.without and (not chosen or name in chosen):
                    found.append(slide)
        if missing:
            raise lab.Problem(f"{PLANS.name}: the plan of {plan.hours} hours names slides that are not there: "
                              f"{', '.join(sorted(missing))}")
    return found


def opening(plan):
    """Return the slide that lists a plan's parts."""
    items = "".join(f"<li><b>{part.minutes}</b> {html.escape(part.what)}</li>" for part in plan.parts)
    wide = " two" if len(plan.parts) >= TWO_COLUMNS else ""
    cell = layouts.raw(f'<h1>{plan.title}</h1><p class="minutes">Minutes, and what they are for:</p>'
                       f'<ul class="agenda{wide}">{items}</ul>')
    cell.metadata["deck"].update(opens_slide=True, closes_slide=True, layout="plan", lesson="XOR Lab", id="plan",
                                 here=look.INK[0])
    return [cell]
