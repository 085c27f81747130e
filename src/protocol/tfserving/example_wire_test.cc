#include "protocol/tfserving/example_wire.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "base/strings.h"

namespace leadsman::tfserving {
namespace {

// Bytes of tensorflow.Example{features{feature{"a": float_list[1, -2]} feature{"n": int64_list[-1, 300]} feature{"s":
// bytes_list["x", ""]}}}, as Google's protobuf 7 for Python writes them (deterministically, so sorted).
constexpr std::string_view kGolden =
    "0a 38 0a 11 0a 01 61 12 0c 12 0a 0a 08 00 00 80 3f 00 00 00 c0 0a 15 0a "
    "01 6e 12 10 1a 0e 0a 0c ff ff ff ff ff ff ff ff ff 01 ac 02 0a 0c 0a 01 "
    "73 12 07 0a 05 0a 01 78 0a 00 ";

Example Sample() {
  Example example;
  example.features.push_back({"a", Feature::Kind::kFloat, {}, {1, -2}, {}});
  example.features.push_back({"n", Feature::Kind::kInt64, {}, {}, {-1, 300}});
  example.features.push_back({"s", Feature::Kind::kBytes, {"x", ""}, {}, {}});
  return example;
}

Status Parse(std::string_view serialized, Example& out) {
  ExampleRoom room(SIZE_MAX);
  return ParseExample(serialized, room, out);
}

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 3)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

TEST(ExampleWireTest, WritesWhatProtocolBuffersWrite) {
  EXPECT_EQ(SerializeExample(Sample(), {}), FromHex(kGolden));
}

TEST(ExampleWireTest, ReadsWhatProtocolBuffersWrite) {
  Example example;
  ASSERT_EQ(Parse(FromHex(kGolden), example), OkStatus());
  ASSERT_EQ(example.features.size(), 3u);
  EXPECT_EQ(example.Find("a")->floats, (std::vector<double>{1, -2}));
  EXPECT_EQ(example.Find("n")->ints, (std::vector<int64_t>{-1, 300}));
  EXPECT_EQ(example.Find("s")->bytes, (std::vector<std::string>{"x", ""}));
  EXPECT_EQ(example.Find("b"), nullptr);
}

TEST(ExampleWireTest, NumbersMayComeOneByOne) {
  Example example;
  ASSERT_EQ(
      Parse(FromHex("0a 13 0a 11 0a 01 61 12 0c 12 0a 0d 00 00 80 3f 0d 00 00 00 c0 "), example),
      OkStatus());
  EXPECT_EQ(example.Find("a")->floats, (std::vector<double>{1, -2}));
}

TEST(ExampleWireTest, TheContextFillsInWhatAnExampleLacks) {
  Example context;
  context.features.push_back({"a", Feature::Kind::kInt64, {}, {}, {7}});
  context.features.push_back({"c", Feature::Kind::kInt64, {}, {}, {8}});
  Example example;
  ASSERT_EQ(Parse(SerializeExample(Sample(), context), example), OkStatus());
  EXPECT_EQ(example.features.size(), 4u);
  EXPECT_EQ(example.Find("a")->kind, Feature::Kind::kFloat);
  EXPECT_EQ(example.Find("c")->ints, (std::vector<int64_t>{8}));
}

TEST(ExampleWireTest, OfFeaturesOfOneNameTheLastCounts) {
  std::string entries;
  for (const char* hex : {"0a 09 0a 01 62 12 04 1a 02 08 01 ", "0a 09 0a 01 61 12 04 1a 02 08 02 ",
                          "0a 09 0a 01 62 12 04 1a 02 08 03 "})
    entries += FromHex(hex);
  Example example;
  ASSERT_EQ(Parse(StrCat("\x0a", static_cast<char>(entries.size()), entries), example), OkStatus());
  ASSERT_EQ(example.features.size(), 2u);
  EXPECT_EQ(example.Find("a")->ints, (std::vector<int64_t>{2}));
  EXPECT_EQ(example.Find("b")->ints, (std::vector<int64_t>{3}));
}

TEST(ExampleWireTest, TakesNoMoreMemoryThanThereIs) {
  const std::string golden = FromHex(kGolden);
  Example example;
  for (size_t bytes : {size_t{0}, sizeof(Example), sizeof(Example) + 2 * sizeof(Feature)}) {
    ExampleRoom room(bytes);
    EXPECT_FALSE(ParseExample(golden, room, example).ok());
    EXPECT_TRUE(room.exceeded());
  }
  ExampleRoom room(600);
  EXPECT_EQ(ParseExample(golden, room, example), OkStatus());
  EXPECT_FALSE(room.exceeded());
  EXPECT_FALSE(ParseExample(golden, room, example).ok()) << "there is one for all examples";
  // Empty strings, of two bytes each on the wire.
  Example strings;
  strings.features.push_back({"s", Feature::Kind::kBytes, std::vector<std::string>(60), {}, {}});
  ExampleRoom small(60 * sizeof(std::string));
  EXPECT_FALSE(ParseExample(SerializeExample(strings, {}), small, example).ok());
  EXPECT_TRUE(small.exceeded());
}

TEST(ExampleWireTest, EveryTruncationIsAnErrorOrAShorterExample) {
  std::string golden = FromHex(kGolden);
  for (size_t length = 1; length < golden.size(); ++length) {
    Example example;
    EXPECT_FALSE(Parse(std::string_view(golden).substr(0, length), example).ok()) << length;
  }
  Example example;
  EXPECT_TRUE(Parse("", example).ok());
  EXPECT_TRUE(example.features.empty());
  EXPECT_FALSE(Parse("\x0b", example).ok()) << "a group";
}

}  // namespace
}  // namespace leadsman::tfserving
