#include "intake/field.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "base/strings.h"
#include "intake/find_byte.h"
#include "intake/model_path.h"
#include "intake/short_decimal.h"

namespace leadsman::intake {
namespace {

struct NameOf {
  std::string_view name;
  Field field;
  Unit unit = Unit::kText;
};

constexpr int64_t kYearNanos = int64_t{366} * 86'400 * 1'000'000'000;

/// Names in use by nginx ($variables), Envoy and Istio, OpenTelemetry, GCP, Caddy, gRPC middlewares, structlog and the JSON
/// formatters of Python's logging.
constexpr NameOf kKnown[] = {
    {"time", Field::kTime},
    {"timestamp", Field::kTime},
    {"ts", Field::kTime},
    {"@timestamp", Field::kTime},
    {":time", Field::kTime},
    {"start_time", Field::kTime},
    {"asctime", Field::kTime},
    {"datetime", Field::kTime},
    {"date", Field::kTime},
    {"time_local", Field::kTime},
    {"time_iso8601", Field::kTime},
    {"msec", Field::kTime},
    {"method", Field::kMethod},
    {"request_method", Field::kMethod},
    {"http_method", Field::kMethod},
    {"http.method", Field::kMethod},
    {"http.request.method", Field::kMethod},
    {"request.method", Field::kMethod},
    {"req.method", Field::kMethod},
    {"httpRequest.requestMethod", Field::kMethod},
    {"path", Field::kTarget},
    {"uri", Field::kTarget},
    {"url", Field::kTarget},
    {"request_uri", Field::kTarget},
    {"request_path", Field::kTarget},
    {"http_path", Field::kTarget},
    {"http_url", Field::kTarget},
    {"http.target", Field::kTarget},
    {"http.url", Field::kTarget},
    {"http.path", Field::kTarget},
    {"url.path", Field::kTarget},
    {"url.original", Field::kTarget},
    {"request.uri", Field::kTarget},
    {"request.path", Field::kTarget},
    {"req.url", Field::kTarget},
    {"httpRequest.requestUrl", Field::kTarget},
    {"request", Field::kRequest},
    {"request_line", Field::kRequest},
    {"protocol", Field::kProtocol},
    {"server_protocol", Field::kProtocol},
    {"request.proto", Field::kProtocol},
    {"httpRequest.protocol", Field::kProtocol},
    {"status", Field::kStatus},
    {"status_code", Field::kStatus},
    {"statusCode", Field::kStatus},
    {"code", Field::kStatus},
    {"http_status", Field::kStatus},
    {"http_status_code", Field::kStatus},
    {"http.status", Field::kStatus},
    {"http.status_code", Field::kStatus},
    {"http.response.status_code", Field::kStatus},
    {"response_code", Field::kStatus},
    {"response_status", Field::kStatus},
    {"response.status", Field::kStatus},
    {"res.statusCode", Field::kStatus},
    {"httpRequest.status", Field::kStatus},
    {"grpc_status", Field::kGrpcStatus},
    {"grpc_status_number", Field::kGrpcStatus},
    {"grpc_code", Field::kGrpcStatus},
    {"grpc.code", Field::kGrpcStatus},
    {"grpc.status", Field::kGrpcStatus},
    {"rpc.grpc.status_code", Field::kGrpcStatus},
    {"request_time", Field::kLatency, Unit::kSeconds},
    {"rt", Field::kLatency, Unit::kSeconds},
    {"http.server.request.duration", Field::kLatency, Unit::kSeconds},
    {"httpRequest.latency", Field::kLatency},
    {"grpc.time_ms", Field::kLatency, Unit::kMillis},
    {"responseTime", Field::kLatency, Unit::kMillis},
    {"upstream_response_time", Field::kUpstreamLatency, Unit::kSeconds},
    {"urt", Field::kUpstreamLatency, Unit::kSeconds},
    {"upstream_service_time", Field::kUpstreamLatency, Unit::kMillis},
    {"request_length", Field::kRequestBytes},
    {"request_bytes", Field::kRequestBytes},
    {"request_size", Field::kRequestBytes},
    {"bytes_received", Field::kRequestBytes},
    {"bytes_read", Field::kRequestBytes},
    {"httpRequest.requestSize", Field::kRequestBytes},
    {"body_bytes_sent", Field::kResponseBytes},
    {"bytes_sent", Field::kResponseBytes},
    {"response_bytes", Field::kResponseBytes},
    {"response_size", Field::kResponseBytes},
    {"httpRequest.responseSize", Field::kResponseBytes},
    {"remote_addr", Field::kClient},
    {"remote_ip", Field::kClient},
    {"client", Field::kClient},
    {"client_ip", Field::kClient},
    {"client_addr", Field::kClient},
    {"clientip", Field::kClient},
    {"request.remote_ip", Field::kClient},
    {"downstream_remote_address", Field::kClient},
    {"httpRequest.remoteIp", Field::kClient},
    {"http_user_agent", Field::kUserAgent},
    {"user_agent", Field::kUserAgent},
    {"userAgent", Field::kUserAgent},
    {"agent", Field::kUserAgent},
    {"httpRequest.userAgent", Field::kUserAgent},
    {"request_id", Field::kRequestId},
    {"requestId", Field::kRequestId},
    {"req_id", Field::kRequestId},
    {"x_request_id", Field::kRequestId},
    {"http_x_request_id", Field::kRequestId},
    {"correlation_id", Field::kRequestId},
    {"traceparent", Field::kTraceparent},
    {"http_traceparent", Field::kTraceparent},
    {"model", Field::kModel},
    {"model_name", Field::kModel},
    {"modelName", Field::kModel},
    {"model_version", Field::kVersion},
    {"modelVersion", Field::kVersion},
    {"level", Field::kLevel},
    {"levelname", Field::kLevel},
    {"severity", Field::kLevel},
    {"lvl", Field::kLevel},
    {"log_level", Field::kLevel},
    {"log.level", Field::kLevel},
    {"error", Field::kError},
    {"err", Field::kError},
    {"exception", Field::kError},
    {"exc_info", Field::kError},
    {"error.message", Field::kError},
    {"message", Field::kMessage},
    {"msg", Field::kMessage},
    {"event", Field::kMessage},
};

constexpr std::string_view kDurationBases[] = {
    "latency",         "duration",        "elapsed",          "took",           "response_time",
    "request_time",    "process_time",    "processing_time",  "inference_time", "runtime",
    "time_taken",      "execution_time",  "request_duration", "elapsed_time",   "total_time",
    "request_latency", "prediction_time",
};
constexpr std::pair<std::string_view, Unit> kUnitSuffixes[] = {
    {"", Unit::kText},
    {"_ns", Unit::kNanos},
    {"_nanos", Unit::kNanos},
    {"_us", Unit::kMicros},
    {"_micros", Unit::kMicros},
    {"_microseconds", Unit::kMicros},
    {"_ms", Unit::kMillis},
    {"_msec", Unit::kMillis},
    {"_millis", Unit::kMillis},
    {"_milliseconds", Unit::kMillis},
    {"Ms", Unit::kMillis},
    {"_s", Unit::kSeconds},
    {"_sec", Unit::kSeconds},
    {"_secs", Unit::kSeconds},
    {"_seconds", Unit::kSeconds},
};

using KnownTable = std::unordered_map<std::string, FieldTarget>;

const KnownTable& Known() {
  static const KnownTable table = [] {
    KnownTable made;
    for (const NameOf& known : kKnown)
      made.try_emplace(std::string(known.name), FieldTarget{known.field, known.unit, 0});
    for (std::string_view base : kDurationBases)
      for (const auto& [suffix, unit] : kUnitSuffixes)
        made.try_emplace(StrCat(base, suffix), FieldTarget{Field::kLatency, unit, 0});
    return made;
  }();
  return table;
}

/// The names of a configuration, each with what it means.
constexpr NameOf kNames[] = {
    {"time", Field::kTime},
    {"method", Field::kMethod},
    {"path", Field::kTarget},
    {"request", Field::kRequest},
    {"protocol", Field::kProtocol},
    {"status", Field::kStatus},
    {"grpc_status", Field::kGrpcStatus},
    {"latency", Field::kLatency, Unit::kText},
    {"latency_ns", Field::kLatency, Unit::kNanos},
    {"latency_us", Field::kLatency, Unit::kMicros},
    {"latency_ms", Field::kLatency, Unit::kMillis},
    {"latency_seconds", Field::kLatency, Unit::kSeconds},
    {"upstream_latency", Field::kUpstreamLatency, Unit::kText},
    {"upstream_latency_us", Field::kUpstreamLatency, Unit::kMicros},
    {"upstream_latency_ms", Field::kUpstreamLatency, Unit::kMillis},
    {"upstream_latency_seconds", Field::kUpstreamLatency, Unit::kSeconds},
    {"request_bytes", Field::kRequestBytes},
    {"response_bytes", Field::kResponseBytes},
    {"client", Field::kClient},
    {"user_agent", Field::kUserAgent},
    {"request_id", Field::kRequestId},
    {"traceparent", Field::kTraceparent},
    {"model", Field::kModel},
    {"version", Field::kVersion},
    {"version_label", Field::kVersionLabel},
    {"level", Field::kLevel},
    {"error", Field::kError},
    {"message", Field::kMessage},
    {"predicted", Field::kPredicted},
    {"label", Field::kLabel},
    {"score", Field::kScore},
    {"features", Field::kFeatures},
};

void SetText(std::string_view& field, std::string_view text) {
  if (field.empty()) field = text;
}

template <typename T>
bool SetNumber(std::optional<T>& field, std::string_view text, T max) {
  T value{};
  if (text.size() <= 8) {  // most are
    const std::optional<uint32_t> whole = ShortWhole(text);
    if (!whole) return false;
    value = static_cast<T>(*whole);
    if (value > max) return false;
  } else {
    auto [p, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || p != text.data() + text.size() || value < 0 || value > max)
      return false;
  }
  if (!field) field = value;
  return true;
}

std::optional<int> ParseGrpcStatus(std::string_view text) {
  std::optional<int> code;
  if (SetNumber(code, text, 16)) return code;
  // "NOT_FOUND", and "NotFound" of Go.
  static constexpr std::string_view kGo[] = {
      "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  for (int i = 0; i < kStatusCodeCount; ++i)
    if (EqualsIgnoreCase(text, kGo[i]) ||
        EqualsIgnoreCase(text, StatusCodeName(static_cast<StatusCode>(i))))
      return i;
  return std::nullopt;
}

bool SetStatus(std::string_view text, LogRecord& record) {
  if (text.size() > 3 && text[3] == ' ') text = text.substr(0, 3);  // "200 OK"
  return SetNumber(record.status, text, 999);
}

bool SetDuration(std::optional<int64_t>& field, std::string_view text, Unit unit) {
  if (std::optional<int64_t> value = ParseDuration(text, unit)) {
    if (!field) field = value;
    return true;
  }
  // "-, -": two servers asked, neither answered.
  return text.find_first_not_of("-, :") == std::string_view::npos;
}

/// Of the space before "HTTP/1.1" in "/predict HTTP/1.1"; npos when no version stands there.
size_t SpaceBeforeVersion(std::string_view text) {
  constexpr std::string_view kVersion = " HTTP/";
  constexpr std::string_view kUsual = " HTTP/1.1";
  if (text.ends_with(kUsual)) return text.size() - kUsual.size();
  const size_t last = text.rfind(' ');
  if (last == std::string_view::npos || !text.substr(last).starts_with(kVersion))
    return std::string_view::npos;
  return last;
}

/// "POST /predict HTTP/1.1"; the path may hold spaces. What is no request line says nothing.
void SetRequest(std::string_view text, LogRecord& record) {
  const size_t most = std::min<size_t>(text.size(), 33);
  size_t space = 0;
  while (space < most && text[space] >= 'A' && text[space] <= 'Z') ++space;
  if (space == 0 || space == most || text[space] != ' ') return;
  std::string_view method = text.substr(0, space);
  std::string_view rest = text.substr(space + 1);
  size_t last = SpaceBeforeVersion(rest);
  if (last != std::string_view::npos) {
    SetText(record.protocol, rest.substr(last + 1));
    rest = rest.substr(0, last);
  }
  SetText(record.method, method);
  if (!SaysNothing(rest)) SetText(record.target, rest);
}

/// "127.0.0.1:54321", "[::1]:54321": clients are told apart by address.
std::string_view WithoutPort(std::string_view text) {
  if (FindByte(text.data(), text.data() + text.size(), ':') == nullptr) return text;
  size_t colon = text.rfind(':');
  if (text[0] == '[') return text[colon - 1] == ']' ? text.substr(1, colon - 2) : text;
  return text.find(':') == colon ? text.substr(0, colon) : text;
}

int64_t UnitNanos(Unit unit) {
  switch (unit) {
    case Unit::kNanos:
      return 1;
    case Unit::kMicros:
      return 1'000;
    case Unit::kMillis:
      return 1'000'000;
    case Unit::kSeconds:
      return 1'000'000'000;
    case Unit::kText:
      break;
  }
  return 0;
}

int64_t TakeUnit(std::string_view& rest) {
  static constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"ns", 1},         {"us", 1'000},        {"\xC2\xB5s", 1'000},  {"\xCE\xBCs", 1'000},
      {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}};
  while (!rest.empty() && rest[0] == ' ') rest.remove_prefix(1);
  for (const auto& [name, nanos] : kUnits) {
    if (rest.starts_with(name)) {
      rest.remove_prefix(name.size());
      return nanos;
    }
  }
  return 0;
}

/// A plain decimal at the start of `rest`, times `scale`; exact. False when there is none.
bool TakeDecimal(std::string_view& rest, double& value) {
  const char* begin = rest.data();
  if (rest.empty() || begin[0] == '-' || begin[0] == '+') return false;
  auto [p, error] = std::from_chars(begin, begin + rest.size(), value);
  if (error != std::errc() || !std::isfinite(value) || value < 0) return false;
  rest.remove_prefix(static_cast<size_t>(p - begin));
  return true;
}

/// "0.012" and "12": short decimals in the given unit, exactly.
std::optional<int64_t> ShortDuration(std::string_view text, int64_t nanos) {
  static constexpr int64_t kTens[] = {1, 10, 100, 1'000, 10'000, 100'000, 1'000'000, 10'000'000};
  if (text.size() > 8) return std::nullopt;
  const ShortDecimal found = ShortDecimal::At(text.data(), text.data() + text.size());
  if (found.size == 0 || found.size != text.size()) return std::nullopt;
  const int64_t step = nanos / kTens[found.fraction];  // of the last digit
  if (step == 0) return std::nullopt;
  const int64_t value = step * found.digits;
  if (value > kYearNanos) return std::nullopt;
  return value;
}

std::optional<int64_t> OneDuration(std::string_view text, Unit unit) {
  double total = 0;
  bool any = false;
  while (!text.empty()) {
    double value = 0;
    if (!TakeDecimal(text, value)) return std::nullopt;
    int64_t nanos = text.empty() ? 0 : TakeUnit(text);
    if (nanos == 0) {
      nanos = UnitNanos(unit);
      if (nanos == 0 || any || !text.empty()) return std::nullopt;
    }
    total += value * static_cast<double>(nanos);
    any = true;
  }
  if (!any || total > static_cast<double>(kYearNanos)) return std::nullopt;
  return std::llround(total);
}

}  // namespace

std::optional<FieldTarget> FindKnownField(std::string_view name) {
  if (name.size() > 40) return std::nullopt;
  auto found = Known().find(std::string(name));
  if (found == Known().end()) return std::nullopt;
  return found->second;
}

void ForEachKnownField(const std::function<void(std::string_view, FieldTarget)>& visit) {
  for (const auto& [name, target] : Known()) visit(name, target);
}

const std::vector<std::string>& FieldNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> made;
    for (const NameOf& name : kNames) made.emplace_back(name.name);
    return made;
  }();
  return names;
}

Result<FieldTarget> ParseFieldName(std::string_view name, PartNames& parts) {
  struct Part {
    std::string_view prefix;
    Field field;
    size_t most;
    std::vector<std::string>& names;
  };
  constexpr size_t kMaxFeatures = 4096;
  for (const Part& part :
       {Part{"feature.", Field::kFeature, kMaxFeatures, parts.features},
        Part{"segment.", Field::kSegment, PredictionEvent::kMaxSegmentations, parts.segments}}) {
    if (!name.starts_with(part.prefix) || name.size() == part.prefix.size()) continue;
    if (part.names.size() == part.most)
      return InvalidArgumentError(StrCat("more than ", part.most, " are named ", part.prefix, "…"));
    const std::string_view of = name.substr(part.prefix.size());
    if (part.field == Field::kSegment && !IsSegmentationName(of))
      return InvalidArgumentError(
          StrCat("segment.", CutUtf8(of, 60),
                 ": a segmentation's name is 1 to 40 letters, digits, - and _"));
    part.names.emplace_back(of);
    return FieldTarget{part.field, Unit::kText, static_cast<uint32_t>(part.names.size() - 1)};
  }
  for (const NameOf& known : kNames)
    if (known.name == name) return FieldTarget{known.field, known.unit, 0};
  std::optional<std::string> near = DidYouMean(name, FieldNames());
  return InvalidArgumentError(
      StrCat("no field is named '", CutUtf8(name, 60), "'",
             near ? StrCat("; did you mean ", *near, "?")
                  : StrCat("; there are: feature.NAME, segment.NAME, ", Join(FieldNames(), ", "))));
}

bool FieldMappings::Maps(Field field) const {
  return std::any_of(entries.begin(), entries.end(),
                     [&](const FieldMapping& entry) { return entry.target.field == field; });
}

Result<FieldMappings> ParseFieldMappings(
    const std::vector<std::pair<std::string, std::string>>& fields) {
  FieldMappings mappings;
  for (const auto& [name, source] : fields) {
    ASSIGN_OR_RETURN(FieldTarget target, ParseFieldName(name, mappings.parts));
    if (source.empty())
      return InvalidArgumentError(StrCat("field ", name, ": say where in the line it stands"));
    mappings.entries.push_back({source, target});
  }
  return mappings;
}

std::optional<int64_t> ParseDuration(std::string_view text, Unit unit) {
  if (text.size() > 256) return std::nullopt;
  if (std::optional<int64_t> quick = ShortDuration(text, UnitNanos(unit))) return quick;
  if (text.find_first_of(",:") == std::string_view::npos) return OneDuration(text, unit);
  // nginx: servers asked one after the other; " : " between groups of them.
  int64_t sum = 0;
  bool any = false;
  while (true) {
    size_t end = text.find_first_of(",:");
    std::string_view part = Trim(text.substr(0, end));
    if (part != "-") {
      std::optional<int64_t> one = OneDuration(part, unit);
      if (!one) return std::nullopt;
      sum += *one;
      any = true;
      if (sum > kYearNanos) return std::nullopt;
    }
    if (end == std::string_view::npos) break;
    text = text.substr(end + 1);
  }
  if (!any) return std::nullopt;
  return sum;
}

bool field_internal::SetOther(FieldTarget target, std::string_view text, TimeParser& time,
                              LogRecord& record) {
  bool good = true;
  switch (target.field) {
    case Field::kTime:
      if (!record.unix_ns) {
        record.unix_ns = time.Parse(text);
        good = record.unix_ns.has_value();
      }
      break;
    case Field::kRequest:
      SetRequest(text, record);
      break;
    case Field::kStatus:
      good = SetStatus(text, record);
      break;
    case Field::kGrpcStatus:
      if (!record.grpc_status) {
        record.grpc_status = ParseGrpcStatus(text);
        good = record.grpc_status.has_value();
      }
      break;
    case Field::kLatency:
      good = SetDuration(record.latency_ns, text, target.unit);
      break;
    case Field::kUpstreamLatency:
      good = SetDuration(record.upstream_latency_ns, text, target.unit);
      break;
    case Field::kRequestBytes:
      good = SetNumber(record.request_bytes, text, UINT64_MAX);
      break;
    case Field::kResponseBytes:
      good = SetNumber(record.response_bytes, text, UINT64_MAX);
      break;
    case Field::kClient:
      SetText(record.client, WithoutPort(text));
      break;
    case Field::kLevel:
      record.level = ParseLevel(text);
      break;
    case Field::kScore: {
      float value = 0;
      const char* const end = text.data() + text.size();
      if (TakeFloat(text.data(), end, value) != end) {
        auto [p, error] = std::from_chars(text.data(), end, value);
        good = error == std::errc() && p == end && std::isfinite(value);
      }
      if (good && !record.score) {
        record.score = value;
        if (value >= 0 && value <= 1) record.score_of = ScoreOf::kBestClass;
      }
      break;
    }
    case Field::kSegment:
      SetText(record.segments[target.feature], text);
      break;
    default:  // a text, or the caller's
      break;
  }
  if (!good) ++record.unreadable;
  return good;
}

void FinishFields(LogRecord& record) {
  if (record.target.empty()) return;
  std::string_view model = record.model, version = record.version, label = record.version_label;
  SetTarget(record.target, record);
  // A browser's OPTIONS, a probe's GET: no prediction.
  if (!record.method.empty() && record.method != "POST") record.inference = false;
  if (!model.empty()) record.model = model;
  if (!version.empty()) record.version = version;
  if (!label.empty()) record.version_label = label;
}

bool SaysRequest(const LogRecord& record) {
  return record.status || record.grpc_status || !record.predicted.empty() ||
         !record.features.empty() || (!record.target.empty() && !record.method.empty()) ||
         (record.latency_ns && (!record.target.empty() || !record.model.empty()));
}

}  // namespace leadsman::intake
