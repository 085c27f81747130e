// Any bytes as the bodies of a request and its answer: the first byte says how they are read, the second how much of them is JSON.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "intake/exchange_bodies.h"

namespace {

using namespace leadsman;
using namespace leadsman::intake;

/// By the highest three bits.
GrpcMethod CallOf(uint8_t mode) {
  const auto call = static_cast<GrpcMethod>(mode >> 5);
  return call <= GrpcMethod::kRegress ? call : GrpcMethod::kNone;
}

HttpBody BodyOf(std::string_view bytes, uint8_t mode, uint8_t json_bytes) {
  HttpBody body;
  body.state = HttpBody::State::kWhole;
  body.body = bytes;
  body.content_type = (mode & 1) != 0 ? "text/csv" : "application/json";
  if ((mode & 2) != 0) body.content_encoding = "gzip";
  if ((mode & 4) != 0) body.json_bytes = json_bytes;
  body.call = CallOf(mode);
  return body;
}

/// Reads all that a record points to, so that a view that dangles is found.
double SumOf(const LogRecord& record) {
  double sum = 0;
  auto add = [&](std::string_view text) {
    for (char c : text) sum += static_cast<unsigned char>(c);
  };
  for (std::string_view name : record.feature_names) add(name);
  for (std::string_view text : record.predictions) add(text);
  for (std::string_view text : record.segments) add(text);
  for (std::string_view text : {record.predicted, record.label, record.request_id}) add(text);
  for (float value : record.features) sum += value > 0 ? 1 : 0;
  for (float value : record.row_scores) sum += value > 0 ? 1 : 0;
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);
  const size_t half = (data[0] & 8) != 0 ? text.size() / 2 : text.size();
  const HttpBody request = BodyOf(text.substr(0, half), data[0], data[1]);
  const HttpBody response =
      BodyOf(half == text.size() ? text : text.substr(half), data[0], data[1]);
  auto mapping = BodyMapping::Create({{"feature.a", "a.b"}, {"features", "f"}, {"segment.s", "s"}},
                                     {{"predicted", "p"}, {"score", "q.r"}});
  CHECK(mapping.ok());
  const bool mapped = (data[0] & 16) != 0;
  ExchangeBodies bodies(64 << 10);
  BodyCounters requests, responses;
  // Twice: what was kept of the first must not matter.
  for (int i = 0; i < 2; ++i) {
    LogRecord record;
    bodies.ReadRequest(request, requests, record, mapped ? mapping->request() : nullptr);
    bodies.ReadResponse(response, responses, record, mapped ? mapping->response() : nullptr);
    CHECK(record.feature_names.empty() || record.feature_names.size() == record.features.size());
    volatile double sum = SumOf(record);
    (void)sum;
  }
  CHECK(requests.decoded + requests.not_understood + requests.encoding == 2);
  CHECK(responses.decoded + responses.not_understood + responses.encoding == 2);
  return 0;
}
