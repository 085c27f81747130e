#include "intake/line_cutter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/rng.h"

namespace leadsman {
namespace {

std::vector<std::string> Lines(LineCutter& cutter, std::string_view chunk) {
  std::vector<LogLine> lines;
  cutter.Feed(chunk, lines);
  std::vector<std::string> texts;
  for (const LogLine& line : lines) texts.emplace_back(line.text);
  return texts;
}
using Texts = std::vector<std::string>;

TEST(LineCutterTest, TakesBothKindsOfNewlineAndEmptyLines) {
  LineCutter cutter(100);
  EXPECT_EQ(Lines(cutter, "one\ntwo\r\n\n\r\nend"), (Texts{"one", "two", "", ""}));
  EXPECT_EQ(cutter.line_start(), 12u);
  EXPECT_EQ(Lines(cutter, "\r"), Texts{});
  EXPECT_EQ(Lines(cutter, "\nx\n"), (Texts{"end", "x"}));
  EXPECT_EQ(cutter.line_start(), cutter.next());
}

TEST(LineCutterTest, ALineOfManyPiecesIsJoined) {
  LineCutter cutter(100);
  for (char c = 'a'; c < 'z'; ++c) EXPECT_EQ(Lines(cutter, std::string(1, c)), Texts{});
  EXPECT_EQ(Lines(cutter, "z\n"), Texts{"abcdefghijklmnopqrstuvwxyz"});
}

TEST(LineCutterTest, CutsWhatIsTooLongAndCountsIt) {
  LineCutter cutter(4);
  std::vector<LogLine> lines;
  cutter.Feed("abcd\r\nabcdefg\nab", lines);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].text, "abcd");
  EXPECT_EQ(lines[0].cut_bytes, 0u);
  EXPECT_EQ(lines[1].text, "abcd");
  EXPECT_EQ(lines[1].cut_bytes, 3u);
  EXPECT_EQ(lines[1].offset, 6u);
  EXPECT_EQ(lines[1].raw_bytes, 8u);
  lines.clear();
  cutter.Feed("cdef", lines);
  cutter.Feed(std::string(1'000'000, 'x'), lines);
  cutter.Feed("\nz\n", lines);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].text, "abcd");
  EXPECT_EQ(lines[0].cut_bytes, 1'000'002u);
  EXPECT_EQ(lines[1].text, "z");
}

TEST(LineCutterTest, NulsInFrontOfALineAreNoText) {
  LineCutter cutter(100);
  const std::string nuls(50, '\0');
  EXPECT_EQ(Lines(cutter, "a\n" + nuls + "b\n" + nuls), (Texts{"a", "b"}));
  EXPECT_TRUE(cutter.only_nuls_wait());
  cutter.SkipHole(1000);
  EXPECT_EQ(Lines(cutter, nuls + "c\n"), Texts{"c"});
  EXPECT_EQ(cutter.line_start(), 2 + 50 + 2 + 50 + 1000 + 50 + 2u);
  Lines(cutter, nuls);
  EXPECT_FALSE(cutter.Finish());
  EXPECT_EQ(cutter.line_start(), cutter.next());
}

TEST(LineCutterTest, WhatWaitsIsGivenAtTheEnd) {
  LineCutter cutter(100);
  Lines(cutter, "a\nhalf");
  auto line = cutter.Finish();
  ASSERT_TRUE(line);
  EXPECT_EQ(line->text, "half");
  EXPECT_TRUE(line->unfinished);
  EXPECT_EQ(line->raw_bytes, 4u);
  EXPECT_FALSE(cutter.Finish());
}

TEST(LineCutterTest, PiecesOfAnySizeGiveTheSameLines) {
  Rng rng(7);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < 300; ++i) {
      const uint64_t kind = rng.Below(12);
      text += kind == 0 ? '\n' : kind == 1 ? '\r' : kind == 2 ? '\0' : char('a' + rng.Below(26));
    }
    LineCutter whole(12), pieces(12);
    std::vector<LogLine> expected;
    whole.Feed(text, expected);
    size_t seen = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min<size_t>(1 + rng.Below(20), text.size() - at);
      std::vector<LogLine> lines;
      pieces.Feed(std::string_view(text).substr(at, n), lines);
      for (const LogLine& line : lines) {
        ASSERT_LT(seen, expected.size());
        EXPECT_EQ(line.text, expected[seen].text) << round;
        EXPECT_EQ(line.offset, expected[seen].offset);
        EXPECT_EQ(line.cut_bytes, expected[seen].cut_bytes) << round;
        ++seen;
      }
      at += n;
    }
    EXPECT_EQ(seen, expected.size());
    EXPECT_EQ(whole.line_start(), pieces.line_start());
  }
}

}  // namespace
}  // namespace leadsman
