#!/usr/bin/env python3
"""Makes links of pages to files outside of docs/ lead to the repository, in the book: a preprocessor of mdBook.

Not here: links within docs/, which mdBook itself turns into those of the book.
"""

import json
import posixpath
import re
import sys

LINK = re.compile(r"\]\((\.\./[^)\s]*)\)")


def outside(path, repository, content):
    """The content of the page at this path, with links of the repository."""

    def link(found):
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(path), found[1]))
        return found[0] if target.startswith("docs/") else f"]({repository}/blob/main/{target})"

    return LINK.sub(link, content)


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    context, book = json.load(sys.stdin)
    repository = context["config"]["output"]["html"]["git-repository-url"]
    open_ = list(book["items"])
    while open_:
        item = open_.pop()
        # Others are separators and titles of parts.
        if isinstance(item, dict) and "Chapter" in item:
            chapter = item["Chapter"]
            chapter["content"] = outside(chapter["path"] or "", repository, chapter["content"])
            open_ += chapter["sub_items"]
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
