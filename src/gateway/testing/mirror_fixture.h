#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/testing/gateway_fixture.h"
#include "support/eventually.h"

namespace leadsman::gateway {

/// A gateway whose version 2 is the mirror's.
template <typename Fixture>
class MirrorFixture : public Fixture {
 protected:
  ~MirrorFixture() override { this->gateway_.reset(); }  // before what it tells

  MirrorOptions& mirror() {
    auto& mirror = this->service().mirror;
    if (!mirror) mirror = MirrorOptions{.version = 2, .timeout = std::chrono::seconds(10)};
    return *mirror;
  }
  void StartMirroringTo(const std::string& endpoint, ExchangeSink* exchanges) {
    this->AddVersion(2, std::vector<std::string>{endpoint}, 0);
    mirror();
    this->Start(exchanges);
  }
  double Of(const std::string& what) {
    return this->Metric("leadsman_gateway_mirror_" + what, {"digits", "2"});
  }
  double OfBy(const std::string& what, const std::string& reason) {
    return this->Metric("leadsman_gateway_mirror_" + what, {"digits", "2", reason});
  }
  double Sent() { return Of("sent_total"); }
  double Unsent(const std::string& reason) { return OfBy("unsent_total", reason); }
  double Answered(const std::string& code) { return OfBy("answers_total", code); }
  double Unanswered(const std::string& reason) { return OfBy("unanswered_total", reason); }
  static bool Becomes(double count, const std::function<double()>& what) {
    return Eventually([&] { return what() == count; });
  }
  void ExpectNothingUnderWay() {
    EXPECT_TRUE(Becomes(0, [&] { return Of("in_flight"); }));
    EXPECT_TRUE(Becomes(0, [&] { return Of("held_bytes"); }));
  }
  /// What is said of version 1, and nothing is of version 2.
  void ExpectOnlyOriginalsCount(size_t requests) {
    EXPECT_EQ(this->Metric("leadsman_gateway_requests_total", {"digits", "1", "2xx"}),
              static_cast<double>(requests));
    const VersionView two = this->gateway_->view().services[0].versions[1];
    EXPECT_EQ(two.requests, 0u);
    EXPECT_EQ(two.errors, 0u);
    EXPECT_EQ(two.endpoints[0].requests, 0u);
    EXPECT_EQ(two.endpoints[0].failures, 0u);
    EXPECT_EQ(two.endpoints[0].ejections, 0u);
    EXPECT_EQ(two.endpoints[0].connections, 0u) << "those are of clients' requests";
  }
};

}  // namespace leadsman::gateway
