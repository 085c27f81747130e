#include "intake/payload.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

std::string Describe(const std::optional<PayloadInputs>& inputs) {
  if (!inputs) return "nothing";
  std::string text = StrCat(inputs->rows, ":");
  for (size_t i = 0; i < inputs->features.size(); ++i) {
    text += i == 0 ? " " : ", ";
    if (!inputs->names.empty()) text += StrCat(inputs->names[i], "=");
    text += StrCat(inputs->features[i]);
  }
  return text;
}

std::string Describe(const std::optional<PayloadOutputs>& outputs) {
  if (!outputs) return "nothing";
  std::string text = StrCat(outputs->rows, ":");
  for (size_t i = 0; i < outputs->predicted.size(); ++i)
    text += StrCat(i == 0 ? " " : ", ", outputs->predicted[i]);
  if (outputs->score) text += StrCat(" (", *outputs->score, ")");
  return text;
}

struct Case {
  std::string_view body, wanted;
  std::string_view content_type = "application/json";
};

TEST(PayloadTest, InputsOfEveryServersBodies) {
  PayloadReader reader;
  const std::vector<Case> cases = {
      // TensorFlow Serving, KServe V1
      {R"({"instances": [[1.5, 2], [3, 4], [5, 6]]})", "3: 1.5, 2"},
      {R"({"signature_name": "s", "instances": [1, 2]})", "2: 1"},
      {R"({"instances": [{"age": 31, "on": true, "city": "Basel"}]})", "1: age=31, on=1, city=nan"},
      {R"({"instances": [{"image": [[1, 2], [3, 4]], "flip": 0}]})", "1: 1, 2, 3, 4, 0"},
      {R"({"instances": []})", "0:"},
      {R"({"inputs": [[1, 2], [3, 4]]})", "2: 1, 2"},
      {R"({"inputs": {"age": [31, 40], "size": [1.5, 2]}})", "2: age=31, size=1.5"},
      {R"({"examples": [{"age": 31, "size": 1.5}, {"age": 40, "size": 2}]})",
       "2: age=31, size=1.5"},
      // Open Inference Protocol
      {R"({"id": "7", "inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}]})",
       "2: 1, 2, 3"},
      {R"({"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]}]})",
       "2: 1, 2"},
      {R"({"inputs": [{"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [31, 40]},
                      {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["Basel", "Bern"]}]})",
       "2: age=31, city=nan"},
      {R"({"inputs": [{"name": "x", "shape": [1, 784], "datatype": "FP32", "parameters": {"binary_data_size": 3136}}]})",
       "1:"},
      {R"({"inputs": [{"name": "x", "shape": [2, -1], "datatype": "FP32", "data": [1]}]})",
       "nothing"},
      // MLflow
      {R"({"dataframe_split": {"columns": ["a", "b"], "index": [0], "data": [[1, null]]}})",
       "1: a=1, b=nan"},
      {R"({"dataframe_records": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]})", "2: a=1, b=2"},
      {R"({"columns": ["a"], "data": [[1], [2]]})", "2: a=1"},
      // Seldon
      {R"({"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}})", "2: a=1, b=2"},
      {R"({"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}})",
       "2: a=1, b=2"},
      // plain
      {R"({"input_data": [[1, 2]]})", "1: 1, 2"},
      {R"({"features": [1, 2, 3]})", "1: 1, 2, 3"},
      {R"({"input_data": {"columns": ["a"], "index": [0], "data": [[7]]}})", "1: a=7"},
      {R"({"age": 31, "income": 5e4})", "1: age=31, income=50000"},
      {"[1, 2, 3]", "1: 1, 2, 3"},
      {"[[1, 2], [3, 4]]", "2: 1, 2"},
      {R"([{"a": 1}, {"a": 2}])", "2: a=1"},
      // none of them
      {R"({"text": {"of": "a chat"}})", "nothing"},
      {"{}", "nothing"},
      {"7", "nothing"},
      {R"({"instances": [[1, 2)", "nothing"},
      {"", "nothing"},
      {"\x89PNG", "nothing"},
      // CSV
      {"1,2.5,\n3,4,5\n", "2: 1, 2.5, nan", "text/csv"},
      {"a,b\r\n1,2\r\n", "1: a=1, b=2", "text/csv; charset=utf-8"},
      {"\"long, name\",b\n1,\"x\"\"y\"\n", "1: long, name=1, b=nan", "text/csv"},
      {"", "nothing", "text/csv"},
  };
  for (const Case& c : cases)
    EXPECT_EQ(Describe(reader.ReadInputs(c.body, c.content_type)), c.wanted) << c.body;
}

TEST(PayloadTest, OutputsOfEveryServersBodies) {
  PayloadReader reader;
  const std::vector<Case> cases = {
      {R"({"predictions": [[0.125, 0.875], [0.75, 0.25]]})", "2: 1, 0 (0.875)"},
      {R"({"predictions": [[0.5], [2]]})", "2: 0.5, 2"},
      {R"({"predictions": ["cat", 7, 1.5, true, null]})", "5: cat, 7, 1.5, true, "},
      {R"({"predictions": [{"scores": [0.25, 0.75], "label": "dog"}]})", "1: dog"},
      {R"({"predictions": [{"scores": [0.25, 0.75], "loss": 0.1}]})", "1: 1 (0.75)"},
      {R"({"outputs": {"label": ["a", "b"], "scores": [[0.125, 0.875], [0.8, 0.2]]}})", "2: a, b"},
      {R"({"outputs": {"scores": [[0.125, 0.875], [0.8, 0.2]]}})", "2: 1, 0 (0.875)"},
      {R"({"results": [[["cat", 0.25], ["dog", 0.75]], [["cat", 1], ["dog", 0]]]})",
       "2: dog, cat (0.75)"},
      {R"({"results": [[["", 0.25], ["", 0.75]]]})", "1: 1 (0.75)"},
      {R"({"results": [1.5, 2]})", "2: 1.5, 2"},
      {R"({"results": [[["cat"]], [[]], []]})", "3: cat, , "},
      {R"({"model_name": "m", "outputs": [{"name": "y", "shape": [2, 2], "datatype": "FP32", "data": [0.25, 0.75, 1, 0]}]})",
       "2: 1, 0 (0.75)"},
      {R"({"outputs": [{"name": "p", "shape": [1, 3], "datatype": "FP32", "data": [0, 1, 0]},
                       {"name": "label", "shape": [1], "datatype": "BYTES", "data": ["x"]}]})",
       "1: x"},
      {R"({"outputs": [{"name": "y", "shape": [2, 1], "datatype": "FP64", "data": [[1.5], [2]]}]})",
       "2: 1.5, 2"},
      {R"({"outputs": [{"name": "y", "shape": [1, 2], "datatype": "BYTES", "data": ["b", "a"]}]})",
       "1: b"},
      {R"({"outputs": [{"name": "y", "shape": [1, 2], "datatype": "FP32"}]})", "nothing"},
      {R"({"data": {"names": ["p0", "p1"], "ndarray": [[0.25, 0.5]]}})", "1: 1 (0.5)"},
      {R"({"prediction": 3})", "1: 3"},
      {R"({"prediction": [0, 1, 1]})", "3: 0, 1, 1"},
      {R"({"predicted_label": "cat", "took_ms": 4})", "1: cat"},
      {R"("cat")", "1: cat"},
      {"[1, 0]", "2: 1, 0"},
      {R"({"error": "no"})", "nothing"},
      {R"({"predictions": [[], [[]], [{}]]})", "3: , , "},
      {R"({"predictions": [1)", "nothing"},
      {"0.0107\n", "1: 0.0107", "text/csv"},
      {"setosa\nvirginica\n", "2: setosa, virginica", "text/csv"},
      {"0.25,0.75\n1,0\n", "2: 1, 0 (0.75)", "text/csv"},
  };
  for (const Case& c : cases)
    EXPECT_EQ(Describe(reader.ReadOutputs(c.body, c.content_type)), c.wanted) << c.body;
}

template <typename T>
std::string AsBytes(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

TEST(PayloadTest, TensorsBehindTheJson) {
  struct Binary {
    std::string datatype, bytes, inputs, outputs;
  };
  using namespace std::string_literals;
  const std::vector<Binary> cases = {
      {"FP32", AsBytes<float>({0.1f, 2}), "2: 0.10000000149011612", "2: 0.1, 2"},
      {"FP64", AsBytes<double>({0.1, 2}), "2: 0.10000000149011612", "2: 0.1, 2"},
      {"FP16", "\x00\x3e\x00\xc0"s, "2: 1.5", "2: 1.5, -2"},
      {"BF16", "\xc0\x3f\x00\xc0"s, "2: 1.5", "2: 1.5, -2"},
      {"INT8", AsBytes<int8_t>({-3, 2}), "2: -3", "2: -3, 2"},
      {"UINT8", AsBytes<uint8_t>({200, 2}), "2: 200", "2: 200, 2"},
      {"INT16", AsBytes<int16_t>({-300, 2}), "2: -300", "2: -300, 2"},
      {"UINT16", AsBytes<uint16_t>({60'000, 2}), "2: 60000", "2: 60000, 2"},
      {"INT32", AsBytes<int32_t>({-3, 2}), "2: -3", "2: -3, 2"},
      {"UINT32", AsBytes<uint32_t>({7, 2}), "2: 7", "2: 7, 2"},
      {"INT64", AsBytes<int64_t>({-3, 2}), "2: -3", "2: -3, 2"},
      {"UINT64", AsBytes<uint64_t>({7, 2}), "2: 7", "2: 7, 2"},
      {"BOOL", "\x01\x00"s, "2: 1", "2: true, false"},
      {"BYTES",
       "\x03\x00\x00\x00"
       "cat\x03\x00\x00\x00"
       "dog"s,
       "2: nan", "2: cat, dog"},
      {"BYTES",
       "\x03\x00\x00\x00"
       "ca"s,
       "nothing", "nothing"},
      {"BYTES", "\x03\x00"s, "nothing", "nothing"},
      {"COMPLEX", "\x01\x00"s, "nothing", "nothing"},
  };
  PayloadReader reader;
  for (const Binary& c : cases) {
    const std::string tensor =
        StrCat(R"({"name": "a b", "shape": [2], "datatype": ")", c.datatype,
               R"(", "parameters": {"binary_data_size": )", c.bytes.size(), "}}");
    const std::string in = StrCat(R"({"inputs": [)", tensor, "]}");
    const std::string out = StrCat(R"({"outputs": [)", tensor, "]}");
    auto inputs = reader.ReadInputs(in, "", c.bytes);
    if (inputs) inputs->names = {};
    EXPECT_EQ(Describe(inputs), c.inputs) << c.datatype;
    EXPECT_EQ(Describe(reader.ReadOutputs(out, "", c.bytes)), c.outputs) << c.datatype;
    const std::string_view less = std::string_view(c.bytes).substr(1);
    EXPECT_EQ(Describe(reader.ReadInputs(in, "", less)), "nothing") << "it is cut";
  }
  // The first of several follows first, and one may be in the JSON.
  const std::string three =
      R"({"inputs": [{"name": "a", "shape": [1, 1], "datatype": "INT8", "parameters": {"binary_data_size": 1}},
                     {"name": "b", "shape": [1, 1], "datatype": "INT8", "data": [5]},
                     {"name": "c", "shape": [1, 1], "datatype": "INT8", "parameters": {"binary_data_size": 1}}]})";
  EXPECT_EQ(Describe(reader.ReadInputs(three, "", AsBytes<int8_t>({4, 6}))), "1: a=4, b=5, c=6");
  const std::string rows =
      R"({"outputs": [{"name": "y", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}}]})";
  EXPECT_EQ(Describe(reader.ReadOutputs(rows, "", AsBytes<float>({0.25, 0.75, 1, 0}))),
            "2: 1, 0 (0.75)");
}

TEST(PayloadTest, AScoreIsANumberThatCanBeAdded) {
  PayloadReader reader;
  EXPECT_FALSE(reader.ReadOutputs("inf,0.25\n", "text/csv")->score);
  EXPECT_FALSE(reader.ReadOutputs(R"({"predictions": [[1e39, 0.5]]})", "")->score);
}

TEST(PayloadTest, WhatIsReadIsBounded) {
  PayloadReader reader;
  std::string many = "[";
  for (int i = 0; i < 5000; ++i) many += StrCat(i == 0 ? "" : ",", i);
  many += "]";
  auto inputs = reader.ReadInputs(StrCat("{\"instances\": [", many, "]}"), "");
  ASSERT_TRUE(inputs);
  EXPECT_TRUE(inputs->cut);
  EXPECT_EQ(inputs->features.size(), PayloadReader::kMaxFeatures);
  auto outputs = reader.ReadOutputs(StrCat("{\"predictions\": ", many, "}"), "");
  ASSERT_TRUE(outputs);
  EXPECT_EQ(outputs->rows, 5000u);
  EXPECT_EQ(outputs->predicted.size(), PayloadReader::kMaxPredictions);
  EXPECT_EQ(outputs->predicted[15], "15");

  const std::string deep = std::string(900, '[') + std::string(900, ']');
  EXPECT_TRUE(reader.ReadInputs(deep, ""));
  EXPECT_TRUE(reader.ReadOutputs(deep, ""));
  EXPECT_FALSE(reader.ReadInputs(std::string(5000, '['), ""));
}

TEST(PayloadTest, BrokenBodiesDoNoHarm) {
  PayloadReader reader;
  const std::vector<std::string> whole = {
      R"({"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}]})",
      R"({"outputs": [{"name": "y", "shape": [2, 2], "datatype": "FP32", "data": [0.25, 0.75, 1, 0]}]})",
      R"({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}})", "a,b\n1,\"2\"\n"};
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    std::string body = whole[random() % whole.size()];
    for (int change = 0; change < 3; ++change)
      body[random() % body.size()] = "[]{},:\"01-\n\\"[random() % 12];
    const std::string_view type = random() % 2 == 0 ? "text/csv" : "";
    if (auto inputs = reader.ReadInputs(body, type)) {
      EXPECT_TRUE(inputs->names.empty() || inputs->names.size() == inputs->features.size());
    }
    if (auto outputs = reader.ReadOutputs(body, type)) {
      EXPECT_LE(outputs->predicted.size(), PayloadReader::kMaxPredictions);
    }
  }
}

}  // namespace
}  // namespace leadsman::intake
