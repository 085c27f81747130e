#include "events/segment_text.h"

#include <gtest/gtest.h>

#include <string>

#include "events/segment_rule.h"

namespace leadsman {
namespace {

TEST(SegmentTextTest, ATextWithCutsIsANumberOrNone) {
  SegmentText text;
  const SegmentCuts cuts({18, 35});
  EXPECT_EQ(cuts.OfText("17.9", text), "< 18");
  EXPECT_EQ(cuts.OfText(" 18 ", text), "18 to 35");
  EXPECT_EQ(cuts.OfText("1e9", text), ">= 35");
  EXPECT_EQ(cuts.OfText("old", text), kNoSegment);
  EXPECT_EQ(cuts.OfText("18 years", text), kNoSegment);
  EXPECT_EQ(cuts.OfText("nan", text), kNoSegment);
  EXPECT_EQ(cuts.OfText("", text), kNoSegment);
}

TEST(SegmentTextTest, ATextWithoutCutsStandsForItself) {
  SegmentText text;
  EXPECT_EQ(SegmentCuts().OfText(" acme\t", text), "acme");
  EXPECT_EQ(SegmentCuts().OfText("a\x1f"
                                 "b",
                                 text),
            "a?b");
  EXPECT_EQ(SegmentCuts().OfText("  ", text), kNoSegment);
  EXPECT_EQ(SegmentCuts().OfText(std::string(100, 'a'), text), std::string(kMaxSegmentBytes, 'a'));
}

TEST(SegmentTextTest, NamesOfSegmentations) {
  for (const char* good : {"t", "a-b_C9"}) EXPECT_TRUE(IsSegmentationName(good)) << good;
  for (const char* bad : {"", "a b", "a=b", "\xC3\xA9"})
    EXPECT_FALSE(IsSegmentationName(bad)) << bad;
  EXPECT_FALSE(IsSegmentationName(std::string(41, 'a')));
}

}  // namespace
}  // namespace leadsman
