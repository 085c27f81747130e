#include "monitor/quiet/watch_rig.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "monitor/accuracy_watch.h"
#include "monitor/quality/quality_watch.h"
#include "monitor/request_meter.h"
#include "monitor/schema/schema_watch.h"
#include "monitor/traffic_watch.h"

namespace leadsman {
namespace {

constexpr const char* kModel = "model";

/// A watch that reads the sums of requests.
template <typename T>
class MeterRig : public WatchRig {
 protected:
  MeterRig(const Objectives& objectives, const AlarmBookOptions& options)
      : WatchRig(options), objectives_(objectives) {}
  Watch& watch() override { return *watch_; }
  Kept& counts() override { return *watch_; }
  ObjectivesOf objectives_of() {
    return [this](const std::string&) { return objectives_; };
  }

  const Objectives objectives_;
  VersionCounts sums_{kModel, 1, {}};
  RequestMeter meter_{[this] { return std::vector<VersionCounts>{sums_}; }};
  std::unique_ptr<T> watch_;
};

class BurnRateRig final : public MeterRig<BurnRateWatch> {
 public:
  BurnRateRig(BurnRateWatch::Of of, const Objectives& objectives, const AlarmBookOptions& options)
      : MeterRig(objectives, options), of_(of) {
    watch_ = std::make_unique<BurnRateWatch>(of, meter_, watched_, objectives_of());
  }
  void Count(const ObjectiveCounts& more) override {
    VersionTotals& totals = sums_.totals;
    totals.requests += more.total;
    if (of_ == BurnRateWatch::Of::kErrors) {
      totals.answered += more.total;
      totals.server_errors += more.bad;
    } else {
      totals.latency.front() += more.total - more.bad;
      totals.latency.back() += more.bad;
    }
  }

 private:
  const BurnRateWatch::Of of_;
};

class AccuracyRig final : public MeterRig<AccuracyWatch> {
 public:
  AccuracyRig(const Objectives& objectives, const AlarmBookOptions& options)
      : MeterRig(objectives, options) {
    watch_ = std::make_unique<AccuracyWatch>(meter_, watched_, objectives_of());
  }
  void Count(const ObjectiveCounts& more) override {
    sums_.totals.requests += more.total;
    sums_.totals.labelled_requests += more.total;
    sums_.totals.wrong_requests += more.bad;
  }
};

class TrafficRig final : public MeterRig<TrafficWatch> {
 public:
  TrafficRig(const Objectives& objectives, const AlarmBookOptions& options)
      : MeterRig(objectives, options) {
    watch_ = std::make_unique<TrafficWatch>(meter_, watched_, objectives_of(),
                                            [](const std::string&) { return true; });
  }
  void Count(const ObjectiveCounts& more) override { sums_.totals.requests += more.total; }
};

class QualityRig final : public WatchRig {
  using Objectives = std::map<std::string, std::vector<QualityObjective>>;

 public:
  QualityRig(const QualityObjective& objective, const AlarmBookOptions& options)
      : WatchRig(options),
        measure_(objective.measure),
        watch_([this](const std::string&) { return std::vector<QualityEvidence>{evidence_}; },
               watched_, Objectives{{kModel, {objective}}}) {
    evidence_.version = 1;
    evidence_.classes.emplace_back().name = objective.of_class;
  }
  void Count(const ObjectiveCounts& more) override {
    VersionQuality::ClassQuality& sums = evidence_.classes[0];
    const uint64_t hits = more.total - more.bad;
    sums.hits += hits;
    sums.actual += more.total;
    // Of F1 all that are or were predicted to be of the class.
    sums.predicted += measure_ == QualityObjective::Measure::kF1 ? hits : more.total;
  }

 private:
  Watch& watch() override { return watch_; }
  Kept& counts() override { return watch_; }

  const QualityObjective::Measure measure_;
  QualityEvidence evidence_;
  QualityWatch watch_;
};

class SchemaRig final : public WatchRig {
 public:
  SchemaRig(double accepted_share, const AlarmBookOptions& options)
      : WatchRig(options), watch_([this] { return std::vector<SchemaCounts>{sums_}; }, watched_) {
    sums_.model = kModel;
    sums_.version = 1;
    sums_.accepted_share = accepted_share;
  }
  void Count(const ObjectiveCounts& more) override {
    sums_.rows += more.total;
    sums_.violating += more.bad;
  }

 private:
  Watch& watch() override { return watch_; }
  Kept& counts() override { return watch_; }

  SchemaCounts sums_;
  SchemaWatch watch_;
};

}  // namespace

bool WatchRig::Look(SteadyTime now) {
  const WallTime wall{now.time_since_epoch()};
  const std::vector<AlarmTransition> news = book_.Step(watch().Look(wall, now), wall, now);
  return std::any_of(news.begin(), news.end(), [](const AlarmTransition& t) {
    return t.to == AlarmState::kFiring && t.from != AlarmState::kFiring;
  });
}

std::vector<KeptCounts> WatchRig::Keep(SteadyTime now) {
  std::vector<KeptCounts> kept;
  counts().Keep(now, kept);
  return kept;
}

void WatchRig::Restore(const std::vector<KeptCounts>& kept, SteadyTime now) {
  for (const KeptCounts& one : kept) (void)counts().Restore(one, now, now);
}

std::unique_ptr<WatchRig> MakeBurnRateRig(BurnRateWatch::Of of, const Objectives& objectives,
                                          const AlarmBookOptions& options) {
  return std::make_unique<BurnRateRig>(of, objectives, options);
}

std::unique_ptr<WatchRig> MakeAccuracyRig(const Objectives& objectives,
                                          const AlarmBookOptions& options) {
  return std::make_unique<AccuracyRig>(objectives, options);
}

std::unique_ptr<WatchRig> MakeQualityRig(const QualityObjective& objective,
                                         const AlarmBookOptions& options) {
  return std::make_unique<QualityRig>(objective, options);
}

std::unique_ptr<WatchRig> MakeSchemaRig(double accepted_share, const AlarmBookOptions& options) {
  return std::make_unique<SchemaRig>(accepted_share, options);
}

std::unique_ptr<WatchRig> MakeTrafficRig(const Objectives& objectives,
                                         const AlarmBookOptions& options) {
  return std::make_unique<TrafficRig>(objectives, options);
}

}  // namespace leadsman
