#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "backend/backend.h"
#include "lifecycle/types.h"

namespace leadsman {

/// The execution contexts of one signature of a version: one per thread that runs it, made when first needed and
/// kept until the version is unloaded. A thread finds its own one again without a lock shared with
/// other threads.
///
/// Thread-safe. Lives in ServableVersion::contexts, so a lease may only be used while the version's
/// Handle is held.
class ContextPool {
  struct alignas(64) Slot {
    std::atomic<bool> busy{false};
    uint32_t until_sampled = 0;
    std::unique_ptr<ExecutionContext> context;
  };

 public:
  /// One context for one request, given back when it is destroyed. Movable, confined.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : slot_(std::exchange(other.slot_, nullptr)), own_(std::move(other.own_)) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this != &other) {
        Release();
        slot_ = std::exchange(other.slot_, nullptr);
        own_ = std::move(other.own_);
      }
      return *this;
    }
    ~Lease() { Release(); }

    explicit operator bool() const { return slot_ != nullptr; }
    ExecutionContext& context() const { return *slot_->context; }
    void Release() {
      Slot* slot = std::exchange(slot_, nullptr);
      if (slot == nullptr) return;
      if (own_ != nullptr) {
        own_.reset();
      } else {
        slot->busy.store(false, std::memory_order_release);  // pairs with Acquire
      }
    }
    /// True once every `stride` calls on this slot, the first one included; never when `stride` is
    /// 0.
    bool TakeSample(uint32_t stride) const {
      if (stride == 0) return false;
      if (slot_->until_sampled > 0) {
        --slot_->until_sampled;
        return false;
      }
      slot_->until_sampled = stride - 1;
      return true;
    }

   private:
    friend class ContextPool;
    explicit Lease(Slot* slot) : slot_(slot) {}
    explicit Lease(std::unique_ptr<Slot> own) : slot_(own.get()), own_(std::move(own)) {}
    Slot* slot_ = nullptr;
    std::unique_ptr<Slot>
        own_;  ///< a context made because all slots were busy; goes with its lease
  };

  ContextPool(LoadedModel& model, size_t signature) : model_(model), signature_(signature) {}

  /// The pool of a version's signature (an index of LoadedModel::signatures), made on first use.
  static ContextPool& Of(const ServableVersion& version, size_t signature = 0);

  /// Errors are the backend's, when a new context is needed and cannot be made.
  Result<Lease> Acquire();

 private:
  static constexpr size_t kSlots = 64;
  LoadedModel& model_;
  const size_t signature_;
  std::array<Slot, kSlots> slots_;
};

}  // namespace leadsman
