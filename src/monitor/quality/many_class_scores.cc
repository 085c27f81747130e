#include "monitor/quality/many_class_scores.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/strings.h"
#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr size_t kMaxNameBytes = 255;
/// Of answers that are not of the highest probability: beyond it, what is highest does not say which class it is of.
constexpr double kMostDisagree = 0.05;

double ReadAmount(ByteReader& from) {
  const double value = from.Double();
  if (!std::isfinite(value) || value < 0) from.Fail();
  return value;
}

}  // namespace

void ManyClassScores::Add(std::span<const float> scores, const std::string& predicted,
                          const std::string& label, double weight) {
  if (scores.size() < 3 || scores.size() > ClassScores::kMaxClasses) return;
  if (columns_.empty()) columns_.resize(scores.size());
  if (columns_.size() != scores.size()) {
    left_out_ += weight;
    return;
  }
  const auto highest = std::max_element(scores.begin(), scores.end()) - scores.begin();
  Learn(static_cast<size_t>(highest), predicted, weight);
  if (Count(scores, label, weight)) return;
  if (waiting_.size() == kMaxWaiting) {
    left_out_ += weight;
  } else {
    waiting_.push_back({{scores.begin(), scores.end()}, label, weight});
  }
}

void ManyClassScores::Learn(size_t highest, const std::string& predicted, double weight) {
  Column& column = columns_[highest];
  const size_t known = ColumnOf(predicted);
  if (column.name.empty() && known == columns_.size() && predicted.size() <= kMaxNameBytes) {
    column.name = predicted;
    CountWaiting();
  }
  (column.name == predicted ? agreed_ : disagreed_) += weight;
}

size_t ManyClassScores::ColumnOf(std::string_view name) const {
  auto found = std::find_if(columns_.begin(), columns_.end(),
                            [&](const Column& column) { return column.name == name; });
  return name.empty() ? columns_.size() : static_cast<size_t>(found - columns_.begin());
}

size_t ManyClassScores::ColumnByPlace(std::string_view label) const {
  const std::optional<int64_t> place = ParseInt64(label);
  if (!place || *place < 0 || static_cast<size_t>(*place) >= columns_.size())
    return columns_.size();
  bool any = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name.empty()) continue;
    if (columns_[i].name != std::to_string(i)) return columns_.size();
    any = true;
  }
  return any ? static_cast<size_t>(*place) : columns_.size();
}

bool ManyClassScores::Count(std::span<const float> scores, const std::string& label,
                            double weight) {
  size_t column = ColumnOf(label);
  if (column == columns_.size()) column = ColumnByPlace(label);
  if (column == columns_.size()) return false;
  for (size_t i = 0; i < columns_.size(); ++i)
    columns_[i].scores.Add(scores[i], i == column, weight);
  loss_.Add(scores[column], weight);
  rows_ += weight;
  return true;
}

void ManyClassScores::CountWaiting() {
  std::erase_if(waiting_,
                [this](const Waiting& row) { return Count(row.scores, row.label, row.weight); });
}

void ManyClassScores::Merge(const ManyClassScores& other) {
  if (other.columns_.empty()) return;
  if (columns_.empty()) columns_.resize(other.columns_.size());
  const bool same = columns_.size() == other.columns_.size() &&
                    std::equal(columns_.begin(), columns_.end(), other.columns_.begin(),
                               [](const Column& a, const Column& b) {
                                 return a.name.empty() || b.name.empty() || a.name == b.name;
                               });
  if (!same) {
    left_out_ += other.rows_ + other.left_out();
    return;
  }
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name.empty()) columns_[i].name = other.columns_[i].name;
    columns_[i].scores.Merge(other.columns_[i].scores);
  }
  loss_.Merge(other.loss_);
  rows_ += other.rows_;
  left_out_ += other.left_out_;
  agreed_ += other.agreed_;
  disagreed_ += other.disagreed_;
  for (const Waiting& row : other.waiting_) {
    if (waiting_.size() == kMaxWaiting) {
      left_out_ += row.weight;
    } else {
      waiting_.push_back(row);
    }
  }
  CountWaiting();
}

double ManyClassScores::left_out() const {
  double sum = left_out_;
  for (const Waiting& row : waiting_) sum += row.weight;
  return sum;
}

bool ManyClassScores::certain() const {
  return disagreed_ <= kMostDisagree * (agreed_ + disagreed_);
}

std::optional<ManyClassScores::Figures> ManyClassScores::Areas() const {
  if (!certain()) return std::nullopt;
  Figures figures;
  double rows = 0;
  figures.macro = figures.weighted = {0, 0};
  for (size_t i = 0; i < columns_.size(); ++i) {
    const ScoreHistogram& scores = columns_[i].scores;
    if (scores.positives() <= 0 || scores.negatives() <= 0) continue;
    const std::string& name = columns_[i].name;
    const ClassArea area{name.empty() ? std::to_string(i) : name, scores.positives(),
                         scores.AreaUnderCurve()};
    figures.macro.value += area.auc.value;
    figures.macro.error += area.auc.error;
    figures.weighted.value += area.rows * area.auc.value;
    figures.weighted.error += area.rows * area.auc.error;
    rows += area.rows;
    figures.classes.push_back(area);
  }
  if (figures.classes.size() < 2) return std::nullopt;
  const auto classes = static_cast<double>(figures.classes.size());
  figures.macro = {figures.macro.value / classes, figures.macro.error / classes};
  figures.weighted = {figures.weighted.value / rows, figures.weighted.error / rows};
  return figures;
}

void ManyClassScores::Write(ByteWriter& to) const {
  to.Varint(columns_.size());
  for (const Column& column : columns_) {
    to.Text(column.name);
    column.scores.Write(to);
  }
  to.Varint(waiting_.size());
  for (const Waiting& row : waiting_) {
    for (float score : row.scores) to.Float(score);
    to.Text(row.label);
    to.Double(row.weight);
  }
  loss_.Write(to);
  for (double amount : {rows_, left_out_, agreed_, disagreed_}) to.Double(amount);
}

void ManyClassScores::Read(ByteReader& from) {
  *this = {};
  const uint64_t columns = from.Varint();
  if (columns > ClassScores::kMaxClasses) from.Fail();
  for (uint64_t i = 0; i < columns && from.ok(); ++i) {
    Column& column = columns_.emplace_back();
    column.name = from.Text(kMaxNameBytes);
    column.scores.Read(from);
  }
  const uint64_t waiting = from.Varint();
  if (waiting > kMaxWaiting) from.Fail();
  for (uint64_t i = 0; i < waiting && from.ok(); ++i) {
    Waiting& row = waiting_.emplace_back();
    for (size_t n = 0; n < columns_.size(); ++n) row.scores.push_back(from.Float());
    row.label = from.Text(kMaxNameBytes);
    row.weight = ReadAmount(from);
  }
  loss_.Read(from);
  for (double* amount : {&rows_, &left_out_, &agreed_, &disagreed_}) *amount = ReadAmount(from);
  if (!from.ok()) *this = {};
}

}  // namespace leadsman
