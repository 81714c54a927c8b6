#!/usr/bin/env python3
"""Prints the licence of every crate that is linked into zocp, each with its text.

Reads `cargo metadata`; crates for tests and for building alone are left out. Ends with 1 where a crate from elsewhere
names no licence, or comes without a text where none of the licences that it names comes with another crate.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")


def linked(metadata):
    """The packages that the program is linked from."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    open_, seen = [metadata["resolve"]["root"]], set()
    while open_:
        id_ = open_.pop()
        if id_ in seen:
            continue
        seen.add(id_)
        for dep in nodes[id_]["deps"]:
            if any(kind["kind"] is None for kind in dep["dep_kinds"]):
                open_.append(dep["pkg"])
    packages = [package for package in metadata["packages"] if package["id"] in seen]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def texts(package):
    """The files of a crate that are licences."""
    directory = pathlib.Path(package["manifest_path"]).parent
    files = [file for file in sorted(directory.iterdir()) if file.is_file()]
    return [file for file in files if file.name.upper().startswith(NAMES)]


def names_of(licence):
    """The names of licences in an expression of SPDX, `MIT OR Apache-2.0`."""
    words = (licence or "").replace("(", " ").replace(")", " ").replace("/", " ").split()
    return {word for word in words if word not in ("OR", "AND", "WITH")}


def main():
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", sys.argv[1]]
    metadata = json.loads(subprocess.check_output(command, cwd=ROOT))
    packages = linked(metadata)
    foreign = [package for package in packages if package["source"] is not None]
    unknown, known, textless = [], {}, []
    print(f"zocp is linked from {len(foreign)} crates of others, under these licences.\n")
    for package in foreign:
        licence = package["license"] or package["license_file"]
        if not licence:
            unknown.append(package["name"])
        print(f"{package['name']} {package['version']}: {licence}")
    for package in foreign:
        if not texts(package):
            textless.append(package)
        for file in texts(package):
            text = file.read_text(errors="replace").strip()
            known.setdefault(text, []).append(f"{package['name']} {package['version']} ({file.name})")
    for text, crates in known.items():
        print("\n" + "=" * 78)
        print("\n".join(crates) + "\n")
        print(text)
    covered = set()
    for package in foreign:
        if package not in textless:
            covered |= names_of(package["license"])
    untold = [package for package in textless if not names_of(package["license"]) & covered]
    for package in untold:
        print(f"no text of a licence: {package['name']} ({package['license']})", file=sys.stderr)
    if unknown:
        print("no licence: " + ", ".join(unknown), file=sys.stderr)
    return 1 if unknown or untold else 0


if __name__ == "__main__":
    sys.exit(main())
