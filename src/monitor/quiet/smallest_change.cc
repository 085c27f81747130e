#include "monitor/quiet/smallest_change.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "monitor/drift/request_history.h"

namespace leadsman {
namespace {

constexpr double kDay = 86'400;
/// What a watch looks back on, and how much of it by the minute.
constexpr double kPrimed = 3 * kDay, kPrimedFinely = 6 * 3600.0, kCoarseStep = 600;
/// Shares that are tried: from 10^-4 to 1, twenty to each power of ten.
constexpr int kFinest = 80, kToPowerOfTen = 20;

/// Of so many each with this chance.
uint64_t Draw(uint64_t of, double share, Rng& rng) {
  if (of == 0 || share <= 0) return 0;
  if (share >= 1) return of;
  std::binomial_distribution<int64_t> draw(static_cast<int64_t>(of), share);
  return static_cast<uint64_t>(draw(rng));
}

double ShareAt(int place) {
  return std::pow(10, static_cast<double>(place - kFinest) / kToPowerOfTen);
}

/// One past and one watch.
class Trials {
 public:
  Trials(const RigMaker& make, const CountSeries& series, const ChangeSearch& search)
      : make_(make), series_(series), search_(search) {}

  /// A day of the past, and what the watch knows at its beginning.
  struct Day {
    int64_t begin = 0;  ///< its first look
    std::vector<KeptCounts> kept;
  };
  Day Prime(int64_t begin) const {
    auto rig = make_();
    const int64_t fine = begin - LooksIn(kPrimedFinely);
    rig->Count({});
    rig->Look(TimeOf(begin, begin - LooksIn(kPrimed)));  // where counting begins
    for (int64_t at = begin - LooksIn(kPrimed); at < begin;) {
      const int64_t next = std::min(at + LooksIn(at < fine ? kCoarseStep : search_.step_seconds),
                                    at < fine ? fine : begin);
      rig->Count(series_.Between(at, next));
      rig->Look(TimeOf(begin, next));
      at = next;
    }
    return {begin, rig->Keep(TimeOf(begin, begin))};
  }

  /// Seconds until it is found.
  std::optional<double> Find(const Day& day, double share) const {
    auto rig = make_();
    const SteadyTime first = TimeOf(day.begin, day.begin);
    rig->Restore(day.kept, first);
    rig->Count({});
    if (rig->Look(first)) return 0;
    const int64_t end = day.begin + LooksIn(kDay), step = LooksIn(search_.step_seconds);
    Rng rng(static_cast<uint64_t>(day.begin));  // the same for all shares
    for (int64_t at = day.begin; at < end; at += step) {
      ObjectiveCounts counts = series_.Between(at, at + step);
      counts.bad += Draw(counts.total - counts.bad, share, rng);
      rig->Count(counts);
      if (rig->Look(TimeOf(day.begin, at + step)))
        return static_cast<double>(at + step - day.begin) * search_.look_seconds;
    }
    return std::nullopt;
  }

 private:
  int64_t LooksIn(double seconds) const {
    return std::max<int64_t>(std::llround(seconds / search_.look_seconds), 1);
  }
  /// The beginning of the day stands where all that was before has room.
  SteadyTime TimeOf(int64_t begin, int64_t look) const {
    const double seconds = kPrimed + static_cast<double>(look - begin) * search_.look_seconds;
    return WatchRig::kFirst +
           std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  }

  const RigMaker& make_;
  const CountSeries& series_;
  const ChangeSearch& search_;
};

double MiddleOf(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

SmallestChange FindSmallestChange(const RigMaker& make, const CountSeries& series,
                                  const ChangeSearch& search) {
  SmallestChange answer;
  if (series.looks() == 0) return answer;
  const Trials trials(make, series, search);
  std::vector<Trials::Day> days;
  for (double begin : DaysOfPast(series.looks(), kDay / search.look_seconds, search.most_days)) {
    Trials::Day day = trials.Prime(static_cast<int64_t>(begin));
    if (trials.Find(day, 0)) {
      ++answer.days_alarm;
    } else {
      days.push_back(std::move(day));
    }
  }
  answer.days = days.size();
  if (days.empty()) return answer;
  // Found on more than half of the days: until when, by the day.
  auto try_share = [&](double share) {
    std::vector<double> found;
    for (size_t i = 0; i < days.size(); ++i) {
      if (auto seconds = trials.Find(days[i], share)) found.push_back(*seconds);
      if (2 * (found.size() + days.size() - i - 1) <= days.size()) break;
    }
    if (2 * found.size() <= days.size()) found.clear();
    return found;
  };
  int below = -1, at = kFinest;
  std::vector<double> best = try_share(ShareAt(at));
  if (best.empty()) return answer;
  while (at - below > 1) {
    const int middle = (below + at) / 2;
    std::vector<double> found = try_share(ShareAt(middle));
    if (found.empty()) {
      below = middle;
    } else {
      at = middle;
      best = std::move(found);
    }
  }
  answer.share = ShareAt(at);
  answer.seconds = MiddleOf(std::move(best));
  return answer;
}

StopFound FindStop(const RigMaker& make, const CountSeries& requests, double look_seconds) {
  constexpr size_t kMoments = 24;
  constexpr double kSeen = 7200, kGolden = 0.6180339887498949;
  StopFound answer;
  if (requests.looks() == 0) return answer;
  std::vector<double> found;
  for (size_t i = 0; i < kMoments; ++i) {
    // Evenly over the past whatever its length, and so over the hours of the day.
    const double along = std::fmod((static_cast<double>(i) + 0.5) * kGolden, 1);
    const auto stop = static_cast<int64_t>(along * requests.looks());
    auto rig = make();
    SteadyTime now = WatchRig::kFirst;
    auto look = [&](const ObjectiveCounts& counts) {
      rig->Count(counts);
      const bool fires = rig->Look(now);
      now += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(look_seconds));
      return fires;
    };
    const int64_t first = std::max<int64_t>(stop - std::llround(kSeen / look_seconds), 0);
    look({});
    bool firing = false;
    for (int64_t at = first; at < stop; ++at) firing = look(requests.Between(at, at + 1)) || firing;
    if (firing) continue;  // it was still in its alarm, or had just been
    ++answer.moments;
    const auto most = static_cast<int64_t>(kDay / look_seconds);
    for (int64_t silent = 1; silent <= most; ++silent) {
      if (!look({})) continue;
      found.push_back(static_cast<double>(silent) * look_seconds);
      break;
    }
  }
  answer.found = found.size();
  if (found.empty()) return answer;
  answer.longest_seconds = *std::max_element(found.begin(), found.end());
  answer.middle_seconds = MiddleOf(std::move(found));
  return answer;
}

}  // namespace leadsman
