"""Is everything here that the lessons need?"""
import ctypes
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from xorlab import arriving

LAB = Path(__file__).resolve().parent.parent / "lab.py"         # not there where a wheel was installed


@dataclass(frozen=True)
class Check:
    """What an installation lacks.

    missing : requirements that are not met, e.g. ("onnx2tf",).  warning : a sentence about the processor, or "".
    arriving : a sentence about packages that lab.py is still installing, or "".
    """
    missing: tuple
    warning: str
    arriving: str = ""

    def __str__(self):
        if self.missing:
            packages = f"Missing: {', '.join(self.missing)}. {_remedy(self.missing)}"
        elif self.arriving:
            packages = self.arriving
        else:
            packages = "Every package that the lessons need is here."
        return "\n".join(filter(None, [packages, self.warning]))

    __repr__ = __str__


def check():
    """Compare what is installed with what this package requires and return a Check."""
    try:
        required = metadata.requires("xorlab") or []
    except metadata.PackageNotFoundError:
        required = ["xorlab"]
    missing, minutes = tuple(filter(None, map(_unmet, required))), arriving.minutes_left()
    coming = [name for name in missing if " " not in name] if minutes is not None else []
    return Check(tuple(name for name in missing if name not in coming), processor_warning(),
                 arriving.words(", ".join(coming), minutes) if coming else "")


def _remedy(missing):
    """Say how to install what is missing: with lab.py where it is, else with pip."""
    if LAB.is_file():
        return "Close this and run python3 lab.py again: it installs them."
    if "xorlab" in missing:
        return "Install XOR Lab itself with pip, from its wheel or its folder: that brings all it requires."
    wanted = " ".join(f'"{line.split(" (here is ")[0]}"' for line in missing)
    return f"Close this and install them: {sys.executable} -m pip install {wanted}"


def _unmet(line):
    """Return what is missing for one requirement, or None where it is met or not meant for this machine."""
    from packaging.requirements import Requirement  # here: lab.py doctor needs the rest before it is installed

    requirement = Requirement(line)
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return None
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return requirement.name
    if requirement.specifier and not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement} (here is {version})"
    return None


def processor_warning() -> str:
    """Say so where the runtimes' answers are not promised: off x86-64, or without AVX2."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return (f"This is a {platform.machine()} processor: int8 codes may differ from those in the lessons, "
                "which are promised for x86-64 with AVX2.")
    if has_avx2() is False:
        return "This processor has no AVX2: int8 codes may differ from those in the lessons."
    return ""


def has_avx2() -> bool | None:
    """Has this processor AVX2?  None where the system does not tell."""
    flags = Path("/proc/cpuinfo")
    if flags.exists():
        return "avx2" in flags.read_text().split()
    if sys.platform == "win32":
        return bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(40))     # PF_AVX2_INSTRUCTIONS_AVAILABLE
    return None
