"""What MkDocs needs to show the pages where they stand: the site has the tree of the repository.

Pages link to boards and code by relative paths, as a forge follows them. So the site holds README.md, docs/*.md and
whatever those name, each at its own path; a link that leads elsewhere is a warning, and anchors are made as on a forge.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)#\s]+)")
SHOWN = {".css", ".html", ".png", ".svg", ".json"}
"""Suffixes that a browser shows; other files that are no pages get ``.txt``."""
FETCHED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)")
STARTS = ("README.md", "docs/site.css", "CHANGELOG.md", "results/published/README.md")
"""Files that no page has to name."""
LOG = logging.getLogger("mkdocs.docs.site_hooks")


def on_config(config: Any) -> Any:
    """Anchors of headings as a forge makes them, so that one link holds on both."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: Any) -> Files:
    """The files of the theme, the pages, and what the pages link to."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*theme, *(site_file(name, config) for name in sorted(linked()))])


def linked() -> set[str]:
    """Paths from the root of the repository: the pages, and the files that they name, theirs too."""
    found: set[str] = set()
    waiting = [*STARTS, *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name.endswith(".md"):
            for target in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
                path = (ROOT / name).parent / target
                if "://" not in target and path.is_file():
                    waiting.append(str(PurePosixPath(path.resolve().relative_to(ROOT))))
    return found


def site_file(name: str, config: Any) -> File:
    """One file of the repository at its own place on the site."""
    file = File(name, str(ROOT), config.site_dir, config.use_directory_urls)
    if not file.is_documentation_page() and Path(name).suffix not in SHOWN:
        file.dest_uri += ".txt"
    return file


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """The page as it is, with a warning where a reader's browser would fetch something from elsewhere."""
    for address in FETCHED.findall(output):
        LOG.warning("%s fetches %s from elsewhere", page.file.src_uri, address)
    return output
