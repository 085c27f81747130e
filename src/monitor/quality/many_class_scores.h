#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/prediction_event.h"
#include "math/quality.h"

namespace leadsman {

class ByteReader;
class ByteWriter;

/// Probabilities of more than two classes, each class held against the rest (docs/quality.md). Which class a probability is of is
/// told by the answers: the one that is given where it is the highest. Rows whose label has no probability of its own yet wait,
/// kMaxWaiting of them.
///
/// 16 KB a class, of ClassScores::kMaxClasses at most. Externally synchronised.
class ManyClassScores {
 public:
  static constexpr size_t kMaxWaiting = 256;

  /// `scores` as PredictionEvent::class_scores has those of one row. Those of another number of classes than the first ones count
  /// as left out.
  void Add(std::span<const float> scores, const std::string& predicted, const std::string& label,
           double weight);
  void Merge(const ManyClassScores& other);

  struct ClassArea {
    std::string name;
    double rows = 0;  ///< labelled with it
    ScoreHistogram::Auc auc;
  };
  struct Figures {
    std::vector<ClassArea> classes;  ///< that have rows, as the rest has
    /// Means over `classes`: plain, and weighted by their rows. The errors are the means of theirs.
    ScoreHistogram::Auc macro, weighted;
  };
  /// Nothing while fewer than two classes have rows; or when too many answers were not of the class with the highest probability,
  /// so that it is not certain what the probabilities are of.
  std::optional<Figures> Areas() const;
  const LogLoss& loss() const { return loss_; }
  double rows() const { return rows_; }  ///< that are counted
  /// Rows that are not: their label has no probability that is known to be its own, or there were others in number.
  double left_out() const;

  void Write(ByteWriter& to) const;
  /// Fails the reader and knows nothing when the bytes are not what Write wrote.
  void Read(ByteReader& from);

 private:
  /// One probability of each row.
  struct Column {
    std::string name;       ///< empty: not known yet
    ScoreHistogram scores;  ///< positive: it was this class
  };
  struct Waiting {
    std::vector<float> scores;
    std::string label;
    double weight = 1;
  };

  void Learn(size_t highest, const std::string& predicted, double weight);
  size_t ColumnOf(std::string_view name) const;  ///< columns_.size(): none
  /// A label that was never answered, of a model whose answers are the places of its probabilities.
  size_t ColumnByPlace(std::string_view label) const;
  bool Count(std::span<const float> scores, const std::string& label, double weight);
  void CountWaiting();
  bool certain() const;

  std::vector<Column> columns_;
  std::vector<Waiting> waiting_;
  LogLoss loss_;
  double rows_ = 0;
  double left_out_ = 0;                ///< without those that wait
  double agreed_ = 0, disagreed_ = 0;  ///< rows answered with the class of the highest, or another
};

}  // namespace leadsman
