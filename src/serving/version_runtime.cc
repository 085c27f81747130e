#include "serving/version_runtime.h"

#include <utility>

#include "base/log.h"

namespace leadsman {

VersionRuntime::VersionRuntime(const ServableVersion& version) {
  const auto& batching = version.config->batching;
  std::span<const NamedSignature> signatures = version.model->signatures();
  for (size_t i = 0; i < signatures.size(); ++i) {
    contexts_.emplace_back(*version.model, i);
    times_.emplace_back();
    BatchRules rules;
    const bool together = i == 0 && version.rows_together > 0;
    if (together || (batching && batching->max_batch_size > 1)) {
      Result<BatchRules> made =
          BatchRules::Create(signatures[i].signature, together ? BatchingConfig() : *batching);
      if (made.ok()) {
        rules = std::move(made).value();
      } else {
        LOG_WARN("requests of this signature are not batched", {"model", version.model_name},
                 {"version", version.version}, {"signature", signatures[i].name},
                 {"reason", std::string(made.status().message())});
      }
    }
    rules_.push_back(std::move(rules));
  }
}

VersionRuntime::~VersionRuntime() {
  // A call that was here may still remember it: so it is ended, not only let go.
  while (scheduler.get() != nullptr && !scheduler.get()->Stop(std::chrono::hours(1))) {
  }
}

VersionRuntime& VersionRuntime::Of(const ServableVersion& version) {
  LazySlot& slot = *version.contexts;
  std::call_once(slot.once, [&] { slot.value = std::make_shared<VersionRuntime>(version); });
  return *static_cast<VersionRuntime*>(slot.value.get());
}

std::shared_ptr<BatchWork> VersionRuntime::TakeWork() {
  std::unique_ptr<BatchWork> work;
  {
    MutexLock lock(mutex_);
    if (!idle_work_.empty()) {
      work = std::move(idle_work_.back());
      idle_work_.pop_back();
    }
  }
  if (!work) work = std::make_unique<BatchWork>();
  return {work.release(), [this](BatchWork* used) {
            used->lease.Release();
            used->buffer.Trim();
            MutexLock lock(mutex_);
            idle_work_.emplace_back(used);
          }};
}

}  // namespace leadsman
