#!/usr/bin/env python3
"""Which sources of a target the compiler may read as one. Writes such units into a folder, and prints what to compile: a line
for each unit and for each source that stays alone.

    tools/unity_batches.py FOLDER SOURCE...

Most of a compiler's time goes into headers, and sources that share a translation unit share them. But they share their
unnamed namespaces as well. So two sources come together only if neither names, anywhere in itself or as a type in headers that
only it includes, what the other one declares for itself alone: then each means what it means by itself. A type alias that both
declare in the same words is no difference. A source that includes the kernel's own headers stays alone, for they declare again what the C library declares.
"""
import functools
import pathlib
import re
import sys

NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
TOKEN = re.compile(r"[A-Za-z_]\w*|::|->|[^\sA-Za-z_]")
STATIC = re.compile(r"^static\b[^({=;]*?(\w+)\s*[({=;]", re.MULTILINE)
MACRO = re.compile(r"^\s*#\s*define\s+(\w+)", re.MULTILINE)
SOURCES = pathlib.Path(__file__).resolve().parent.parent / "src"
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
TYPE = re.compile(r"^(?:class|struct|enum class|enum|using) (\w+)", re.MULTILINE)
KERNEL = re.compile(r"^#include <linux/", re.MULTILINE)
ALIAS = re.compile(r"^(?:using|namespace) (\w+) = ([^;]+);", re.MULTILINE)
NOT_NAMES = {"namespace", "const", "final", "noexcept", "TEST", "TEST_F", "TEST_P", "INSTANTIATE_TEST_SUITE_P"}
SOURCES_OF_A_BATCH, LINES_OF_A_BATCH = 10, 4000


def is_word(token):
    return token[0].isalpha() or token[0] == "_"


def private_names(tokens):
    """What the unnamed namespaces declare at their own depth: the word before ( = { ; [ or :, and the values of plain enums."""
    names = set()
    inside = False  # an unnamed namespace
    scopes = []  # in it: of each open brace whether names in it belong to the unnamed namespace
    head = []  # words of the declaration that has begun
    for at, token in enumerate(tokens):
        if not inside:
            if token == "namespace" and tokens[at + 1:at + 2] == ["{"]:
                inside, scopes, head = True, [], ["namespace"]
            continue
        if token in "({[":
            belongs = token == "{" and ("namespace" in head or "enum" in head and "class" not in head)
            scopes.append(belongs and all(scopes))
            head = []
        elif token in ")}]":
            if scopes:
                scopes.pop()
            inside = bool(scopes)
            head = []
        elif token == ";":
            head = []
        elif is_word(token) and all(scopes):
            head.append(token)
            following = tokens[at + 1] if at + 1 < len(tokens) else ""
            if following in ("(", "=", "{", ";", "[", ":", ",", "}", "final") and tokens[at - 1] != "::":
                names.add(token)
    return names - NOT_NAMES


def words_of(tokens):
    """Words that a namespace of ours may be searched for: not what stands behind a dot, an arrow or a qualification."""
    return {token for before, token in zip(["", *tokens], tokens) if is_word(token) and before not in (".", "->", "::")}


@functools.cache
def header(path):
    """The words of a header of ours, and the headers that it includes, as paths."""
    text = path.read_text(encoding="utf-8")
    return words_of(TOKEN.findall(NOT_CODE.sub(" ", text))), included(text)


def included(text):
    found = (SOURCES / name for name in INCLUDE.findall(text))
    return {path for path in found if path.is_file()}


@functools.cache
def types_of_headers():
    return {name for path in SOURCES.glob("**/*.h") for name in TYPE.findall(path.read_text(encoding="utf-8"))}


class Source:
    def __init__(self, path):
        text = pathlib.Path(path).read_text(encoding="utf-8")
        code = NOT_CODE.sub(" ", text)
        self.headers, todo = set(), included(text)
        while todo:
            self.headers |= todo
            todo = set().union(*(header(path)[1] for path in todo)) - self.headers
        self.path, self.lines = path, text.count("\n")
        self.alone = KERNEL.search(code) is not None
        tokens = TOKEN.findall(code)
        self.words = words_of(tokens)
        self.aliases = {name: " ".join(meaning.split()) for name, meaning in ALIAS.findall(code)}
        self.own = set(STATIC.findall(code)) | set(MACRO.findall(code)) | set(self.aliases) | private_names(tokens)
        self.shadowing = self.own & types_of_headers()

    def bothers(self, other):
        return (any(self.aliases.get(name, "") != other.aliases.get(name) for name in self.own & other.words) or
                any(not self.shadowing.isdisjoint(header(path)[0]) for path in other.headers - self.headers))


def batches(sources, most=SOURCES_OF_A_BATCH):
    """First fit, in the order given, so that a new file moves few others."""
    made = []
    for source in sources:
        for batch in made:
            if (not source.alone and not batch[0].alone and len(batch) < most and
                    sum(other.lines for other in batch) + source.lines <= LINES_OF_A_BATCH and
                    not any(source.bothers(other) or other.bothers(source) for other in batch)):
                batch.append(source)
                break
        else:
            made.append([source])
    return made


def write_if_changed(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, batch in enumerate(batches([Source(path) for path in sys.argv[2:]])):
        if len(batch) == 1:
            print(batch[0].path)
            continue
        unit = folder / f"unit_{number}.cc"
        write_if_changed(unit, "".join(f'#include "{pathlib.Path(source.path).relative_to(SOURCES)}"\n' for source in batch))
        print(unit)


if __name__ == "__main__":
    main()
