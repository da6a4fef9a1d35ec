"""Links between the Markdown files of the repository lead somewhere on GitHub."""

import re
import urllib.parse
from collections import Counter
from pathlib import Path

import markdown_it
import pytest

ROOT = Path(__file__).parents[1]
#: What a clone holds of documents.
FILES = [
    *ROOT.glob("*.md"),
    *(
        file
        for folder in ("docs", "examples", "experiments", "benchmarks", "tests")
        for file in (ROOT / folder).rglob("*.md")
    ),
]
PARSER = markdown_it.MarkdownIt("commonmark").enable("table")


def inlines(text):
    """The tokens of all text of a file, each with what it belongs to."""
    tokens = PARSER.parse(text)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline":
            yield before.type, token.children


def anchors(text):
    """GitHub's names of the headings: lower case, hyphens for spaces, no signs."""
    seen = Counter()
    names = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for kind, children in inlines(text):
        if kind != "heading_open":
            continue
        title = "".join(
            c.content for c in children if c.type in ("text", "code_inline")
        )
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def links(text):
    for _, children in inlines(text):
        for token in children:
            if target := token.attrGet("href") or token.attrGet("src"):
                yield target


def broken(file, text):
    for link in links(text):
        target = urllib.parse.urlsplit(link)
        if target.scheme:
            continue
        path = (file.parent / urllib.parse.unquote(target.path)).resolve()
        if not target.path:
            known = anchors(text)
        elif not path.is_relative_to(ROOT) or not path.exists():
            yield link
            continue
        elif path.suffix == ".md":
            known = anchors(path.read_text(encoding="utf-8"))
        else:
            known = set()
        if target.fragment and target.fragment not in known:
            yield link


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_relative_links_and_anchors_resolve(file):
    assert not list(broken(file, file.read_text(encoding="utf-8")))


def test_what_is_broken_is_found():
    text = (
        "# A `b`: c\n\n[1](README.md) [2](#a-b-c) [3](none.md) [4](#a-b)\n![5](x.png)"
    )
    assert anchors(text) == {"a-b-c"}
    assert anchors("# A\n\n# A\n") == {"a", "a-1"}
    file = ROOT / "CHANGELOG.md"
    assert list(broken(file, text)) == ["none.md", "#a-b", "x.png"]
