#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "math/quality.h"
#include "monitor/config.h"
#include "monitor/label_join.h"
#include "monitor/quality/many_class_scores.h"

namespace leadsman {

/// What labels tell of one version beyond right and wrong (docs/quality.md): its classes and how they
/// are taken for each other, its scores, or the errors of its numbers. Sums over weighted rows, for
/// estimates; what says requests counts each once, by its first row, for evidence. Nothing is made
/// up: who gives no scores has no measure of scores.
///
/// At most 40 KB for classes, 16 KB for scores of each kind and, of more than two classes, for each of them (256 KB at most);
/// nothing before the first label.
/// Externally synchronised.
class VersionQuality {
 public:
  static constexpr size_t kMaxClasses = 63;  ///< further ones are "(other)" together
  static constexpr std::string_view kOtherClasses = "(other)";

  void Add(const LabelJoin::Joined& joined, QualityTask task);
  /// Adds what another one was told of the same version: as if one had been told all, but for the order of names, and for classes
  /// beyond kMaxClasses.
  void Merge(const VersionQuality& other);
  /// One of nothing that takes answers for what this one does.
  VersionQuality Afresh() const;

  struct ClassQuality {
    std::string name;
    ConfusionMatrix::ClassFigures rows;
    /// The same of requests.
    uint64_t actual = 0, predicted = 0, hits = 0;
  };
  /// In the order in which they were met, those beyond kMaxClasses last and together.
  std::vector<ClassQuality> Classes() const;
  /// Plain means over the classes of their own that occur.
  ConfusionMatrix::MacroFigures Macro() const;
  struct Cell {
    std::string label, predicted;
    double rows = 0;
  };
  /// Those that are not 0.
  std::vector<Cell> Confusion() const;
  double class_rows() const { return confusion_.total(); }

  /// Of a model that gives probabilities of two classes.
  struct TwoClassScores {
    std::string second_class;  ///< what the scores are probabilities of; empty: not known yet
    ScoreHistogram scores;     ///< positive: it was the second class
    LogLoss loss;
    double other_labels = 0;  ///< rows whose label was neither class
  };
  std::optional<TwoClassScores> TwoClasses() const;
  /// The highest of more than two probabilities; positive: the answer was right. Null: none.
  const ScoreHistogram* best_scores() const { return best_scores_.get(); }

  /// Those of all of more than two classes. Null: none.
  const ManyClassScores* many_classes() const { return many_classes_.get(); }

  const RegressionErrors& errors() const { return errors_; }
  const RegressionErrors& request_errors() const { return request_errors_; }

  /// All but many_classes().
  void Write(ByteWriter& to) const;
  /// many_classes(), which is not null. They follow the other bytes where there are some, so that a program that does not know
  /// them reads those of other models.
  void WriteManyClasses(ByteWriter& to) const { many_classes_->Write(to); }
  void ReadManyClasses(ByteReader& from) {
    many_classes_ = std::make_unique<ManyClassScores>();
    many_classes_->Read(from);
  }
  /// Fails the reader and knows nothing when the bytes are not what Write wrote.
  void Read(ByteReader& from);

 private:
  /// Of rows with two scores. The first class is the one answered first; what the second column is the
  /// probability of is only known by how scores and answers go together.
  struct Pair {
    std::string first, second;  ///< `second` is empty until the model answers it
    ScoreHistogram scores;      ///< positive: not the first class
    LogLoss loss_if_first, loss_if_second;
    std::pair<double, double> of_first, of_second;  ///< weight and sum of scores, by answer
    double other_labels = 0;

    bool ScoresAreOfFirst() const;
    void Merge(const Pair& other);
  };
  struct Evidence {
    uint64_t actual = 0, predicted = 0, hits = 0;
  };

  bool IsNumber(const LabelJoin::Joined& joined, QualityTask task);
  void AddNumber(const LabelJoin::Joined& joined);
  void AddClass(const LabelJoin::Joined& joined);
  void AddScore(const LabelJoin::Joined& joined, const std::string& predicted,
                const std::string& label);
  void MergeClasses(const VersionQuality& other);
  size_t IndexOf(const std::string& name);
  std::string NameOf(size_t index) const;
  ConfusionMatrix::ClassFigures RowsOf(size_t index) const;

  std::vector<std::string> names_;
  std::map<std::string, size_t, std::less<>> index_;
  ConfusionMatrix confusion_;
  double other_wrong_ = 0;  ///< of the others taken for each other: they share a cell
  std::vector<Evidence> evidence_;
  std::unique_ptr<Pair> pair_;
  std::unique_ptr<ScoreHistogram> best_scores_;
  std::unique_ptr<ManyClassScores> many_classes_;
  bool answers_fractions_ = false;
  RegressionErrors errors_;
  RegressionErrors request_errors_;
};

}  // namespace leadsman
