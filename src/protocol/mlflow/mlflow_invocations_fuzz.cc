#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_server.h"
#include "protocol/mlflow/csv.h"
#include "protocol/mlflow/invocations.h"

using namespace leadsman;

/// "csv\n" at the front: the rest is CSV; else JSON.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Signature stacked{{{"x", DataType::kFp32, {-1, 3}}}, {{"y", DataType::kFp32, {-1}}}};
  static const Signature named{{{"a", DataType::kFp64, {-1}},
                                {"b", DataType::kInt32, {-1, 1}},
                                {"s", DataType::kBytes, {-1}, true},
                                {"f", DataType::kBool, {-1}, true}},
                               {{"y", DataType::kInt64, {-1}}, {"z", DataType::kBytes, {-1}}}};
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const bool csv = input.starts_with("csv\n");
  if (csv) input.remove_prefix(4);
  std::string buffer(input);
  buffer.append(net::HttpRequest::kBodyPadding, '7');
  std::string_view body = std::string_view(buffer).substr(0, input.size());

  if (csv) {
    mlflow::CsvTable table;
    if (mlflow::ParseCsv(body, table).ok()) CHECK(table.cells.size() % table.columns.size() == 0);
  }
  static const mlflow::MlflowOptions options{.model = "", .output = "*"};
  static mlflow::InvocationsCodec codec;
  static PredictionCall call;
  codec.SetOptions(&options);
  for (const Signature* signature : {&stacked, &named}) {
    codec.SetContentType(csv ? mlflow::ContentType::kCsv : mlflow::ContentType::kJson);
    if (!codec.Decode(body, *signature, call).ok()) continue;
    std::vector<TensorView> outputs;
    for (size_t i = 0; i < call.input_count; ++i) {
      if (call.inputs[i].type() == DataType::kInvalid) continue;
      CHECK(CheckAgainst(signature->inputs[i], call.inputs[i].View()).ok());
      outputs.push_back(call.inputs[i].View());
    }
    call.outputs = outputs;
    std::string answer;
    if (codec.Encode(call, answer).ok()) {
      CHECK(answer.starts_with("{\"predictions\": ") && answer.ends_with('}'));
    }
    call.outputs = {};
  }
  return 0;
}
