#include <benchmark/benchmark.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/strings.h"
#include "intake/line_reader.h"
#include "support/test_paths.h"

// Time and bytes a line of each format: the requests of testdata/*.log over and over. One pass after the other, so that the
// kept second of the time parser misses as seldom as in a busy log.

namespace leadsman::intake {
namespace {

std::string ReadFile(const std::string& name) {
  std::ifstream in(SourceDir() + "/src/intake/testdata/" + name + ".log", std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The lines that are requests, so that a figure is one of requests.
struct Log {
  explicit Log(const std::string& name, const FormatOptions& options = {}) : text(ReadFile(name)) {
    std::vector<std::string_view> all = Split(text, '\n');
    Result<Recognition> found = Recognise(all, options);
    CHECK(found.ok());
    envelope = found->envelope;
    parser = std::move(found->parser);
    LogRecord record;
    Envelope open(envelope);
    for (std::string_view line : all) {
      std::optional<Envelope::Line> whole = open.Feed(line);
      if (!whole || parser->Parse(whole->content, record) != Verdict::kRequest) continue;
      lines.push_back(line);
      bytes += line.size() + 1;
    }
    CHECK(!lines.empty());
  }
  std::string text;
  std::vector<std::string_view> lines;
  size_t bytes = 0;
  EnvelopeKind envelope = EnvelopeKind::kNone;
  std::unique_ptr<LineParser> parser;
};

void Report(benchmark::State& state, const Log& log) {
  auto passes = static_cast<int64_t>(state.iterations());
  state.SetItemsProcessed(passes * static_cast<int64_t>(log.lines.size()));
  state.SetBytesProcessed(passes * static_cast<int64_t>(log.bytes));
  state.counters["s_per_line"] =
      benchmark::Counter(static_cast<double>(passes) * static_cast<double>(log.lines.size()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void Parse(benchmark::State& state, const std::string& name, const FormatOptions& options) {
  Log log(name, options);
  LogRecord record;
  for (auto _ : state)
    for (std::string_view line : log.lines)
      benchmark::DoNotOptimize(log.parser->Parse(line, record));
  Report(state, log);
}

class CountingSink final : public RecordSink {
 public:
  void OnRequest(const LogRecord& record) override { bytes_ += record.target.size(); }
  void OnError(const ErrorEvent&) override {}
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

/// Through the envelope and the joining of stack traces.
void ReadLines(benchmark::State& state, const std::string& name) {
  Log log(name);
  LineReader reader(std::move(log.parser), log.envelope);
  CountingSink sink;
  for (auto _ : state)
    for (std::string_view line : log.lines) reader.Feed(line, sink);
  benchmark::DoNotOptimize(sink.bytes());
  Report(state, log);
}

FormatOptions Combined() {
  FormatOptions options;
  options.pattern =
      "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
      "\"$http_referer\" \"$http_user_agent\"";
  return options;
}

FormatOptions Features() {
  FormatOptions options;
  options.fields = {
      {"features", "features"}, {"predicted", "prediction"}, {"score", "probability"}};
  return options;
}

BENCHMARK_CAPTURE(Parse, nginx_combined, "nginx_combined", FormatOptions());
BENCHMARK_CAPTURE(Parse, nginx_with_request_time, "nginx_timed", FormatOptions());
BENCHMARK_CAPTURE(Parse, ingress_nginx, "nginx_ingress", FormatOptions());
BENCHMARK_CAPTURE(Parse, gunicorn, "gunicorn_stdout", FormatOptions());
BENCHMARK_CAPTURE(Parse, declared_pattern, "nginx_combined", Combined());
BENCHMARK_CAPTURE(Parse, envoy_default, "envoy_default", FormatOptions());
BENCHMARK_CAPTURE(Parse, envoy_istio, "envoy_istio", FormatOptions());
BENCHMARK_CAPTURE(Parse, envoy_json, "envoy_json", FormatOptions());
BENCHMARK_CAPTURE(Parse, nginx_json, "nginx_json", FormatOptions());
BENCHMARK_CAPTURE(Parse, json_with_4_features, "python_json_logger", Features());
BENCHMARK_CAPTURE(Parse, uvicorn, "uvicorn", FormatOptions());
BENCHMARK_CAPTURE(Parse, uvicorn_with_colours, "uvicorn_colour", FormatOptions());
BENCHMARK_CAPTURE(Parse, logfmt, "structlog_logfmt", FormatOptions());
BENCHMARK_CAPTURE(ReadLines, nginx_with_request_time, "nginx_timed");
BENCHMARK_CAPTURE(ReadLines, uvicorn_in_cri, "cri_uvicorn");

}  // namespace
}  // namespace leadsman::intake
