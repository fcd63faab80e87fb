#!/usr/bin/env python3
"""Runs the commands that README.md and the book in docs/ show, and follows their links.

    scripts/check_book.py --binary target/release/finescale
    scripts/check_book.py --binary target/debug/finescale --only training.md

Every block fenced ```sh is run by bash, page by page in the order of docs/src/SUMMARY.md, README.md first. Each
page has an empty folder of its own with links to data/, configs/ and scripts/; `finescale` is the given binary. A
block that ran on an earlier page, word for word, is not repeated. A comment above a block says otherwise:

    <!-- not run: why -->      it is left out
    <!-- needs: h5py -->       it is left out, and that is told, where python3 has no such module
    <!-- file: NAME -->        a block of any language: it is written to that file instead

Exit code 1 if a command fails, or a link leads nowhere.
"""
import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "docs" / "src"
# What a page may use beside what it makes.
SHARED = ["configs", "data", "scripts"]
# Pages outside of the book whose links are followed, too.
OTHER_PAGES = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/README.md"]
LONGEST_SECONDS = 300

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!-- (not run|needs|file): (.*) -->\s*\Z")
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass
class Block:
    language: str
    text: str
    line: int
    # The comment above it: a word and what follows.
    word: str
    detail: str


def blocks(text):
    """The fenced blocks of a page."""
    for fence in FENCE.finditer(text):
        above = text[: fence.start()]
        comment = COMMENT.search(above)
        word, detail = comment.groups() if comment else ("", "")
        yield Block(fence[1], fence[2], above.count("\n") + 1, word, detail)


def pages():
    """README.md and the pages of the book, in the order in which they are read."""
    named = [BOOK / target for target in LINK.findall((BOOK / "SUMMARY.md").read_text())]
    return [ROOT / "README.md", *named]


def without_code(text):
    return re.sub(r"`[^`]*`", "", FENCE.sub("", text))


def anchors(page):
    """The names of a page's headings, as GitHub and mdBook make them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text()))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def broken_links(page):
    for target in LINK.findall(without_code(page.read_text())):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists():
            yield f"{page.relative_to(ROOT)}: {target}: no such file"
        elif anchor and anchor not in anchors(file):
            yield f"{page.relative_to(ROOT)}: {target}: no such heading"


def check_links():
    """What is wrong with the links of all pages, and with the table of contents."""
    linking = [*pages(), *(ROOT / name for name in OTHER_PAGES)]
    problems = [problem for page in linking for problem in broken_links(page)]
    missing = {page.name for page in BOOK.glob("*.md")} - {page.name for page in pages()} - {"SUMMARY.md"}
    return problems + [f"docs/src/{name}: not in SUMMARY.md" for name in sorted(missing)]


def run(block, folder, environment):
    """Runs a block, and returns what it printed if it failed."""
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, timeout=LONGEST_SECONDS,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return f"took longer than {LONGEST_SECONDS} s"
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}exit code {done.returncode}"


def run_page(page, folder, environment, seen):
    """Runs the blocks of a page, and returns how many failed. Later blocks of a page need the earlier ones."""
    for name in SHARED:
        (folder / name).symlink_to(ROOT / name)
    for block in blocks(page.read_text()):
        place = f"{page.relative_to(ROOT)}:{block.line}"
        if block.word == "file":
            (folder / block.detail).write_text(block.text)
            continue
        if block.language != "sh" or block.text in seen:
            continue
        if block.word == "not run":
            print(f"{place}: not run: {block.detail}")
            continue
        if block.word == "needs" and importlib.util.find_spec(block.detail) is None:
            print(f"{place}: not run: python3 has no {block.detail} here")
            continue
        seen.add(block.text)
        started = time.monotonic()
        problem = run(block, folder, environment)
        print(f"{place}: {'failed' if problem else 'ran'}, {time.monotonic() - started:.1f} s", flush=True)
        if problem:
            print(f"{block.text}{problem}", file=sys.stderr)
            return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, required=True, help="what the commands call finescale")
    parser.add_argument("--only", metavar="PAGE", help="run this page's commands only, such as training.md")
    arguments = parser.parse_args()
    if not os.access(arguments.binary, os.X_OK):
        parser.error(f"{arguments.binary}: no program")

    problems = check_links()
    print("\n".join(problems) or "every link leads somewhere")
    failed, seen = 0, set()
    with tempfile.TemporaryDirectory() as scratch:
        tools = Path(scratch, "bin")
        tools.mkdir()
        (tools / "finescale").symlink_to(arguments.binary.resolve())
        # This python3, since its modules are the ones that are looked for.
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        for page in pages():
            if arguments.only in (None, page.name):
                folder = Path(scratch, page.stem)
                folder.mkdir()
                failed += run_page(page, folder, os.environ | {"PATH": path}, seen)
    sys.exit(1 if problems or failed else 0)


if __name__ == "__main__":
    main()
