#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "events/exchange.h"
#include "intake/envoy_rules.h"

namespace leadsman::intake {

/// What a serialized envoy.service.ext_proc.v3.ProcessingRequest is. Texts point into it.
struct ProcessingMessage {
  enum class Part : uint8_t {
    kNone = 0,  ///< of a newer protocol
    kRequestHeaders = 2,
    kResponseHeaders = 3,
    kRequestBody = 4,
    kResponseBody = 5,
    kRequestTrailers = 6,
    kResponseTrailers = 7,
  };
  Part part = Part::kNone;
  std::string_view content;  ///< HttpHeaders, HttpBody or HttpTrailers, serialized
  bool observability = false;
  std::string_view cluster;  ///< the attribute xds.cluster_name; empty: not sent
  /// Of the first message of a stream, else 0: numbers of ProcessingMode.BodySendMode.
  uint64_t request_body_mode = 0, response_body_mode = 0;
};
bool ReadProcessingMessage(std::string_view message, ProcessingMessage& out);

/// The ProcessingResponse that lets the message pass as it is, appended to `out`. `duplex`: bodies of its side are in the mode
/// FULL_DUPLEX_STREAMED or GRPC, where what is not sent back would be lost; false when it needs no answer.
bool AppendPassOn(const ProcessingMessage& message, bool duplex, std::string& out);

/// One request and its answer as ext_proc tells of them, message by message. Bodies are gathered up to a limit.
/// Confined to its stream's thread; reused after Clear().
class EnvoyExchange {
 public:
  using Body = HttpBody::State;
  struct Limits {
    size_t max_body = 0;
    size_t* held_bytes = nullptr;  ///< of all exchanges; of their thread
    size_t max_held_bytes = 0;
  };

  /// False: malformed.
  bool Take(const ProcessingMessage& message, const EnvoyRules& rules, const Limits& limits,
            SteadyTime now, int64_t unix_ms);
  void Clear(const Limits& limits);

  bool begun() const { return begun_; }
  bool answered() const { return status_.has_value(); }
  /// The answer's last byte has been told of.
  bool complete() const { return response_ended_; }

  /// What is known, without what bodies say. Texts point into this and into the rules.
  void Describe(const EnvoyRules& rules, EnvoyRequest& out) const;

  struct Side : HttpBody {
    uint64_t body_bytes = 0;
  };
  const Side& request() const { return request_; }
  const Side& response() const { return response_; }
  int64_t answered_unix_ms() const { return last_unix_ms_; }

 private:
  bool TakeHeaders(std::string_view bytes, bool of_request, bool& ended);
  void TakeHeader(std::string_view name, std::string_view value, bool of_request);
  bool TakeBody(std::string_view bytes, Side& side, const Limits& limits, bool& ended);
  bool TakeTrailers(std::string_view bytes);
  void DropBody(Side& side, Body why, const Limits& limits);

  bool begun_ = false;
  bool gathers_ = false;  ///< a prediction, so that its bodies are of interest
  bool response_ended_ = false;
  std::string method_, target_, host_, cluster_, request_id_;
  bool grpc_ = false;
  std::optional<int> status_, grpc_status_;
  SteadyTime begun_at_{}, last_at_{};
  int64_t last_unix_ms_ = 0;
  Side request_, response_;
  size_t held_ = 0;
};

}  // namespace leadsman::intake
