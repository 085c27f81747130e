#include "intake/envelope.h"

#include <cstring>

#include "intake/json_text.h"
#include "intake/log_time.h"

namespace leadsman::intake {
namespace {

/// A line of a runtime is at most a piece of 16 KiB, escaped: six times as long at worst, and attributes.
constexpr size_t kMaxDockerBytes = size_t{4} << 20;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string_view TakeWord(std::string_view& rest) {
  size_t space = rest.find(' ');
  if (space == std::string_view::npos) return {};
  std::string_view word = rest.substr(0, space);
  rest = rest.substr(space + 1);
  return word;
}

struct CriHead {
  std::string_view time, stream, tags, content;
};

bool SplitCri(std::string_view line, CriHead& head) {
  if (line.size() < 30 || !IsDigit(line[0]) || line[4] != '-' || line[10] != 'T') return false;
  head.time = TakeWord(line);
  head.stream = TakeWord(line);
  if (head.stream != "stdout" && head.stream != "stderr") return false;
  size_t space = line.find(' ');
  head.tags = line.substr(0, space);  // an empty content may have lost its space
  head.content = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  std::string_view first = head.tags.substr(0, head.tags.find(':'));
  return first == "F" || first == "P";
}

}  // namespace

std::string_view EnvelopeName(EnvelopeKind kind) {
  switch (kind) {
    case EnvelopeKind::kNone:
      return "none";
    case EnvelopeKind::kCri:
      return "CRI";
    case EnvelopeKind::kDocker:
      return "Docker json-file";
  }
  return "none";
}

/// Docker's lines, with their buffers.
struct Envelope::Docker {
  simdjson::ondemand::parser parser;
  std::string padded;
  TimeParser time;

  /// `content` has its newline when the line is whole.
  bool Read(std::string_view raw, std::string_view& content, Line& line) {
    using simdjson::SUCCESS;
    if (raw.size() > kMaxDockerBytes || !raw.starts_with('{')) return false;
    if (padded.size() < raw.size() + simdjson::SIMDJSON_PADDING)
      padded.resize(raw.size() + simdjson::SIMDJSON_PADDING);
    std::memcpy(padded.data(), raw.data(), raw.size());
    simdjson::ondemand::document document;
    simdjson::ondemand::object object;
    if (parser.iterate(padded.data(), raw.size(), padded.size()).get(document) != SUCCESS ||
        document.get_object().get(object) != SUCCESS)
      return false;
    bool log = false, time_seen = false;
    for (auto member : object) {
      std::string_view key, text;
      if (!KeyOf(member, key)) return false;
      if (key != "log" && key != "stream" && key != "time") continue;
      simdjson::ondemand::value value;
      if (member.value().get(value) != SUCCESS) return false;
      std::string_view token = TokenOf(value);
      if (!token.starts_with('"') || !StringOf(value, token, text)) return false;
      if (key == "log") {
        content = text;
        log = true;
      } else if (key == "stream") {
        line.stream = text == "stderr" ? Stream::kStderr : Stream::kStdout;
      } else {
        line.unix_ns = time.Parse(text);
        time_seen = true;
      }
    }
    return log && time_seen && AtEnd(document);
  }
};

EnvelopeKind EnvelopeOf(std::string_view line) {
  CriHead head;
  if (SplitCri(line, head)) return EnvelopeKind::kCri;
  if (line.starts_with("{\"log\":\"") && line.find("\"time\":\"") != std::string_view::npos &&
      line.find("\"stream\":\"std") != std::string_view::npos)
    return EnvelopeKind::kDocker;
  return EnvelopeKind::kNone;
}

Envelope::Envelope(EnvelopeKind kind, size_t max_bytes)
    : kind_(kind), max_bytes_(max_bytes), docker_(std::make_unique<Docker>()) {}
Envelope::~Envelope() = default;
Envelope::Envelope(Envelope&&) noexcept = default;
Envelope& Envelope::operator=(Envelope&&) noexcept = default;

Envelope::Line Envelope::Malformed(std::string_view raw) {
  ++counts_.malformed;
  Line line;
  line.cut = raw.size() > max_bytes_;
  counts_.cut += line.cut;
  line.content = raw.substr(0, max_bytes_);
  return line;
}

std::optional<Envelope::Line> Envelope::Join(std::string_view piece, bool last, Line line) {
  Pending& pending = pending_[static_cast<size_t>(line.stream)];
  if (pending.given) {
    pending.text.clear();
    pending.pieces = 0;
    pending.cut = pending.given = false;
  }
  if (last && pending.pieces == 0 && piece.size() <= max_bytes_) {
    line.content = piece;
    return line;
  }
  size_t room = max_bytes_ - pending.text.size();
  pending.cut |= piece.size() > room;
  pending.text.append(piece.substr(0, room));
  ++pending.pieces;
  if (!last) return std::nullopt;
  counts_.joined += pending.pieces > 1;
  counts_.cut += pending.cut;
  line.content = pending.text;
  line.cut = pending.cut;
  pending.given = true;
  return line;
}

std::optional<Envelope::Line> Envelope::FeedCri(std::string_view raw) {
  CriHead head;
  if (!SplitCri(raw, head)) return Malformed(raw);
  Line line;
  line.unix_ns = docker_->time.Parse(head.time);
  line.stream = head.stream == "stderr" ? Stream::kStderr : Stream::kStdout;
  return Join(head.content, head.tags[0] == 'F', line);
}

std::optional<Envelope::Line> Envelope::FeedDocker(std::string_view raw) {
  Line line;
  std::string_view content;
  if (!docker_->Read(raw, content, line)) return Malformed(raw);
  bool last = content.ends_with('\n');
  if (last) content.remove_suffix(1);
  return Join(content, last, line);
}

std::optional<Envelope::Line> Envelope::TakeOut(std::string_view raw) {
  return kind_ == EnvelopeKind::kCri ? FeedCri(raw) : FeedDocker(raw);
}

std::optional<Envelope::Line> Envelope::Flush(Stream stream) {
  Pending& pending = pending_[static_cast<size_t>(stream)];
  if (pending.given || pending.pieces == 0) return std::nullopt;
  Line line;
  line.stream = stream;
  return Join({}, true, line);
}

}  // namespace leadsman::intake
