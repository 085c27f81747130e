#include "intake/exchange_bodies.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

constexpr size_t kMaxId = 256;  // as of X-Request-Id

bool IsOf(BodyMapping::Side side, Field field) {
  switch (field) {
    case Field::kFeatures:
    case Field::kFeature:
    case Field::kSegment:
      return side == BodyMapping::Side::kRequest;
    case Field::kPredicted:
    case Field::kScore:
      return side == BodyMapping::Side::kResponse;
    case Field::kLabel:
    case Field::kRequestId:
      return true;
    default:
      return false;
  }
}

std::string_view NamesOf(BodyMapping::Side side) {
  return side == BodyMapping::Side::kRequest
             ? "feature.NAME, features, segment.NAME, label, request_id"
             : "predicted, score, label, request_id";
}

void TakeId(const PlainBody& body, LogRecord& record) {
  if (record.request_id.empty()) record.request_id = body.id().substr(0, kMaxId);
}

Result<std::unique_ptr<LineParser>> ParserOf(const BodyMapping::Fields& fields,
                                             BodyMapping::Side side) {
  if (fields.empty()) return std::unique_ptr<LineParser>();
  RETURN_IF_ERROR(BodyMapping::Check(fields, side));
  FormatOptions options;
  options.format = "json";
  options.fields.assign(fields.begin(), fields.end());
  return MakeJsonLinesParser({}, options);
}

}  // namespace

// Mappings
// ------------------------------------------------------------------------------------------------------------------

Status BodyMapping::Check(const Fields& fields, Side side) {
  RETURN_IF_ERROR(ParseFieldMappings({fields.begin(), fields.end()}).status());
  for (const auto& [name, source] : fields) {
    PartNames parts;
    ASSIGN_OR_RETURN(FieldTarget target, ParseFieldName(name, parts));
    if (!IsOf(side, target.field))
      return InvalidArgumentError(
          StrCat(name, " is not read from ",
                 side == Side::kRequest ? "a request's body" : "an answer's body",
                 "; there are: ", NamesOf(side)));
  }
  return OkStatus();
}

std::vector<std::string> BodyMapping::SegmentNames(const Fields& fields) {
  auto mappings = ParseFieldMappings({fields.begin(), fields.end()});
  return mappings.ok() ? std::move(mappings->parts.segments) : std::vector<std::string>();
}

Result<BodyMapping> BodyMapping::Create(const Fields& request, const Fields& response) {
  BodyMapping mapping;
  ASSIGN_OR_RETURN(mapping.request_, ParserOf(request, Side::kRequest));
  ASSIGN_OR_RETURN(mapping.response_, ParserOf(response, Side::kResponse));
  return mapping;
}

// Reading
// ------------------------------------------------------------------------------------------------------------------

bool ExchangeBodies::ReadMapped(std::string_view plain, LineParser& parser, LogRecord& mapped) {
  const Verdict verdict = parser.Parse(Trim(plain), mapped);
  return verdict == Verdict::kRequest || verdict == Verdict::kOther;
}

void ExchangeBodies::ReadRequest(const HttpBody& body, BodyCounters& counters, LogRecord& record,
                                 LineParser* mapped) {
  if (!request_.Read(body, counters)) return;
  TakeId(request_, record);
  if (mapped != nullptr && body.call == GrpcMethod::kNone) {
    LogRecord& said = mapped_;
    const bool read = ReadMapped(request_.text(), *mapped, said);
    const bool segmented = std::any_of(said.segments.begin(), said.segments.end(),
                                       [](std::string_view segment) { return !segment.empty(); });
    if (read && (!said.features.empty() || segmented || !said.label.empty())) {
      ++counters.decoded;
      record.features = said.features;
      record.feature_names = said.feature_names;
      record.names_key = said.names_key;
      record.features_cut = said.features_cut;
      record.segment_names = said.segment_names;
      record.segments = said.segments;
      record.label = said.label;
      if (record.request_id.empty()) record.request_id = said.request_id;
    } else {
      ++counters.not_understood;
    }
    return;
  }
  std::optional<PayloadInputs> inputs;
  if (request_.divided())
    inputs = payload_.ReadInputs(request_.json(), body.content_type, request_.behind());
  if (!inputs) {
    ++counters.not_understood;
    return;
  }
  ++counters.decoded;
  record.rows = inputs->rows;
  record.features = inputs->features;
  record.feature_names = inputs->names;
}

void ExchangeBodies::ReadResponse(const HttpBody& body, BodyCounters& counters, LogRecord& record,
                                  LineParser* mapped) {
  if (!response_.Read(body, counters)) return;
  TakeId(response_, record);
  if (mapped != nullptr && body.call == GrpcMethod::kNone) {
    LogRecord& said = mapped_;
    const bool read = ReadMapped(response_.text(), *mapped, said);
    if (read && (!said.predicted.empty() || said.score)) {
      ++counters.decoded;
      record.predicted = said.predicted;
      record.score = said.score;
      record.score_of = said.score_of;
      if (record.label.empty()) record.label = said.label;
      if (record.request_id.empty()) record.request_id = said.request_id;
    } else {
      ++counters.not_understood;
    }
    return;
  }
  std::optional<PayloadOutputs> outputs;
  if (response_.divided())
    outputs = payload_.ReadOutputs(response_.json(), body.content_type, response_.behind());
  if (!outputs) {
    ++counters.not_understood;
    return;
  }
  ++counters.decoded;
  record.predictions = outputs->predicted;
  record.score = outputs->score;
  record.score_of = outputs->score_of;
  record.row_scores = outputs->row_scores;
  record.class_scores = outputs->class_scores;
  if (!record.rows) record.rows = outputs->rows;
}

}  // namespace leadsman::intake
