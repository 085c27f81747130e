#include "kube/leader_election.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"

namespace leadsman::kube {
namespace {

using std::chrono_literals::operator""s;

/// One Lease, as the API server keeps it. `broken` as seen by whoever has this view.
struct Cluster {
  std::optional<Object> lease;
  int version = 0;

  Object Store(const Object& object) {
    Json json = object.json();
    json["metadata"]["resourceVersion"] = StrCat(++version);
    lease = Object(std::move(json));
    return *lease;
  }
};

class LeaseView final : public Election::LeaseStore {
 public:
  explicit LeaseView(Cluster& cluster) : cluster_(cluster) {}
  bool cut = false;           ///< nothing comes through
  bool answers_lost = false;  ///< writes come through, their answers do not
  int begun = 0;

  void Begin() override { ++begun; }
  Result<Object> Get() override {
    if (cut) return UnavailableError("cut");
    if (!cluster_.lease) return NotFoundError("no lease");
    return *cluster_.lease;
  }
  Result<Object> Create(const Object& lease) override {
    if (cut) return UnavailableError("cut");
    if (cluster_.lease) return AlreadyExistsError("there is one");
    return Written(cluster_.Store(lease));
  }
  Result<Object> Update(const Object& lease) override {
    if (cut) return UnavailableError("cut");
    if (!cluster_.lease) return NotFoundError("no lease");
    if (cluster_.lease->resource_version() != lease.resource_version())
      return AbortedError("changed");
    return Written(cluster_.Store(lease));
  }

 private:
  Result<Object> Written(Object object) {
    if (answers_lost) return UnavailableError("lost");
    return object;
  }
  Cluster& cluster_;
};

struct Participant {
  Participant(Cluster& cluster, Clock& clock, std::string identity)
      : view(cluster),
        election({.ns = "n", .name = "l", .identity = std::move(identity)}, view, clock) {}
  LeaseView view;
  Election election;
  bool Tick() {
    (void)election.Tick();
    return election.leading();
  }
};

class ElectionTest : public testing::Test {
 protected:
  FakeClock clock_;
  Cluster cluster_;
  Participant a_{cluster_, clock_, "a"};
  Participant b_{cluster_, clock_, "b"};
};

TEST_F(ElectionTest, TheFirstLeadsAndTheSecondFollows) {
  EXPECT_TRUE(a_.Tick());
  EXPECT_FALSE(b_.Tick());
  EXPECT_EQ(b_.election.holder(), "a");
  EXPECT_EQ(cluster_.lease->Text("/spec/holderIdentity"), "a");
  EXPECT_EQ(cluster_.lease->Number("/spec/leaseDurationSeconds"), 15);
  EXPECT_EQ(cluster_.lease->Text("/spec/renewTime"), "2023-11-14T22:13:20.000000Z");
}

TEST_F(ElectionTest, AllThatALookAsksForHasOneDeadline) {
  EXPECT_TRUE(a_.Tick());  // Get, Create
  EXPECT_EQ(a_.view.begun, 1);
  cluster_.Store(*cluster_.lease);
  EXPECT_TRUE(a_.Tick());  // Update, Get
  EXPECT_EQ(a_.view.begun, 2);
  EXPECT_TRUE(a_.election.Release().ok());
  EXPECT_EQ(a_.view.begun, 3);
}

TEST_F(ElectionTest, ALeaderThatRenewsIsLeftAlone) {
  EXPECT_TRUE(a_.Tick());
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(2s);
    EXPECT_TRUE(a_.Tick());
    EXPECT_FALSE(b_.Tick());
  }
  EXPECT_EQ(cluster_.lease->Number("/spec/leaseTransitions"), 0);
}

TEST_F(ElectionTest, ALeaderThatCannotRenewStopsBeforeTheNextOneBegins) {
  EXPECT_TRUE(a_.Tick());
  EXPECT_FALSE(b_.Tick());
  a_.view.cut = true;
  clock_.Advance(9s);
  EXPECT_TRUE(a_.Tick());
  EXPECT_FALSE(b_.Tick());
  clock_.Advance(1s);
  EXPECT_FALSE(a_.election.leading());  // by the clock alone
  EXPECT_FALSE(b_.Tick());
  clock_.Advance(5s);
  EXPECT_TRUE(b_.Tick());
  EXPECT_EQ(cluster_.lease->Number("/spec/leaseTransitions"), 1);
  a_.view.cut = false;
  EXPECT_FALSE(a_.Tick());
  EXPECT_EQ(a_.election.holder(), "b");
}

TEST_F(ElectionTest, WallClocksDoNotCount) {
  EXPECT_TRUE(a_.Tick());
  clock_.JumpWall(std::chrono::hours(100));
  EXPECT_FALSE(b_.Tick());
  clock_.JumpWall(-std::chrono::hours(1000));
  EXPECT_FALSE(b_.Tick());
  EXPECT_TRUE(a_.Tick());
}

TEST_F(ElectionTest, WhoHasJustComeWaitsTheWholeTimeEvenForAnOldLease) {
  EXPECT_TRUE(a_.Tick());
  clock_.Advance(1000s);  // a has died long ago; b cannot know
  EXPECT_FALSE(b_.Tick());
  clock_.Advance(14s);
  EXPECT_FALSE(b_.Tick());
  clock_.Advance(1s);
  EXPECT_TRUE(b_.Tick());
}

TEST_F(ElectionTest, AReleasedLeaseIsTakenAtOnce) {
  EXPECT_TRUE(a_.Tick());
  EXPECT_FALSE(b_.Tick());
  EXPECT_TRUE(a_.election.Release().ok());
  EXPECT_FALSE(a_.election.leading());
  EXPECT_TRUE(b_.Tick());
}

TEST_F(ElectionTest, ReleaseTakesNothingFromAnother) {
  EXPECT_TRUE(a_.Tick());
  EXPECT_FALSE(b_.Tick());
  a_.view.cut = true;
  clock_.Advance(15s);
  EXPECT_TRUE(b_.Tick());
  a_.view.cut = false;
  EXPECT_TRUE(a_.election.Release().ok());
  EXPECT_EQ(cluster_.lease->Text("/spec/holderIdentity"), "b");
}

TEST_F(ElectionTest, ALeaderGoesOnWhenSomebodyTouchesTheLease) {
  EXPECT_TRUE(a_.Tick());
  Json touched = cluster_.lease->json();
  touched["metadata"]["labels"]["x"] = "y";
  cluster_.Store(Object(touched));
  clock_.Advance(2s);
  EXPECT_TRUE(a_.Tick());
  EXPECT_TRUE(a_.Tick());
  EXPECT_EQ(cluster_.lease->label("x"), "y");
}

TEST_F(ElectionTest, ARenewalWhoseAnswerIsLostIsFound) {
  EXPECT_TRUE(a_.Tick());
  clock_.Advance(2s);
  a_.view.answers_lost = true;
  EXPECT_TRUE(a_.Tick());
  a_.view.answers_lost = false;
  clock_.Advance(2s);
  EXPECT_TRUE(a_.Tick());  // finds its own
  clock_.Advance(2s);
  EXPECT_TRUE(a_.Tick());
  clock_.Advance(9s);
  EXPECT_TRUE(a_.election.leading());
}

TEST_F(ElectionTest, ADeletedLeaseGivesTwoNoLead) {
  EXPECT_TRUE(a_.Tick());
  EXPECT_FALSE(b_.Tick());
  cluster_.lease.reset();
  EXPECT_FALSE(b_.Tick());
  EXPECT_TRUE(a_.election.leading());
  clock_.Advance(2s);
  EXPECT_FALSE(a_.Tick());  // it has seen that it is gone
  EXPECT_TRUE(a_.Tick());   // and makes another
  EXPECT_FALSE(b_.Tick());
}

TEST_F(ElectionTest, ALeaseThatPromisesTooMuchIsTakenOverAfterAnHour) {
  cluster_.Store(Object(
      Json{{"metadata", {{"name", "l"}}},
           {"spec", {{"holderIdentity", "ghost"}, {"leaseDurationSeconds", 2'000'000'000}}}}));
  EXPECT_FALSE(a_.Tick());
  clock_.Advance(3599s);
  EXPECT_FALSE(a_.Tick());
  clock_.Advance(1s);
  EXPECT_TRUE(a_.Tick());
}

/// Cuts, lost answers, releases and deaths at random: at no moment do two lead, and when all is well again one does.
TEST(ElectionSimulationTest, NeverTwoLeaders) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Rng rng(seed);
    FakeClock clock;
    Cluster cluster;
    std::vector<std::unique_ptr<Participant>> all;
    int born = 0;
    for (int i = 0; i < 3; ++i)
      all.push_back(std::make_unique<Participant>(cluster, clock, StrCat("p", born++)));
    const auto check = [&] {
      int leaders = 0;
      for (const auto& p : all) leaders += p->election.leading();
      ASSERT_LE(leaders, 1) << "seed " << seed;
    };
    for (int step = 0; step < 300; ++step) {
      clock.Advance(std::chrono::milliseconds(rng.Below(2500)));
      const size_t who = size_t(rng.Below(all.size()));
      switch (rng.Below(12)) {
        case 0:
          all[who]->view.cut = !all[who]->view.cut;
          break;
        case 1:
          all[who]->view.answers_lost = !all[who]->view.answers_lost;
          break;
        case 2:
          (void)all[who]->election.Release();
          break;
        case 3:  // it dies, and comes back as another
          if (!all[who]->election.leading()) break;
          all[who] = std::make_unique<Participant>(cluster, clock, StrCat("p", born++));
          break;
        default:
          (void)all[who]->election.Tick();
      }
      check();
    }
    for (const auto& p : all) p->view.cut = p->view.answers_lost = false;
    int leaders = 0;
    for (int i = 0; i < 40; ++i) {
      clock.Advance(2s);
      for (const auto& p : all) (void)p->election.Tick();
      check();
    }
    for (const auto& p : all) leaders += p->election.leading();
    EXPECT_EQ(leaders, 1) << "seed " << seed;
  }
}

TEST(ElectionOptionsTest, WhatCannotWorkIsNamed) {
  ElectionOptions good{.ns = "n", .name = "l", .identity = "i"};
  EXPECT_EQ(ExplainElection(good), "");
  ElectionOptions bad = good;
  bad.renew = 15s;
  EXPECT_NE(ExplainElection(bad).find("lease must be longer than renew"), std::string::npos);
  bad = good;
  bad.identity = "";
  EXPECT_NE(ExplainElection(bad).find("identity"), std::string::npos);
  bad = good;
  bad.retry = 10s;
  EXPECT_NE(ExplainElection(bad).find("renew must be longer than retry"), std::string::npos);
}

}  // namespace
}  // namespace leadsman::kube
