#include "intake/config_schema.h"

#include <charconv>
#include <optional>

#include "base/strings.h"
#include "intake/model_name.h"
#include "intake/pattern.h"

namespace leadsman::intake {
namespace {

std::string CheckPath(const std::string& path) {
  return path.empty() ? "must not be empty: a file, or a pattern as /var/log/nginx/*.log" : "";
}

std::string CheckModel(const std::string& model) {
  if (model.empty() || IsModelName(model)) return "";
  return model.size() > kMaxModelName ? "must have at most 128 characters"
                                      : "may have no control characters, nor spaces at its ends";
}

std::string CheckFormat(const std::string& format) {
  if (format.empty() || FindLogFormat(format) != nullptr) return "";
  std::vector<std::string> names;
  for (const LogFormat& known : LogFormats()) names.emplace_back(known.name);
  auto near = DidYouMean(format, names);
  return near ? StrCat("there is no format '", CutUtf8(format, 60), "'; did you mean ", *near, "?")
              : StrCat("there is no format '", CutUtf8(format, 60),
                       "'; formats: ", Join(names, ", "));
}

std::string CheckPredictionPath(const std::string& path) {
  return path.starts_with('/') ? "" : "must begin with /, as /score or /api/*";
}

/// "+02:00", "-0530", "UTC", "Z"
std::optional<std::chrono::seconds> ParseZone(std::string_view text) {
  if (text == "UTC" || text == "Z") return std::chrono::seconds(0);
  if (text.size() < 5 || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  std::string digits;
  for (char c : text.substr(1))
    if (c != ':') digits += c;
  int number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.size() != 4 || error != std::errc() || end != digits.data() + digits.size() ||
      number % 100 > 59 || number / 100 > 14)
    return std::nullopt;
  std::chrono::seconds zone = std::chrono::hours(number / 100) + std::chrono::minutes(number % 100);
  return text[0] == '-' ? -zone : zone;
}

std::string FormatZone(std::chrono::seconds zone) {
  if (zone.count() == 0) return "UTC";
  auto minutes = std::chrono::duration_cast<std::chrono::minutes>(zone).count();
  std::string sign = minutes < 0 ? "-" : "+";
  minutes = minutes < 0 ? -minutes : minutes;
  auto two = [](int64_t n) { return StrCat(n < 10 ? "0" : "", n); };
  return StrCat(sign, two(minutes / 60), ":", two(minutes % 60));
}

class ZoneType final : public schema::Type<std::chrono::seconds> {
 public:
  std::string Name() const override { return "time zone"; }
  std::string Range() const override { return "`UTC`, `+02:00`, `-05:30`"; }
  void AppendJsonSchema(std::string& out) const override {
    out += R"({"type":"string","pattern":"^(UTC|Z|[+-][0-9]{2}:?[0-9]{2})$"})";
  }
  void Read(const ConfigNode& node, std::chrono::seconds& out,
            schema::Reader& reader) const override {
    std::optional<std::string> text = schema::internal::ReadString(node, reader);
    if (!text) return;
    if (auto zone = ParseZone(*text)) {
      out = *zone;
    } else {
      reader.Fail(node, "must be UTC or an offset like +02:00");
    }
  }
  void Write(const std::chrono::seconds& zone, std::string& json) const override {
    schema::internal::WriteString(FormatZone(zone), json);
  }
};

/// The field with its reason; nothing when all is well.
std::optional<std::pair<std::string, std::string>> Conflict(const LogSource& source) {
  if (!source.pattern.empty()) {
    if (!source.format.empty() && source.format != "pattern")
      return std::pair("pattern", StrCat("is of the format pattern, not of ", source.format,
                                         ": remove format or pattern"));
    auto pattern = Pattern::Compile(source.pattern);
    if (!pattern.ok()) return std::pair("pattern", std::string(pattern.status().message()));
    if (!source.fields.empty())
      return std::pair("fields", "a pattern names its fields itself: remove fields");
  } else if (source.format == "pattern") {
    return std::pair("format",
                     "needs a pattern, for example: $client [$time] \"$method $path $_\" $status");
  }
  auto fields = ParseFieldMappings({source.fields.begin(), source.fields.end()});
  if (!fields.ok()) return std::pair("fields", std::string(fields.status().message()));
  if (!source.fields.empty() && !source.format.empty() && source.format != "json" &&
      source.format != "logfmt" && source.format != "csv")
    return std::pair("fields", StrCat("are of json, logfmt and csv, not of ", source.format));
  return std::nullopt;
}

}  // namespace

FormatOptions LogSource::format_options() const {
  FormatOptions options;
  options.format = format;
  options.pattern = pattern;
  options.fields.assign(fields.begin(), fields.end());
  options.integer_latency = integer_latency;
  options.zone_if_unsaid = time_zone;
  return options;
}

std::vector<std::string> LogSource::segment_names() const {
  if (!pattern.empty()) {
    auto compiled = Pattern::Compile(pattern);
    return compiled.ok() ? compiled->segment_names() : std::vector<std::string>();
  }
  auto mappings = ParseFieldMappings({fields.begin(), fields.end()});
  return mappings.ok() ? mappings->parts.segments : std::vector<std::string>();
}

const schema::Struct<LogSource>& LogSourceSchema() {
  static const auto table = [] {
    std::vector<std::string> formats;
    for (const LogFormat& format : LogFormats()) formats.push_back(StrCat("`", format.name, "`"));
    schema::Struct<LogSource> s("LogSource",
                                "Log files of a service of models that is watched from outside; "
                                "see docs/log-files.md.");
    s.Required("path", &LogSource::path, schema::TextWith("", CheckPath),
               "A file or a pattern: `*`, `?`, `[a-z]` within a name, `**` for any folders. "
               "Relative to the configuration file.");
    s.Field("model", &LogSource::model, schema::TextWith("", CheckModel),
            "The model of requests whose path names none; empty = `default`.");
    s.Field("format", &LogSource::format, schema::TextWith(Join(formats, ", "), CheckFormat),
            "Empty = recognised from the first lines, which the log tells.");
    s.Field("pattern", &LogSource::pattern, schema::Text(),
            "A layout of lines of your own, field by field, as `$client [$time] \"$method $path "
            "$_\" $status $latency_ms`; a log_format of nginx can be pasted.");
    s.Field("fields", &LogSource::fields, schema::Map(schema::Text()),
            "Of JSON, logfmt and CSV: what stands where, as `latency_ms: timing.total`, "
            "`feature.age: input.age`, `predicted: out.class`, `label: truth`, `segment.tenant: "
            "customer` (docs/quality.md); of CSV also "
            "`features: x_*` for all columns that begin so.");
    s.Field("prediction_paths", &LogSource::prediction_paths,
            schema::List(schema::TextWith("", CheckPredictionPath), 0, 100),
            "Paths that are predictions beside those of known protocols, as `/score`; a `*` at the "
            "end stands for anything. Requests for other paths, as health checks, are counted and "
            "otherwise left alone.");
    s.Field("from", &LogSource::from,
            schema::Enum<LogSource::From>(
                {{"end", LogSource::From::kEnd}, {"beginning", LogSource::From::kBeginning}}),
            "Where files begin that are there at the first start; later ones are read whole, and a "
            "restart goes on where the last one ended.");
    s.Field(
        "integer_latency", &LogSource::integer_latency,
        schema::Enum<Unit>({{"unknown", Unit::kText},
                            {"us", Unit::kMicros},
                            {"ms", Unit::kMillis},
                            {"s", Unit::kSeconds},
                            {"ns", Unit::kNanos}}),
        "Of access logs: the unit of a whole number after the user agent (us for Apache's %D and "
        "gunicorn's %(D)s, ms for its %(M)s). Unknown = no latency is "
        "taken from it.");
    s.Field("time_zone", &LogSource::time_zone,
            schema::TypePtr<std::chrono::seconds>(std::make_shared<ZoneType>()),
            "Of times that name none.");
    s.Check([](const LogSource& source, schema::Problems& problems) {
      if (auto conflict = Conflict(source)) problems.Add(conflict->first, conflict->second);
    });
    return s;
  }();
  return table;
}

}  // namespace leadsman::intake
