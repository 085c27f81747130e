"""tools/check_layering.py on small houses that break the rules in one way each."""
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import check_layering  # noqa: E402

CMAKE = """
leadsman_room(base LEVEL 0)
leadsman_room(net LEVEL 1 DEPS base)
leadsman_room(stats LEVEL 1 DEPS base)   # a comment (with brackets)
leadsman_room(serving LEVEL 4
  DEPS net TEST_DEPS stats
  LIBS zlib)
"""


@pytest.fixture
def house(tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(CMAKE)

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return check_layering.violations(tmp_path)

    return write


def test_accepts_an_include_of_a_lower_room(house):
    assert house("serving/a.cc", '#include "net/x.h"\n#include "base/y.h"\n#include <vector>\n') == []


def test_refuses_an_include_of_a_higher_room_and_names_the_line(house):
    assert house("base/a.h", '#pragma once\n#include "serving/x.h"\n') == [
        "base/a.h:2: 'base' (level 0) may not include 'serving' (level 4)"]


def test_refuses_an_include_between_rooms_of_one_level(house):
    assert house("net/a.cc", '#include "stats/x.h"\n') == [
        "net/a.cc:1: 'net' (level 1) may not include 'stats' (level 1)"]


def test_refuses_a_lower_room_that_is_not_declared(house):
    assert house("serving/a.cc", '#include "stats/x.h"\n') == [
        "serving/a.cc:1: 'serving' includes 'stats', which is not among its DEPS"]


def test_lets_tests_use_their_test_deps(house):
    assert house("serving/a_test.cc", '#include "stats/x.h"\n') == []


def test_refuses_a_folder_that_is_no_room(house):
    assert house("attic/a.h", "") == ["attic/a.h: the folder 'attic' is no room; add it to CMakeLists.txt"]


def test_the_real_house_holds():
    assert check_layering.violations(ROOT / "src") == []
