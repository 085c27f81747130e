#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/strings.h"
#include "intake/line_reader.h"

namespace {

using namespace leadsman;
using namespace leadsman::intake;

/// Reads all that a record points to, so that a view that dangles is found.
class ReadingSink final : public RecordSink {
 public:
  void OnRequest(const LogRecord& record) override {
    for (std::string_view text :
         {record.method, record.path, record.target, record.protocol, record.client,
          record.user_agent, record.request_id, record.traceparent, record.model, record.version,
          record.version_label, record.error, record.predicted, record.label})
      Touch(text);
    for (std::string_view name : record.feature_names) Touch(name);
    for (std::string_view one : record.predictions) Touch(one);
    for (float value : record.features) sum_ = sum_ + (value > 0 ? 1 : 0);
    CHECK(record.feature_names.empty() || record.feature_names.size() == record.features.size());
    CHECK(!record.latency_ns || *record.latency_ns >= 0);
    CHECK(!record.upstream_latency_ns || *record.upstream_latency_ns >= 0);
    CHECK(!record.unix_ns || *record.unix_ns >= 0);
    CHECK(!record.status || (*record.status >= 0 && *record.status <= 999));
    CHECK(!record.grpc_status || (*record.grpc_status >= 0 && *record.grpc_status <= 16));
    CHECK(record.target.starts_with(record.path));
  }
  void OnError(const ErrorEvent& event) override {
    CHECK(event.text.size() <= 3 * StackTraceJoiner::kMaxText);
    Touch(event.exception);
  }

 private:
  void Touch(std::string_view text) {
    for (char c : text) sum_ = sum_ + static_cast<unsigned char>(c);
  }
  volatile uint64_t sum_ = 0;
};

void ReadAll(std::unique_ptr<LineParser> parser, EnvelopeKind envelope,
             const std::vector<std::string_view>& lines) {
  LineReader reader(std::move(parser), envelope);
  ReadingSink sink;
  for (std::string_view line : lines) reader.Feed(line, sink);
  reader.Flush(sink);
  CHECK(reader.counts().lines == lines.size());
}

}  // namespace

/// A log file. The first byte says how it is read: 0xFF, what comes before a NUL is a pattern; else it is recognised, and read
/// by the format of that number as well.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  FormatOptions options;
  options.fields = {
      {"features", "x"}, {"predicted", "y.label"}, {"score", "y.score"}, {"latency_ms", "t"}};
  if (data[0] == 0xFF) {
    size_t end = text.find('\0');
    options.pattern = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  std::vector<std::string_view> lines = Split(text, '\n');
  if (Result<Recognition> log = Recognise(lines, options); log.ok()) {
    CHECK(!log->Sentence().empty());
    ReadAll(std::move(log->parser), log->envelope, lines);
  }
  if (data[0] == 0xFF) return 0;
  const LogFormat& format = LogFormats()[data[0] % LogFormats().size()];
  options.format = format.name;
  Result<std::unique_ptr<LineParser>> parser = format.make(lines, options);
  if (parser.ok() && *parser)
    ReadAll(std::move(*parser), static_cast<EnvelopeKind>(data[0] / 16 % 3), lines);
  return 0;
}
