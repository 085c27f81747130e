#include "intake/event_intake.h"

#include <optional>
#include <utility>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

Registry::Registration AddCounter(Registry& registry, const char* name, const char* help,
                                  const std::atomic<uint64_t>& counter) {
  return registry.Add({name, help, MetricType::kCounter, {}}, [&counter] {
    MetricSample sample;
    sample.value = static_cast<double>(counter.load());
    return std::vector<MetricSample>{sample};
  });
}

/// "events[3].label", "line 4: labels[2]"
std::string PlaceOf(const EventEntry& entry, const GroundTruth& label) {
  const bool line = entry.place.starts_with("line");
  return StrCat(entry.place,
                entry.place.empty() ? ""
                : line              ? ": "
                                    : ".",
                label.row == 0 ? "label" : StrCat("labels[", label.row, "]"));
}

/// Nothing: it cannot be told from others.
std::optional<uint64_t> KeyOf(const LogRecord& record) {
  if (record.request_id.empty()) return std::nullopt;
  const std::string_view version = record.version == "0" ? std::string_view() : record.version;
  return RecentIds::KeyOf({record.model, version, record.request_id});
}

}  // namespace

EventIntake::EventIntake(const Clock& clock, Sink& sink, Registry& registry)
    : clock_(clock), feed_(clock, sink, counters_) {
  auto add = [&](const char* name, const char* help, const std::atomic<uint64_t>& counter) {
    registrations_.push_back(AddCounter(registry, name, help, counter));
  };
  add("leadsman_intake_events_accepted_total",
      "Predictions that POST /api/v1/events has brought and the monitor has taken.",
      counters_.predictions);
  add("leadsman_intake_events_rejected_total",
      "Entries of POST /api/v1/events that were invalid, or of a model that was never found; a "
      "body "
      "of which nothing could be read is one.",
      rejected_);
  add("leadsman_intake_events_refused_total",
      "Batches of POST /api/v1/events that were answered 503, in whole or in part, because the "
      "monitor had no room.",
      refused_);
  add("leadsman_intake_events_duplicate_total",
      "Entries of POST /api/v1/events whose request id had been taken within the last hour, of the "
      "same model and version: they count once.",
      duplicate_);
  add("leadsman_intake_events_from_future_total",
      "Accepted entries of POST /api/v1/events whose time was later than now; now stands in its "
      "place.",
      from_future_);
  add("leadsman_intake_events_before_1970_total",
      "Accepted entries of POST /api/v1/events whose time was before 1970; now stands in its "
      "place.",
      before_1970_);
  add("leadsman_intake_events_unknown_segments_total",
      "Accepted entries of POST /api/v1/events that name a segmentation which their model has not "
      "(monitoring.segments). They are counted without it.",
      counters_.unknown_segments);
}

Result<EventReceipt> EventIntake::Add(std::string_view body, std::string_view content_type) {
  EventReceipt receipt;
  EventBatchReader::Outcome outcome;
  uint64_t unknown = 0;
  auto visit = [&](const EventEntry& entry) REQUIRES(mutex_) {
    auto give_labels = [&] {
      for (const GroundTruth& label : entry.labels) {
        receipt.labels.push_back(label);
        receipt.label_places.push_back(PlaceOf(entry, label));
      }
    };
    if (entry.label_alone) {
      give_labels();  // of a request that has been told already
      return true;
    }
    const std::optional<uint64_t> id = KeyOf(entry.record);
    if (id && taken_.Contains(*id, clock_.SteadyNow())) {
      ++receipt.duplicate;
      give_labels();  // they may have found no room
      return true;
    }
    using Offered = RecordEvents::Offered;
    const Offered offered = feed_.Offer(entry.record);
    if (offered == Offered::kNoRoom) return false;
    if (offered != Offered::kTaken) {
      ++unknown;
      return true;
    }
    if (id) taken_.Add(*id, clock_.SteadyNow());
    ++receipt.accepted;
    if (entry.from_future) ++receipt.from_future;
    if (entry.before_1970) ++receipt.before_1970;
    give_labels();
    return true;
  };
  {
    MutexLock lock(mutex_);
    const Status read = reader_.Read(body, content_type, UnixMillis(clock_.Now()), visit, outcome);
    if (!read.ok()) {
      ++rejected_;
      ++invalid_;
      return read;
    }
  }
  receipt.rejected = outcome.invalid + unknown;
  receipt.full = outcome.stopped;
  receipt.next = outcome.entries;
  receipt.errors = std::move(outcome.problems);
  if (unknown > 0)
    receipt.errors.push_back(
        StrCat(unknown, " entries were answered \"not found\", of a model that was never found"));
  counters_.lines += outcome.entries;
  rejected_ += receipt.rejected;
  invalid_ += outcome.invalid;
  duplicate_ += receipt.duplicate;
  from_future_ += receipt.from_future;
  before_1970_ += receipt.before_1970;
  ++(receipt.full ? refused_ : batches_);
  return receipt;
}

EventIntake::Losses EventIntake::losses() const {
  return {.entries = counters_.predictions,
          .invalid = invalid_,
          .batches = batches_,
          .refused = refused_};
}

SourceView EventIntake::view() const {
  SourceView view;
  view.source = "events API";
  view.TakeCounters(counters_);
  view.model_features = feed_.features();
  return view;
}

}  // namespace leadsman::intake
