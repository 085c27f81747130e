#include <algorithm>

#include "intake/log_format.h"
#include "intake/program_line.h"

namespace leadsman::intake {
namespace {

/// "failed to load 'broken' version 1: …" of Triton; "… Loading servable: {name: digits version: 3} failed: …" of TensorFlow
/// Serving.
void FindModel(std::string_view text, LogRecord& record) {
  auto between = [&](std::string_view open, std::string_view close) -> std::string_view {
    size_t at = text.find(open);
    if (at == std::string_view::npos) return {};
    at += open.size();
    size_t end = text.find_first_of(close, at);
    return end == std::string_view::npos ? std::string_view() : text.substr(at, end - at);
  };
  record.model = between("failed to load '", "'");
  if (!record.model.empty()) {
    record.version = between("' version ", ": ");
    return;
  }
  record.model = between("{name: ", " }");
  if (!record.model.empty()) record.version = between(" version: ", "}");
}

/// The logs of model servers about themselves: loads and errors. They tell of no single request at the level that they run
/// with, so that nothing here is ever a request.
class ServerLogParser final : public LineParser {
 public:
  ServerLogParser(bool triton, const FormatOptions& options) : time_(options.zone_if_unsaid) {
    note_.title = triton ? "server log of Triton" : "log of TensorFlow or TensorFlow Serving";
    note_.gives = {"errors and failed loads"};
    note_.lacks = {"requests: this log has no line for one"};
    note_.fix = "watch the server through Envoy, nginx or a proxy, or serve the model here";
    note_.requests = false;
  }

  Verdict Parse(std::string_view line, LogRecord& record) override {
    record.Clear();
    if (line.size() > kMaxLineBytes) return Verdict::kMalformed;
    Verdict verdict = ClassifyProgramLine(line, time_, record);
    if (record.level >= Level::kError) FindModel(record.error, record);
    return verdict;
  }
  const FormatNote& note() const override { return note_; }

 private:
  FormatNote note_;
  TimeParser time_;
};

bool Contains(std::string_view line, std::string_view word) {
  return line.substr(0, 300).find(word) != std::string_view::npos;  // heads stand in front
}

}  // namespace

ParserOrNull MakeServerLogParser(std::span<const std::string_view> lines,
                                 const FormatOptions& options) {
  bool triton = false, tensorflow = false;
  for (std::string_view line : lines) {
    triton |= Contains(line, " model_lifecycle.cc:") || Contains(line, " tritonserver.cc:") ||
              Contains(line, " pinned_memory_manager.cc:");
    tensorflow |= Contains(line, " tensorflow_serving/") || Contains(line, " tensorflow/") ||
                  Contains(line, "This TensorFlow binary");
  }
  if (!triton && !tensorflow && options.format.empty()) return std::unique_ptr<LineParser>();
  return std::unique_ptr<LineParser>(new ServerLogParser(triton || !tensorflow, options));
}

}  // namespace leadsman::intake
