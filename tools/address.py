"""Set this project's public address: `python -m tools.address https://HOST/OWNER/NAME`.

It is written once, as `repository-code` in CITATION.cff, and from there into README's clone line and into the first
cell of docs/colab.md. Until then they say REPOSITORY, and what that stands for.
"""
import re
import sys

import lab
from xorlab.files import replacing
from xorlab.streams import ended

README, CITATION, COLAB = lab.HERE / "README.md", lab.HERE / "CITATION.cff", lab.HERE / "docs" / "colab.md"
PLACEHOLDER = "REPOSITORY"
EXPLAINED = f"`{PLACEHOLDER}` stands for the address of this repository. "
CLONE = re.compile(r"(?<=git clone )\S+(?= xor-lab\n)|(?<=@ git\+)[^\s\"]+(?=\"\n)")


def main(arguments):
    """Write the address given; return 1, with a sentence, unless there is one and it can be cloned from."""
    if len(arguments) != 1 or not re.fullmatch(r"https://[^/\s]+\.[^/\s]+/\S+", arguments[0]):
        print("address: it takes one address that begins with https:// and names a repository, "
              f"got {' '.join(arguments) or 'none'}", file=sys.stderr)
        return 1
    for path, made in ((CITATION, cited), (README, cloned), (COLAB, cloned)):
        text = made(path.read_text(encoding="utf-8"), arguments[0])
        with replacing(path) as new:
            new.write_text(text, encoding="utf-8", newline="\n")
    return 0


def cited(citation, address):
    """Return the citation file with this address in the place of an earlier one."""
    others = [line for line in citation.splitlines() if not line.startswith("repository-code:")]
    return "\n".join([*others, f'repository-code: "{address}"']) + "\n"


def cloned(page, address):
    """Return a page with this address where it clones or installs, and without a word on the placeholder."""
    return CLONE.sub(lambda _: address, page).replace(EXPLAINED, "")


def address():
    """Return the address that CITATION.cff holds, or None."""
    found = re.search(r'(?m)^repository-code: "(.*)"$', CITATION.read_text(encoding="utf-8"))
    return found and found.group(1)


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
