#include "monitor/drift/request_history.h"

#include <algorithm>

namespace leadsman {

void RequestHistory::Add(const PredictionEvent& event) {
  Request request;
  request.unix_ms = event.unix_ms;
  request.outcome = event.outcome;
  request.outcome_known = event.outcome_known;
  request.score = event.score;
  if (!event.features.empty()) {
    request.width = static_cast<uint32_t>(event.features.size());
    request.features = features_.size();
    features_.insert(features_.end(), event.features.begin(), event.features.end());
  }
  request.answers = answers_.size();
  request.answer_count = static_cast<uint32_t>(event.predicted.size());
  for (std::string_view answer : event.predicted) {
    auto id = class_ids_.find(answer);
    if (id == class_ids_.end()) {
      id = class_ids_.emplace(answer, static_cast<uint32_t>(classes_.size())).first;
      classes_.emplace_back(answer);
    }
    answers_.push_back(id->second);
  }
  requests_.push_back(request);
}

PredictionEvent RequestHistory::At(size_t i, std::vector<std::string_view>& answers) const {
  const Request& request = requests_[i];
  PredictionEvent event;
  event.unix_ms = request.unix_ms;
  event.outcome = request.outcome;
  event.outcome_known = request.outcome_known;
  event.score = request.score;
  if (request.features != kNone)
    event.features = {features_.data() + request.features, request.width};
  answers.clear();
  for (size_t k = 0; k < request.answer_count; ++k)
    answers.push_back(classes_[answers_[request.answers + k]]);
  event.predicted = answers;
  return event;
}

void RequestHistory::Sort() {
  std::stable_sort(requests_.begin(), requests_.end(),
                   [](const Request& a, const Request& b) { return a.unix_ms < b.unix_ms; });
}

void RequestHistory::Spread(double rows_per_day, int64_t end_ms) {
  const double apart_ms = 86'400'000.0 / rows_per_day;
  for (size_t i = 0; i < requests_.size(); ++i) {
    auto before_end = static_cast<double>(requests_.size() - 1 - i);
    requests_[i].unix_ms = end_ms - static_cast<int64_t>(before_end * apart_ms);
  }
}

void HistorySink::Emit(const PredictionEvent& event) {
  auto at = versions_.find({std::string(event.model), event.version});
  const bool room = at != versions_.end() || versions_.size() < kMaxVersions;
  if (!room || requests_ >= kMaxRequests || values_ + event.features.size() > kMaxValues) {
    ++dropped_;
    return;
  }
  if (at == versions_.end())
    at = versions_.try_emplace({std::string(event.model), event.version}).first;
  at->second.Add(event);
  ++requests_;
  values_ += event.features.size();
}

bool HistorySink::TryEmit(const PredictionEvent& event) {
  Emit(event);
  return true;
}

uint32_t HistorySink::FeatureStride(size_t width) const {
  const size_t wide = std::max<size_t>(wide_input_, 1);
  return static_cast<uint32_t>(std::max<size_t>((width + wide - 1) / wide, 1));
}

}  // namespace leadsman
