#include <algorithm>

#include "intake/format_note.h"
#include "intake/log_format.h"
#include "intake/program_line.h"

namespace leadsman::intake {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Envoy's default line and Istio's longer one. Envoy escapes no quotes inside the path or the user agent, so that the fields
/// are found from both ends.
class EnvoyTextParser final : public LineParser {
 public:
  explicit EnvoyTextParser(const FormatOptions& options) : time_(options.zone_if_unsaid) {
    note_.title = "Envoy access log";
    note_.gives = {"latency from %DURATION% (whole milliseconds)",
                   "upstream latency from x-envoy-upstream-service-time"};
  }

  Verdict Parse(std::string_view line, LogRecord& record) override {
    record.Clear();
    if (line.size() > kMaxLineBytes) return Verdict::kMalformed;
    size_t close = line.find("] \"");
    if (!line.starts_with('[') || close == std::string_view::npos || close > 40)
      return ClassifyProgramLine(line, time_, record);
    if (TakeApart(line.substr(1, close - 1), line.substr(close + 3), record))
      return Verdict::kRequest;
    record.Clear();
    return Verdict::kMalformed;
  }
  const FormatNote& note() const override { return note_; }

  /// Whether lines of gRPC were among the first: their outcome is not in this format.
  void NoteGrpc() {
    note_.lacks.emplace_back("gRPC status");
    note_.fix = "add %GRPC_STATUS_NUMBER% as grpc_status to a JSON access log";
  }
  void NoteIstio() { note_.title = "Istio access log (Envoy)"; }
  bool istio() const { return istio_; }

 private:
  bool TakeApart(std::string_view time, std::string_view rest, LogRecord& record) {
    Set(Field::kTime, Unit::kText, time, record);
    size_t quote = 0;
    while (true) {  // the quote behind the request: a status follows it
      quote = rest.find("\" ", quote);
      if (quote == std::string_view::npos || rest.size() < quote + 4) return false;
      size_t digits = quote + 2;
      while (digits < rest.size() && IsDigit(rest[digits])) ++digits;
      if (digits > quote + 2 && digits < rest.size() && rest[digits] == ' ') break;
      ++quote;
    }
    Set(Field::kRequest, Unit::kText, rest.substr(0, quote), record);
    rest = rest.substr(quote + 2);
    Set(Field::kStatus, Unit::kText, Word(rest), record);
    std::string_view flags = Word(rest);
    std::string_view details;
    if (!rest.empty() && !IsDigit(rest[0])) {  // Istio: details, how it ended, "why not"
      details = Word(rest);
      size_t open = rest.find('"');
      size_t end = open == std::string_view::npos ? open : rest.find("\" ", open + 1);
      if (end == std::string_view::npos) return false;
      rest = rest.substr(end + 2);
      istio_ = true;
    }
    Set(Field::kRequestBytes, Unit::kText, Word(rest), record);
    Set(Field::kResponseBytes, Unit::kText, Word(rest), record);
    Set(Field::kLatency, Unit::kMillis, Word(rest), record);
    Set(Field::kUpstreamLatency, Unit::kMillis, Word(rest), record);
    if (!record.unix_ns || !record.status || !Quoted(rest, record)) return false;
    if (flags != "-") Set(Field::kError, Unit::kText, details.empty() ? flags : details, record);
    FinishFields(record);
    return true;
  }

  /// "forwarded for" "user agent" "request id" "authority" "upstream", then Istio's addresses.
  bool Quoted(std::string_view rest, LogRecord& record) {
    size_t last = rest.rfind('"');
    if (rest.empty() || rest[0] != '"' || last < 2) return false;
    std::string_view tail = rest.substr(last + 1);
    std::string_view block = rest.substr(1, last - 1);
    size_t first = block.find("\" \"");
    if (first == std::string_view::npos) return false;
    std::string_view forwarded = block.substr(0, first);
    block = block.substr(first + 3);
    std::string_view back[3];  // upstream, authority, request id
    for (std::string_view& field : back) {
      size_t at = block.rfind("\" \"");
      if (at == std::string_view::npos) return false;
      field = block.substr(at + 3);
      block = block.substr(0, at);
    }
    Set(Field::kUserAgent, Unit::kText, block, record);
    Set(Field::kRequestId, Unit::kText, back[2], record);
    Set(Field::kClient, Unit::kText, forwarded.substr(0, forwarded.find(',')), record);
    if (record.client.empty() && !tail.empty()) {
      tail = tail.substr(1);
      for (int i = 0; i < 3; ++i) Word(tail);
      Set(Field::kClient, Unit::kText, Word(tail), record);
    }
    return true;
  }

  void Set(Field field, Unit unit, std::string_view text, LogRecord& record) {
    SetField({field, unit, 0}, text, time_, record);
  }

  static std::string_view Word(std::string_view& rest) {
    size_t space = rest.find(' ');
    std::string_view word = rest.substr(0, space);
    rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    return word;
  }

  FormatNote note_;
  TimeParser time_;
  bool istio_ = false;
};

}  // namespace

ParserOrNull MakeEnvoyTextParser(std::span<const std::string_view> lines,
                                 const FormatOptions& options) {
  auto parser = std::make_unique<EnvoyTextParser>(options);
  bool grpc = false;
  const size_t requests =
      ForEachRequest(*parser, lines, [&](const LogRecord& record) { grpc |= record.grpc; });
  if (requests == 0 && options.format.empty()) return std::unique_ptr<LineParser>();
  if (grpc) parser->NoteGrpc();
  if (parser->istio()) parser->NoteIstio();
  return std::unique_ptr<LineParser>(std::move(parser));
}

}  // namespace leadsman::intake
