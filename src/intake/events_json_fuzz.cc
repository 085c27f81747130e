// Any bytes as the body of POST /api/v1/events: refused with a reason, or entries that can be read whole.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "intake/event_batch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman::intake;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  EventBatchReader reader;
  EventBatchReader::Outcome outcome;
  size_t visits = 0;
  volatile uint64_t sum = 0;
  auto visit = [&](const EventEntry& entry) {
    ++visits;
    CHECK(!entry.record.model.empty());
    CHECK(entry.record.feature_names.empty() ||
          entry.record.feature_names.size() == entry.record.features.size());
    CHECK(!entry.record.latency_ns || *entry.record.latency_ns >= 0);
    CHECK(!entry.record.unix_ns ||
          (*entry.record.unix_ns >= 0 && *entry.record.unix_ns <= 1'000'000));
    for (std::string_view text : {entry.record.model, entry.record.version, entry.record.request_id,
                                  entry.record.predicted})
      for (char c : text) sum = sum + static_cast<unsigned char>(c);
    for (std::string_view text : entry.record.predictions)
      for (char c : text) sum = sum + static_cast<unsigned char>(c);
    for (std::string_view text : entry.record.feature_names)
      for (char c : text) sum = sum + static_cast<unsigned char>(c);
    for (const auto& label : entry.labels) CHECK(!label.request_id.empty() && !label.label.empty());
    return visits < 100;
  };
  auto read = reader.Read(body, data[0] == 'l' ? "application/x-ndjson" : "", 1, visit, outcome);
  CHECK(read.ok() || (!read.message().empty() && visits == 0));
  CHECK(outcome.invalid == 0 || !outcome.problems.empty());
  return 0;
}
