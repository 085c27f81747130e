#include "intake/answer_comparer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "base/strings.h"
#include "events/event_text.h"
#include "intake/exchange_bodies.h"
#include "net/compression.h"

namespace leadsman::intake {

std::ostream& operator<<(std::ostream& out, AnswerDifference::Kind kind) {
  constexpr const char* kNames[] = {"equal",      "within tolerance", "differs",
                                    "class flip", "not kept",         "not understood"};
  return out << kNames[static_cast<size_t>(kind)];
}

namespace {

using Kind = AnswerDifference::Kind;
constexpr double kTolerance = 1e-3;

HttpBody Body(std::string text, std::string type = "application/json") {
  HttpBody body;
  body.state = HttpBody::State::kWhole;
  body.body = std::move(text);
  body.content_type = std::move(type);
  return body;
}

class AnswerComparerTest : public testing::Test {
 protected:
  AnswerDifference Compare(const HttpBody& live, const HttpBody& shadow,
                           LineParser* mapped = nullptr) {
    return comparer_.Compare(live, shadow, kTolerance, mapped);
  }
  AnswerDifference Compare(const std::string& live, const std::string& shadow) {
    return Compare(Body(live), Body(shadow));
  }
  AnswerComparer comparer_{1 << 20};
};

TEST_F(AnswerComparerTest, SaysHowOutputsDiffer) {
  struct Case {
    std::string live, shadow;
    Kind kind;
    double largest = 0;
  };
  const std::vector<Case> cases = {
      // TensorFlow Serving, MLflow.
      {R"({"predictions": [[0.1, 0.9]]})", R"({"predictions": [[0.1, 0.9]]})", Kind::kEqual},
      {R"({"predictions": [[0.1, 0.9]]})", R"({ "predictions":[[1e-1,9e-1]] })", Kind::kEqual},
      {R"({"predictions": [[0.1, 0.9]]})", R"({"predictions": [[0.1005, 0.8995]]})",
       Kind::kWithinTolerance, 0.0005},
      {R"({"predictions": [[0.1, 0.9]]})", R"({"predictions": [[0.2, 0.8]]})", Kind::kDiffers, 0.1},
      {R"({"predictions": [[0.4, 0.6]]})", R"({"predictions": [[0.6, 0.4]]})", Kind::kClassFlip,
       0.2},
      {R"({"predictions": [[0.4999, 0.5001]]})", R"({"predictions": [[0.5001, 0.4999]]})",
       Kind::kClassFlip, 0.0002},
      {R"({"predictions": [7]})", R"({"predictions": [9]})", Kind::kClassFlip},
      {R"({"predictions": ["cat", "dog"]})", R"({"predictions": ["cat", "cow"]})",
       Kind::kClassFlip},
      {R"({"predictions": [1.5, 2.5]})", R"({"predictions": [1.5, 2.75]})", Kind::kDiffers, 0.25},
      {R"({"predictions": [1000000.5]})", R"({"predictions": [1000900.5]})", Kind::kWithinTolerance,
       900},
      {R"({"predictions": [1.5, 2.5]})", R"({"predictions": [1.5]})", Kind::kDiffers},
      {R"({"predictions": [[0.25], [0.5]]})", R"({"predictions": [0.25, 0.5]})", Kind::kDiffers},
      {R"({"predictions": [{"label": "a", "p": [0.9, 0.1]}]})",
       R"({"predictions": [{"p": [0.9, 0.1], "label": "a"}]})", Kind::kEqual},
      {R"({"predictions": [{"label": "a", "p": 0.9}]})",
       R"({"predictions": [{"label": "a", "q": 0.9}]})", Kind::kDiffers},
      {R"({"results": [[["a", 0.9], ["b", 0.1]]]})", R"({"results": [[["a", 0.1], ["b", 0.9]]]})",
       Kind::kClassFlip, 0.8},
      {R"({"predictions": [true]})", R"({"predictions": [false]})", Kind::kClassFlip},
      {R"({"predictions": [null]})", R"({"predictions": [null], "x": 1})", Kind::kEqual},
      // What stands beside the outputs is nobody's.
      {R"({"predictions": [1.5], "deployment": "blue"})",
       R"({"predictions": [1.5], "deployment": "green"})", Kind::kEqual},
      {R"({"prediction": "yes", "probability": 0.75, "took_ms": 3})",
       R"({"prediction": "yes", "probability": 0.75, "took_ms": 9})", Kind::kEqual},
      {R"({"prediction": "yes", "probability": 0.75})",
       R"({"prediction": "yes", "probability": 0.5})", Kind::kDiffers, 0.25},
      {R"({"prediction": "yes", "probability": 0.75})",
       R"({"prediction": "no", "probability": 0.75})", Kind::kClassFlip},
      {R"({"prediction": "yes", "probability": 0.75})", R"({"prediction": "yes"})", Kind::kDiffers},
      {"[1.5]", "[1.5001]", Kind::kWithinTolerance, 0.0001},
      // V2.
      {R"({"model_version": "1", "outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}]})",
       R"({"model_version": "2", "outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}]})",
       Kind::kEqual},
      {R"({"outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}]})",
       R"({"outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [8]}]})",
       Kind::kClassFlip},
      {R"({"outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}, {"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.75]}]})",
       R"({"outputs": [{"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.7501]}, {"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}]})",
       Kind::kWithinTolerance, 0.0001},
      {R"({"outputs": [{"name": "y", "shape": [2], "datatype": "FP32", "data": [0.5, 1]}]})",
       R"({"outputs": [{"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1]}]})",
       Kind::kDiffers},
      {R"({"outputs": [{"name": "y", "shape": [1], "datatype": "BYTES", "data": ["a"]}]})",
       R"({"outputs": [{"name": "y", "shape": [1], "datatype": "BYTES", "data": ["b"]}]})",
       Kind::kClassFlip},
      // What cannot be read.
      {R"({"text": "a"})", R"({"text": "a"})", Kind::kEqual},
      {R"({"text": "a"})", R"({"text": "b"})", Kind::kNotUnderstood},
      {"<p>", "[1.5]", Kind::kNotUnderstood},
      {"[1.5]", "<p>", Kind::kDiffers},
      {R"({"predictions": [1.5]})", R"({"error": "no"})", Kind::kDiffers},
  };
  for (const Case& c : cases) {
    const AnswerDifference found = Compare(c.live, c.shadow);
    EXPECT_EQ(found.kind, c.kind) << c.live << "\n" << c.shadow;
    EXPECT_NEAR(found.largest.value_or(0), c.largest, 1e-9) << c.live << "\n" << c.shadow;
    EXPECT_EQ(Compare(c.live, c.live).kind, Kind::kEqual) << c.live;
  }
}

TEST_F(AnswerComparerTest, NamesTheRowsThatAreFlippedAndTheShadowsClass) {
  using Flips = std::vector<std::pair<uint32_t, std::string>>;
  EXPECT_EQ(Compare(R"({"predictions": ["cat", "dog", "cow"]})",
                    R"({"predictions": ["cat", "cow", "dog"]})")
                .flips,
            (Flips{{1, "cow"}, {2, "dog"}}));
  EXPECT_EQ(Compare(R"({"predictions": [[0.4, 0.6]]})", R"({"predictions": [[0.6, 0.4]]})").flips,
            (Flips{{0, "0"}}));
  EXPECT_EQ(Compare(R"({"predictions": [1.5]})", R"({"predictions": [2.5]})").flips, Flips());
}

TEST_F(AnswerComparerTest, ReadsTensorsThatAreBytes) {
  auto tensor = [](const std::vector<float>& values) {
    HttpBody body = Body(StrCat(R"({"outputs": [{"name": "p", "shape": [1, )", values.size(),
                                R"(], "datatype": "FP32", "parameters": {"binary_data_size": )",
                                values.size() * 4, "}}]}"));
    body.json_bytes = body.body.size();
    std::string bytes(values.size() * 4, '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    body.body += bytes;
    return body;
  };
  EXPECT_EQ(Compare(tensor({0.25, 0.75}), tensor({0.25, 0.75})).kind, Kind::kEqual);
  EXPECT_EQ(Compare(tensor({0.25, 0.75}), tensor({0.2501f, 0.7499f})).kind, Kind::kWithinTolerance);
  const AnswerDifference flipped = Compare(tensor({0.25, 0.75}), tensor({0.75, 0.25}));
  EXPECT_EQ(flipped.kind, Kind::kClassFlip);
  EXPECT_EQ(flipped.largest, 0.5);
  EXPECT_EQ(Compare(tensor({0.25, 0.75}), tensor({0.25, std::nanf("")})).kind, Kind::kClassFlip)
      << "the highest is another one";
  EXPECT_TRUE(
      std::isinf(Compare(tensor({0.25, 0.75}), tensor({std::nanf(""), 0.75})).largest.value_or(0)));
  EXPECT_EQ(
      Compare(
          tensor({0.25, 0.75}),
          Body(
              R"({"outputs": [{"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.75]}]})"))
          .kind,
      Kind::kEqual)
      << "the same numbers, however they are written";
  HttpBody cut = tensor({0.25, 0.75});
  cut.body.pop_back();
  EXPECT_EQ(Compare(tensor({0.25, 0.75}), cut).kind, Kind::kDiffers);
  EXPECT_EQ(Compare(cut, tensor({0.25, 0.75})).kind, Kind::kNotUnderstood);
}

TEST_F(AnswerComparerTest, ReadsCsvAndWhatIsCompressed) {
  EXPECT_EQ(Compare(Body("0.1,0.9\n", "text/csv"), Body("0.1001,0.8999\n", "text/csv")).kind,
            Kind::kWithinTolerance);
  EXPECT_EQ(Compare(Body("a\nb\n", "text/csv"), Body("a\nc\n", "text/csv")).kind, Kind::kClassFlip);
  EXPECT_EQ(Compare(Body("a\nb\n", "text/csv"), Body("a\n", "text/csv")).kind, Kind::kDiffers);
  net::Deflater gzip(net::Deflater::Format::kGzip);
  HttpBody packed = Body("");
  ASSERT_TRUE(gzip.Compress(R"({"predictions": [1.5]})", packed.body));
  packed.content_encoding = "gzip";
  EXPECT_EQ(Compare(Body(R"({"predictions": [1.5]})"), packed).kind, Kind::kEqual);
  packed.content_encoding = "br";
  EXPECT_EQ(Compare(Body(R"({"predictions": [1.5]})"), packed).kind, Kind::kDiffers);
  EXPECT_EQ(Compare(packed, Body(R"({"predictions": [1.5]})")).kind, Kind::kNotUnderstood);
  EXPECT_EQ(Compare(packed, packed).kind, Kind::kEqual) << "the same bytes";
}

TEST_F(AnswerComparerTest, AClassIsCutAsWhatIsKeptOfAPrediction) {
  auto answer = [](const std::string& text) {
    return StrCat(R"({"predictions": [")", text, R"("]})");
  };
  const std::string start(kMaxEventText, 'x');
  const AnswerDifference flipped = Compare(answer("cat"), answer(start + "y"));
  EXPECT_EQ(flipped.kind, Kind::kClassFlip);
  ASSERT_EQ(flipped.flips.size(), 1u);
  EXPECT_EQ(flipped.flips[0].second, start);
  const AnswerDifference behind = Compare(answer(start + "y"), answer(start + "z"));
  EXPECT_EQ(behind.kind, Kind::kDiffers);
  EXPECT_TRUE(behind.flips.empty());
}

/// A V2 answer of one tensor.
HttpBody TensorOf(const std::string& datatype, const std::string& shape, const std::string& data,
                  int model_version = 1) {
  return Body(StrCat(R"({"model_version": ")", model_version,
                     R"(", "outputs": [{"name": "y", "shape": )", shape, R"(, "datatype": ")",
                     datatype, R"(", "data": )", data, "}]}"));
}
/// One whose values stand behind the JSON.
HttpBody TensorOfBytes(const std::string& datatype, size_t values, const std::string& bytes) {
  HttpBody body =
      Body(StrCat(R"({"outputs": [{"name": "y", "shape": [1, )", values, R"(], "datatype": ")",
                  datatype, R"(", "parameters": {"binary_data_size": )", bytes.size(), "}}]}"));
  body.json_bytes = body.body.size();
  body.body += bytes;
  return body;
}

TEST_F(AnswerComparerTest, TensorsAreComparedToTheirEnd) {
  constexpr size_t kValues = 300'000;
  auto json = [&](int last) {
    std::string data = "[";
    for (size_t i = 1; i < kValues; ++i) data += "0.5,";
    return TensorOf("FP32", StrCat("[1, ", kValues, "]"), StrCat(data, last, "]"));
  };
  EXPECT_NE(Compare(json(0), json(1)).kind, Kind::kEqual);
  std::string bytes(kValues, '\0'), other = bytes;
  other.back() = 1;
  EXPECT_NE(
      Compare(TensorOfBytes("INT8", kValues, bytes), TensorOfBytes("INT8", kValues, other)).kind,
      Kind::kEqual);
  EXPECT_NE(Compare(TensorOfBytes("INT8", kValues, bytes),
                    TensorOfBytes("INT8", kValues, bytes.substr(1)))
                .kind,
            Kind::kEqual);
  // However they are written, in more than one block.
  std::string zeros = "[0";
  for (int i = 1; i < 2100; ++i) zeros += ",0";
  EXPECT_EQ(Compare(TensorOfBytes("INT8", 2100, std::string(2100, '\0')),
                    TensorOf("INT8", "[1, 2100]", StrCat("[", zeros, "]]")))
                .kind,
            Kind::kEqual);
}

TEST_F(AnswerComparerTest, EmptyTensorsAreEqual) {
  EXPECT_EQ(Compare(TensorOf("FP32", "[0]", "[]", 1), TensorOf("FP32", "[0]", "[]", 2)).kind,
            Kind::kEqual);
  EXPECT_EQ(Compare(TensorOf("FP32", "[0]", "[]"), TensorOf("FP32", "[0]", "[1.5]")).kind,
            Kind::kDiffers);
  EXPECT_EQ(Compare(TensorOf("FP32", "[1]", "[{}]", 1), TensorOf("FP32", "[1]", "[{}]", 2)).kind,
            Kind::kDiffers)
      << "no values";
}

TEST_F(AnswerComparerTest, LongIntegersAreComparedAsSuch) {
  EXPECT_NE(Compare("[9007199254740992]", "[9007199254740993]").kind, Kind::kEqual);
  EXPECT_NE(Compare("[18446744073709551614]", "[18446744073709551615]").kind, Kind::kEqual);
  EXPECT_NE(Compare(TensorOf("INT64", "[1]", "[9007199254740992]"),
                    TensorOf("INT64", "[1]", "[9007199254740993]"))
                .kind,
            Kind::kEqual);
  EXPECT_EQ(
      Compare(TensorOf("INT64", "[1]", "[-7]", 1), TensorOf("INT64", "[1]", "[-7.0]", 2)).kind,
      Kind::kEqual);
  auto bytes = [](uint64_t value) {
    std::string text(sizeof(value), '\0');
    std::memcpy(text.data(), &value, sizeof(value));
    return text;
  };
  for (const char* type : {"INT64", "UINT64"}) {
    const uint64_t large = (uint64_t{1} << 63) + 5;  // of INT64: less than none
    EXPECT_NE(
        Compare(TensorOfBytes(type, 1, bytes(large)), TensorOfBytes(type, 1, bytes(large + 1)))
            .kind,
        Kind::kEqual)
        << type;
  }
  EXPECT_EQ(Compare(TensorOfBytes("UINT64", 1, bytes(UINT64_MAX)),
                    TensorOf("UINT64", "[1, 1]", "[18446744073709551615]"))
                .kind,
            Kind::kEqual);
}

TEST_F(AnswerComparerTest, OnlyAnswersWithNumbersHaveADifference) {
  EXPECT_EQ(Compare("[1.5]", "[1.5]").largest, 0.0);
  EXPECT_EQ(Compare("[1.5]", "[ 1.50 ]").largest, 0.0);
  EXPECT_EQ(Compare("[\"cat\"]", "[\"cat\"]").largest, std::nullopt);
  EXPECT_EQ(Compare("[\"cat\"]", "[\"cow\"]").largest, std::nullopt);
  EXPECT_EQ(Compare("[1]", "[2]").largest, std::nullopt);
  EXPECT_EQ(Compare("<p>", "<p>").largest, std::nullopt);
}

TEST_F(AnswerComparerTest, MappedFieldsAloneAreCompared) {
  auto mapping =
      BodyMapping::Create({}, {{"predicted", "decision.class"}, {"score", "decision.p"}});
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  auto answer = [](const std::string& predicted, const std::string& score, int took) {
    return Body(StrCat(R"({"decision": {"class": )", predicted, R"(, "p": )", score,
                       R"(}, "took": )", took, "}"));
  };
  auto kind = [&](const HttpBody& live, const HttpBody& shadow) {
    return Compare(live, shadow, mapping->response()).kind;
  };
  EXPECT_EQ(kind(answer("\"yes\"", "0.75", 1), answer("\"yes\"", "0.75", 2)), Kind::kEqual);
  EXPECT_EQ(kind(answer("\"yes\"", "0.75", 1), answer("\"yes\"", "0.7501", 1)),
            Kind::kWithinTolerance);
  EXPECT_EQ(kind(answer("\"yes\"", "0.75", 1), answer("\"yes\"", "0.5", 1)), Kind::kDiffers);
  EXPECT_EQ(kind(answer("\"yes\"", "0.75", 1), answer("\"no\"", "0.75", 1)), Kind::kClassFlip);
  EXPECT_EQ(kind(answer("12.5", "0.75", 1), answer("12.75", "0.75", 1)), Kind::kDiffers);
  EXPECT_EQ(kind(answer("\"yes\"", "0.75", 1), Body("{}")), Kind::kDiffers);
  EXPECT_EQ(kind(Body("{}"), answer("\"yes\"", "0.75", 1)), Kind::kNotUnderstood);
}

TEST_F(AnswerComparerTest, WhatWasNotKeptIsNotCompared) {
  HttpBody lost, none;
  lost.state = HttpBody::State::kTooLong;
  EXPECT_EQ(Compare(lost, Body("[1]")).kind, Kind::kNotKept);
  EXPECT_EQ(Compare(Body("[1]"), lost).kind, Kind::kNotKept);
  EXPECT_EQ(Compare(none, none).kind, Kind::kEqual) << "as 204 has none";
  EXPECT_EQ(Compare(Body("[1]"), none).kind, Kind::kDiffers);
  EXPECT_EQ(Compare(none, Body("[1]")).kind, Kind::kNotUnderstood);
}

TEST_F(AnswerComparerTest, ObjectsOfManyMembersInAnotherOrderAreNotLookedThrough) {
  std::string one = R"({"predictions": [{)", other = one;
  constexpr int kMembers = 20'000;
  for (int i = 0; i < kMembers; ++i) {
    one += StrCat(i > 0 ? "," : "", "\"m", i, "\": 1");
    other += StrCat(i > 0 ? "," : "", "\"m", kMembers - 1 - i, "\": 1");
  }
  EXPECT_EQ(Compare(one + "}]}", other + "}]}").kind, Kind::kDiffers);
}

}  // namespace
}  // namespace leadsman::intake
