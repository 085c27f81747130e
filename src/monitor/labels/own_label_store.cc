#include "monitor/labels/own_label_store.h"

namespace leadsman {

void OwnLabelStore::Find(uint64_t ticket, const std::string& request_id, uint32_t row) {
  Answer& answer = answers_.emplace_back();
  answer.ticket = ticket;
  answer.kind = Answer::Kind::kNone;
  if (database_ == nullptr) return;
  auto found = database_->Find(request_id, row);
  if (!found.ok()) {
    ++errors_;
    answer.kind = Answer::Kind::kFailed;
  } else if (found->has_value()) {
    answer.kind = Answer::Kind::kFound;
    answer.prediction = std::move((*found)->prediction);
    answer.label = std::move((*found)->label);
  }
}

void OwnLabelStore::Claim(uint64_t ticket, const KeptPrediction& prediction,
                          const std::string& label, WallTime wall) {
  if (database_ != nullptr)
    marks_.push_back({prediction.request_id, prediction.row, label, UnixMillis(wall)});
  Answer& answer = answers_.emplace_back();
  answer.ticket = ticket;
  answer.kind = Answer::Kind::kClaimed;
}

}  // namespace leadsman
