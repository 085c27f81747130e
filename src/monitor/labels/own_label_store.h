#pragma once

#include <string>
#include <utility>
#include <vector>

#include "monitor/labels/label_store.h"

namespace leadsman {

/// The store of a process that is alone: its database, or nothing but its memory. Lookups read the disk at once; what is to
/// be written is taken by the collector, whose batches the DatabaseWriter writes.
///
/// Claims always succeed: LabelJoin knows which labels it has joined until the database knows them.
class OwnLabelStore final : public LabelStore {
 public:
  /// Null: what is not in the join's memory is not known.
  explicit OwnLabelStore(Database* database) : database_(database) {}

  void Keep(const KeptPrediction& prediction) override {
    if (database_ != nullptr) predictions_.push_back(prediction);
  }
  void Find(uint64_t ticket, const std::string& request_id, uint32_t row) override;
  void Claim(uint64_t ticket, const KeptPrediction& prediction, const std::string& label,
             WallTime wall) override;
  std::vector<Answer> Take() override { return std::exchange(answers_, {}); }

  /// For the next batch.
  std::vector<KeptPrediction> TakePredictions() { return std::exchange(predictions_, {}); }
  std::vector<LabelMark> TakeMarks() { return std::exchange(marks_, {}); }
  /// Times a lookup failed.
  uint64_t errors() const { return errors_; }

 private:
  Database* const database_;
  std::vector<Answer> answers_;
  std::vector<KeptPrediction> predictions_;
  std::vector<LabelMark> marks_;
  uint64_t errors_ = 0;
};

}  // namespace leadsman
