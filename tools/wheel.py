"""What the wheel holds besides the package: the lessons, as student's editions, in xorlab/lessons.

hatchling calls this when it builds a wheel; a checkout that is installed in place makes the editions from notebooks/.
"""
import sys
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Lessons(BuildHookInterface):
    def initialize(self, version, build_data):
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from xorlab import editions  # here: the package is on the path only now

        self.folder = tempfile.TemporaryDirectory()
        editions.lay_out(Path(self.root) / "notebooks", Path(self.folder.name))
        for lesson in editions.lessons(self.folder.name):
            build_data["force_include"][str(lesson)] = f"xorlab/lessons/{lesson.name}"

    def finalize(self, version, build_data, artifact_path):
        if version != "editable":
            self.folder.cleanup()
