#include "storage/triton_config.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <filesystem>

#include "base/fs.h"
#include "base/strings.h"
#include "storage/triton_config.pb.h"

namespace leadsman {
namespace {

constexpr const char* kFileName = "config.pbtxt";
constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr size_t kMaxLabelBytes = size_t{16} << 20;

/// Keeps the first problem; unknown fields are only warned of.
class FirstProblem final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (text_.empty()) text_ = StrCat(kFileName, ":", line + 1, ":", column + 1, ": ", message);
  }
  void AddWarning(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

Result<std::vector<std::string>> ReadLabels(const std::string& model_folder,
                                            const std::string& file) {
  const std::filesystem::path relative = std::filesystem::path(file).lexically_normal();
  if (relative.is_absolute() || relative.string().starts_with("..")) {
    return InvalidArgumentError(
        StrCat(kFileName, ": label_filename ", file, " must lie in the model's folder"));
  }
  ASSIGN_OR_RETURN(std::string text,
                   ReadFile(JoinPath(model_folder, relative.string()), kMaxLabelBytes));
  std::vector<std::string> labels;
  for (std::string_view line : Split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    labels.emplace_back(line);
  }
  while (!labels.empty() && labels.back().empty()) labels.pop_back();
  return labels;
}

}  // namespace

Result<TritonConfig> ReadTritonConfig(const std::string& model_folder) {
  TritonConfig config;
  const std::string path = JoinPath(model_folder, kFileName);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return config;
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxConfigBytes));
  triton::ModelConfig message;
  FirstProblem problem;
  google::protobuf::TextFormat::Parser parser;
  parser.AllowUnknownField(true);
  parser.RecordErrorsTo(&problem);
  if (!parser.ParseFromString(text, &message)) return InvalidArgumentError(problem.text());
  config.max_batch_size = message.max_batch_size();
  config.sequences = message.has_sequence_batching();
  for (const triton::ModelOutput& output : message.output()) {
    if (output.label_filename().empty()) continue;
    ASSIGN_OR_RETURN(config.class_labels[output.name()],
                     ReadLabels(model_folder, output.label_filename()));
  }
  return config;
}

}  // namespace leadsman
