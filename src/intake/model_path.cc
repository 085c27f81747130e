#include "intake/model_path.h"

#include <algorithm>
#include <array>
#include <utility>

#include "intake/find_byte.h"

namespace leadsman::intake {
namespace {

/// The text up to the next '/', which is taken away with it.
std::string_view TakeSegment(std::string_view& rest) {
  const char* const begin = rest.data();
  const char* const end = begin + rest.size();
  const char* slash = FindByte(begin, end, '/');
  if (slash == nullptr) return std::exchange(rest, {});
  rest = {slash + 1, static_cast<size_t>(end - slash - 1)};
  return {begin, static_cast<size_t>(slash - begin)};
}

/// Cuts ":predict" (or "%3Apredict") off; the verb, or nothing.
std::string_view TakeVerb(std::string_view& segment) {
  constexpr std::string_view kPredict = ":predict";  // most often
  if (segment.ends_with(kPredict)) {
    segment.remove_suffix(kPredict.size());
    return kPredict.substr(1);
  }
  size_t at = segment.rfind(':');
  size_t size = 1;
  if (at == std::string_view::npos) {
    at = segment.rfind('%');
    if (at == std::string_view::npos || segment.size() < at + 3 || segment[at + 1] != '3' ||
        (segment[at + 2] | 0x20) != 'a')
      return {};
    size = 3;
  }
  std::string_view verb = segment.substr(at + size);
  segment = segment.substr(0, at);
  return verb;
}

bool IsV1Verb(std::string_view verb) {
  return verb == "predict" || verb == "classify" || verb == "regress" || verb == "explain";
}

bool IsV2Verb(std::string_view verb) {
  return verb == "infer" || verb == "generate" || verb == "generate_stream" || verb == "explain";
}

void SetV1(std::string_view rest, LogRecord& record) {
  std::string_view segment = TakeSegment(rest);
  std::string_view verb = TakeVerb(segment);
  record.model = segment;
  if (verb.empty() && !rest.empty()) {
    std::string_view kind = TakeSegment(rest);
    std::string_view which = TakeSegment(rest);
    verb = TakeVerb(which);
    if (kind == "versions") record.version = which;
    if (kind == "labels") record.version_label = which;
  }
  record.inference = IsV1Verb(verb);
}

void SetV2(std::string_view rest, LogRecord& record) {
  record.model = TakeSegment(rest);
  std::string_view verb = TakeSegment(rest);
  if (verb == "versions") {
    record.version = TakeSegment(rest);
    verb = TakeSegment(rest);
  }
  record.inference = IsV2Verb(verb);
}

bool EndsWithWord(std::string_view path, std::string_view word) {
  return path.size() > word.size() && path.ends_with(word) &&
         path[path.size() - word.size() - 1] == '/';
}

/// "/package.Service/Method": one dot at least before the only other slash.
bool IsGrpcMethod(std::string_view path) {
  size_t slash = path.find('/', 1);
  if (slash == std::string_view::npos || slash + 1 == path.size()) return false;
  std::string_view service = path.substr(1, slash - 1);
  return service.find('.') != std::string_view::npos &&
         path.find_first_of("/.", slash + 1) == std::string_view::npos;
}

void SetGrpc(std::string_view path, LogRecord& record) {
  static constexpr std::array<std::string_view, 7> kPredicting = {
      "/inference.GRPCInferenceService/ModelInfer",
      "/inference.GRPCInferenceService/ModelStreamInfer",
      "/tensorflow.serving.PredictionService/Predict",
      "/tensorflow.serving.PredictionService/Classify",
      "/tensorflow.serving.PredictionService/Regress",
      "/tensorflow.serving.PredictionService/MultiInference",
      "/tensorflow.serving.PredictionService/PredictStreamed",
  };
  record.grpc = record.protocol.starts_with("HTTP/2") || path.starts_with("/inference.") ||
                path.starts_with("/tensorflow.serving.");
  record.inference = std::find(kPredicting.begin(), kPredicting.end(), path) != kPredicting.end();
}

/// Of "/models/" behind "/v1" or "/v2", most often in front.
size_t FindModels(std::string_view path) {
  constexpr std::string_view kModels = "/models/";
  if (path.size() > 3 && path.substr(3).starts_with(kModels)) return 3;
  return path.find(kModels);
}

}  // namespace

void SetTarget(std::string_view target, LogRecord& record) {
  record.target = target;
  if (!target.starts_with('/')) {
    size_t scheme = target.substr(0, 8).find("://");
    if (scheme != std::string_view::npos) {
      size_t path = target.find('/', scheme + 3);
      record.target = path == std::string_view::npos ? "/" : target.substr(path);
    }
  }
  std::string_view path = record.target;
  if (const char* query = FindByte(path.data(), path.data() + path.size(), '?'))
    path = path.substr(0, static_cast<size_t>(query - path.data()));
  record.path = path;
  if (path.size() < 2 || path[0] != '/') return;
  size_t at = FindModels(path);
  if (at != std::string_view::npos && at >= 3 && path[at - 3] == '/' && path[at - 2] == 'v') {
    std::string_view rest = path.substr(at + 8);
    if (path[at - 1] == '1') return SetV1(rest, record);
    if (path[at - 1] == '2') return SetV2(rest, record);
  }
  if (IsGrpcMethod(path)) return SetGrpc(path, record);
  record.inference = EndsWithWord(path, "invocations") || EndsWithWord(path, "predict") ||
                     EndsWithWord(path, "predictions");
}

}  // namespace leadsman::intake
