#include "monitor/label_join.h"

#include <algorithm>
#include <functional>

#include "base/strings.h"
#include "events/missing_text.h"

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
  if (IsMissingText(prediction.predicted)) kinds.missing = true;
}

/// Not when all that the model answers are numbers and the label is none, or the other way round. A
/// model whose classes are some of each ("0", "1", "unknown") can be wrong in either way. Nor when the label says that there is
/// none, "NaN" or "NA", unless the model has a class of such a name.
bool LabelJoin::Comparable(const KeptPrediction& prediction, const std::string& label) const {
  auto it = kinds_.find(prediction.model);
  if (IsMissingText(label) && (IsNumber(label) || it == kinds_.end() || !it->second.missing))
    return false;
  if (it == kinds_.end() || (it->second.number && it->second.text)) return true;
  return IsNumber(label) == it->second.number;
}

void LabelJoin::CountMismatched(const KeptPrediction& prediction) {
  ++counters_.mismatched;
  ++kinds_[prediction.model].mismatched;
}

std::map<std::string, uint64_t> LabelJoin::Mismatched() const {
  std::map<std::string, uint64_t> mismatched;
  for (const auto& [model, kinds] : kinds_) {
    if (kinds.mismatched > 0) mismatched.emplace(model, kinds.mismatched);
  }
  return mismatched;
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
  store_.Keep(prediction);
  Learn(prediction);
  const Entry& entry = Remember(key, Entry{std::move(prediction), now, false, false, {}});
  if (waiting_.empty()) return true;
  // Out of the map first: an answer that is taken meanwhile may let another label wait in it.
  std::vector<GroundTruth> met;
  auto [first, last] = waiting_.equal_range(key);
  for (auto it = first; it != last; ++it) met.push_back(std::move(it->second.label));
  waiting_.erase(first, last);
  for (const GroundTruth& label : met) {
    Join(entry, label, wall, now);
    TakeAnswers(wall, now);
  }
  return true;
}

void LabelJoin::AddLabel(GroundTruth label, WallTime wall, SteadyTime now) {
  // Behind others that wait for their lookup, in the order they came: the first label of a row
  // counts.
  if (lookups_.empty() && asked_.empty() && store_.ready()) {
    auto it = memory_.find(KeyOf(label.request_id, label.row));
    if (it != memory_.end()) {
      Join(it->second, label, wall, now);
      return TakeAnswers(wall, now);
    }
  }
  lookups_.push_back(std::move(label));
}

void LabelJoin::Join(const Entry& entry, const GroundTruth& label, WallTime wall, SteadyTime now) {
  const KeptPrediction& p = entry.prediction;
  if (entry.labelled) return OnTaken(label, entry.label);
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
    CountMismatched(p);  // and the row goes on waiting for a label that fits
    return;
  }
  const uint64_t ticket = ++last_ticket_;
  asked_.emplace(ticket, Asked{{label, std::nullopt, {}}, false, p});
  store_.Claim(ticket, p, label.label, wall);
}

void LabelJoin::OnTaken(const GroundTruth& label, const std::string& taken) {
  ++counters_.duplicate;
  if (!SameAnswer(taken, label.label)) ++counters_.conflicting;
}

void LabelJoin::Mark(const GroundTruth& label, const std::string& with) {
  auto it = memory_.find(KeyOf(label.request_id, label.row));
  if (it == memory_.end()) return;
  it->second.labelled = true;
  it->second.label = with;
}

void LabelJoin::CountJoined(Asked asked) {
  std::string& label = asked.waiting.label.label;
  ++counters_.joined;
  Mark(asked.waiting.label, label);
  const bool wrong = !SameAnswer(asked.claimed->predicted, label);
  joined_.push_back(Joined{std::move(*asked.claimed), std::move(label), wrong});
}

std::optional<LabelJoin::Joined> LabelJoin::JoinAtOnce(const KeptPrediction& p,
                                                       const std::string& label) {
  Learn(p);
  if (!Comparable(p, label)) {
    CountMismatched(p);
    return std::nullopt;
  }
  ++counters_.joined;
  return Joined{p, label, !SameAnswer(p.predicted, label)};
}

void LabelJoin::LookUp(Waiting waiting, bool last_look, WallTime wall, SteadyTime now) {
  const GroundTruth& label = waiting.label;
  auto it = memory_.find(KeyOf(label.request_id, label.row));
  if (it != memory_.end()) return Join(it->second, label, wall, now);
  const uint64_t ticket = ++last_ticket_;
  store_.Find(ticket, label.request_id, label.row);
  asked_.emplace(ticket, Asked{std::move(waiting), last_look, std::nullopt});
}

void LabelJoin::TakeAnswers(WallTime wall, SteadyTime now) {
  while (!asked_.empty()) {
    std::vector<LabelStore::Answer> answers = store_.Take();
    if (answers.empty()) return;
    for (LabelStore::Answer& answer : answers) {
      auto asked = asked_.extract(answer.ticket);
      if (!asked.empty()) OnAnswer(std::move(asked.mapped()), std::move(answer), wall, now);
    }
  }
}

void LabelJoin::OnAnswer(Asked asked, LabelStore::Answer answer, WallTime wall, SteadyTime now) {
  const GroundTruth& label = asked.waiting.label;
  switch (answer.kind) {
    case LabelStore::Answer::Kind::kClaimed:
      return CountJoined(std::move(asked));
    case LabelStore::Answer::Kind::kTaken:
      Mark(label, *answer.label);
      return OnTaken(label, *answer.label);
    case LabelStore::Answer::Kind::kFound: {
      Learn(answer.prediction);
      // Into memory, so that a second label sees the mark before the database has it.
      Entry& entry = Remember(KeyOf(label.request_id, label.row),
                              Entry{std::move(answer.prediction), now, true, false, {}});
      if (answer.label) {
        entry.labelled = true;
        entry.label = std::move(*answer.label);
      }
      return Join(entry, label, wall, now);
    }
    case LabelStore::Answer::Kind::kNone:
    case LabelStore::Answer::Kind::kFailed:
      return NotFound(std::move(asked), now);
  }
}

void LabelJoin::NotFound(Asked asked, SteadyTime now) {
  if (asked.claimed || asked.last_look) {
    ++counters_.unknown;
    return;
  }
  Wait(std::move(asked.waiting), now);
}

void LabelJoin::Wait(Waiting waiting, SteadyTime now) {
  std::string key = KeyOf(waiting.label.request_id, waiting.label.row);
  if (!waiting.until) waiting.until = now + kPatience;
  // Of a store of our own every prediction comes by AddPrediction; it is asked once more at the end,
  // for the memory may have forgotten one meanwhile, or the first lookup have failed.
  waiting.next = now + (store_.shared() ? kLookAgain : kPatience);
  waiting_order_.emplace_back(waiting.next, key);
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

void LabelJoin::LookAgain(SteadyTime now, WallTime wall) {
  const bool too_many = waiting_.size() > limits_.waiting;
  auto [next, key] = std::move(waiting_order_.front());
  waiting_order_.pop_front();
  auto [it, last] = waiting_.equal_range(key);
  // A later label of the same row has an entry of its own.
  while (it != last && it->second.next > next) ++it;
  if (it == last) return;
  Waiting waiting = std::move(it->second);
  waiting_.erase(it);
  // While the store was away others could not write to it either.
  const bool waited =
      now >= *waiting.until && (!store_.shared() || now - kPatience >= ready_since_);
  LookUp(std::move(waiting), too_many || waited, wall, now);
}

bool LabelJoin::Resolve(WallTime wall, SteadyTime now) {
  TakeAnswers(wall, now);
  const bool ready = store_.ready();
  if (ready && !was_ready_) ready_since_ = now;
  was_ready_ = ready;
  size_t left = kLookupsAtOnce;
  for (; left > 0 && !lookups_.empty() && MayAsk(); --left) {
    GroundTruth label = std::move(lookups_.front());
    lookups_.pop_front();
    LookUp({std::move(label), std::nullopt, {}}, false, wall, now);
    TakeAnswers(wall, now);
  }
  for (; left > 0 && FrontIsDue(now) && MayAsk(); --left) {
    LookAgain(now, wall);
    TakeAnswers(wall, now);
  }
  return !ready || (asked_.empty() && lookups_.empty() && !FrontIsDue(now));
}

}  // namespace leadsman
