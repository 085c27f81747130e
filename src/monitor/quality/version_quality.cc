#include "monitor/quality/version_quality.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/strings.h"
#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr size_t kMaxNameBytes = 255;

/// "7.0", "+7" and "7" are one class: those that SameAnswer takes for the same.
std::string CanonicalClass(const std::string& text) {
  if (auto whole = ParseInt64(text)) return std::to_string(*whole);
  constexpr double kExact = 0x1p53;
  auto number = ParseDouble(text);
  if (number && std::fabs(*number) < kExact && *number == std::floor(*number)) {
    return std::to_string(static_cast<int64_t>(*number));
  }
  return text;
}

bool HasFraction(std::string_view text) {
  return text.find_first_of(".eE") != std::string_view::npos && ParseDouble(text).has_value();
}

double NumberOf(const std::string& text) {
  return ParseDouble(text).value_or(std::numeric_limits<double>::quiet_NaN());
}

double ReadFinite(ByteReader& from) {
  const double value = from.Double();
  if (!std::isfinite(value)) from.Fail();
  return value;
}

void WriteScores(const std::unique_ptr<ScoreHistogram>& scores, ByteWriter& to) {
  to.Byte(scores ? 1 : 0);
  if (scores) scores->Write(to);
}

}  // namespace

void VersionQuality::Add(const LabelJoin::Joined& joined, QualityTask task) {
  if (IsNumber(joined, task)) {
    AddNumber(joined);
  } else {
    AddClass(joined);
  }
}

bool VersionQuality::IsNumber(const LabelJoin::Joined& joined, QualityTask task) {
  if (task != QualityTask::kAuto) return task == QualityTask::kRegression;
  if (joined.prediction.answer != AnswerKind::kUnknown) {
    return joined.prediction.answer == AnswerKind::kNumber;
  }
  // A log says "7.25" of a number and "7" of either. The first fraction decides, and what was taken
  // for classes before it were none.
  if (!answers_fractions_ && HasFraction(joined.prediction.predicted)) {
    *this = {};
    answers_fractions_ = true;
  }
  return answers_fractions_;
}

void VersionQuality::AddNumber(const LabelJoin::Joined& joined) {
  const double label = NumberOf(joined.label);
  const double predicted = NumberOf(joined.prediction.predicted);
  errors_.Add(label, predicted, joined.prediction.weight);
  if (joined.first_of_request()) request_errors_.Add(label, predicted);
}

void VersionQuality::AddClass(const LabelJoin::Joined& joined) {
  const double weight = joined.prediction.weight;
  const std::string predicted = CanonicalClass(joined.prediction.predicted);
  const std::string label = joined.wrong ? CanonicalClass(joined.label) : predicted;
  const size_t predicted_index = IndexOf(predicted), label_index = IndexOf(label);
  confusion_.Add(label_index, predicted_index, weight);
  if (joined.wrong && label_index == kMaxClasses && predicted_index == kMaxClasses) {
    other_wrong_ += weight;
  }
  AddScore(joined, predicted, label);
  if (!joined.first_of_request()) return;
  evidence_.resize(std::max({evidence_.size(), label_index + 1, predicted_index + 1}));
  ++evidence_[label_index].actual;
  ++evidence_[predicted_index].predicted;
  if (!joined.wrong) ++evidence_[label_index].hits;
}

void VersionQuality::AddScore(const LabelJoin::Joined& joined, const std::string& predicted,
                              const std::string& label) {
  const KeptPrediction& p = joined.prediction;
  if (p.score_of == ScoreOf::kNothing || !(p.score >= 0)) return;
  if (p.score_of == ScoreOf::kBestClass) {
    if (!best_scores_) best_scores_ = std::make_unique<ScoreHistogram>();
    best_scores_->Add(p.score, !joined.wrong, p.weight);
    if (p.class_scores.empty()) return;
    if (!many_classes_) many_classes_ = std::make_unique<ManyClassScores>();
    many_classes_->Add(p.class_scores, predicted, label, p.weight);
    return;
  }
  if (!pair_) {
    pair_ = std::make_unique<Pair>();
    pair_->first = predicted;
  }
  Pair& pair = *pair_;
  const bool answered_first = predicted == pair.first;
  if (!answered_first && pair.second.empty()) pair.second = predicted;
  if (answered_first || predicted == pair.second) {
    auto& [weight, sum] = answered_first ? pair.of_first : pair.of_second;
    weight += p.weight;
    sum += p.weight * p.score;
  }
  const bool was_first = label == pair.first;
  if (!was_first && !pair.second.empty() && label != pair.second) {
    pair.other_labels += p.weight;
    return;
  }
  pair.scores.Add(p.score, !was_first, p.weight);
  pair.loss_if_first.Add(was_first ? p.score : 1 - p.score, p.weight);
  pair.loss_if_second.Add(was_first ? 1 - p.score : p.score, p.weight);
}

void VersionQuality::Merge(const VersionQuality& other) {
  // As IsNumber: what was taken for classes before the first fraction were none.
  if (other.answers_fractions_ && !answers_fractions_) *this = other.Afresh();
  errors_.Merge(other.errors_);
  request_errors_.Merge(other.request_errors_);
  if (answers_fractions_) return;
  MergeClasses(other);
  if (other.best_scores_) {
    if (!best_scores_) best_scores_ = std::make_unique<ScoreHistogram>();
    best_scores_->Merge(*other.best_scores_);
  }
  if (other.many_classes_) {
    if (!many_classes_) many_classes_ = std::make_unique<ManyClassScores>();
    many_classes_->Merge(*other.many_classes_);
  }
  if (!other.pair_) return;
  if (pair_) {
    pair_->Merge(*other.pair_);
  } else {
    pair_ = std::make_unique<Pair>(*other.pair_);
  }
}

VersionQuality VersionQuality::Afresh() const {
  VersionQuality fresh;
  fresh.answers_fractions_ = answers_fractions_;
  return fresh;
}

void VersionQuality::MergeClasses(const VersionQuality& other) {
  const size_t classes = other.confusion_.classes();
  std::vector<size_t> ours(std::max(classes, other.evidence_.size()), kMaxClasses);
  for (size_t i = 0; i < std::min(ours.size(), other.names_.size()); ++i)
    ours[i] = IndexOf(other.names_[i]);
  other_wrong_ += other.other_wrong_;
  for (size_t label = 0; label < classes; ++label) {
    for (size_t predicted = 0; predicted < classes; ++predicted) {
      const double rows = other.confusion_.count(label, predicted);
      if (rows <= 0) continue;
      confusion_.Add(ours[label], ours[predicted], rows);
      const bool both_others = ours[label] == kMaxClasses && ours[predicted] == kMaxClasses;
      if (both_others && label != predicted) other_wrong_ += rows;
    }
  }
  for (size_t i = 0; i < other.evidence_.size(); ++i) {
    const Evidence& more = other.evidence_[i];
    if (evidence_.size() <= ours[i]) evidence_.resize(ours[i] + 1);
    evidence_[ours[i]].actual += more.actual;
    evidence_[ours[i]].predicted += more.predicted;
    evidence_[ours[i]].hits += more.hits;
  }
}

/// The other one may have been answered the classes in the other order.
void VersionQuality::Pair::Merge(const Pair& other) {
  const bool same = other.first == first;
  const bool swapped =
      (second.empty() || second == other.first) && (other.second.empty() || other.second == first);
  if (!same && !swapped) {
    other_labels += other.scores.positives() + other.scores.negatives() + other.other_labels;
    return;
  }
  if (second.empty()) second = same ? other.second : other.first;
  ScoreHistogram more = other.scores;
  if (!same) more.SwapOutcomes();
  scores.Merge(more);
  loss_if_first.Merge(same ? other.loss_if_first : other.loss_if_second);
  loss_if_second.Merge(same ? other.loss_if_second : other.loss_if_first);
  const auto& theirs_first = same ? other.of_first : other.of_second;
  const auto& theirs_second = same ? other.of_second : other.of_first;
  of_first.first += theirs_first.first;
  of_first.second += theirs_first.second;
  of_second.first += theirs_second.first;
  of_second.second += theirs_second.second;
  other_labels += other.other_labels;
}

/// Wherever the model's threshold lies: what is answered at higher scores is what they are of.
bool VersionQuality::Pair::ScoresAreOfFirst() const {
  auto mean = [](const std::pair<double, double>& of) { return of.second / of.first; };
  if (of_first.first > 0 && of_second.first > 0) return mean(of_first) > mean(of_second);
  return of_first.first > 0 ? mean(of_first) > 0.5 : mean(of_second) < 0.5;
}

std::optional<VersionQuality::TwoClassScores> VersionQuality::TwoClasses() const {
  if (!pair_) return std::nullopt;
  const Pair& pair = *pair_;
  const bool of_first = pair.ScoresAreOfFirst();
  TwoClassScores two{of_first ? pair.first : pair.second, pair.scores,
                     of_first ? pair.loss_if_first : pair.loss_if_second, pair.other_labels};
  if (of_first) two.scores.SwapOutcomes();
  // The model has never answered it, but it may have been the truth.
  if (two.second_class.empty() && names_.size() == 2) {
    two.second_class = names_[0] == pair.first ? names_[1] : names_[0];
  }
  return two;
}

size_t VersionQuality::IndexOf(const std::string& name) {
  auto found = index_.find(name);
  if (found != index_.end()) return found->second;
  if (names_.size() == kMaxClasses) return kMaxClasses;
  names_.push_back(name);
  return index_.emplace(name, names_.size() - 1).first->second;
}

std::string VersionQuality::NameOf(size_t index) const {
  return index < names_.size() ? names_[index] : std::string(kOtherClasses);
}

ConfusionMatrix::ClassFigures VersionQuality::RowsOf(size_t index) const {
  ConfusionMatrix::ClassFigures rows = confusion_.Of(index);
  if (index == kMaxClasses) rows.hits -= other_wrong_;
  return rows;
}

std::vector<VersionQuality::ClassQuality> VersionQuality::Classes() const {
  std::vector<ClassQuality> classes;
  for (size_t i = 0; i < confusion_.classes(); ++i) {
    const Evidence requests = i < evidence_.size() ? evidence_[i] : Evidence{};
    classes.push_back({NameOf(i), RowsOf(i), requests.actual, requests.predicted, requests.hits});
  }
  return classes;
}

ConfusionMatrix::MacroFigures VersionQuality::Macro() const {
  ConfusionMatrix::MacroFigures macro;
  const size_t own = std::min(confusion_.classes(), kMaxClasses);
  double occurring = 0;
  for (size_t i = 0; i < own; ++i) {
    const ConfusionMatrix::ClassFigures rows = RowsOf(i);
    if (rows.actual + rows.predicted == 0) continue;
    ++occurring;
    macro.precision += rows.Precision();
    macro.recall += rows.Recall();
    macro.f1 += rows.F1();
  }
  if (occurring == 0) return {};
  return {macro.precision / occurring, macro.recall / occurring, macro.f1 / occurring};
}

std::vector<VersionQuality::Cell> VersionQuality::Confusion() const {
  std::vector<Cell> cells;
  for (size_t label = 0; label < confusion_.classes(); ++label) {
    for (size_t predicted = 0; predicted < confusion_.classes(); ++predicted) {
      const double rows = confusion_.count(label, predicted);
      if (rows > 0) cells.push_back({NameOf(label), NameOf(predicted), rows});
    }
  }
  return cells;
}

void VersionQuality::Write(ByteWriter& to) const {
  to.Varint(names_.size());
  for (const std::string& name : names_) to.Text(name);
  confusion_.Write(to);
  to.Double(other_wrong_);
  to.Varint(evidence_.size());
  for (const Evidence& of : evidence_) {
    for (uint64_t count : {of.actual, of.predicted, of.hits}) to.Varint(count);
  }
  WriteScores(best_scores_, to);
  to.Byte(pair_ ? 1 : 0);
  if (pair_) {
    to.Text(pair_->first);
    to.Text(pair_->second);
    pair_->scores.Write(to);
    pair_->loss_if_first.Write(to);
    pair_->loss_if_second.Write(to);
    for (const auto& [weight, sum] : {pair_->of_first, pair_->of_second}) {
      to.Double(weight);
      to.Double(sum);
    }
    to.Double(pair_->other_labels);
  }
  to.Byte(answers_fractions_ ? 1 : 0);
  errors_.Write(to);
  request_errors_.Write(to);
}

void VersionQuality::Read(ByteReader& from) {
  *this = {};
  const uint64_t names = from.Varint();
  if (names > kMaxClasses) from.Fail();
  for (uint64_t i = 0; i < names && from.ok(); ++i) {
    const std::string name(from.Text(kMaxNameBytes));
    if (!index_.emplace(name, i).second) from.Fail();
    names_.push_back(name);
  }
  confusion_.Read(from);
  other_wrong_ = ReadFinite(from);
  const uint64_t classes = from.Varint();
  if (confusion_.classes() > kMaxClasses + 1 || classes > kMaxClasses + 1) from.Fail();
  for (uint64_t i = 0; i < classes && from.ok(); ++i) {
    Evidence of;
    for (uint64_t* count : {&of.actual, &of.predicted, &of.hits}) *count = from.Varint();
    // Sums of many such stay whole numbers, and what is not hit is never negative.
    constexpr uint64_t kMost = uint64_t{1} << 48;
    if (of.actual > kMost || of.predicted > kMost || of.hits > std::min(of.actual, of.predicted))
      from.Fail();
    evidence_.push_back(of);
  }
  if (from.Byte() != 0) {
    best_scores_ = std::make_unique<ScoreHistogram>();
    best_scores_->Read(from);
  }
  if (from.Byte() != 0) {
    pair_ = std::make_unique<Pair>();
    pair_->first = from.Text(kMaxNameBytes);
    pair_->second = from.Text(kMaxNameBytes);
    pair_->scores.Read(from);
    pair_->loss_if_first.Read(from);
    pair_->loss_if_second.Read(from);
    for (auto* of : {&pair_->of_first, &pair_->of_second}) {
      of->first = ReadFinite(from);
      of->second = ReadFinite(from);
    }
    pair_->other_labels = ReadFinite(from);
  }
  answers_fractions_ = from.Byte() != 0;
  errors_.Read(from);
  request_errors_.Read(from);
  if (!from.ok()) *this = {};
}

}  // namespace leadsman
