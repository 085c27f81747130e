#include "intake/json_layout.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

/// "a=1 b.c='x'": what a layout that was learned from `line` makes of `next`; "-" when it does not read it.
std::string ReadAs(std::string_view line, std::string_view next) {
  std::optional<JsonLayout> layout = JsonLayout::Of(line);
  if (!layout) return "no layout";
  std::vector<JsonLayout::Value> values;
  if (!layout->Read(next, values)) return "-";
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string_view quote = values[i].quoted ? "'" : "";
    text +=
        StrCat(i == 0 ? "" : " ", Join(layout->paths()[i], "."), "=", quote, values[i].text, quote);
  }
  return text;
}

TEST(JsonLayoutTest, FurtherLinesOfOneWriterAreReadByIt) {
  constexpr std::string_view kLine =
      R"({"time": "2026-11-28T10:00:00Z", "http": {"status": 200, "more": {}}, "x": [1, 2.5], "ok": true})";
  EXPECT_EQ(ReadAs(kLine, kLine), "time='2026-11-28T10:00:00Z' http.status=200 x=[1, 2.5] ok=true");
  EXPECT_EQ(
      ReadAs(
          kLine,
          R"({"time": 1795904108.78, "http": {"status": "a longer text than one step takes", "more": {}}, "x": [ ], "ok": null})"),
      "time=1795904108.78 http.status='a longer text than one step takes' x=[ ] ok=null");
  EXPECT_EQ(ReadAs(R"({})", R"({})"), "");
  EXPECT_EQ(ReadAs(R"( {"ключ" : 1 } )", R"( {"ключ" : -2e3 } )"), "ключ=-2e3");
}

TEST(JsonLayoutTest, WhatIsLaidOutOtherwiseIsNotRead) {
  constexpr std::string_view kLine = R"({"a": "x", "b": 1})";
  for (std::string_view next :
       {R"({"a": "x", "c": 1})", R"({"a": "x","b": 1})", R"({"b": 1, "a": "x"})",
        R"({"a": "x", "b": 1)", R"({"a": "x", "b": 1} )", R"({"a": "x", "b": 1}})",
        R"({"a": "x", "b": })", R"({"a": "x)", R"({"a": "x\n", "b": 1})", R"({"a": "ü", "b": 1})",
        "{\"a\": \"\t\", \"b\": 1}", R"({"a": {"x": 1}, "b": 1})", R"({"a": "x", "b": 1 2})",
        R"({"a": "x", "b": [1, [2]]})", R"({"a": "x", "b": [1, "2"]})", R"({"a": "x", "b": [1,]})",
        R"({"a": "x", "b": [1)", R"({"a": "x", "b": [,1]})", ""})
    EXPECT_EQ(ReadAs(kLine, next), "-") << next;
}

TEST(JsonLayoutTest, ValuesInCommonArePartOfWhatStandsBetween) {
  constexpr std::string_view kLine = R"({"a": "x", "b": 1, "c": {"d": [1, 2], "e": true}})";
  std::optional<JsonLayout> layout = JsonLayout::Of(kLine);
  ASSERT_TRUE(layout);
  std::vector<JsonLayout::Value> values, read;
  ASSERT_TRUE(layout->Read(kLine, values));
  const JsonLayout some = layout->With(values, {true, false, true, false});
  EXPECT_EQ(some.paths(), (std::vector<std::vector<std::string>>{{"b"}, {"c", "e"}}));
  ASSERT_TRUE(some.Read(R"({"a": "x", "b": -2.5, "c": {"d": [1, 2], "e": null}})", read));
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].text, "-2.5");
  EXPECT_EQ(read[1].text, "null");
  for (std::string_view other : {R"({"a": "y", "b": 1, "c": {"d": [1, 2], "e": true}})",
                                 R"({"a": "x", "b": 1, "c": {"d": [1, 3], "e": true}})",
                                 R"({"a": x, "b": 1, "c": {"d": [1, 2], "e": true}})",
                                 R"({"a": "x", "b": 1, "c": {"d": [1, 2], "e": true})"})
    EXPECT_FALSE(some.Read(other, read)) << other;
  const JsonLayout all = layout->With(values, {true, true, true, true});
  EXPECT_TRUE(all.Read(kLine, read));
  EXPECT_TRUE(read.empty());
  EXPECT_FALSE(all.Read(R"({"a": "x", "b": 2, "c": {"d": [1, 2], "e": true}})", read));
}

TEST(JsonLayoutTest, SomeLinesHaveNone) {
  for (std::string_view line :
       {R"({"a": "\n"})", R"({"a": "ü"})", R"({"\u0061": 1})", R"({"a": [[1]]})", R"({"a": ["x"]})",
        R"({"a": 1)", R"([1])", R"({"a": 1} {)", R"("a")", ""})
    EXPECT_EQ(ReadAs(line, line), "no layout") << line;
  std::string deep = "1";
  for (int i = 0; i < 20; ++i) deep = StrCat(R"({"a": )", deep, "}");
  EXPECT_EQ(ReadAs(deep, deep), "no layout");
  std::string wide = "{";
  for (size_t i = 0; i <= JsonLayout::kMaxValues; ++i) wide += StrCat(i == 0 ? "" : ",", "\"a\":1");
  EXPECT_EQ(ReadAs(wide + "}", wide + "}"), "no layout");
}

}  // namespace
}  // namespace leadsman::intake
