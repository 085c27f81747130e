#include "serving/segment_reader.h"

#include <gtest/gtest.h>

#include <limits>

namespace leadsman {
namespace {

using Values = std::vector<std::string>;

template <typename T>
Tensor Make(std::string_view name, DataType type, Shape shape, std::vector<T> values) {
  Tensor tensor;
  tensor.Reset(name, type);
  tensor.shape() = shape;
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, std::string>) {
      tensor.PushString(value);
    } else {
      tensor.Push(value);
    }
  }
  return tensor;
}

/// Of a request with one header and one input.
Values Read(std::vector<SegmentRule> rules, std::string_view header, const Tensor& input) {
  SegmentReader reader({{"m", std::move(rules)}});
  std::vector<std::string> headers;
  reader.TakeHeaders([&](const std::string&) { return header; }, headers);
  const TensorView views[] = {input.View()};
  Segments segments;
  segments.Extract(reader.RulesOf("m"), headers, views);
  return {segments.values().begin(), segments.values().end()};
}

const Tensor kAges = Make<float>("x", DataType::kFp32, {2, 2}, {30, 1, 70, 2});

TEST(SegmentReaderTest, AHeaderIsReadByWhateverCaseAndCleaned) {
  const SegmentRule rule{.name = "tenant", .header = "X-Tenant"};
  EXPECT_EQ(SegmentReader({{"m", {rule}}}).headers(), Values{"x-tenant"});
  EXPECT_EQ(Read({rule}, " acme ", kAges), Values{"acme"});
  EXPECT_EQ(Read({rule},
                 "a\x1f"
                 "b",
                 kAges),
            Values{"a?b"});
  EXPECT_EQ(Read({rule}, "", kAges), Values{"(none)"});
  EXPECT_EQ(Read({rule}, std::string(100, 'a'), kAges), Values{std::string(64, 'a')});
}

TEST(SegmentReaderTest, ANumberLiesBetweenItsCuts) {
  auto of = [](float age) {
    return Read({{.name = "age", .input = "x", .cuts = {18, 35.5}}}, "",
                Make<float>("x", DataType::kFp32, {1, 1}, {age}))[0];
  };
  EXPECT_EQ(of(-1), "< 18");
  EXPECT_EQ(of(18), "18 to 35.5");
  EXPECT_EQ(of(35.5), ">= 35.5");
  EXPECT_EQ(of(std::numeric_limits<float>::quiet_NaN()), "NaN");
}

TEST(SegmentReaderTest, AValueIsItsOwnSegmentWithoutCuts) {
  auto of = [](const Tensor& input, size_t index = 0) {
    return Read({{.name = "s", .input = "x", .index = index}}, "", input)[0];
  };
  EXPECT_EQ(of(kAges), "30");  // of the first row
  EXPECT_EQ(of(kAges, 1), "1");
  EXPECT_EQ(of(kAges, 4), "(none)");
  EXPECT_EQ(of(Make<int64_t>("x", DataType::kInt64, {1}, {9007199254740993})), "9007199254740993");
  EXPECT_EQ(of(Make<std::string>("x", DataType::kBytes, {1}, {"de"})), "de");
  EXPECT_EQ(of(Make<uint8_t>("x", DataType::kBool, {1}, {1})), "true");
  EXPECT_EQ(of(Make<float>("y", DataType::kFp32, {1}, {1})), "(none)");
}

TEST(SegmentReaderTest, AModelWithoutRulesIsNotSegmented) {
  SegmentReader reader({{"m", {}}, {"n", {{.name = "t", .header = "x-t"}}}});
  EXPECT_TRUE(reader.RulesOf("m").empty());
  EXPECT_TRUE(reader.RulesOf("other").empty());
  EXPECT_EQ(reader.RulesOf("n").size(), 1u);
  EXPECT_TRUE(SegmentReader({}).empty());
}

}  // namespace
}  // namespace leadsman
