#include "intake/event_feed.h"

#include <utility>

#include "intake/log_source.h"
#include "intake/model_name.h"

namespace leadsman::intake {

EventFeed::EventFeed(const Clock& clock, Sink& sink, SourceCounters& counters)
    : clock_(clock), sink_(sink), counters_(counters) {}

RecordEvents& EventFeed::Of(std::string_view model) {
  if (model.empty()) model = kDefaultModel;
  auto found = models_.find(model);
  if (found != models_.end()) return *found->second;
  if (models_.size() >= kMaxModels || !IsModelName(model)) model = RecordEvents::kOtherModels;
  found = models_.find(model);
  if (found != models_.end()) return *found->second;
  LogSource source;
  source.model = std::string(model);
  auto events = std::make_unique<RecordEvents>(
      RecordEvents::Deps{clock_, sink_, counters_,
                         [this] { return wait_ != nullptr && (*wait_)(); }},
      source);
  MutexLock lock(mutex_);
  return *models_.emplace(std::string(model), std::move(events)).first->second;
}

RecordEvents::Offered EventFeed::Offer(const LogRecord& record) {
  // The name is the RecordEvents' own: it stands as it is, with a % in it, too.
  LogRecord of_model = record;
  of_model.model = {};
  return Of(record.model).Offer(of_model);
}

void EventFeed::Put(const LogRecord& record, const std::function<bool()>& wait) {
  LogRecord of_model = record;
  of_model.model = {};
  wait_ = &wait;
  Of(record.model).OnRequest(of_model);
  wait_ = nullptr;
}

std::map<std::string, std::vector<std::string>> EventFeed::features() const {
  MutexLock lock(mutex_);
  std::map<std::string, std::vector<std::string>> features;
  for (const auto& [model, events] : models_) features.merge(events->features());
  return features;
}

}  // namespace leadsman::intake
