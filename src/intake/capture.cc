// Lines that a service writes about its own calls with their bodies: SageMaker's data capture.
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/base64.h"
#include "base/strings.h"
#include "intake/format_note.h"
#include "intake/log_format.h"
#include "intake/payload.h"
#include "intake/program_line.h"

namespace leadsman::intake {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;

std::string_view TextOf(const simdjson::simdjson_result<dom::element>& element) {
  std::string_view text;
  if (element.get_string().get(text) != SUCCESS) return {};  // absent, or of another type
  return text;
}

/// {"captureData": {"endpointInput": {"observedContentType", "mode", "data", "encoding"}, "endpointOutput": {…}},
///  "eventMetadata": {"eventId", "inferenceId", "inferenceTime"}, "eventVersion": "0"}
class CaptureParser final : public LineParser {
 public:
  explicit CaptureParser(const FormatOptions& options) : time_(options.zone_if_unsaid) {
    note_.title = "SageMaker data capture";
    note_.gives = {"features and predictions from the captured bodies",
                   "request ids from inferenceId or eventId"};
    note_.lacks = {"path", "status", "latency"};
    note_.fix = "say with model: which model the endpoint is";
  }

  Verdict Parse(std::string_view line, LogRecord& record) override {
    record.Clear();
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos || line[begin] != '{')
      return ClassifyProgramLine(line, time_, record);
    dom::element root;
    dom::object capture;
    if (line.size() > kMaxLineBytes || parser_.parse(line.data(), line.size()).get(root) != SUCCESS)
      return Verdict::kMalformed;
    if (root["captureData"].get_object().get(capture) != SUCCESS) return Verdict::kOther;
    ReadMetadata(root["eventMetadata"], record);
    ReadInput(capture["endpointInput"], record);
    ReadOutput(capture["endpointOutput"], record);
    record.inference = true;
    return Verdict::kRequest;
  }
  const FormatNote& note() const override { return note_; }

 private:
  void ReadMetadata(simdjson::simdjson_result<dom::element> metadata, LogRecord& record) {
    record.request_id = TextOf(metadata["inferenceId"]);
    if (record.request_id.empty()) record.request_id = TextOf(metadata["eventId"]);
    std::string_view time = TextOf(metadata["inferenceTime"]);
    if (time.empty()) return;
    record.unix_ns = time_.Parse(time);
    if (!record.unix_ns) ++record.unreadable;
  }

  /// The body as it was on the wire; nothing when there is none.
  std::string_view Body(const simdjson::simdjson_result<dom::element>& side, std::string& decoded,
                        std::string_view& content_type, LogRecord& record) {
    content_type = TextOf(side["observedContentType"]);
    std::string_view data = TextOf(side["data"]);
    std::string_view encoding = TextOf(side["encoding"]);
    if (content_type.empty() && encoding == "CSV") content_type = "text/csv";
    if (encoding != "BASE64") return data;
    if (DecodeBase64(data, decoded)) return decoded;
    ++record.unreadable;
    return {};
  }
  void ReadInput(const simdjson::simdjson_result<dom::element>& side, LogRecord& record) {
    std::string_view content_type;
    std::string_view body = Body(side, decoded_input_, content_type, record);
    if (body.empty()) return;
    record.request_bytes = body.size();
    std::optional<PayloadInputs> inputs = payload_.ReadInputs(body, content_type);
    if (!inputs) {
      ++record.unreadable;
      return;
    }
    record.rows = inputs->rows;
    record.features = inputs->features;
    record.feature_names = inputs->names;
    record.features_cut = inputs->cut;
  }
  void ReadOutput(const simdjson::simdjson_result<dom::element>& side, LogRecord& record) {
    std::string_view content_type;
    std::string_view body = Body(side, decoded_output_, content_type, record);
    if (body.empty()) return;
    record.response_bytes = body.size();
    std::optional<PayloadOutputs> outputs = payload_.ReadOutputs(body, content_type);
    if (!outputs) {
      ++record.unreadable;
      return;
    }
    if (!record.rows) record.rows = outputs->rows;
    record.predictions = outputs->predicted;
    if (!outputs->predicted.empty()) record.predicted = outputs->predicted[0];
    record.score = outputs->score;
    record.score_of = outputs->score_of;
    record.row_scores = outputs->row_scores;
    record.class_scores = outputs->class_scores;
  }

  TimeParser time_;
  FormatNote note_;
  dom::parser parser_;
  PayloadReader payload_;
  std::string decoded_input_;
  std::string decoded_output_;
};

}  // namespace

ParserOrNull MakeCaptureParser(std::span<const std::string_view> lines,
                               const FormatOptions& options) {
  const bool captured = std::any_of(lines.begin(), lines.end(), [](std::string_view line) {
    return line.starts_with('{') && line.find("\"captureData\"") != std::string_view::npos;
  });
  if (!captured && options.format.empty()) return std::unique_ptr<LineParser>();
  return std::unique_ptr<LineParser>(std::make_unique<CaptureParser>(options));
}

}  // namespace leadsman::intake
