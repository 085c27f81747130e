#include "gateway/mirror.h"

#include "gateway/counters.h"

namespace leadsman::gateway {

std::string_view UnsentName(Unsent reason) {
  switch (reason) {
    case Unsent::kTooLarge:
      return "too_large";
    case Unsent::kNoMemory:
      return "no_memory";
    case Unsent::kUnfinished:
      return "unfinished";
    case Unsent::kBusy:
      return "busy";
    case Unsent::kNoEndpoint:
      return "no_endpoint";
    case Unsent::kNotConnected:
      return "not_connected";
    case Unsent::kDraining:
      return "draining";
  }
  return "";
}

std::string_view UnansweredName(Unanswered reason) {
  switch (reason) {
    case Unanswered::kTimeout:
      return "timeout";
    case Unanswered::kClosed:
      return "closed";
    case Unanswered::kBadAnswer:
      return "bad_answer";
    case Unanswered::kDraining:
      return "draining";
  }
  return "";
}

Mirror::Mirror(const MirrorOptions& mirror_options, const Version& shadow, const Mirror* before,
               size_t workers)
    : options(mirror_options),
      version(shadow),
      bytes(before != nullptr && before->options.max_held_bytes == options.max_held_bytes
                ? before->bytes
                : std::make_shared<ByteBudget>(options.max_held_bytes)),
      state(before != nullptr ? before->state : std::make_shared<MirrorState>(workers)) {}

bool Mirror::TryBegin() {
  // Counted first: several threads may come at once.
  if (state->under_way.fetch_add(1) < options.max_concurrent) return true;
  End();
  return false;
}

void Mirror::End() { state->under_way.fetch_sub(1); }
size_t Mirror::under_way() const { return state->under_way.load(); }

}  // namespace leadsman::gateway
