#include "gateway/upstreams.h"

#include <gtest/gtest.h>

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime kNow{std::chrono::hours(100)};

TEST(EndpointHealthTest, TheFirstCheckDecidesAndLaterOnesNeedToBeSure) {
  EndpointHealth health;
  const HealthOptions options{.unhealthy_after = 3, .healthy_after = 2};
  EXPECT_TRUE(health.Available(kNow)) << "not known yet: it gets requests";
  EXPECT_TRUE(health.OnCheck(true, "", options));
  EXPECT_FALSE(health.OnCheck(false, "one", options));
  EXPECT_FALSE(health.OnCheck(false, "two", options));
  EXPECT_FALSE(health.OnCheck(true, "", options));
  EXPECT_FALSE(health.OnCheck(false, "one", options));
  EXPECT_FALSE(health.OnCheck(false, "two", options));
  EXPECT_TRUE(health.OnCheck(false, "three", options));
  EXPECT_FALSE(health.Available(kNow));
  EXPECT_EQ(health.reason(), "three");
  EXPECT_FALSE(health.OnCheck(true, "", options));
  EXPECT_TRUE(health.OnCheck(true, "", options));
  EXPECT_TRUE(health.Available(kNow));
  EXPECT_EQ(health.reason(), "");
  EndpointHealth other;
  EXPECT_TRUE(other.OnCheck(false, "dead", options));
  EXPECT_FALSE(other.Available(kNow));
}

TEST(EndpointHealthTest, EjectionsGrowAndAreForgiven) {
  EndpointHealth health;
  const OutlierOptions options{.consecutive_errors = 2, .ejection = 10s, .max_ejection = 25s};
  EXPECT_FALSE(health.OnFailure(options));
  health.OnSuccess();
  EXPECT_FALSE(health.OnFailure(options)) << "not on end";
  EXPECT_TRUE(health.OnFailure(options));
  EXPECT_EQ(health.Eject(kNow, "why", options), 10s);
  EXPECT_FALSE(health.Available(kNow + 9s));
  EXPECT_TRUE(health.Available(kNow + 10s));
  EXPECT_EQ(health.Eject(kNow + 11s, "why", options), 20s);
  EXPECT_EQ(health.Eject(kNow + 32s, "why", options), 25s);
  EXPECT_EQ(health.Eject(kNow + 1h, "why", options), 10s) << "that was long ago";
  EXPECT_EQ(health.ejections(), 4u);
}

class UpstreamsTest : public testing::Test {
 protected:
  static ServiceOptions Options(int endpoints) {
    ServiceOptions options;
    options.name = "digits";
    options.outliers.consecutive_errors = 1;
    VersionOptions& version = options.versions.emplace_back();
    version.version = 7;
    for (int i = 0; i < endpoints; ++i)
      version.endpoints.push_back("127.0.0.1:" + std::to_string(5000 + i));
    return options;
  }
  EndpointPlaces places_;
  Rng rng_{1};
};

TEST_F(UpstreamsTest, PicksTheLessBusyAndNotTheOneThatFailed) {
  Service service(Options(3), nullptr, places_, 1);
  const Version& version = *service.versions[0];
  std::vector<int> picked(3);
  for (int i = 0; i < 3'000; ++i) ++picked[version.Pick(rng_, kNow, nullptr)->id];
  for (int count : picked) EXPECT_NEAR(count, 1'000, 150);
  version.endpoints[0]->active = 100;
  picked.assign(3, 0);
  for (int i = 0; i < 900; ++i) ++picked[version.Pick(rng_, kNow, nullptr)->id];
  EXPECT_NEAR(picked[0], 100, 50) << "drawn twice: one of nine";
  for (int i = 0; i < 100; ++i)
    EXPECT_NE(version.Pick(rng_, kNow, version.endpoints[1].get()), version.endpoints[1].get());
  Service alone(Options(1), nullptr, places_, 1);
  EXPECT_NE(alone.versions[0]->Pick(rng_, kNow, alone.versions[0]->endpoints[0].get()), nullptr)
      << "better than none";
}

TEST_F(UpstreamsTest, EjectsNoMoreThanItsShareOfThem) {
  Service service(Options(4), nullptr, places_, 1);
  const Version& version = *service.versions[0];
  for (const auto& endpoint : version.endpoints) version.OnResult(*endpoint, true, "closed", kNow);
  int available = 0;
  for (const auto& endpoint : version.endpoints) available += endpoint->health.Available(kNow);
  EXPECT_EQ(available, 2);
  Service alone(Options(1), nullptr, places_, 1);
  alone.versions[0]->OnResult(*alone.versions[0]->endpoints[0], true, "closed", kNow);
  EXPECT_NE(alone.versions[0]->Pick(rng_, kNow, nullptr), nullptr) << "half of one is none";
}

TEST_F(UpstreamsTest, AnEjectedOneIsBetterThanNoneAndThanTheOneThatHasJustFailed) {
  ServiceOptions options = Options(2);
  options.health.path = "/healthz";
  Service service(std::move(options), nullptr, places_, 1);
  const Version& version = *service.versions[0];
  Endpoint& ejected = *version.endpoints[0];
  Endpoint& other = *version.endpoints[1];
  for (const auto& endpoint : version.endpoints) {
    endpoint->addresses.Set(std::make_shared<Addresses>(1));
    endpoint->health.OnCheck(true, "", service.options.health);
  }
  version.OnResult(ejected, true, "closed", kNow);
  ASSERT_TRUE(ejected.health.Ejected(kNow));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(version.Pick(rng_, kNow, nullptr), &other);
  EXPECT_EQ(version.Pick(rng_, kNow, &other), &ejected) << "the other one has just failed";
  other.health.OnCheck(false, "dead", {.unhealthy_after = 1});
  EXPECT_EQ(version.Pick(rng_, kNow, nullptr), &ejected);
  EXPECT_TRUE(version.Ready(kNow)) << "its check passes";
  ejected.health.OnCheck(false, "dead", {.unhealthy_after = 1});
  EXPECT_EQ(version.Pick(rng_, kNow, nullptr), nullptr) << "a check is no guess";
  EXPECT_FALSE(version.Ready(kNow));
}

TEST_F(UpstreamsTest, SaysWhyNoneIsThere) {
  Service service(Options(2), nullptr, places_, 1);
  const Version& version = *service.versions[0];
  for (const auto& endpoint : version.endpoints) {
    endpoint->addresses.Set(std::make_shared<Addresses>(1));
    endpoint->health.OnCheck(false, "refused the connection", service.options.health);
  }
  EXPECT_EQ(version.Pick(rng_, kNow, nullptr), nullptr);
  EXPECT_FALSE(version.Ready(kNow));
  EXPECT_EQ(version.WhyNone(kNow),
            "no endpoint is healthy: 127.0.0.1:5000 (refused the connection) and 127.0.0.1:5001 "
            "(refused the connection)");
}

TEST(RetryBudgetTest, AllowsAShareOfWhatIsUnderWayAndAFew) {
  RetryBudget budget;
  const RetryOptions options{.budget = 0.1, .min = 2};
  EXPECT_TRUE(budget.TryRetry(options));
  EXPECT_TRUE(budget.TryRetry(options));
  EXPECT_FALSE(budget.TryRetry(options));
  budget.RetryEnded();
  EXPECT_TRUE(budget.TryRetry(options));
  for (int i = 0; i < 100; ++i) budget.Begin();
  int more = 0;
  while (budget.TryRetry(options)) ++more;
  EXPECT_EQ(more, 8);
}

}  // namespace
}  // namespace leadsman::gateway
