#include "protocol/mlflow/invocations.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "protocol/json_writer.h"
#include "protocol/mlflow/csv.h"

namespace leadsman::mlflow {
namespace {

constexpr size_t kShownName = 64;
constexpr std::string_view kFields[] = {"dataframe_split", "dataframe_records", "instances",
                                        "inputs"};

Status ExactlyOne(std::string_view found) {
  return InvalidArgumentError(
      StrCat("The input must be a JSON dictionary with exactly one of the input fields "
             "dataframe_split, dataframe_records, instances, inputs (MLflow's protocol since 2.0); "
             "it has ",
             found));
}

bool IsField(std::string_view key) {
  return std::find(std::begin(kFields), std::end(kFields), key) != std::end(kFields);
}

constexpr std::string_view kParams = "params";

/// The input of a model that takes `params`: an optional text beside its columns. -1 when it takes none.
int ParamsInput(const Signature& signature) {
  const int input = FindInputIndex(signature, kParams);
  if (input < 0) return -1;
  const TensorSpec& spec = signature.inputs[static_cast<size_t>(input)];
  const bool takes = spec.optional && spec.type == DataType::kBytes && spec.shape == Shape{1};
  return takes ? input : -1;
}

/// Of a body whose field is wrong: two of them are what is to be said first.
Status CheckOneField(std::string_view body) {
  JsonCursor json(body);
  std::vector<std::string> found;
  const bool read = json.Object([&](std::string_view key) {
    if (IsField(key) && found.size() < 2) found.emplace_back(key);
    return json.Skip();
  });
  if (!read || found.size() < 2) return OkStatus();
  return ExactlyOne(StrCat("both ", found[0], " and ", found[1]));
}

std::string_view ErrorCode(StatusCode code) {
  switch (code) {
    case StatusCode::kNotFound:
      return "RESOURCE_DOES_NOT_EXIST";
    case StatusCode::kUnavailable:
      return "TEMPORARILY_UNAVAILABLE";
    case StatusCode::kResourceExhausted:
      return "REQUEST_LIMIT_EXCEEDED";
    case StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case StatusCode::kCancelled:
      return "CANCELLED";
    case StatusCode::kUnimplemented:
      return "NOT_IMPLEMENTED";
    case StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    case StatusCode::kInternal:
    case StatusCode::kUnknown:
    case StatusCode::kDataLoss:
      return "INTERNAL_ERROR";
    default:
      return "BAD_REQUEST";
  }
}

/// Inputs that have any number of rows have the same number of them.
Status CheckRows(const Signature& signature, const PredictionCall& call) {
  const Tensor* first = nullptr;
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    const Tensor& input = call.inputs[i];
    const Shape& wanted = signature.inputs[i].shape;
    if (input.type() == DataType::kInvalid || input.shape().rank() == 0 || wanted.rank() == 0 ||
        wanted[0] >= 0)
      continue;
    if (first == nullptr) {
      first = &input;
    } else if (first->shape()[0] != input.shape()[0]) {
      return InvalidArgumentError(StrCat("input '", input.name(), "' has ", input.shape()[0],
                                         " rows, '", first->name(), "' has ", first->shape()[0]));
    }
  }
  return OkStatus();
}

/// [rows,1] is one column: a list of values.
TensorView Flat(TensorView output) {
  if (output.shape.rank() == 2 && output.shape[1] == 1) output.shape = {output.shape[0]};
  return output;
}

Status AppendRecords(std::string& out, std::span<const TensorView> outputs) {
  const int64_t rows = outputs[0].shape.rank() > 0 ? outputs[0].shape[0] : 0;
  for (const TensorView& output : outputs) {
    RETURN_IF_ERROR(CheckJsonForm(output, BytesForm::kText));
    if (output.shape.rank() == 0 || output.shape[0] != rows) {
      return InternalError(StrCat("output '", output.name,
                                  "' has not one value a row, as the others have; set "
                                  "mlflow.output to the one that is the prediction"));
    }
  }
  out += '[';
  for (int64_t row = 0; row < rows; ++row) {
    out += row > 0 ? ",{" : "{";
    for (size_t i = 0; i < outputs.size(); ++i) {
      TensorView output = Flat(outputs[i]);
      if (i > 0) out += ',';
      AppendJsonString(out, output.name);
      out += ':';
      const auto per_row = static_cast<size_t>(output.element_count / rows);
      AppendNested(out, output, 1, static_cast<size_t>(row) * per_row, BytesForm::kText);
    }
    out += '}';
  }
  out += ']';
  return OkStatus();
}

}  // namespace

Result<ContentType> ParseContentType(std::string_view value) {
  const std::vector<std::string_view> parts = Split(value, ';');
  std::string_view type = parts.empty() ? std::string_view() : Trim(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) {
    std::string_view parameter = Trim(parts[i]);
    if (parameter.empty()) continue;
    size_t equals = std::min(parameter.find('='), parameter.size());
    std::string_view name = Trim(parameter.substr(0, equals));
    std::string_view text = Trim(parameter.substr(std::min(equals + 1, parameter.size())));
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
      text = text.substr(1, text.size() - 2);
    if (!EqualsIgnoreCase(name, "charset")) {
      return UnimplementedError(
          StrCat("Unrecognized content type parameters: ", CutUtf8(name, kShownName)));
    }
    if (!EqualsIgnoreCase(text, "utf-8"))
      return UnimplementedError("The scoring server only supports UTF-8");
  }
  if (type.empty() || EqualsIgnoreCase(type, "application/json")) return ContentType::kJson;
  if (EqualsIgnoreCase(type, "text/csv")) return ContentType::kCsv;
  return UnimplementedError(
      StrCat("This predictor only supports the following content types: application/json and "
             "text/csv. Got '",
             CutUtf8(type, kShownName), "'."));
}

void AppendMlflowError(std::string& out, const Status& status) {
  out += "{\"error_code\": \"";
  out += ErrorCode(status.code());
  out += "\", \"message\": ";
  AppendJsonString(out, status.message());
  out += '}';
}

void InvocationsCodec::AppendError(std::string& out, const Status& status) const {
  AppendMlflowError(out, status);
}

Status InvocationsCodec::Decode(std::string_view body, PredictionCall& call) {
  return Decode(body, call.signature_called(), call);
}

Status InvocationsCodec::Decode(std::string_view body, const Signature& signature,
                                PredictionCall& call) {
  PrepareInputs(signature, call);
  params_ignored_ = false;
  RETURN_IF_ERROR(
      BeginInputs(signature, {.b64 = true, .null_is_nan = true, .show_values = false}, buffers_));
  frame_.columns.clear();
  frame_.cells.clear();
  if (type_ == ContentType::kCsv) return DecodeCsv(body, signature, call);
  body_ = body;
  std::string_view begin = Trim(body.substr(0, 64));
  if (begin.starts_with('[')) return ExactlyOne("a list instead");
  JsonCursor json(body);
  std::string found;
  bool ok = json.Object([&](std::string_view key) {
    if (key == "params") return TakeParams(json, signature, call);
    if (!IsField(key)) return json.Skip();
    if (!found.empty()) return json.Fail(ExactlyOne(StrCat("both ", found, " and ", key)));
    found.assign(key);
    return DecodeField(json, key, signature, call);
  });
  if (!ok || !json.End()) {
    const Status several = CheckOneField(body);
    return several.ok() ? json.error() : several;
  }
  if (found.empty()) return ExactlyOne("none");
  RETURN_IF_ERROR(CheckRows(signature, call));
  return CheckInputs(signature, call);
}

/// For the model to judge, as JSON: names, types and defaults are its own. One that takes none is asked without, as MLflow does.
bool InvocationsCodec::TakeParams(JsonCursor& json, const Signature& signature,
                                  PredictionCall& call) {
  const JsonCursor::Kind kind = json.Peek();
  if (kind != JsonCursor::Kind::kObject && kind != JsonCursor::Kind::kNull)
    return json.Fail(InvalidArgumentError("'params' must be an object"));
  const size_t begin = json.position();
  if (!json.Skip()) return false;
  const int input = ParamsInput(signature);
  if (kind == JsonCursor::Kind::kNull) return true;
  if (input < 0) {
    const std::string_view text = body_.substr(begin + 1, json.position() - begin - 2);
    params_ignored_ = !Trim(text).empty();
    return true;
  }
  Tensor& tensor = call.inputs[static_cast<size_t>(input)];
  tensor.Reset(kParams, DataType::kBytes);
  tensor.shape() = {1};
  tensor.PushString(body_.substr(begin, json.position() - begin));
  return true;
}

Status InvocationsCodec::DecodeCsv(std::string_view body, const Signature& signature,
                                   PredictionCall& call) {
  CsvTable table;
  RETURN_IF_ERROR(ParseCsv(body, table));
  frame_.csv = true;
  frame_.columns = std::move(table.columns);
  frame_.cells = std::move(table.cells);
  RETURN_IF_ERROR(StoreFrame(frame_, signature, buffers_, text_, call));
  return CheckInputs(signature, call);
}

bool InvocationsCodec::DecodeField(JsonCursor& json, std::string_view key,
                                   const Signature& signature, PredictionCall& call) {
  frame_.csv = false;
  if (key == "dataframe_split") return DecodeSplit(json, signature, call);
  if (key == "dataframe_records") return DecodeRecords(json, key, signature, call);
  if (json.Peek() == JsonCursor::Kind::kObject && !IsB64Value(json, signature)) {
    if (key == "inputs") return DecodeColumns(json, signature, call);
    return json.Fail(InvalidArgumentError("'instances' must be a list, one entry a row"));
  }
  if (json.Peek() == JsonCursor::Kind::kArray) {
    const size_t start = json.position();
    if (!json.Enter('[', "a list")) return false;
    const bool records = json.Peek() == JsonCursor::Kind::kObject && !IsB64Value(json, signature);
    json.Leave();
    json.Seek(start);
    if (records) return DecodeRecords(json, key, signature, call);
  }
  return DecodeTensor(json, key, signature, call);
}

bool InvocationsCodec::DecodeTensor(JsonCursor& json, std::string_view field,
                                    const Signature& signature, PredictionCall& call) {
  const int sole = SoleInput(signature);
  if (sole < 0) {
    return json.Fail(InvalidArgumentError(
        StrCat("'", field, "' must name the model's inputs: ", InputNames(signature))));
  }
  const auto input = static_cast<size_t>(sole);
  if (!buffers_.decoders[input].Append(json, 0)) return false;
  StoreInput(signature, input, buffers_, call);
  return true;
}

bool InvocationsCodec::ReadColumnNames(JsonCursor& json) {
  if (!frame_.columns.empty())
    return json.Fail(InvalidArgumentError("'dataframe_split' has 'columns' twice"));
  if (json.Peek() != JsonCursor::Kind::kArray)
    return json.Fail(InvalidArgumentError("'dataframe_split.columns' must be a list of names"));
  return json.Array([&](size_t at) {
    if (json.Peek() == JsonCursor::Kind::kString) {
      std::string_view name;
      if (!json.String(name, buffers_.scratch)) return false;
      frame_.columns.emplace_back(name);
      return true;
    }
    // pandas numbers columns that have no names.
    if (json.Peek() == JsonCursor::Kind::kNumber) {
      frame_.columns.push_back(json.Excerpt());
      return json.Skip();
    }
    return json.Fail(
        InvalidArgumentError(StrCat("'dataframe_split.columns'[", at, "] must be a name")));
  });
}

bool InvocationsCodec::TakeCell(JsonCursor& json) {
  json.Peek();
  const size_t begin = json.position();
  if (!json.Skip()) return false;
  frame_.cells.push_back(body_.substr(begin, json.position() - begin));
  return true;
}

bool InvocationsCodec::Store(JsonCursor& json, const Signature& signature, PredictionCall& call) {
  Status stored = StoreFrame(frame_, signature, buffers_, text_, call);
  return stored.ok() || json.Fail(std::move(stored));
}

bool InvocationsCodec::DecodeSplit(JsonCursor& json, const Signature& signature,
                                   PredictionCall& call) {
  if (json.Peek() != JsonCursor::Kind::kObject) {
    return json.Fail(
        InvalidArgumentError("'dataframe_split' must be an object with 'columns' and 'data'"));
  }
  bool has_columns = false, has_data = false;
  std::optional<size_t> later;  // where 'data' stands that came before 'columns'
  bool ok = json.Object([&](std::string_view key) {
    if (key == "columns") {
      has_columns = true;
      return ReadColumnNames(json);
    }
    if (key != "data") return json.Skip();  // the index says nothing to a model
    if (has_data) return json.Fail(InvalidArgumentError("'dataframe_split' has 'data' twice"));
    has_data = true;
    if (json.Peek() != JsonCursor::Kind::kArray)
      return json.Fail(InvalidArgumentError("'dataframe_split.data' must be a list of rows"));
    if (has_columns) return DecodeSplitData(json, signature, call);
    later = json.position();
    return json.Skip();
  });
  if (!ok) return false;
  if (!has_data || !has_columns) {
    return json.Fail(InvalidArgumentError(
        StrCat("'dataframe_split' lacks '", has_data ? "columns" : "data", "'")));
  }
  if (!later) return true;
  const size_t end = json.position();
  json.Seek(*later);
  if (!DecodeSplitData(json, signature, call)) return false;
  json.Seek(end);
  return true;
}

bool InvocationsCodec::DecodeSplitData(JsonCursor& json, const Signature& signature,
                                       PredictionCall& call) {
  Result<ColumnPlan> plan = PlanColumns(signature, frame_.columns);
  if (!plan.ok()) return json.Fail(plan.status());
  const size_t width = frame_.columns.size();
  if (plan->kind == ColumnPlan::Kind::kStacked) {
    // As it stands it is the tensor.
    ArrayDecoder& decoder = buffers_.decoders[plan->input];
    if (!decoder.Append(json, 0)) return false;
    Shape shape = decoder.shape();
    if (shape.rank() >= 1 && shape[0] == 0)
      return json.Fail(InvalidArgumentError("'dataframe_split.data' has no rows"));
    if (shape.rank() < 2 || shape[1] != static_cast<int64_t>(width)) {
      return json.Fail(InvalidArgumentError(StrCat("'dataframe_split.data' must have rows of ",
                                                   width, " values, as 'columns' says")));
    }
    StoreInput(signature, plan->input, buffers_, call);
    return true;
  }
  bool ok = json.Array([&](size_t row) {
    if (json.Peek() != JsonCursor::Kind::kArray) {
      return json.Fail(
          InvalidArgumentError(StrCat("'dataframe_split.data'[", row, "] must be a list")));
    }
    const size_t before = frame_.cells.size();
    if (!json.Array([&](size_t) { return TakeCell(json); })) return false;
    if (frame_.cells.size() - before == width) return true;
    return json.Fail(InvalidArgumentError(StrCat("'dataframe_split.data'[", row, "] has ",
                                                 frame_.cells.size() - before,
                                                 " values, 'columns' has ", width)));
  });
  return ok && Store(json, signature, call);
}

bool InvocationsCodec::DecodeRecords(JsonCursor& json, std::string_view field,
                                     const Signature& signature, PredictionCall& call) {
  auto wrong = [&](size_t row, std::string_view what) {
    return json.Fail(InvalidArgumentError(StrCat("'", field, "'[", row, "] ", what)));
  };
  if (json.Peek() != JsonCursor::Kind::kArray)
    return json.Fail(InvalidArgumentError(StrCat("'", field, "' must be a list of records")));
  constexpr std::string_view kNoValue = "null";
  bool ok = json.Array([&](size_t row) {
    if (json.Peek() != JsonCursor::Kind::kObject) return wrong(row, "must be an object");
    const size_t first = frame_.cells.size();
    size_t next = 0;
    if (row > 0) frame_.cells.resize(first + frame_.columns.size());
    return json.Object([&](std::string_view key) {
      if (row == 0) {
        if (std::find(frame_.columns.begin(), frame_.columns.end(), key) != frame_.columns.end())
          return wrong(row, "has a column twice");
        frame_.columns.emplace_back(key);
        return TakeCell(json);
      }
      // Rows nearly always have their columns in the same order.
      if (next >= frame_.columns.size() || frame_.columns[next] != key) {
        auto found = std::find(frame_.columns.begin(), frame_.columns.end(), key);
        if (found == frame_.columns.end()) {
          return wrong(row, StrCat("has the column '", CutUtf8(key, kShownName),
                                   "', which the first row lacks"));
        }
        next = static_cast<size_t>(found - frame_.columns.begin());
      }
      std::string_view& cell = frame_.cells[first + next++];
      if (!cell.empty()) return wrong(row, "has a column twice");
      json.Peek();
      const size_t begin = json.position();
      if (!json.Skip()) return false;
      cell = body_.substr(begin, json.position() - begin);
      return true;
    });
  });
  if (!ok) return false;
  // As in pandas: a value that is not there is a missing one.
  for (std::string_view& cell : frame_.cells) {
    if (cell.empty()) cell = kNoValue;
  }
  if (frame_.columns.empty())
    return json.Fail(InvalidArgumentError(StrCat("'", field, "' has no rows with columns")));
  return Store(json, signature, call);
}

bool InvocationsCodec::DecodeColumns(JsonCursor& json, const Signature& signature,
                                     PredictionCall& call) {
  // {"name": values of all rows, …}: inputs of these names, or columns of the only one.
  const size_t start = json.position();
  std::vector<std::string> names;
  bool ok = json.Object([&](std::string_view key) {
    names.emplace_back(key);
    return json.Skip();
  });
  if (!ok) return false;
  Result<ColumnPlan> plan = PlanColumns(signature, names);
  if (!plan.ok()) return json.Fail(plan.status());
  const size_t end = json.position();
  json.Seek(start);
  if (plan->kind != ColumnPlan::Kind::kStacked) {
    size_t at = 0;
    ok = json.Object([&](std::string_view) {
      const int here = static_cast<int>(at++);
      for (size_t i = 0; i < signature.inputs.size(); ++i) {
        const bool wanted =
            plan->kind == ColumnPlan::Kind::kSingle ? i == plan->input : plan->column_of[i] == here;
        if (!wanted) continue;
        if (!buffers_.decoders[i].Append(json, 0)) return false;
        StoreInput(signature, i, buffers_, call);
        return true;
      }
      return json.Skip();
    });
    return ok;
  }
  std::vector<std::string_view> by_column;
  std::optional<size_t> rows;
  frame_.cells.clear();
  ok = json.Object([&](std::string_view key) {
    if (json.Peek() != JsonCursor::Kind::kArray) {
      return json.Fail(InvalidArgumentError(
          StrCat("'inputs.", CutUtf8(key, kShownName), "' must be a list, one value a row")));
    }
    const size_t before = frame_.cells.size();
    if (!json.Array([&](size_t) { return TakeCell(json); })) return false;
    const size_t count = frame_.cells.size() - before;
    if (rows && *rows != count) {
      return json.Fail(InvalidArgumentError(StrCat("'inputs.", CutUtf8(key, kShownName), "' has ",
                                                   count, " values, others have ", *rows)));
    }
    rows = count;
    return true;
  });
  if (!ok) return false;
  json.Seek(end);
  by_column.swap(frame_.cells);
  frame_.columns = std::move(names);
  const size_t width = frame_.columns.size();
  for (size_t row = 0; row < rows.value_or(0); ++row) {
    for (size_t at = 0; at < width; ++at) frame_.cells.push_back(by_column[at * *rows + row]);
  }
  return Store(json, signature, call);
}

Status InvocationsCodec::Encode(const PredictionCall& call, std::string& out) {
  out += "{\"predictions\": ";
  const std::string& wanted = options_->output;
  if (call.outputs.empty()) return InternalError("the model gave no outputs");
  if (wanted == "*" && call.outputs.size() > 1) {
    RETURN_IF_ERROR(AppendRecords(out, call.outputs));
  } else {
    const TensorView* chosen = &call.outputs[0];
    if (!wanted.empty() && wanted != "*") {
      auto found = std::find_if(call.outputs.begin(), call.outputs.end(),
                                [&](const TensorView& output) { return output.name == wanted; });
      if (found == call.outputs.end()) {
        return InternalError(
            StrCat("the configured output '", wanted, "' is not one of the model's"));
      }
      chosen = &*found;
    }
    RETURN_IF_ERROR(CheckJsonForm(*chosen, BytesForm::kText));
    AppendNested(out, Flat(*chosen), 0, 0, BytesForm::kText);
  }
  out += '}';
  return OkStatus();
}

}  // namespace leadsman::mlflow
