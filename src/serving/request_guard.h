#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/strings.h"

namespace leadsman {

/// What every protocol does with a request around its prediction: its id, and the exceptions on its way. Thread-safe.

/// 1 to 128 printable ASCII characters without blanks.
bool IsAcceptableRequestId(std::string_view id);
/// `id` becomes the client's, when that is acceptable; else one of the server's own making.
void TakeOrMakeRequestId(std::string_view from_client, std::string& id);
/// For ids that only have to differ: never for secrets.
uint64_t RandomBits();

/// What `work` returns, or INTERNAL for what it throws: a pool thread has nobody above it, and a call once admitted has to
/// be finished on whatever thread.
template <typename Work>
Status Guarded(std::string_view what, Work work) {
  try {
    return work();
  } catch (const std::exception& e) {
    return InternalError(StrCat("the request could not be ", what, ": ", e.what()));
  }
}

}  // namespace leadsman
