#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "events/prediction_event.h"
#include "intake/log_record.h"
#include "intake/record_events.h"
#include "intake/source_counters.h"

namespace leadsman::intake {

/// Records that come one by one, of any models, → events. Each model has its own names of features; beyond kMaxModels models
/// the rest is one, "(other)". Shared by the intakes that are sent predictions instead of reading them.
///
/// Confined to one thread, but for features().
class EventFeed {
 public:
  static constexpr size_t kMaxModels = 256;

  EventFeed(const Clock& clock, Sink& sink, SourceCounters& counters);

  /// Never blocks. The record's `model` may be empty: then it is kDefaultModel.
  RecordEvents::Offered Offer(const LogRecord& record);
  /// Waits by `wait` while the sink is full; once that says no, what cannot be taken is dropped, and counted by the sink.
  void Put(const LogRecord& record, const std::function<bool()>& wait);

  /// Names of features by their places in events, of the models whose requests name them. Thread-safe.
  std::map<std::string, std::vector<std::string>> features() const;

 private:
  RecordEvents& Of(std::string_view model);

  const Clock& clock_;
  Sink& sink_;
  SourceCounters& counters_;
  const std::function<bool()>* wait_ = nullptr;  ///< of the Put() under way
  mutable Mutex mutex_;
  /// Written by the owner's thread alone, which reads it without the lock.
  std::map<std::string, std::unique_ptr<RecordEvents>, std::less<>> models_;
};

}  // namespace leadsman::intake
