"""A share of the trials that kill processes in the middle of a write; and such a trial notices what must not be."""
import os
import subprocess
import sys

import pytest

from tools.trust import kills

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a trial finds its steps by Linux's /proc")


def problems(job, tmp_path):
    """Return what went wrong at each moment of a job."""
    job_moments = {str(step): (step, 0) for step in job.steps} | {str(wait): (0, wait) for wait in job.seconds}
    return [row["problem"] for row in kills.tried(job, job_moments, tmp_path)]


def test_editions_killed_in_the_middle_lose_nothing_and_the_next_run_works():
    rows = list(kills.run(["lessons, step 13", "editions, step 28", "editions, step 61"]))
    assert [row["problem"] for row in rows] == [""] * 3
    assert [row["step"] for row in rows] == ["os.rename", "os.rename", "shutil.rmtree"]


def test_a_trial_notices_what_is_half_written_left_over_and_not_killed(tmp_path):
    in_place = "x, y = open('x.txt', 'w'), open('y.txt', 'w')\nfor file in x, y: file.write('{version}'), file.close()"
    left_over = "import os\nopen(str(os.getpid()), 'w').close()\nos.replace(str(os.getpid()), 'x.txt')"
    for name, code, says in (("place", in_place, "x.txt is neither"), ("left", left_over, "neither the earlier one"),
                             ("short", "open('x.txt', 'w').close()", "was not killed, and ended with 0")):
        (tmp_path / name).mkdir()
        found, = problems(kills.Job(code, (2,)), tmp_path / name)
        assert says in found, name


def test_a_trial_notices_what_the_killed_process_leaves_running(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "GONE", 0.5)
    lives_on = ("import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', 'import time; "
                "time.sleep(20)'])\nprint('ready', flush=True)\ntime.sleep(1)\nchild.kill()")
    found, = problems(kills.Job(lives_on, seconds=(0,)), tmp_path)
    assert "1 processes that it started live on" in found and "time.sleep(20)" in found


def test_the_record_of_a_trial_is_made_by_real_processes(tmp_path):
    assert subprocess.run([sys.executable, "-c", kills.LAUNCHER, "1", "open('x', 'w')"], cwd=tmp_path,
                          stdout=subprocess.DEVNULL, check=False).returncode == -9
    assert not os.listdir(tmp_path)
