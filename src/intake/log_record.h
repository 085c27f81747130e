#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "events/prediction_event.h"

namespace leadsman::intake {

/// How loud a line of a program is; kNone when it does not say.
enum class Level : uint8_t { kNone, kDebug, kInfo, kWarning, kError, kFatal };
std::string_view LevelName(Level level);  ///< "", "debug", "info", "warning", "error", "fatal"
/// "ERROR", "err", "E", "Critical", pino's "50": any of the spellings in use, or kNone.
Level ParseLevel(std::string_view text);

/// How a request ended, as far as its line tells.
enum class Outcome : uint8_t {
  kUnknown,  ///< the line does not say: no status, or HTTP 200 around a gRPC call without its status
  kOk,       ///< below 400, or gRPC OK
  // HTTP statuses by events/http_outcome.h.
  kClientError,  ///< most 4xx, gRPC's INVALID_ARGUMENT, NOT_FOUND, …
  kServerError,  ///< 5xx and 429, gRPC's UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, …
  kClientGone,   ///< nginx's 499, Envoy's 0, gRPC's CANCELLED: nobody waited for the answer
};

/// What one line says of one request. A field that the line does not say is absent (an empty text, an empty optional):
/// nothing is ever filled in. Texts point into the line or into a buffer of its parser: both must be left alone while they are
/// read. Reused from line to line by Clear(), without allocation.
struct LogRecord {
  std::optional<int64_t> unix_ns;  ///< when, as the line says (start or end, by format)
  std::string_view method;
  std::string_view path;    ///< without the query, as on the wire (escapes stay)
  std::string_view target;  ///< path and query
  std::string_view protocol;
  std::optional<int> status;       ///< HTTP, 0 to 999 as written
  std::optional<int> grpc_status;  ///< 0 to 16
  std::optional<int64_t> latency_ns;
  std::optional<int64_t> upstream_latency_ns;  ///< tries one after the other: their sum
  std::optional<uint64_t> request_bytes;
  std::optional<uint64_t> response_bytes;
  std::string_view client;  ///< address, without its port
  std::string_view user_agent;
  std::string_view request_id;
  std::string_view traceparent;

  std::string_view model;
  std::string_view version;        ///< text: "3"
  std::string_view version_label;  ///< "canary"
  bool inference = false;          ///< a POST to a path that servers of models predict under
  bool pathless = false;           ///< this log never says a path
  bool grpc = false;  ///< the path is a gRPC method: `status` says nothing of the outcome

  Level level = Level::kNone;
  std::string_view message;  ///< of structured lines
  std::string_view error;  ///< what went wrong, in the program's words; may be a whole stack trace

  /// Inputs, when the configuration maps them: positional when `feature_names` is empty, else one name each. What is no number
  /// is NaN.
  std::span<const float> features;
  std::span<const std::string_view> feature_names;
  /// Records of this process with the same key, other than 0, have the same `feature_names`.
  uint64_t names_key = 0;
  bool features_cut = false;  ///< there were more than are kept
  /// How the request is told apart (events/segment_rule.h), as far as the line says: the names of segmentations, and for each of
  /// them the segment, empty where this line says none.
  std::span<const std::string_view> segment_names;
  std::array<std::string_view, PredictionEvent::kMaxSegmentations> segments;
  /// Of the first row; `predictions` of each, where the line says several (at most 16).
  std::string_view predicted;
  std::span<const std::string_view> predictions;
  std::string_view label;      ///< the true answer of the first row, where the line knows it
  std::optional<float> score;  ///< of the first row
  /// Which probability `score` is, or `row_scores` are where there are some: one for each prediction.
  ScoreOf score_of = ScoreOf::kNothing;
  std::span<const float> row_scores;
  ClassScores class_scores;      ///< as PredictionEvent has them
  std::optional<uint32_t> rows;  ///< of the request

  /// Fields that are there but cannot be right: a negative latency, a status of words. They are left absent.
  uint32_t unreadable = 0;

  void Clear();
  /// As an assignment, which a compiler makes a string instruction of, whose start alone takes longer than this.
  void CopyFrom(const LogRecord& other);
  Outcome outcome() const;
};
static_assert(std::is_trivially_copyable_v<LogRecord>);
inline constexpr LogRecord kBlankRecord;

inline void LogRecord::CopyFrom(const LogRecord& other) {
  constexpr size_t kStep = 64;
  auto* const to = reinterpret_cast<unsigned char*>(this);
  const auto* const from = reinterpret_cast<const unsigned char*>(&other);
  size_t at = 0;
  for (; at + kStep <= sizeof(LogRecord); at += kStep) std::memcpy(to + at, from + at, kStep);
  std::memcpy(to + at, from + at, sizeof(LogRecord) % kStep);
}
inline void LogRecord::Clear() { CopyFrom(kBlankRecord); }

/// For a parser whose records all have the same names: a LogRecord::names_key that nobody else has. Thread-safe.
uint64_t NewNamesKey();

}  // namespace leadsman::intake
