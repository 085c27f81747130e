#include "serving/context_pool.h"

#include <deque>

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
  using Pools = std::deque<ContextPool>;  // which neither moves nor copies them
  LazySlot& slot = *version.contexts;
  std::call_once(slot.once, [&] {
    auto pools = std::make_shared<Pools>();
    for (size_t i = 0; i < version.model->signatures().size(); ++i) {
      pools->emplace_back(*version.model, i);
    }
    slot.value = std::move(pools);
  });
  return (*static_cast<Pools*>(slot.value.get()))[signature];
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
