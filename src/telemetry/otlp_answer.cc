#include "telemetry/otlp_answer.h"

#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "base/wire.h"

namespace leadsman {
namespace {

constexpr uint32_t kPartialSuccess = 1;  // of Export…ServiceResponse
constexpr uint32_t kRejected = 1, kErrorMessage = 2;
constexpr uint32_t kDetails = 3;                 // of google.rpc.Status: google.protobuf.Any
constexpr uint32_t kTypeUrl = 1, kAnyValue = 2;  // of Any
constexpr uint32_t kRetryDelay = 1, kSeconds = 1, kNanos = 2;  // of RetryInfo, and of Duration
constexpr std::string_view kRetryInfo = "/google.rpc.RetryInfo";
constexpr size_t kWordsShown = 200;
/// What is waited for at most, whatever is asked.
constexpr std::chrono::minutes kLongestDelay{5};

/// The first field of that number that is a message, or nothing.
std::optional<std::string_view> MessageIn(std::string_view message, uint32_t field) {
  WireReader in(message);
  while (in.Next())
    if (in.Is(field, WireReader::kBytes)) return in.bytes();
  return std::nullopt;
}

Duration DelayOf(std::string_view duration) {
  int64_t seconds = 0, nanos = 0;
  WireReader in(duration);
  while (in.Next()) {
    if (in.Is(kSeconds, WireReader::kVarint)) seconds = static_cast<int64_t>(in.varint());
    if (in.Is(kNanos, WireReader::kVarint)) nanos = static_cast<int64_t>(in.varint());
  }
  constexpr int64_t kMost = std::chrono::seconds(kLongestDelay).count();
  return std::chrono::seconds(std::clamp<int64_t>(seconds, 0, kMost)) +
         std::chrono::nanoseconds(std::clamp<int64_t>(nanos, 0, 999'999'999));
}

}  // namespace

std::optional<OtlpPartialSuccess> ReadOtlpPartialSuccess(std::string_view response) {
  const auto partial = MessageIn(response, kPartialSuccess);
  if (!partial) return std::nullopt;
  OtlpPartialSuccess read;
  WireReader in(*partial);
  while (in.Next()) {
    if (in.Is(kRejected, WireReader::kVarint))
      read.rejected =
          static_cast<uint64_t>(std::max<int64_t>(static_cast<int64_t>(in.varint()), 0));
    if (in.Is(kErrorMessage, WireReader::kBytes))
      read.words = ToUtf8(CutUtf8(in.bytes(), kWordsShown));
  }
  if (!in.ok() || (read.rejected == 0 && read.words.empty())) return std::nullopt;
  return read;
}

std::optional<Duration> ReadRetryDelay(std::string_view rpc_status) {
  WireReader in(rpc_status);
  while (in.Next()) {
    if (!in.Is(kDetails, WireReader::kBytes)) continue;
    const auto type = MessageIn(in.bytes(), kTypeUrl);
    if (!type || !type->ends_with(kRetryInfo)) continue;
    const auto info = MessageIn(in.bytes(), kAnyValue);
    const auto delay = MessageIn(info.value_or(""), kRetryDelay);
    return DelayOf(delay.value_or(""));
  }
  return std::nullopt;
}

bool IsRetryableOtlp(StatusCode code, bool has_retry_delay) {
  switch (code) {
    case StatusCode::kCancelled:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kAborted:
    case StatusCode::kOutOfRange:
    case StatusCode::kUnavailable:
    case StatusCode::kDataLoss:
      return true;
    case StatusCode::kResourceExhausted:
      return has_retry_delay;
    default:
      return false;
  }
}

}  // namespace leadsman
