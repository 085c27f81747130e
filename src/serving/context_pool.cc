#include "serving/context_pool.h"

#include "serving/version_runtime.h"

namespace leadsman {
namespace {

/// Threads are numbered as they come, so that each one starts its search at a slot of its own.
size_t ThreadNumber() {
  static std::atomic<size_t> next{0};
  thread_local const size_t number = next.fetch_add(1);
  return number;
}

}  // namespace

ContextPool& ContextPool::Of(const ServableVersion& version, size_t signature) {
  return VersionRuntime::Of(version).contexts(signature);
}

Result<ContextPool::Lease> ContextPool::Acquire() {
  size_t start = ThreadNumber();
  for (size_t i = 0; i < kSlots; ++i) {
    Slot& slot = slots_[(start + i) % kSlots];
    // Acquire pairs with the release store in Lease::Release: the next user sees what the last one
    // left.
    if (slot.busy.load(std::memory_order_relaxed) ||
        slot.busy.exchange(true, std::memory_order_acquire)) {
      continue;
    }
    Lease lease(&slot);
    if (!slot.context) {
      ASSIGN_OR_RETURN(slot.context, model_.NewContext(signature_));
    }
    return lease;
  }
  // More than kSlots requests of this version at once: rare, so the price of a context of its own
  // is fine.
  ASSIGN_OR_RETURN(std::unique_ptr<ExecutionContext> context, model_.NewContext(signature_));
  auto slot = std::make_unique<Slot>();
  slot->context = std::move(context);
  return Lease(std::move(slot));
}

}  // namespace leadsman
