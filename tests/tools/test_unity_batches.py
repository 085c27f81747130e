"""Which sources may be read as one: tools/unity_batches.py."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import unity_batches  # noqa: E402


def batches_of(tmp_path, *texts, most=10):
    sources = []
    for number, text in enumerate(texts):
        path = tmp_path / f"s{number}.cc"
        path.write_text(text)
        sources.append(unity_batches.Source(path))
    return [[sources.index(source) for source in batch] for batch in unity_batches.batches(sources, most)]


def private(body):
    return "namespace leadsman {\nnamespace {\n" + body + "\n}  // namespace\n}  // namespace leadsman\n"


def test_what_shares_no_private_name_comes_together(tmp_path):
    assert batches_of(tmp_path, private("int One() { return 1; }"), private("int Two() { return 2; }")) == [[0, 1]]


def test_not_more_than_asked_for(tmp_path):
    assert batches_of(tmp_path, *(private(f"int F{n}();") for n in range(5)), most=2) == [[0, 1], [2, 3], [4]]


def test_the_same_private_name_twice(tmp_path):
    for body in ("int Same() { return 1; }", "constexpr int Same = 1;", "struct Same final : Base {};", "enum Kind { Same, kB };",
                 "Same::Same() {}", "class Same;", "int a, Same[2];"):
        assert batches_of(tmp_path, private(body), private("double Same(int x) { return x; }")) == [[0], [1]], body


def test_a_private_name_that_means_something_else_in_another_source(tmp_path):
    uses = "namespace leadsman {\nint F() { return Text(1); }\n}  // namespace leadsman\n"
    assert batches_of(tmp_path, private("int Text(long);"), uses) == [[0], [1]]
    # Not where it is looked for in a class, an object, or a namespace that is named.
    for other in ("a.Text(1)", "a->Text(1)", "other::Text(1)", '"Text"', "/* Text */ 1"):
        assert batches_of(tmp_path, private("int Text(long);"), uses.replace("Text(1)", other)) == [[0, 1]], other


def test_aliases_in_the_same_words_are_one(tmp_path):
    alias = private("using Json = nlohmann::json;\nJson j;")
    assert batches_of(tmp_path, alias, alias.replace("Json j", "Json k")) == [[0, 1]]
    assert batches_of(tmp_path, alias, alias.replace("nlohmann::json;", "nlohmann::ordered_json;").replace("j;", "k;")) == [[0], [1]]


def test_what_is_static_or_a_macro_is_private(tmp_path):
    assert batches_of(tmp_path, "static int Same(int a) { return a; }\n", "static int Same(int a) { return 2 * a; }\n") == [[0], [1]]
    assert batches_of(tmp_path, "#define SAME 1\n", "int F() { return SAME; }\n") == [[0], [1]]


def test_kernel_headers_stay_alone(tmp_path):
    assert batches_of(tmp_path, "#include <linux/tcp.h>\n", private("int a;")) == [[0], [1]]


def test_a_type_of_a_header_that_only_the_other_includes(tmp_path):
    # base/clock.h names the type Clock.
    mine = private("using Clock = std::chrono::steady_clock;")
    other = '#include "base/clock.h"\n' + private("int a;")
    assert batches_of(tmp_path, mine, other) == [[0], [1]]
    assert batches_of(tmp_path, private("using Watch = std::chrono::steady_clock;"), other) == [[0, 1]]


def test_units_are_written_and_told(tmp_path):
    sources = sorted(str(path) for path in (ROOT / "src" / "tensor").glob("*.cc") if not path.name.endswith("_test.cc"))
    command = [sys.executable, str(ROOT / "tools" / "unity_batches.py"), str(tmp_path / "units"), *sources]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    included = []
    for path in told:
        if path in sources:
            included.append(path)
            continue
        for line in Path(path).read_text().splitlines():
            included.append(str(ROOT / "src" / line.removeprefix('#include "').removesuffix('"')))
    assert sorted(included) == sources
    assert len(told) < len(sources)
