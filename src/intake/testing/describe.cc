#include "intake/testing/describe.h"

#include <cstdio>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kUnknown:
      return "unknown";
    case Outcome::kOk:
      return "ok";
    case Outcome::kClientError:
      return "client_error";
    case Outcome::kServerError:
      return "server_error";
    case Outcome::kClientGone:
      return "client_gone";
  }
  return "";
}

class Words {
 public:
  void Text(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    Begin(name);
    AppendJsonString(out_, value);
  }
  template <typename T>
  void Number(std::string_view name, const std::optional<T>& value) {
    if (!value) return;
    Begin(name);
    out_ += StrCat(*value);
  }
  void Flag(std::string_view name, bool set) {
    if (set) out_ += StrCat(" ", name);
  }
  void Plain(std::string_view name, std::string_view value) {
    Begin(name);
    out_ += value;
  }
  std::string Take() { return std::move(out_); }

 private:
  void Begin(std::string_view name) { out_ += StrCat(out_.empty() ? "" : " ", name, "="); }
  std::string out_;
};

}  // namespace

std::string Describe(const LogRecord& record) {
  Words words;
  words.Plain("outcome", OutcomeName(record.outcome()));
  words.Number("time", record.unix_ns);
  words.Text("method", record.method);
  words.Text("path", record.path);
  if (record.target != record.path) words.Text("target", record.target);
  words.Text("protocol", record.protocol);
  words.Number("status", record.status);
  words.Number("grpc_status", record.grpc_status);
  words.Number("latency_ns", record.latency_ns);
  words.Number("upstream_ns", record.upstream_latency_ns);
  words.Number("in", record.request_bytes);
  words.Number("out", record.response_bytes);
  words.Text("client", record.client);
  words.Text("agent", record.user_agent);
  words.Text("id", record.request_id);
  words.Text("traceparent", record.traceparent);
  words.Text("model", record.model);
  words.Text("version", record.version);
  words.Text("label", record.version_label);
  words.Text("level", LevelName(record.level));
  words.Text("message", record.message);
  words.Text("error", record.error);
  std::string features;
  for (size_t i = 0; i < record.features.size() && i < 8; ++i) {
    char number[32];
    std::snprintf(number, sizeof number, "%g", static_cast<double>(record.features[i]));
    features += StrCat(i > 0 ? "," : "",
                       record.feature_names.empty() ? std::string_view() : record.feature_names[i],
                       record.feature_names.empty() ? "" : ":", number);
  }
  if (record.features.size() > 8) features += StrCat(",… ", record.features.size(), " in all");
  words.Text("features", features);
  for (size_t i = 0; i < record.segment_names.size(); ++i)
    words.Text(StrCat("segment.", record.segment_names[i]), record.segments[i]);
  words.Number("rows", record.rows);
  words.Text("predicted", record.predicted);
  std::string predictions;
  for (std::string_view one : record.predictions)
    predictions += StrCat(predictions.empty() ? "" : ",", one);
  if (record.predictions.size() > 1) words.Text("predictions", predictions);
  words.Text("truth", record.label);
  if (record.score) {
    char number[32];
    std::snprintf(number, sizeof number, "%g", static_cast<double>(*record.score));
    words.Plain("score", number);
  }
  words.Flag("inference", record.inference);
  words.Flag("grpc", record.grpc);
  words.Flag("features_cut", record.features_cut);
  if (record.unreadable > 0) words.Plain("unreadable", std::to_string(record.unreadable));
  return words.Take();
}

std::string Describe(const ErrorEvent& event) {
  Words words;
  words.Plain("ERROR", StrCat(event.lines, event.lines == 1 ? " line" : " lines"));
  words.Number("time", event.unix_ns);
  words.Text("level", LevelName(event.level));
  words.Text("text", event.text);
  words.Text("exception", event.exception);
  words.Text("model", event.model);
  words.Text("version", event.version);
  return words.Take();
}

}  // namespace leadsman::intake
