#include "intake/recognise.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "events/redactor.h"
#include "intake/mapped_places.h"

namespace leadsman::intake {
namespace {

constexpr size_t kMaxExcerpt = 120;
constexpr size_t kMaxRedacted = 4096;

/// The envelope that most lines are in.
EnvelopeKind MostIn(std::span<const std::string_view> raw) {
  std::array<size_t, 3> counts{};
  for (std::string_view line : raw) ++counts[static_cast<size_t>(EnvelopeOf(line))];
  auto most = std::max_element(counts.begin(), counts.end());
  return static_cast<EnvelopeKind>(most - counts.begin());
}

void Count(std::span<const std::string_view> lines, Recognition& recognition) {
  LogRecord record;
  for (std::string_view line : lines) {
    switch (recognition.parser->Parse(line, record)) {
      case Verdict::kRequest:
        ++recognition.requests;
        break;
      case Verdict::kOther:
        recognition.other += record.level != Level::kNone;
        break;
      case Verdict::kContinuation:
        ++recognition.other;
        break;
      case Verdict::kMalformed:
        ++recognition.malformed;
        break;
      case Verdict::kUnfinished:
        break;
    }
  }
  recognition.parser->Restart();  // these lines are yet to be read
  recognition.lines = lines.size();
  recognition.settled = recognition.requests > 0 || !recognition.parser->note().requests;
}

/// Requests count first, then what the program says of itself.
auto Rank(const Recognition& recognition) {
  return std::pair(recognition.requests, recognition.other);
}

std::vector<std::string> FormatNames() {
  std::vector<std::string> names;
  for (const LogFormat& format : LogFormats()) names.emplace_back(format.name);
  return names;
}

/// The begin of a line, as it may be told.
std::string Excerpt(std::span<const std::string_view> lines, const FormatOptions& options) {
  // Redacted before it is cut: half an address is found by no pattern.
  std::string_view line = lines.empty() ? std::string_view() : CutUtf8(lines.back(), kMaxRedacted);
  std::string scratch;
  if (options.redactor != nullptr)
    line = options.redactor->Apply(RequestText::kLogLine, line, scratch);
  return line.empty() ? "" : StrCat("; a line of it: '", ToUtf8(CutUtf8(line, kMaxExcerpt)), "'");
}

Status NothingExplains(std::span<const std::string_view> lines, std::string_view what,
                       const FormatOptions& options) {
  return NotFoundError(StrCat(what, " (formats: ", Join(FormatNames(), ", "), ")",
                              Excerpt(lines, options),
                              ". Name the format, or declare the line with a pattern: $client "
                              "[$time] \"$method $path $_\" $status $latency_ms"));
}

Status CheckFields(const FormatOptions& options) {
  Result<FieldMappings> fields = ParseFieldMappings(options.fields);
  return fields.ok() ? OkStatus() : Annotate(fields.status(), "fields");
}

Result<std::vector<const LogFormat*>> Candidates(const FormatOptions& options) {
  std::vector<const LogFormat*> candidates;
  std::string_view named = options.format;
  if (named.empty() && !options.pattern.empty()) named = "pattern";
  if (!named.empty()) {
    const LogFormat* format = FindLogFormat(named);
    if (format == nullptr) {
      std::vector<std::string> names = FormatNames();
      std::optional<std::string> near = DidYouMean(named, names);
      return InvalidArgumentError(StrCat("format: there is no '", CutUtf8(named, 60), "'",
                                         near ? StrCat("; did you mean ", *near, "?")
                                              : StrCat("; there are: ", Join(names, ", "))));
    }
    if (named == "pattern" && options.pattern.empty())
      return InvalidArgumentError(
          "format: 'pattern' needs a pattern, for example: $client [$time] \"$method $path $_\" "
          "$status");
    candidates.push_back(format);
    return candidates;
  }
  for (const LogFormat& format : LogFormats()) candidates.push_back(&format);
  return candidates;
}

}  // namespace

std::string Recognition::Sentence() const {
  const FormatNote& note = parser->note();
  std::string text = note.title;
  if (envelope != EnvelopeKind::kNone) text += StrCat(" in ", EnvelopeName(envelope), " lines");
  if (note.requests) text += StrCat("; ", requests, " of ", lines, " lines are requests");
  if (other > 0 && note.requests) text += StrCat(", ", other, " are the program's own");
  if (malformed > 0) text += StrCat(", ", malformed, " cannot be read");
  for (const std::string& gives : note.gives) text += StrCat("; ", gives);
  std::vector<std::string> lacks = note.lacks;
  // The runtime's time stands in.
  if (envelope != EnvelopeKind::kNone) std::erase(lacks, "time");
  if (!lacks.empty() && settled) {
    text += StrCat("; not in this log: ", Join(lacks, ", "));
    if (!note.fix.empty()) text += StrCat(" (", note.fix, ")");
  }
  if (fields_unused)
    text += "; the mapped fields are not used: only json, logfmt and csv have names to map";
  if (!nowhere.empty())
    text += StrCat("; mapped, and nowhere in these lines: ", HumanList(nowhere));
  if (!settled) text += "; no request yet";
  if (!settled && (format == "json" || format == "logfmt"))
    text +=
        ": nothing says a status or a latency by a name that is known; fields say where they stand";
  return text;
}

Result<Recognition> Recognise(std::span<const std::string_view> raw, const FormatOptions& given) {
  FormatOptions options = given;
  raw = raw.first(std::min(raw.size(), kRecogniseLines));
  ASSIGN_OR_RETURN(std::vector<const LogFormat*> candidates, Candidates(options));
  RETURN_IF_ERROR(CheckFields(options));
  EnvelopeKind kind = MostIn(raw);
  for (std::string* header : {&options.first_record, &options.former_header}) {
    Envelope wrapped(kind);
    if (header->empty() || kind == EnvelopeKind::kNone) continue;
    std::optional<Envelope::Line> line = wrapped.Feed(*header);
    *header = line ? std::string(line->content) : std::string();
  }
  Envelope envelope(kind);
  std::vector<std::string> texts;
  for (std::string_view line : raw)
    if (std::optional<Envelope::Line> whole = envelope.Feed(line); whole && !whole->cut)
      texts.emplace_back(whole->content);
  std::vector<std::string_view> lines(texts.begin(), texts.end());
  if (lines.empty()) return NotFoundError("no line to recognise a format by");

  std::optional<Recognition> best;
  std::string_view rival;
  for (const LogFormat* format : candidates) {
    ASSIGN_OR_RETURN(std::unique_ptr<LineParser> parser, format->make(lines, options));
    if (!parser) continue;
    Recognition found;
    found.envelope = kind;
    found.format = format->name;
    found.fields_unused = !options.fields.empty() && format->name != "json" &&
                          format->name != "logfmt" && format->name != "csv";
    found.parser = std::move(parser);
    Count(lines, found);
    if (best && Rank(found) == Rank(*best) && found.requests > 0) rival = format->name;
    if (!best || Rank(found) > Rank(*best)) {
      best = std::move(found);
      rival = {};
    }
  }
  if (!best)
    return NothingExplains(lines, "no known format explains the first lines of this log", options);
  if (!rival.empty())
    return NothingExplains(
        lines,
        StrCat("both ", best->format, " and ", rival, " explain the first lines of this log"),
        options);
  if (candidates.size() == 1 && best->requests == 0 && best->other == 0 && best->lines > 0)
    return NothingExplains(
        lines, StrCat("none of the first ", best->lines, " lines is one of ", best->format),
        options);
  if (best->format == "json" || best->format == "logfmt")
    best->nowhere = PlacesNowhere(lines, options.fields, best->format == "json");
  if (!best->settled && best->malformed * 2 > best->lines)
    return NothingExplains(
        lines, StrCat("most of the first lines begin as ", best->format, " and cannot be read"),
        options);
  return std::move(*best);
}

}  // namespace leadsman::intake
