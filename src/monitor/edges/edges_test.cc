#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "events/redactor.h"
#include "monitor/edges/edge_book.h"
#include "monitor/edges/edge_intake.h"
#include "monitor/edges/profile_message.h"
#include "monitor/monitor.h"
#include "monitor/version_profile.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

/// Requests of one version as a service may have them, the same for each seed.
class Traffic {
 public:
  explicit Traffic(uint64_t seed) : random_(seed) {}

  const PredictionEvent& Next() {
    event_ = {};
    event_.model = "digits";
    event_.version = 3;
    event_.observed = true;
    event_.outcome_known = random_() % 50 != 0;
    const StatusCode outcomes[] = {StatusCode::kOk,       StatusCode::kOk,
                                   StatusCode::kOk,       StatusCode::kInvalidArgument,
                                   StatusCode::kInternal, StatusCode::kCancelled};
    event_.outcome = outcomes[random_() % std::size(outcomes)];
    event_.latency_known = random_() % 10 != 0;
    event_.latency_ns =
        static_cast<uint64_t>(std::exp2(10 + static_cast<double>(random_() % 270) / 10));
    class_ = std::to_string(random_() % 3 == 0 ? random_() % 400 : random_() % 5);
    predicted_ = class_;
    event_.predicted = {&predicted_, 1};
    event_.score = static_cast<float>(random_() % 1000) / 1000;
    std::lognormal_distribution<float> size(0, 2);
    for (float& value : features_) value = random_() % 2 ? size(random_) : -size(random_);
    if (random_() % 20 == 0) features_[1] = std::numeric_limits<float>::quiet_NaN();
    if (random_() % 5 == 0) features_[2] = 0;
    event_.features = features_;
    event_.feature_weight = static_cast<float>(1 + random_() % 3);
    return event_;
  }

 private:
  std::mt19937_64 random_;
  PredictionEvent event_;
  std::string class_;
  std::string_view predicted_;
  std::array<float, 5> features_{};
};

std::string Message(ProfileHeader header, const std::vector<IntervalProfile>& profiles) {
  size_t taken = 0;
  std::string bytes = WriteProfileMessage(header, profiles, taken);
  EXPECT_EQ(taken, profiles.size());
  return bytes;
}

TEST(IntervalProfileTest, ThoseOfSeveralEdgesAddUpToTheWhole) {
  const VersionKey key("digits", 3);
  VersionProfile whole(key, 10s), merged(key, 10s);
  std::vector<std::unique_ptr<VersionProfile>> edges;
  for (int i = 0; i < 4; ++i) {
    edges.push_back(std::make_unique<VersionProfile>(key, 10s));
    edges.back()->KeepIntervals();
  }
  Traffic traffic(1);
  std::mt19937_64 random(2);
  const WallTime wall = FromUnixMillis(1'700'000'000'000);
  const SteadyTime now{1000s};
  auto tell = [&](VersionProfile& edge) {
    auto interval = edge.TakeInterval();
    if (!interval) return;
    auto header = ReadProfileMessage(Message({"e", 1, 1, 5s}, {*interval}),
                                     [&](IntervalProfile&& p) { merged.Merge(p, wall, now); });
    ASSERT_TRUE(header.ok()) << header.status();
  };
  for (int i = 0; i < 20'000; ++i) {
    const PredictionEvent& event = traffic.Next();
    whole.Fold(event, wall, now);
    VersionProfile& edge = *edges[random() % edges.size()];
    edge.Fold(event, wall, now);
    if (random() % 700 == 0) tell(edge);
  }
  for (auto& edge : edges) tell(*edge);

  const VersionTotals a = whole.Totals(), b = merged.Totals();
  EXPECT_EQ(a.requests, 20'000u);
  EXPECT_EQ(b.requests, a.requests);
  EXPECT_EQ(b.errors, a.errors);
  EXPECT_EQ(b.answered, a.answered);
  EXPECT_EQ(b.server_errors, a.server_errors);
  EXPECT_EQ(b.latency, a.latency);
  ASSERT_NE(merged.observed(), nullptr);
  EXPECT_EQ(merged.observed()->requests, whole.observed()->requests);
  EXPECT_EQ(merged.observed()->latency, whole.observed()->latency);
  EXPECT_EQ(merged.observed()->fine_latency, whole.observed()->fine_latency);
  EXPECT_NEAR(merged.observed()->latency_seconds, whole.observed()->latency_seconds, 1e-6);
  const Json x = Json::parse(whole.ToJson()), y = Json::parse(merged.ToJson());
  EXPECT_EQ(y["score"]["histogram"], x["score"]["histogram"]);
  EXPECT_NEAR(y["score"]["mean"].get<double>(), x["score"]["mean"].get<double>(), 1e-9);
  ASSERT_EQ(y["features"].size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    Json of_whole = x["features"][i], of_merged = y["features"][i];
    for (const char* real : {"mean", "standard_deviation"}) {
      const double value = of_whole[real].get<double>();
      EXPECT_NEAR(of_merged[real].get<double>(), value, 1e-9 * std::max(1.0, std::fabs(value)))
          << i << real;
      of_whole.erase(real);
      of_merged.erase(real);
    }
    // Beyond 128 different values the frequent ones are counted by a sample, of which each edge has its own.
    ASSERT_EQ(of_merged["frequent"].size(), of_whole["frequent"].size()) << i;
    for (size_t k = 0; k < of_whole["frequent"].size(); ++k) {
      const Json &a = of_whole["frequent"][k], &b = of_merged["frequent"][k];
      EXPECT_EQ(b["value"], a["value"]);
      EXPECT_NEAR(b["share_at_least"].get<double>(), a["share_at_least"].get<double>(), 0.04);
    }
    of_whole.erase("frequent");
    of_merged.erase("frequent");
    EXPECT_EQ(of_merged, of_whole) << "counts, extremes and quantiles are the same";
  }
  // Beyond 255 classes an edge has others than the whole; all of them are counted.
  uint64_t in_whole = 0, in_merged = 0;
  for (const auto& [name, count] : whole.Predicted()) in_whole += count;
  for (const auto& [name, count] : merged.Predicted()) in_merged += count;
  EXPECT_EQ(in_merged, in_whole);
  for (const char* name : {"0", "1", "2", "3", "4"})
    EXPECT_EQ(merged.Predicted()[name], whole.Predicted()[name]) << name;
}

TEST(IntervalProfileTest, NothingIsTakenTwiceAndWhatIsMergedIsNotPassedOn) {
  VersionProfile edge({"digits", 3}, 10s);
  EXPECT_FALSE(edge.TakeInterval()) << "not kept";
  edge.KeepIntervals();
  EXPECT_FALSE(edge.TakeInterval()) << "nothing was seen";
  Traffic traffic(1);
  edge.Fold(traffic.Next(), {}, {});
  auto first = edge.TakeInterval();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->requests.total(), 1u);
  EXPECT_FALSE(edge.TakeInterval());
  edge.Merge(*first, {}, {});
  EXPECT_EQ(edge.Totals().requests, 2u);
  EXPECT_FALSE(edge.TakeInterval());
}

IntervalProfile SomeProfile() {
  VersionProfile edge({"digits", 3}, 10s);
  edge.KeepIntervals();
  Traffic traffic(4);
  for (int i = 0; i < 50; ++i) edge.Fold(traffic.Next(), {}, {});
  return *edge.TakeInterval();
}

/// As if it had been sent so.
void Sign(std::string& message) {
  message.resize(message.size() - 4);
  auto sum =
      crc32(0, reinterpret_cast<const Bytef*>(message.data()), static_cast<uInt>(message.size()));
  for (int i = 0; i < 4; ++i) message.push_back(static_cast<char>(sum >> (8 * i)));
}

std::string Wrong(const std::string& message) {
  auto read = ReadProfileMessage(message, [](IntervalProfile&&) {});
  return read.ok() ? "" : std::string(read.status().message());
}

/// Edges are updated after their monitor.
TEST(ProfileMessageTest, OneOfTheVersionBeforeIsRead) {
  size_t features = 0;
  for (const char* name : {"labels", "numbers", "two_models"}) {
    const auto old =
        ReadFile(StrCat(SourceDir(), "/tests/fuzz/corpus/profile_message_fuzz/", name), 100'000);
    ASSERT_TRUE(old.ok()) << old.status();
    ASSERT_EQ((*old)[1], 1) << name;
    auto read = ReadProfileMessage(*old, [&](IntervalProfile&& profile) {
      features += profile.content.features.size();
      EXPECT_TRUE(profile.content.variety.empty());
    });
    ASSERT_TRUE(read.ok()) << name << ": " << read.status();
  }
  EXPECT_GT(features, 0u);
}

TEST(ProfileMessageTest, SaysWhatOfOneIsWrong) {
  const ProfileHeader header{"pod-1:8502", 77, 5, 5s, true};
  const std::string good = Message(header, {SomeProfile(), SomeProfile()});
  auto read = ReadProfileMessage(good, [](IntervalProfile&&) {});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->edge, "pod-1:8502");
  EXPECT_EQ(read->process, 77u);
  EXPECT_EQ(read->sequence, 5u);
  EXPECT_EQ(read->every, 5s);
  EXPECT_TRUE(read->last);

  EXPECT_TRUE(Wrong("").starts_with("body: is no message"));
  EXPECT_TRUE(Wrong("{\"profiles\": []}").starts_with("body: is no message"));
  std::string later = good;
  later[1] = 3;
  EXPECT_TRUE(Wrong(later).starts_with(
      "version: this program reads messages of version 2 and of the one before, not of 3"))
      << Wrong(later);
  std::string damaged = good;
  damaged[good.size() / 2] ^= 1;
  EXPECT_TRUE(Wrong(damaged).starts_with("checksum: ")) << Wrong(damaged);
  std::string longer = good;
  longer.insert(longer.size() - 4, 1, '\0');
  Sign(longer);
  EXPECT_TRUE(Wrong(longer).starts_with("body: goes on")) << Wrong(longer);
  EXPECT_TRUE(Wrong(Message({"", 1, 1, 5s}, {})).starts_with("edge: "));
  EXPECT_TRUE(Wrong(Message({"a\nb", 1, 1, 5s}, {})).starts_with("edge: "));
  EXPECT_TRUE(Wrong(Message({std::string(200, 'x'), 1, 1, 5s}, {})).starts_with("edge: "));
  EXPECT_TRUE(Wrong(Message({"e", 1, 0, 5s}, {})).starts_with("sequence: "));
  EXPECT_TRUE(Wrong(Message({"e", 1, 1, 48h}, {})).starts_with("every: "));

  auto broken = [&](auto change) {
    IntervalProfile profile = SomeProfile();
    change(profile);
    return Wrong(Message(header, {SomeProfile(), profile}));
  };
  EXPECT_TRUE(
      broken([](IntervalProfile& p) { p.model.clear(); }).starts_with("profiles[1].model: "));
  EXPECT_TRUE(
      broken([](IntervalProfile& p) { p.version = -1; }).starts_with("profiles[1].version: "));
  EXPECT_TRUE(broken([](IntervalProfile& p) {
                p.requests.requests[0] = uint64_t{1} << 60;
              }).starts_with("profiles[1].requests: "));
  EXPECT_TRUE(broken([](IntervalProfile& p) {
                p.requests.latency[7] += 1;
              }).starts_with("profiles[1].latency: its histograms differ"));
  EXPECT_TRUE(broken([](IntervalProfile& p) {
                p.requests.requests[0] = 0;
              }).starts_with("profiles[1].latency: has more"));
  EXPECT_TRUE(broken([](IntervalProfile& p) {
                p.requests.latency_seconds = std::numeric_limits<double>::quiet_NaN();
              }).starts_with("profiles[1].latency: cannot"));
  EXPECT_TRUE(broken([](IntervalProfile& p) {
                p.classes[2].second = 0;
              }).starts_with("profiles[1].classes[2]: "));
  EXPECT_TRUE(broken([](IntervalProfile& p) {
                p.classes.resize(256, {"x", 1});
              }).starts_with("profiles[1].classes: must be at most 255"));
  EXPECT_TRUE(broken([](IntervalProfile& p) {
                p.content.score_sum = 1e300;
              }).starts_with("profiles[1].scores: "));
  EXPECT_TRUE(broken([](IntervalProfile& p) {
                p.content.features.resize(4097);
              }).starts_with("profiles[1].features: must be at most 4096"));
  EXPECT_TRUE(
      broken([](IntervalProfile& p) { p.quality.wrong = 3; }).starts_with("profiles[1].labels: "));
}

TEST(ProfileMessageTest, WhateverTheBytesItAnswers) {
  const std::string good = Message({"e", 1, 1, 5s}, {SomeProfile()});
  for (size_t cut = 0; cut + 4 < good.size(); ++cut) {
    std::string message = good.substr(0, cut) + "0000";
    Sign(message);
    EXPECT_NE(Wrong(message), "") << cut;
  }
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    std::string message = good;
    for (unsigned n = 1 + random() % 4; n > 0; --n)
      message[2 + random() % (message.size() - 6)] = static_cast<char>(random());
    Sign(message);
    (void)Wrong(message);
  }
}

TEST(ProfileMessageTest, ALongOneIsCutIntoSeveral) {
  std::vector<IntervalProfile> profiles;
  IntervalProfile wide = SomeProfile();
  for (int i = 0; i < 4000; ++i) wide.content.features.emplace_back().Add(static_cast<float>(i), 1);
  for (int i = 0; i < 40; ++i) {
    profiles.push_back(wide);
    profiles.back().version = i;
  }
  std::set<int64_t> seen;
  std::span<const IntervalProfile> rest = profiles;
  int messages = 0;
  while (!rest.empty()) {
    size_t taken = 0;
    const std::string bytes = WriteProfileMessage({"e", 1, 1, 5s}, rest, taken);
    ASSERT_GT(taken, 0u);
    EXPECT_LT(bytes.size(), size_t{2} << 20);
    auto read = ReadProfileMessage(bytes, [&](IntervalProfile&& p) { seen.insert(p.version); });
    ASSERT_TRUE(read.ok()) << read.status();
    rest = rest.subspan(taken);
    ++messages;
  }
  EXPECT_GT(messages, 1);
  EXPECT_EQ(seen.size(), profiles.size());
}

class EdgeBookTest : public ::testing::Test {
 protected:
  Result<EdgeBook::Hearing> Hear(const std::string& edge, uint64_t process, uint64_t sequence,
                                 bool last = false) {
    return book_.Hear({edge, process, sequence, 5s, last}, 10, clock_.Now(), clock_.SteadyNow());
  }
  bool Fresh(const std::string& edge, uint64_t process, uint64_t sequence) {
    auto hearing = Hear(edge, process, sequence);
    return hearing.ok() && hearing->fresh;
  }
  std::vector<EdgeView> Views() { return book_.Views(clock_.SteadyNow()); }

  FakeClock clock_;
  EdgeBook book_{{.max = 3, .forget_after = 1h}};
};

TEST_F(EdgeBookTest, EachMessageCountsOnceAndGapsAreLost) {
  EXPECT_TRUE(Fresh("a", 1, 8)) << "who knows who has had the first seven";
  EXPECT_TRUE(Fresh("a", 1, 9));
  EXPECT_FALSE(Fresh("a", 1, 9));
  EXPECT_FALSE(Fresh("a", 1, 8));
  auto hearing = Hear("a", 1, 12);
  ASSERT_TRUE(hearing.ok() && hearing->fresh);
  EXPECT_EQ(hearing->lost, 2u);
  ASSERT_EQ(Views().size(), 1u);
  EXPECT_EQ(Views()[0].intervals, 3u);
  EXPECT_EQ(Views()[0].duplicates, 2u);
  EXPECT_EQ(Views()[0].lost, 2u);
  EXPECT_EQ(Views()[0].requests, 30u);
}

TEST_F(EdgeBookTest, AnotherProcessOfTheSameNameIsNoDuplicate) {
  EXPECT_TRUE(Fresh("a", 1, 100));
  EXPECT_TRUE(Fresh("a", 2, 1)) << "it was started anew";
  for (uint64_t i = 2; i < 20; ++i) {
    EXPECT_TRUE(Fresh("a", 1, 100 + i - 1)) << "two share a name by mistake";
    EXPECT_TRUE(Fresh("a", 2, i));
    EXPECT_FALSE(Fresh("a", 1, 100 + i - 1));
  }
  EXPECT_EQ(book_.counters().lost, 0u);
  EXPECT_EQ(Views()[0].processes, 2u);
}

TEST_F(EdgeBookTest, ARestartedMonitorGoesOnWhereItWas) {
  book_.Restore({"a", 1, 41, UnixMillis(clock_.Now()), false}, clock_.Now(), clock_.SteadyNow());
  EXPECT_FALSE(Fresh("a", 1, 41));
  EXPECT_TRUE(Fresh("a", 1, 43));
  EXPECT_EQ(book_.counters().lost, 1u);
  book_.Restore({"b", 1, 1, UnixMillis(clock_.Now()), true}, clock_.Now(), clock_.SteadyNow());
  clock_.Advance(1min);
  ASSERT_EQ(Views().size(), 2u);
  EXPECT_EQ(Views()[0].state, EdgeView::State::kQuiet);
  EXPECT_EQ(Views()[1].state, EdgeView::State::kStopped);
}

TEST_F(EdgeBookTest, WhoWasSilentBeforeARestartIsNotAliveAfterIt) {
  book_.Restore({"quiet", 1, 1, UnixMillis(clock_.Now() - 1min), false}, clock_.Now(),
                clock_.SteadyNow());
  book_.Restore({"gone", 1, 7, UnixMillis(clock_.Now() - 30h), false}, clock_.Now(),
                clock_.SteadyNow());
  book_.Restore({"later", 1, 1, UnixMillis(clock_.Now() + 1h), false}, clock_.Now(),
                clock_.SteadyNow());
  ASSERT_EQ(Views().size(), 2u);
  EXPECT_EQ(Views()[0].name, "later") << "the clock was set back";
  EXPECT_EQ(Views()[1].state, EdgeView::State::kQuiet);
  EXPECT_TRUE(Fresh("new", 1, 1)) << "in the place of the one that is gone";
  EXPECT_FALSE(Fresh("quiet", 1, 1)) << "still known";
}

TEST_F(EdgeBookTest, ANumberThatNobodyCountsToIsNoLoss) {
  EXPECT_TRUE(Fresh("a", 1, 1));
  EXPECT_TRUE(Fresh("a", 1, uint64_t{1} << 60));
  EXPECT_EQ(book_.counters().lost, EdgeBook::kMostLost);
}

TEST_F(EdgeBookTest, SilentOnesMakeRoomAndLiveOnesDoNot) {
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(Fresh(name, 1, 1));
  auto refused = Hear("d", 1, 1);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("monitor.edges.max is 3"), std::string_view::npos);
  ASSERT_TRUE(Hear("b", 1, 2, true).ok());
  clock_.Advance(10s);
  EXPECT_TRUE(Fresh("a", 1, 2));
  clock_.Advance(10s);
  ASSERT_EQ(Views().size(), 3u);
  EXPECT_EQ(Views()[0].state, EdgeView::State::kLive);
  EXPECT_EQ(Views()[1].state, EdgeView::State::kStopped);
  EXPECT_EQ(Views()[2].state, EdgeView::State::kQuiet);
  EXPECT_TRUE(Fresh("d", 1, 1));
  EXPECT_EQ(Views().back().name, "d");
  EXPECT_EQ(book_.counters().refused, 1u);
  clock_.Advance(2h);
  EXPECT_TRUE(Views().empty()) << "forgotten";
}

class EdgeMonitorTest : public ::testing::Test {
 protected:
  void Open() {
    monitor_.reset();
    MonitorOptions options;
    options.database = dir_.file("monitor.db");
    options.edges.emplace();
    auto monitor = Monitor::Create({clock_, registry_, redactor_.get()}, options, {});
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = std::move(*monitor);
  }
  Result<ProfileReceipt> Send(uint64_t sequence) {
    IntervalProfile profile = SomeProfile();
    profile.quality = {.labelled = 6, .wrong = 2, .labelled_requests = 5, .wrong_requests = 1};
    return monitor_->AddProfiles(Message({"pod", 9, sequence, 5s}, {profile}));
  }

  FakeClock clock_;
  Registry registry_;
  TempDir dir_;
  std::unique_ptr<Redactor> redactor_;  ///< null: no rules
  std::unique_ptr<Monitor> monitor_;
};

TEST_F(EdgeMonitorTest, WhatEdgesTellIsAsIfItHadBeenSeenFromOutside) {
  Open();
  ASSERT_TRUE(Send(1).ok());
  auto again = Send(1);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->duplicate);
  ASSERT_TRUE(Send(2).ok());
  ASSERT_TRUE(monitor_->Flush(20s));
  EXPECT_EQ(monitor_->Totals("digits", 3).requests, 100u);
  EXPECT_EQ(monitor_->Totals("digits", 3).labelled_requests, 10u);
  ASSERT_EQ(monitor_->Observed().size(), 1u);
  EXPECT_EQ(monitor_->Observed()[0].totals.total(), 100u);
  EXPECT_EQ(Json::parse(*monitor_->ProfileJson("digits", 3))["features"].size(), 5u);
  EXPECT_EQ(monitor_->counters().edge_messages, 2u);
  ASSERT_TRUE(monitor_->Edges());
  EXPECT_EQ(monitor_->Edges()->at(0).duplicates, 1u);
  clock_.Advance(11s);
  ASSERT_TRUE(monitor_->Flush(20s));
  auto windows = monitor_->Windows("digits", clock_.Now() - 1h);
  ASSERT_EQ(windows[3].size(), 1u);
  EXPECT_EQ(windows[3][0].requests, 100u);
  EXPECT_EQ(windows[3][0].labelled, 12u);
  auto wrong = monitor_->AddProfiles("nonsense");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(monitor_->Totals("digits", 3).requests, 100u);
}

TEST_F(EdgeMonitorTest, WhereAnyInputIsDroppedNothingIsTakenOfThoseOfEdges) {
  RedactRule rule;
  rule.field = RedactRule::Of::kInput;
  rule.inputs = {"income"};
  redactor_ = Redactor::Create({rule}).value();
  Open();
  ASSERT_TRUE(Send(1).ok());
  ASSERT_TRUE(monitor_->Flush(20s));
  EXPECT_EQ(monitor_->Totals("digits", 3).requests, 50u);
  EXPECT_EQ(Json::parse(*monitor_->ProfileJson("digits", 3))["features"].size(), 0u);
}

TEST_F(EdgeMonitorTest, ARestartCountsNothingTwice) {
  Open();
  ASSERT_TRUE(Send(1).ok());
  ASSERT_TRUE(Send(2).ok());
  ASSERT_TRUE(monitor_->Flush(20s));
  Open();
  auto again = Send(2);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->duplicate) << "its answer was lost with the process before";
  ASSERT_TRUE(Send(3).ok());
  ASSERT_TRUE(monitor_->Flush(20s));
  EXPECT_EQ(monitor_->Totals("digits", 3).requests, 50u) << "of this process";
  EXPECT_EQ(monitor_->Totals("digits", 3).labelled, 18u) << "of all";
}

TEST(EdgeIntakeTest, WithoutBeingAskedForAMonitorTakesNone) {
  Registry registry;
  auto monitor = Monitor::Create({SystemClock(), registry}, MonitorOptions(), {});
  ASSERT_TRUE(monitor.ok());
  auto refused = (*monitor)->AddProfiles("P");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kUnimplemented);
  EXPECT_FALSE((*monitor)->Edges());
  EXPECT_TRUE((*monitor)->TakeIntervals().empty());
}

}  // namespace
}  // namespace leadsman
