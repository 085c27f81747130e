#include "batching/rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>

namespace leadsman {
namespace {

struct Request final : BatchTask {
  std::deque<Tensor> tensors;
  std::vector<TensorView> views;
  void OnDropped(DropReason) override {}

  template <typename T>
  Request& With(const char* name, DataType type, Shape shape, std::vector<T> values) {
    Tensor& tensor = tensors.emplace_back();
    tensor.Reset(name, type);
    tensor.shape() = shape;
    for (T value : values) tensor.Push<T>(value);
    return *this;
  }
  Request& With(const char* name, Shape shape, const std::vector<std::string>& texts) {
    Tensor& tensor = tensors.emplace_back();
    tensor.Reset(name, DataType::kBytes);
    tensor.shape() = shape;
    for (const std::string& text : texts) tensor.PushString(text);
    return *this;
  }
  Request& For(const BatchRules& r) {
    views.clear();
    for (const Tensor& tensor : tensors) views.push_back(tensor.View());
    inputs = views;
    rules = &r;
    r.Describe(*this);
    return *this;
  }
};

bool Share(const Request& a, const Request& b) {
  bool share = a.may_join && b.may_join && a.key == b.key && BatchRules::Share(a, b);
  EXPECT_EQ(share, a.may_join && b.may_join && a.key == b.key && BatchRules::Share(b, a));
  return share;
}

Signature Floats() {
  Signature s;
  s.inputs = {{"x", DataType::kFp32, {-1, 2}}};
  s.outputs = {{"y", DataType::kFp32, {-1, 3}}};
  return s;
}
/// A table of int32 of fixed size: what Triton calls a shape tensor.
Signature WithTable() {
  Signature s = Floats();
  s.inputs.push_back({"size", DataType::kInt32, {2}});
  return s;
}
BatchRules RulesOf(const Signature& signature, const BatchingConfig& config = {}) {
  Result<BatchRules> rules = BatchRules::Create(signature, config);
  EXPECT_TRUE(rules.ok()) << rules.status();
  return std::move(rules).value();
}

TEST(BatchRowsTest, JoinsRowsInOrderAndTakesAnswersApart) {
  BatchRules rules = RulesOf(Floats());
  Request a, b;
  a.With<float>("x", DataType::kFp32, {1, 2}, {1, 2}).For(rules);
  b.With<float>("x", DataType::kFp32, {2, 2}, {3, 4, 5, 6}).For(rules);
  EXPECT_TRUE(Share(a, b));
  EXPECT_EQ(b.rows, 2u);
  BatchBuffer buffer;
  BatchTask* tasks[] = {&a, &b};
  auto joined = buffer.Join(rules, tasks, 3);
  ASSERT_EQ(joined.size(), 1u);
  EXPECT_EQ(joined[0].shape, (Shape{3, 2}));
  auto values = joined[0].as<float>();
  EXPECT_EQ(std::vector<float>(values.begin(), values.end()),
            (std::vector<float>{1, 2, 3, 4, 5, 6}));

  Request y;
  y.With<float>("y", DataType::kFp32, {3, 3}, {0, 1, 2, 10, 11, 12, 20, 21, 22}).For(rules);
  std::vector<TensorView> part;
  ASSERT_TRUE(rules.TakeRows(y.views, 3, 1, 2, part));
  EXPECT_EQ(part[0].shape, (Shape{2, 3}));
  EXPECT_EQ(part[0].as<float>()[0], 10);
  EXPECT_EQ(part[0].as<float>()[5], 22);
  EXPECT_FALSE(rules.TakeRows(y.views, 4, 1, 2, part));
}

TEST(BatchRowsTest, FillsUpWithCopiesOfTheFirstRow) {
  BatchingConfig config;
  config.allowed_batch_sizes = {4, 8};
  BatchRules rules = RulesOf(Floats(), config);
  EXPECT_EQ(rules.PaddedRows(1), 4u);
  EXPECT_EQ(rules.PaddedRows(5), 8u);
  EXPECT_EQ(rules.PaddedRows(9), 9u);
  Request a;
  a.With<float>("x", DataType::kFp32, {1, 2}, {7, 8}).For(rules);
  BatchBuffer buffer;
  BatchTask* tasks[] = {&a};
  auto joined = buffer.Join(rules, tasks, 4);
  EXPECT_EQ(joined[0].shape, (Shape{4, 2}));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(joined[0].as<float>()[static_cast<size_t>(2 * i)], 7);
}

TEST(BatchRowsTest, OnlyEqualDimensionsAndInputsShareABatch) {
  Signature signature;
  signature.inputs = {{"x", DataType::kFp32, {-1, -1}}, {"m", DataType::kFp32, {-1}, true}};
  signature.outputs = {{"y", DataType::kFp32, {-1}}};
  BatchRules rules = RulesOf(signature);
  Request two, other_two, three, with_m;
  two.With<float>("x", DataType::kFp32, {1, 2}, {1, 2}).For(rules);
  other_two.With<float>("x", DataType::kFp32, {1, 2}, {5, 6}).For(rules);
  three.With<float>("x", DataType::kFp32, {1, 3}, {1, 2, 3}).For(rules);
  with_m.With<float>("x", DataType::kFp32, {1, 2}, {1, 2})
      .With<float>("m", DataType::kFp32, {1}, {1})
      .For(rules);
  EXPECT_TRUE(Share(two, other_two));
  EXPECT_FALSE(Share(two, three));
  EXPECT_FALSE(Share(two, with_m));
}

TEST(BatchRowsTest, InputsWithoutABatchDimensionMustBeEqualBehindAZeroByteToo) {
  BatchRules rules = RulesOf(WithTable());
  auto request = [&](std::vector<int32_t> size) {
    auto r = std::make_unique<Request>();
    r->With<float>("x", DataType::kFp32, {1, 2}, {1, 2})
        .With<int32_t>("size", DataType::kInt32, {2}, size)
        .For(rules);
    return r;
  };
  // As text, [1,2] and [1,3] are equal: both end at the zero byte behind the 1.
  EXPECT_FALSE(Share(*request({1, 2}), *request({1, 3})));
  EXPECT_TRUE(Share(*request({1, 2}), *request({1, 2})));
  // Not by the luck of the hash: the exact comparison says so as well.
  auto a = request({1, 2}), b = request({1, 3});
  EXPECT_FALSE(BatchRules::Share(*a, *b));

  auto first = request({1, 2}), second = request({1, 2});
  BatchBuffer buffer;
  BatchTask* tasks[] = {first.get(), second.get()};
  auto joined = buffer.Join(rules, tasks, 2);
  EXPECT_EQ(joined[0].shape, (Shape{2, 2}));
  EXPECT_EQ(joined[1].shape, (Shape{2}));
}

TEST(BatchRowsTest, JoinsTextsAndComparesThoseThatAreShared) {
  Signature signature;
  signature.inputs = {{"t", DataType::kBytes, {-1}}, {"lang", DataType::kBytes, {}}};
  signature.outputs = {{"y", DataType::kBytes, {-1}}};
  BatchRules rules = RulesOf(signature);
  Request a, b, c;
  const std::string nul("x\0y", 3);
  a.With("t", {2}, {"one", nul}).With("lang", {}, {"en"}).For(rules);
  b.With("t", {1}, {""}).With("lang", {}, {"en"}).For(rules);
  c.With("t", {1}, {""}).With("lang", {}, {"de"}).For(rules);
  EXPECT_TRUE(Share(a, b));
  EXPECT_FALSE(Share(a, c));
  BatchBuffer buffer;
  BatchTask* tasks[] = {&b, &a};
  auto joined = buffer.Join(rules, tasks, 3);
  auto texts = joined[0].as<std::string_view>();
  EXPECT_EQ(texts[0], "");
  EXPECT_EQ(texts[1], "one");
  EXPECT_EQ(texts[2], nul);
}

TEST(BatchRowsTest, PadsRaggedRequestsWhenTold) {
  Signature signature;
  signature.inputs = {{"ids", DataType::kInt64, {-1, -1}}};
  signature.outputs = {{"y", DataType::kFp32, {-1}}};
  BatchingConfig config;
  config.pad_ragged = -1;
  BatchRules rules = RulesOf(signature, config);
  Request a, b;
  a.With<int64_t>("ids", DataType::kInt64, {2, 1}, {1, 2}).For(rules);
  b.With<int64_t>("ids", DataType::kInt64, {1, 3}, {7, 8, 9}).For(rules);
  EXPECT_TRUE(Share(a, b));
  BatchBuffer buffer;
  BatchTask* tasks[] = {&a, &b};
  auto joined = buffer.Join(rules, tasks, 4);
  EXPECT_EQ(joined[0].shape, (Shape{4, 3}));
  auto v = joined[0].as<int64_t>();
  EXPECT_EQ(std::vector<int64_t>(v.begin(), v.end()),
            (std::vector<int64_t>{1, -1, -1, 2, -1, -1, 7, 8, 9, 1, -1, -1}));
}

TEST(BatchRowsTest, PadsEachRequestWithItsOwnFirstValueWhenTold) {
  Signature signature;
  signature.inputs = {{"ids", DataType::kInt64, {-1, -1}},
                      {"half", DataType::kFp16, {-1, -1}},
                      {"text", DataType::kBytes, {-1, -1}}};
  signature.outputs = {{"y", DataType::kFp32, {-1}}};
  BatchingConfig config;
  config.pad_ragged = 5;
  config.pad_with = BatchingConfig::PadWith::kFirstValue;
  BatchRules rules = RulesOf(signature, config);
  Request a, b, empty;
  a.With<int64_t>("ids", DataType::kInt64, {2, 1}, {1, 2})
      .With<uint16_t>("half", DataType::kFp16, {2, 1}, {11, 12})
      .With("text", {2, 1}, {"p", "q"})
      .For(rules);
  b.With<int64_t>("ids", DataType::kInt64, {1, 3}, {7, 8, 9})
      .With<uint16_t>("half", DataType::kFp16, {1, 2}, {17, 18})
      .With("text", {1, 2}, {"r", "s"})
      .For(rules);
  empty.With<int64_t>("ids", DataType::kInt64, {1, 0}, {})
      .With<uint16_t>("half", DataType::kFp16, {1, 0}, {})
      .With("text", {1, 0}, {})
      .For(rules);
  EXPECT_TRUE(Share(a, b));
  BatchBuffer buffer;
  BatchTask* tasks[] = {&a, &b, &empty};
  auto joined = buffer.Join(rules, tasks, 4);
  auto ids = joined[0].as<int64_t>();
  EXPECT_EQ(std::vector<int64_t>(ids.begin(), ids.end()),
            (std::vector<int64_t>{1, 1, 1, 2, 1, 1, 7, 8, 9, 0, 0, 0}));
  std::vector<uint16_t> halves(8);
  std::memcpy(halves.data(), joined[1].data, 16);
  EXPECT_EQ(halves, (std::vector<uint16_t>{11, 11, 12, 11, 17, 18, 0, 0}));
  auto texts = joined[2].as<std::string_view>();
  EXPECT_EQ(std::vector<std::string_view>(texts.begin(), texts.end()),
            (std::vector<std::string_view>{"p", "p", "q", "p", "r", "s", "", ""}));
}

TEST(BatchRowsTest, KeepsNoMemoryOfALargeBatch) {
  Signature signature;
  signature.inputs = {{"x", DataType::kUint8, {-1, -1}}};
  signature.outputs = {{"y", DataType::kFp32, {-1}}};
  BatchRules rules = RulesOf(signature);
  Request a;
  constexpr int64_t kLength = 1 << 20;
  Tensor& tensor = a.tensors.emplace_back();
  tensor.Reset("x", DataType::kUint8);
  tensor.shape() = {1, kLength};
  std::memset(tensor.Extend(kLength), 1, kLength);
  a.For(rules);
  BatchTask* tasks[] = {&a};
  BatchBuffer buffer;
  buffer.Join(rules, tasks, 2);
  buffer.Trim();
  EXPECT_EQ(buffer.capacity(), 2u << 20);
  buffer.Join(rules, tasks, 65);
  EXPECT_GE(buffer.capacity(), 65u << 20);
  buffer.Trim();
  EXPECT_EQ(buffer.capacity(), 0u);
  EXPECT_EQ(buffer.Join(rules, tasks, 1)[0].as<uint8_t>()[kLength - 1], 1);
}

TEST(BatchRowsTest, OnlyRequestsThatMayBePaddedCountPadding) {
  BatchRules exact = RulesOf(Floats());
  BatchingConfig config;
  config.pad_ragged = 0;
  BatchRules ragged = RulesOf(Floats(), config);
  Request a, b;
  a.With<float>("x", DataType::kFp32, {1, 2}, {1, 2}).For(exact);
  b.With<float>("x", DataType::kFp32, {1, 2}, {1, 2}).For(ragged);
  EXPECT_FALSE(a.padded);
  EXPECT_TRUE(b.padded);
}

TEST(BatchRowsTest, InputsThatDisagreeInRowsAreNobodyElsesTrouble) {
  Signature signature;
  signature.inputs = {{"a", DataType::kFp32, {-1}}, {"b", DataType::kFp32, {-1}}};
  signature.outputs = {{"y", DataType::kFp32, {-1}}};
  BatchRules rules = RulesOf(signature);
  Request wrong, empty;
  wrong.With<float>("a", DataType::kFp32, {1}, {1})
      .With<float>("b", DataType::kFp32, {2}, {1, 2})
      .For(rules);
  empty.With<float>("a", DataType::kFp32, {0}, {})
      .With<float>("b", DataType::kFp32, {0}, {})
      .For(rules);
  EXPECT_FALSE(wrong.may_join);
  EXPECT_FALSE(empty.may_join);
}

TEST(BatchRowsTest, SaysWhyAModelTakesNoBatches) {
  Signature fixed = Floats();
  fixed.inputs[0].shape = {1, 2};
  EXPECT_NE(BatchRules::Create(fixed, {}).status().message().find("open first dimension"),
            std::string::npos);
  Signature mean = Floats();
  mean.outputs[0].shape = {};
  EXPECT_NE(BatchRules::Create(mean, {}).status().message().find("batching.shared_outputs"),
            std::string::npos);
  BatchingConfig config;
  config.shared_outputs = {"y"};
  EXPECT_TRUE(BatchRules::Create(mean, config).ok());
  config.shared_outputs = {"z"};
  EXPECT_EQ(BatchRules::Create(mean, config).status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace leadsman
