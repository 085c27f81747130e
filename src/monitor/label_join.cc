#include "monitor/label_join.h"

#include <functional>

#include "base/strings.h"

namespace leadsman {
namespace {

std::string KeyOf(const std::string& request_id, uint32_t row) {
  std::string key = request_id;
  key += '\0';
  key += static_cast<char>(row);  // rows are below PredictionEvent::kMaxPredictions
  return key;
}

/// Also "nan" and "inf", which a model of numbers answers when it goes wrong.
bool IsNumber(std::string_view text) { return ParseDouble(text).has_value(); }

double UnitInterval(std::string_view request_id) {
  uint64_t h = std::hash<std::string_view>()(request_id);
  h = (h ^ (h >> 31)) * 0xbf58476d1ce4e5b9ull;
  return static_cast<double>((h ^ (h >> 29)) >> 11) * 0x1p-53;
}

}  // namespace

double JoinSampler::Weigh(std::string_view request_id, size_t rows, SteadyTime now) {
  if (now - interval_start_ >= std::chrono::seconds(1)) Roll(now);
  seen_ += static_cast<double>(rows);
  if (share_ < 1 && UnitInterval(request_id) >= share_) return 0;
  double weight = 1 / share_;
  kept_ += static_cast<double>(rows);
  // A burst must not have to wait for the end of the interval.
  if (kept_ > 1.5 * max_rate_) {
    share_ /= 2;
    kept_ = max_rate_;
  }
  return weight;
}

void JoinSampler::Roll(SteadyTime now) {
  double rate = seen_ / ToSeconds(now - interval_start_);
  share_ = rate > max_rate_ ? max_rate_ / rate : 1;
  if (share_ < 1e-6) share_ = 1e-6;  // also for a rate of 0: a weight must stay finite
  seen_ = kept_ = 0;
  interval_start_ = now;
}

void LabelJoin::Learn(const KeptPrediction& prediction) {
  Kinds& kinds = kinds_[prediction.model];
  (IsNumber(prediction.predicted) ? kinds.number : kinds.text) = true;
}

/// Not when all that the model answers are numbers and the label is none, or the other way round. A
/// model whose classes are some of each ("0", "1", "unknown") can be wrong in either way.
bool LabelJoin::Comparable(const KeptPrediction& prediction, const std::string& label) const {
  auto it = kinds_.find(prediction.model);
  if (it == kinds_.end() || (it->second.number && it->second.text)) return true;
  return IsNumber(label) == it->second.number;
}

LabelJoin::Entry& LabelJoin::Remember(std::string key, Entry entry) {
  auto [it, fresh] = memory_.try_emplace(key, std::move(entry));
  if (fresh) {
    order_.push_back(std::move(key));
    if (order_.size() > limits_.predictions) {
      if (order_.front() != it->first) memory_.erase(order_.front());
      order_.pop_front();
    }
  }
  return it->second;
}

bool LabelJoin::AddPrediction(KeptPrediction prediction, WallTime wall, SteadyTime now) {
  std::string key = KeyOf(prediction.request_id, prediction.row);
  // An id used twice belongs to its first prediction: a label cannot say which one it means.
  if (memory_.contains(key)) return false;
  predictions_.push_back(prediction);
  Learn(prediction);
  Entry& entry = Remember(key, Entry{std::move(prediction), now, false, false, {}});
  if (waiting_.empty()) return true;
  auto [first, last] = waiting_.equal_range(key);
  for (auto it = first; it != last; ++it) Join(entry, it->second.label, wall, now);
  waiting_.erase(first, last);
  return true;
}

void LabelJoin::AddLabel(GroundTruth label, WallTime wall, SteadyTime now) {
  // Behind others that wait for their lookup, in the order they came: the first label of a row
  // counts.
  auto it = lookups_.empty() ? memory_.find(KeyOf(label.request_id, label.row)) : memory_.end();
  if (it != memory_.end()) {
    Join(it->second, label, wall, now);
  } else {
    lookups_.push_back(Waiting{std::move(label), now + kPatience});
  }
}

void LabelJoin::Join(Entry& entry, const GroundTruth& label, WallTime wall, SteadyTime now) {
  const KeptPrediction& p = entry.prediction;
  if (entry.labelled) {
    ++counters_.duplicate;
    if (!SameAnswer(entry.label, label.label)) ++counters_.conflicting;
    return;
  }
  // By steady time where it is known: a jump of the wall clock makes no label late. A prediction
  // "from the future" is one made before the clock was set back.
  Duration allowed = std::chrono::milliseconds(p.expires_ms - p.at_ms);
  Duration age =
      entry.from_database ? Duration(wall - FromUnixMillis(p.at_ms)) : Duration(now - entry.since);
  if (age > allowed) {
    ++counters_.late;
    return;
  }
  if (!Comparable(p, label.label)) {
    ++counters_.mismatched;  // and the row goes on waiting for a label that fits
    return;
  }
  ++counters_.joined;
  entry.labelled = true;
  entry.label = label.label;
  joined_.push_back(Joined{p, label.label, !SameAnswer(p.predicted, label.label)});
  marks_.push_back(LabelMark{p.request_id, p.row, label.label, UnixMillis(wall)});
}

std::optional<LabelJoin::Joined> LabelJoin::JoinAtOnce(const KeptPrediction& p,
                                                       const std::string& label) {
  Learn(p);
  if (!Comparable(p, label)) {
    ++counters_.mismatched;
    return std::nullopt;
  }
  ++counters_.joined;
  return Joined{p, label, !SameAnswer(p.predicted, label)};
}

Result<bool> LabelJoin::LookUp(Database* database, const GroundTruth& label, WallTime wall,
                               SteadyTime now) {
  std::string key = KeyOf(label.request_id, label.row);
  auto it = memory_.find(key);
  if (it == memory_.end()) {
    if (database == nullptr) return false;
    auto found = database->Find(label.request_id, label.row);
    if (!found.ok()) {
      ++lookup_errors_;
      return found.status();
    }
    if (!found->has_value()) return false;
    StoredPrediction& stored = **found;
    bool labelled = stored.label.has_value();
    Learn(stored.prediction);
    // Into memory, so that a second label sees the mark before the database has it.
    Entry& entry = Remember(std::move(key), Entry{std::move(stored.prediction), now, true, labelled,
                                                  stored.label.value_or("")});
    Join(entry, label, wall, now);
    return true;
  }
  Join(it->second, label, wall, now);
  return true;
}

void LabelJoin::Wait(Waiting waiting) {
  std::string key = KeyOf(waiting.label.request_id, waiting.label.row);
  waiting_order_.emplace_back(waiting.until, key);
  waiting_.emplace(std::move(key), std::move(waiting));
  if (waiting_order_.size() > 2 * waiting_.size() + 1024) ForgetJoinedWaiters();
}

void LabelJoin::ForgetJoinedWaiters() {
  std::erase_if(waiting_order_, [this](const auto& w) { return !waiting_.contains(w.second); });
}

bool LabelJoin::FrontIsDue(SteadyTime now) const {
  return !waiting_order_.empty() &&
         (waiting_order_.front().first <= now || waiting_.size() > limits_.waiting);
}

bool LabelJoin::Resolve(Database* database, WallTime wall, SteadyTime now) {
  size_t left = kLookupsAtOnce;
  for (; left > 0 && !lookups_.empty(); --left) {
    Waiting w = std::move(lookups_.front());
    lookups_.pop_front();
    auto found = LookUp(database, w.label, wall, now);
    if (!found.ok() || !*found) Wait(std::move(w));
  }
  while (left > 0 && FrontIsDue(now)) {
    auto [until, key] = std::move(waiting_order_.front());
    waiting_order_.pop_front();
    auto [it, last] = waiting_.equal_range(key);
    // A later label of the same row has an entry of its own.
    while (it != last && it->second.until > until) ++it;
    if (it == last) continue;
    // Once more: it may have been written and forgotten by the memory meanwhile, or the first
    // lookup have failed.
    auto found = LookUp(database, it->second.label, wall, now);
    if (!found.ok() || !*found) ++counters_.unknown;
    waiting_.erase(it);
    --left;
  }
  return lookups_.empty() && !FrontIsDue(now);
}

bool SameAnswer(std::string_view predicted, std::string_view label) {
  if (predicted == label) return true;
  auto whole = ParseInt64(predicted);
  auto whole_label = ParseInt64(label);
  if (whole && whole_label) return *whole == *whole_label;
  auto a = ParseDouble(predicted);
  auto b = ParseDouble(label);
  return a && b && *a == *b;
}

}  // namespace leadsman
