#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "events/exchange.h"
#include "gateway/config.h"

namespace leadsman::gateway {

struct MirrorState;
struct Version;

/// Why no copy was sent of a request that was to be mirrored. The names are labels of metrics.
enum class Unsent : uint8_t {
  kTooLarge,    ///< above MirrorOptions::max_body
  kNoMemory,    ///< beyond max_held_bytes
  kUnfinished,  ///< the original did not come whole, its client gave it up, or no endpoint was tried
  kBusy,        ///< max_concurrent are under way
  kNoEndpoint,    ///< none is healthy
  kNotConnected,  ///< no connection could be made, or not in time
  kDraining,
};
inline constexpr size_t kUnsentReasons = static_cast<size_t>(Unsent::kDraining) + 1;
std::string_view UnsentName(Unsent reason);  ///< "too_large"

/// Why a copy that was sent has no answer.
enum class Unanswered : uint8_t {
  kTimeout,
  kClosed,     ///< the connection ended before the end of the answer
  kBadAnswer,  ///< what came is not HTTP
  kDraining,
};
inline constexpr size_t kUnansweredReasons = static_cast<size_t>(Unanswered::kDraining) + 1;
std::string_view UnansweredName(Unanswered reason);  ///< "timeout"

/// A version that may get copies of its service's requests, as all threads share it, and what they may cost. Of a service's
/// mirrors one gets them at a time (Service::mirror). Thread-safe.
struct Mirror {
  /// `before`: of the same version in the configuration before this one; null: there was none.
  Mirror(const MirrorOptions& mirror_options, const Version& shadow, const Mirror* before,
         size_t workers);

  const MirrorOptions& options;
  const Version& version;          ///< whose answers no client sees
  std::atomic<uint32_t> parts{0};  ///< of Split::kParts: the share
  const std::shared_ptr<ByteBudget> bytes;
  const std::shared_ptr<MirrorState> state;

  /// A place for one more copy; false when all are taken.
  bool TryBegin();
  void End();
  size_t under_way() const;
};

}  // namespace leadsman::gateway
