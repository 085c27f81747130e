#!/usr/bin/env python3
"""Checks the arrows between the rooms: an #include may only point to a room of a lower level, and to one that is named
in DEPS (directly or through another room). CMake checks DEPS; this checks what the sources really include.

    tools/check_layering.py [SOURCE_DIR]      default: src/ of this repository
"""
import pathlib
import re
import sys

ROOM = re.compile(r"leadsman_room\(([^)]*)\)")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
KEYWORDS = {"LEVEL", "DIR", "DEPS", "LIBS", "PUBLIC_LIBS", "TEST_DEPS", "TEST_LIBS"}


def parse_rooms(cmake_text):
    """{room: {"level": int, "deps": set, "test_deps": set}} from the leadsman_room() lines."""
    text = "\n".join(line.split("#")[0] for line in cmake_text.splitlines())
    rooms = {}
    for match in ROOM.finditer(text):
        words = match.group(1).split()
        fields, key = {}, None
        for word in words[1:]:
            if word in KEYWORDS:
                key = word
                fields[key] = []
            elif key:
                fields[key].append(word)
        rooms[words[0]] = {
            "level": int(fields["LEVEL"][0]),
            "deps": set(fields.get("DEPS", [])),
            "test_deps": set(fields.get("TEST_DEPS", [])),
        }
    return rooms


def reachable(rooms, start):
    """The rooms that `start` may include: its DEPS and theirs."""
    seen, todo = set(), list(start)
    while todo:
        room = todo.pop()
        if room in seen or room not in rooms:
            continue
        seen.add(room)
        todo += rooms[room]["deps"]
    return seen


def violations(source_dir):
    """Sentences, one a forbidden include; empty when all arrows point down."""
    rooms = parse_rooms((source_dir / "CMakeLists.txt").read_text(encoding="utf-8"))
    found = []
    for path in sorted([*source_dir.rglob("*.h"), *source_dir.rglob("*.cc")]):
        relative = path.relative_to(source_dir)
        room = relative.parts[0]
        if len(relative.parts) == 1:
            continue  # main.cc stands above all rooms
        if room not in rooms:
            found.append(f"{relative}: the folder '{room}' is no room; add it to CMakeLists.txt")
            continue
        is_test = path.name.endswith(("_test.cc", "_bench.cc", "_fuzz.cc")) or "testing" in relative.parts[:-1]
        allowed = reachable(rooms, rooms[room]["deps"] | (rooms[room]["test_deps"] if is_test else set()))
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            other = match.group(1).split("/")[0]
            if other == room or other not in rooms or "/" not in match.group(1):
                continue
            line = text.count("\n", 0, match.start(1)) + 1
            where = f"{relative}:{line}"
            mine, theirs = rooms[room]["level"], rooms[other]["level"]
            if other in allowed:
                continue
            if theirs >= mine and not is_test:
                found.append(f"{where}: '{room}' (level {mine}) may not include '{other}' (level {theirs})")
            else:
                key = "TEST_DEPS" if is_test else "DEPS"
                found.append(f"{where}: '{room}' includes '{other}', which is not among its {key}")
    return found


def main():
    here = pathlib.Path(__file__).resolve().parent.parent
    source_dir = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "src"
    found = violations(source_dir)
    for sentence in found:
        print(sentence)
    print(f"layering: {len(found)} violations" if found else "layering: every include points down")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
