#include "monitor/drift/request_history.h"

#include <algorithm>
#include <queue>
#include <utility>

namespace leadsman {

uint32_t RequestHistory::IdOf(std::string_view text) {
  auto id = class_ids_.find(text);
  if (id == class_ids_.end()) {
    id = class_ids_.emplace(text, static_cast<uint32_t>(classes_.size())).first;
    classes_.emplace_back(text);
  }
  return id->second;
}

void RequestHistory::Add(const PredictionEvent& event) {
  Request request;
  request.unix_ms = event.unix_ms;
  request.outcome = event.outcome;
  request.outcome_known = event.outcome_known;
  request.latency_known = event.latency_known;
  request.latency_ns = event.latency_ns;
  request.answer = event.answer;
  request.score = event.score;
  request.feature_weight = event.feature_weight;
  if (!event.features.empty()) {
    request.width = static_cast<uint32_t>(event.features.size());
    request.features = features_.size();
    features_.insert(features_.end(), event.features.begin(), event.features.end());
  }
  request.answers = answers_.size();
  request.answer_count = static_cast<uint32_t>(event.predicted.size());
  request.label_count = static_cast<uint32_t>(event.labels.size());
  for (std::string_view answer : event.predicted) answers_.push_back(IdOf(answer));
  for (std::string_view label : event.labels) answers_.push_back(IdOf(label));
  requests_.push_back(request);
}

PredictionEvent RequestHistory::At(size_t i, std::vector<std::string_view>& texts) const {
  const Request& request = requests_[i];
  PredictionEvent event;
  event.unix_ms = request.unix_ms;
  event.outcome = request.outcome;
  event.outcome_known = request.outcome_known;
  event.latency_known = request.latency_known;
  event.latency_ns = request.latency_ns;
  event.answer = request.answer;
  event.score = request.score;
  event.feature_weight = request.feature_weight;
  if (request.features != kNone)
    event.features = {features_.data() + request.features, request.width};
  texts.clear();
  for (size_t k = 0; k < size_t{request.answer_count} + request.label_count; ++k)
    texts.push_back(classes_[answers_[request.answers + k]]);
  const std::span<const std::string_view> all = texts;
  event.predicted = all.first(request.answer_count);
  event.labels = all.subspan(request.answer_count);
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

std::vector<double> DaysOfPast(double length, double day, size_t most) {
  const auto days = std::clamp<size_t>(static_cast<size_t>(length / day), 1, most);
  const double apart = days > 1 ? (length - day) / static_cast<double>(days - 1) : 0;
  std::vector<double> begins;
  for (size_t i = 0; i < days; ++i) begins.push_back(apart * static_cast<double>(i));
  return begins;
}

void ReplayInOrder(const std::map<VersionKey, RequestHistory>& histories,
                   const std::function<void(const VersionKey&, const PredictionEvent&)>& visit) {
  struct Next {
    int64_t unix_ms;
    const std::pair<const VersionKey, RequestHistory>* history;
    size_t request;
  };
  auto later = [](const Next& a, const Next& b) { return a.unix_ms > b.unix_ms; };
  std::priority_queue<Next, std::vector<Next>, decltype(later)> queue(later);
  for (const auto& history : histories) {
    if (history.second.size() > 0) queue.push({history.second.unix_ms(0), &history, 0});
  }
  std::vector<std::string_view> texts;
  while (!queue.empty()) {
    Next next = queue.top();
    queue.pop();
    const auto& [key, history] = *next.history;
    PredictionEvent event = history.At(next.request, texts);
    event.model = key.first;
    event.version = key.second;
    visit(key, event);
    if (++next.request == history.size()) continue;
    next.unix_ms = history.unix_ms(next.request);
    queue.push(next);
  }
}

std::vector<LabelJoin::Joined> LabelReplay::Join(const VersionKey& key,
                                                 const PredictionEvent& event) {
  std::vector<LabelJoin::Joined> all;
  if (event.labels.empty() || event.outcome != StatusCode::kOk) return all;
  const size_t rows = std::min(event.labels.size(), event.predicted.size());
  for (size_t row = 0; row < rows; ++row) {
    if (event.predicted[row].empty() || event.labels[row].empty()) continue;
    KeptPrediction prediction;
    prediction.row = static_cast<uint32_t>(row);
    prediction.model = key.first;
    prediction.version = key.second;
    prediction.predicted = std::string(event.predicted[row]);
    prediction.at_ms = event.unix_ms;
    prediction.answer = event.answer;
    auto joined = join_.JoinAtOnce(prediction, std::string(event.labels[row]));
    if (joined) all.push_back(std::move(*joined));
  }
  return all;
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
