#include "protocol/mlflow/frame.h"

#include <algorithm>

#include "base/strings.h"
#include "protocol/mlflow/csv.h"

namespace leadsman::mlflow {
namespace {

constexpr size_t kShownNames = 20;

std::string Shown(const std::vector<std::string>& columns) {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(columns.size(), kShownNames); ++i)
    names.emplace_back(CutUtf8(columns[i], 64));
  std::string text = HumanList(names);
  if (columns.size() > kShownNames)
    text += StrCat(" (and ", columns.size() - kShownNames, " more)");
  return text;
}

Status TwoColumns(const std::string& name) {
  return InvalidArgumentError(StrCat("the column '", CutUtf8(name, 64), "' is there twice"));
}

void AppendCell(std::string& text, std::string_view cell, bool csv, DataType type) {
  if (!csv) {
    text += cell;
  } else if (type == DataType::kBytes) {
    AppendJsonString(text, cell);
  } else if (type == DataType::kBool) {
    AppendCsvBool(text, cell);
  } else {
    AppendCsvNumber(text, cell);
  }
}

Status DecodeText(const std::string& text, ArrayDecoder& decoder) {
  JsonCursor json(text);
  bool ok = json.Object([&](std::string_view) { return decoder.Append(json, 0); });
  return ok ? OkStatus() : json.error();
}

}  // namespace

Result<ColumnPlan> PlanColumns(const Signature& signature,
                               const std::vector<std::string>& columns) {
  ColumnPlan plan;
  std::string missing;
  for (const TensorSpec& spec : signature.inputs) {
    auto found = std::find(columns.begin(), columns.end(), spec.name);
    if (found == columns.end()) {
      plan.column_of.push_back(-1);
      if (!spec.optional && missing.empty()) missing = spec.name;
      continue;
    }
    if (std::find(found + 1, columns.end(), spec.name) != columns.end())
      return TwoColumns(spec.name);
    plan.column_of.push_back(static_cast<int>(found - columns.begin()));
  }
  if (missing.empty()) return plan;

  const int sole = SoleInput(signature);
  if (sole < 0) {
    return InvalidArgumentError(StrCat("there is no column for the input '", missing,
                                       "'; the model's inputs are ", InputNames(signature),
                                       ", the columns are ", Shown(columns)));
  }
  plan.input = static_cast<size_t>(sole);
  const TensorSpec& spec = signature.inputs[plan.input];
  if (spec.any_rank || spec.shape.rank() == 2) {
    plan.kind = ColumnPlan::Kind::kStacked;
    if (spec.any_rank || spec.shape[1] < 0 || spec.shape[1] == static_cast<int64_t>(columns.size()))
      return plan;
    std::string advice;
    if (!columns.empty() && (columns[0].empty() || columns[0] == "Unnamed: 0"))
      advice = "; the first one has no name: was the table written without index=False?";
    return InvalidArgumentError(StrCat("the model's input '", spec.name, "' takes ", spec.shape[1],
                                       spec.shape[1] == 1 ? " column" : " columns", ", not ",
                                       columns.size(), ": ", Shown(columns), advice));
  }
  if (spec.shape.rank() == 1 && columns.size() == 1) {
    plan.kind = ColumnPlan::Kind::kSingle;
    return plan;
  }
  return InvalidArgumentError(StrCat(
      "the columns ", Shown(columns), " cannot be the model's input '", spec.name, "', which is ",
      DataTypeName(spec.type), spec.shape.ToString(), "; send it as 'inputs'"));
}

void StoreInput(const Signature& signature, size_t input, DecodeBuffers& buffers,
                PredictionCall& call) {
  const TensorSpec& spec = signature.inputs[input];
  ArrayDecoder& decoder = buffers.decoders[input];
  Shape shape = decoder.shape();
  if (!spec.any_rank && shape.rank() == 1 && spec.shape.rank() == 2 &&
      (spec.shape[1] == 1 || spec.shape[1] < 0))
    shape.Append(1);
  decoder.Store(shape, call.inputs[input]);
}

Status StoreFrame(const Frame& frame, const Signature& signature, DecodeBuffers& buffers,
                  std::string& text, PredictionCall& call) {
  const size_t width = frame.columns.size();
  const size_t rows = frame.rows();
  if (rows == 0) return InvalidArgumentError("the table has no rows; at least one is needed");
  ASSIGN_OR_RETURN(ColumnPlan plan, PlanColumns(signature, frame.columns));
  auto column = [&](size_t input, size_t at) -> Status {
    text.assign("{\"v\":[");
    for (size_t row = 0; row < rows; ++row) {
      if (row > 0) text += ',';
      AppendCell(text, frame.cells[row * width + at], frame.csv, signature.inputs[input].type);
    }
    text += "]}";
    RETURN_IF_ERROR(DecodeText(text, buffers.decoders[input]));
    StoreInput(signature, input, buffers, call);
    return OkStatus();
  };
  if (plan.kind == ColumnPlan::Kind::kNamed) {
    for (size_t i = 0; i < signature.inputs.size(); ++i) {
      if (plan.column_of[i] >= 0)
        RETURN_IF_ERROR(column(i, static_cast<size_t>(plan.column_of[i])));
    }
    return OkStatus();
  }
  if (plan.kind == ColumnPlan::Kind::kSingle) return column(plan.input, 0);
  text.assign("{\"v\":[");
  for (size_t row = 0; row < rows; ++row) {
    text += row > 0 ? ",[" : "[";
    for (size_t at = 0; at < width; ++at) {
      if (at > 0) text += ',';
      AppendCell(text, frame.cells[row * width + at], frame.csv, signature.inputs[plan.input].type);
    }
    text += ']';
  }
  text += "]}";
  RETURN_IF_ERROR(DecodeText(text, buffers.decoders[plan.input]));
  StoreInput(signature, plan.input, buffers, call);
  return OkStatus();
}

}  // namespace leadsman::mlflow
