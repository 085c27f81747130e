#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "monitor/edges/interval_profile.h"

namespace leadsman {

/// What every message of an edge begins with. A message is sent until it is answered; by process and sequence the monitor knows
/// one that it has had already.
struct ProfileHeader {
  std::string edge;
  uint64_t process = 0;                ///< chosen by chance at its start
  uint64_t sequence = 0;               ///< from 1, one more for each message
  std::chrono::milliseconds every{0};  ///< how soon the next one is to be expected
  bool last = false;                   ///< the edge is ending
};

/// One message: versions of what was seen since the one before.
///
///   'P' · version 2 (or 1, without the variety of values) · edge · process · sequence · every · last · count · profiles … · CRC-32 of all that
///
/// Numbers as in byte_form.h; the CRC is four bytes, the lowest first.
inline constexpr size_t kMaxProfileMessage = 32 << 20;
inline constexpr size_t kMaxEdgeName = 128;
inline constexpr size_t kMaxProfilesInMessage = 1024;

/// Takes profiles from the front of `profiles` for as long as the message is not long, and at least one if there is one; says how
/// many in `taken`.
std::string WriteProfileMessage(const ProfileHeader& header,
                                std::span<const IntervalProfile> profiles, size_t& taken);

/// Calls `take` for each profile of a message, one at a time: no more memory than one takes. INVALID_ARGUMENT begins with the field,
/// as "profiles[2].features[7]: …"; what came before it has been taken.
Result<ProfileHeader> ReadProfileMessage(std::string_view bytes,
                                         const std::function<void(IntervalProfile&&)>& take);

/// Empty, or what is wrong with it.
std::string CheckEdgeName(std::string_view name);

}  // namespace leadsman
