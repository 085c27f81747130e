#include "intake/exchange_intake.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "intake/testing/recording_sink.h"
#include "net/compression.h"

namespace leadsman::intake {
namespace {

using namespace std::chrono_literals;

constexpr const char* kV2Request =
    R"({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2]}]})";
constexpr const char* kV2Response =
    R"({"model_name": "other", "outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}]})";

std::string Bytes(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

struct Body {
  std::string bytes;
  std::string type = "application/json", encoding, json_bytes;
};

class ExchangeIntakeTest : public ::testing::Test {
 protected:
  void Make(ExchangeIntake::Options options = {}) {
    auto made = ExchangeIntake::Create({clock_, sink_, registry_}, std::move(options));
    ASSERT_TRUE(made.ok()) << made.status();
    intake_ = std::move(made).value();
  }
  std::unique_ptr<ExchangeCopy> Copy(const Body& request, const Body& response,
                                     StatusCode outcome = StatusCode::kOk, size_t source = 0,
                                     float weight = 1) {
    auto copy = intake_->Begin(source);
    auto fill = [&](HttpBody& side, const Body& body) {
      copy->Begin(side, body.type, body.encoding, body.json_bytes, body.bytes.size());
      copy->Append(side, body.bytes);
    };
    fill(copy->request, request);
    fill(copy->response, response);
    PredictionEvent event;
    event.model = "digits";
    event.version = 2;
    event.request_id = id_;
    event.outcome = outcome;
    event.observed = true;
    event.latency_ns = 1'000'000;
    event.rows = 1;
    event.feature_weight = weight;
    copy->SetEvent(event);
    return copy;
  }
  /// The event of one exchange, as text.
  std::string Told(const Body& request, const Body& response, StatusCode outcome = StatusCode::kOk,
                   size_t source = 0) {
    EXPECT_TRUE(intake_->Offer(Copy(request, response, outcome, source)));
    intake_->RunOnce();
    const auto texts = sink_.texts();
    return texts.empty() ? "nothing" : texts.back();
  }
  uint64_t Requests(const char* result) { return intake_->view().request_bodies[result]; }
  uint64_t Responses(const char* result) { return intake_->view().response_bodies[result]; }
  double Metric(const std::string& name, const std::vector<std::string>& labels) {
    for (const MetricFamily& family : registry_.Collect()) {
      if (family.description->name != name) continue;
      for (const MetricSample& sample : family.samples)
        if (sample.label_values == labels) return sample.value;
    }
    return -1;
  }

  FakeClock clock_;
  EventTexts sink_;
  Registry registry_;
  std::string id_ = "r-7";
  std::unique_ptr<ExchangeIntake> intake_;
};

TEST_F(ExchangeIntakeTest, ReadsKnownProtocolsWithoutBeingTold) {
  Make();
  const std::string told = "digits:2 OK unknown 1000us id=r-7";
  EXPECT_EQ(Told({kV2Request}, {kV2Response}), told + " predicted=7 1.5 2")
      << "the model is the gateway's, whatever the answer calls it";
  EXPECT_EQ(Told({R"({"instances": [[1, 2], [3, 4]]})"}, {R"({"predictions": [[0.25], [0.5]]})"}),
            told + " predicted=0.25 predicted=0.5 1 2");
  EXPECT_EQ(Told({R"({"text": {"of": "a chat"}})"}, {R"({"error": "no"})"}), told)
      << "of another form";
  EXPECT_EQ(Told({R"({"dataframe_split": {"columns": ["age", "income"], "data": [[31, 5]]}})"},
                 {R"({"predictions": ["yes"]})"}),
            told + " predicted=yes 31 5");
  EXPECT_EQ(Told({"age,income\n31,5\n", "text/csv"}, {R"({"prediction": "no"})"}),
            told + " predicted=no 31 5");
  EXPECT_EQ(Requests("decoded"), 4u);
  EXPECT_EQ(Requests("not_understood"), 1u);
  EXPECT_EQ(intake_->view().decoded, 4u);
  EXPECT_EQ(intake_->view().bare, 1u);
  EXPECT_EQ(intake_->view().features.at("digits"), (std::vector<std::string>{"age", "income"}));
  EXPECT_EQ(Metric("leadsman_gateway_bodies_total", {"request", "decoded"}), 4);
  EXPECT_EQ(Metric("leadsman_gateway_exchanges_total", {"bare"}), 1);
}

class ShadowPairTest : public ExchangeIntakeTest {
 protected:
  struct Answer {
    StatusCode outcome = StatusCode::kOk;
    std::string body;
  };
  std::unique_ptr<ShadowPair> Pair(const Answer& live, const Answer& shadow,
                                   const std::string& id = "r-1") {
    auto pair = std::make_unique<ShadowPair>(0, 1000, budget_);
    auto fill = [&](ExchangeCopy& copy, const Answer& answer, int64_t version) {
      copy.Begin(copy.response, "application/json", "", "", answer.body.size());
      copy.Append(copy.response, answer.body);
      PredictionEvent event;
      event.model = "digits";
      event.version = version;
      event.request_id = id;
      event.outcome = answer.outcome;
      copy.SetEvent(event);
    };
    fill(pair->live, live, 1);
    fill(pair->shadow, shadow, 2);
    pair->tolerance = 0.01;
    return pair;
  }
  double Compared(const std::string& result) {
    return Metric("leadsman_gateway_mirror_compared_total", {"digits", "2", "1", result});
  }
  const std::shared_ptr<ByteBudget> budget_ = std::make_shared<ByteBudget>(100'000);
};

TEST_F(ShadowPairTest, AreComparedAndCounted) {
  Make();
  const Answer one{.body = R"({"predictions": [[0.25, 0.75]]})"};
  const Answer close{.body = R"({"predictions": [[0.255, 0.745]]})"};
  const Answer other{.body = R"({"predictions": [[0.3, 0.7]]})"};
  const Answer flipped{.body = R"({"predictions": [[0.75, 0.25]]})"};
  const Answer strange{.body = R"({"of": "another form"})"};
  const Answer failed{.outcome = StatusCode::kUnavailable, .body = ""};
  const Answer word{.body = R"({"predictions": ["cat"]})"};
  intake_->OfferPair(Pair(one, one));
  intake_->OfferPair(Pair(one, one));
  intake_->OfferPair(Pair(word, word));
  intake_->OfferPair(Pair(one, close));
  intake_->OfferPair(Pair(one, other, "r-other"));
  for (int i = 0; i < 7; ++i) intake_->OfferPair(Pair(one, flipped, StrCat("flip-", i)));
  intake_->OfferPair(Pair(one, failed, "r-failed"));
  intake_->OfferPair(Pair(failed, one, "r-better"));
  intake_->OfferPair(Pair(failed, failed));
  intake_->OfferPair(Pair(strange, one));
  intake_->OfferPair(Pair({.body = std::string(1001, ' ')}, one));
  intake_->RunOnce();
  EXPECT_EQ(Compared("equal"), 3);
  EXPECT_EQ(Compared("within_tolerance"), 1);
  EXPECT_EQ(Compared("differs"), 1);
  EXPECT_EQ(Compared("class_flip"), 7);
  EXPECT_EQ(Compared("shadow_failed"), 1);
  EXPECT_EQ(Compared("live_failed"), 1);
  EXPECT_EQ(Compared("both_failed"), 1);
  EXPECT_EQ(Compared("not_understood"), 1);
  EXPECT_EQ(Compared("not_kept"), 1);
  EXPECT_EQ(budget_->held(), 0u);
  EXPECT_TRUE(sink_.texts().empty()) << "a shadow is no prediction";
  const auto pairs = intake_->view().shadows;
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].largest_difference, 0.5);
  using Ids = std::vector<std::string>;
  EXPECT_EQ(pairs[0].examples,
            (std::map<std::string, Ids>{
                {"class_flip", {"flip-6", "flip-5", "flip-4", "flip-3", "flip-2"}},
                {"differs", {"r-other"}},
                {"live_failed", {"r-better"}},
                {"shadow_failed", {"r-failed"}}}));
  const auto families = registry_.Collect();
  const auto differences = std::find_if(families.begin(), families.end(), [](const auto& family) {
    return family.description->name == "leadsman_gateway_mirror_difference";
  });
  ASSERT_NE(differences, families.end());
  ASSERT_EQ(differences->samples.size(), 1u);
  const MetricSample& sample = differences->samples[0];
  EXPECT_EQ(sample.count, 11u) << "those with numbers that were compared";
  EXPECT_EQ(sample.cumulative, (std::vector<uint64_t>{2, 2, 2, 2, 2, 3, 4, 11, 11}));
}

TEST_F(ShadowPairTest, IdsAreShownAsTheRulesSay) {
  RedactRule rule;
  rule.field = RedactRule::Of::kRequestId;
  rule.action = RedactRule::Do::kTruncate;
  rule.length = 3;
  auto redactor = Redactor::Create({rule});
  ASSERT_TRUE(redactor.ok()) << redactor.status();
  auto made = ExchangeIntake::Create({clock_, sink_, registry_, redactor->get()}, {});
  ASSERT_TRUE(made.ok()) << made.status();
  (*made)->OfferPair(Pair({.body = "[1.5]"}, {.body = "[2.5]"}, "zaphod"));
  (*made)->RunOnce();
  EXPECT_EQ((*made)->view().shadows[0].examples.at("differs"), std::vector<std::string>{"zap"});
}

TEST_F(ShadowPairTest, BeyondTheQueueAreDroppedAndCounted) {
  Make({.max_queue = 2});
  for (int i = 0; i < 5; ++i) intake_->OfferPair(Pair({.body = "[1]"}, {.body = "[1]"}));
  EXPECT_EQ(intake_->view().uncompared, 3u);
  EXPECT_TRUE(intake_->Offer(Copy({kV2Request}, {kV2Response}))) << "exchanges have their own";
  intake_->RunOnce();
  EXPECT_EQ(Compared("equal"), 2);
  EXPECT_EQ(sink_.texts().size(), 1u);
  intake_->OfferPair(Pair({.body = "[1]"}, {.body = "[1]"}));
  EXPECT_EQ(intake_->view().uncompared, 3u);
}

TEST_F(ShadowPairTest, AreNotWaitedForAtTheEnd) {
  Make();
  ASSERT_TRUE(intake_->Start().ok());
  intake_->Stop();
  intake_->OfferPair(Pair({.body = "[1]"}, {.body = "[1]"}));
  EXPECT_EQ(intake_->view().uncompared, 1u);
  EXPECT_EQ(budget_->held(), 0u);
}

TEST_F(ExchangeIntakeTest, ReadsTensorsBehindTheJson) {
  Make();
  const std::string request =
      R"({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]})";
  const std::string response =
      R"({"outputs": [{"name": "y", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}]})";
  const Body binary = {request + Bytes({1.5, -2}), "application/octet-stream", "",
                       StrCat(request.size())};
  const Body answer = {response + Bytes({0.25, 0.5, 0.25}), "application/octet-stream", "",
                       StrCat(response.size())};
  EXPECT_EQ(Told(binary, answer), "digits:2 OK unknown 1000us id=r-7 predicted=1 score=0.5 1.5 -2");
  Body cut = binary;
  cut.json_bytes = StrCat(cut.bytes.size() + 1);
  Told(cut, answer);
  EXPECT_EQ(Requests("not_understood"), 1u);
}

TEST_F(ExchangeIntakeTest, ReadsWhatARouteMaps) {
  ExchangeIntake::Options options;
  options.sources.resize(2);
  options.sources[1] = {{{"feature.age", "customer.age"},
                         {"feature.income", "customer.income"},
                         {"segment.tenant", "tenant"},
                         {"request_id", "ticket"}},
                        {{"predicted", "result.class"}, {"score", "result.p"}}};
  SegmentRule tenant;
  tenant.name = "tenant";
  sink_.SetSegments("digits", {tenant});
  Make(options);
  id_.clear();
  const Body request = {
      "\n{\n  \"ticket\": \"t-1\",\n  \"tenant\": \"acme\",\n"
      "  \"customer\": {\"age\": 31, \"income\": 5.5, \"name\": \"x\"}\n}\n"};
  const Body response = {R"({"took": 4, "result": {"class": "yes", "p": 0.75}})"};
  EXPECT_EQ(Told(request, response, StatusCode::kOk, 1),
            "digits:2 OK unknown 1000us id=t-1 predicted=yes segment=acme score=0.75 31 5.5");
  EXPECT_EQ(Told(response, request, StatusCode::kOk, 1),
            "digits:2 OK unknown 1000us segment=(none)");
  EXPECT_EQ(Requests("not_understood"), 1u);
  EXPECT_EQ(Responses("not_understood"), 1u);
}

TEST_F(ExchangeIntakeTest, MappingsComeWhileItRunsAndStay) {
  Make();
  const ExchangeIntake::Source bare, one{{{"feature.age", "a"}}, {}},
      two{{{"feature.age", "b"}}, {}};
  auto places = intake_->SourcesOf({bare, one});
  ASSERT_TRUE(places.ok()) << places.status();
  EXPECT_EQ(*places, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(*intake_->SourcesOf({two, bare, two}), (std::vector<size_t>{2, 0, 2}));
  const Body request = {R"({"a": 1, "b": 2})"};
  EXPECT_EQ(Told(request, {""}, StatusCode::kOk, 1), "digits:2 OK unknown 1000us id=r-7 1");
  EXPECT_EQ(Told(request, {""}, StatusCode::kOk, 2), "digits:2 OK unknown 1000us id=r-7 2");
  EXPECT_FALSE(intake_->SourcesOf({{{{"predicted", "y"}}, {}}}).ok());
}

TEST_F(ExchangeIntakeTest, HeadersSayTheSegmentThatNoBodySays) {
  SegmentRule tenant, age;
  tenant.name = "tenant";
  tenant.header = "x-tenant";
  age.name = "age";
  age.input = "age";
  age.cuts = {18};
  sink_.SetSegments("digits", {tenant, age});
  Make();
  auto copy = Copy({R"({"instances": [{"age": 31}]})"}, {R"({"predictions": ["yes"]})"});
  copy->AddSegment("tenant", "acme");
  ASSERT_TRUE(intake_->Offer(std::move(copy)));
  intake_->RunOnce();
  EXPECT_EQ(sink_.texts().back(),
            "digits:2 OK unknown 1000us id=r-7 predicted=yes segment=acme segment=>= 18 31");
}

TEST_F(ExchangeIntakeTest, RefusesMappingsThatCannotBe) {
  using Side = BodyMapping::Side;
  EXPECT_EQ(BodyMapping::Check({{"predicted", "y"}}, Side::kRequest).message(),
            "predicted is not read from a request's body; there are: feature.NAME, features, "
            "segment.NAME, label, request_id");
  EXPECT_EQ(BodyMapping::Check({{"features", "y"}}, Side::kResponse).message(),
            "features is not read from an answer's body; there are: predicted, score, label, "
            "request_id");
  EXPECT_EQ(BodyMapping::Check({{"latency_ms", "y"}}, Side::kResponse).code(),
            StatusCode::kInvalidArgument);
  EXPECT_NE(BodyMapping::Check({{"predictd", "y"}}, Side::kResponse).message().find("predicted"),
            std::string_view::npos);
  EXPECT_FALSE(BodyMapping::Check({{"features", ""}}, Side::kRequest).ok());
  ExchangeIntake::Options options;
  options.sources = {{{{"predicted", "y"}}, {}}};
  EXPECT_FALSE(ExchangeIntake::Create({clock_, sink_, registry_}, options).ok());
}

TEST_F(ExchangeIntakeTest, InflatesWithinTheLimit) {
  Make({.max_body = 1000});
  net::Deflater gzip(net::Deflater::Format::kGzip);
  std::string small, bomb;
  ASSERT_TRUE(gzip.Compress(kV2Request, small));
  ASSERT_TRUE(gzip.Compress(std::string(100'000, ' '), bomb));
  ASSERT_LE(bomb.size(), 1000u);
  EXPECT_EQ(Told({small, "application/json", "gzip"}, {kV2Response}),
            "digits:2 OK unknown 1000us id=r-7 predicted=7 1.5 2");
  Told({bomb, "application/json", "gzip"}, {kV2Response});
  Told({kV2Request, "application/json", "br"}, {kV2Response});
  EXPECT_EQ(Requests("encoding"), 2u);
}

TEST_F(ExchangeIntakeTest, EveryBodyThatIsNotReadIsCountedByItsReason) {
  Make({.max_body = 200, .max_held_bytes = 500});
  Told({kV2Request}, {std::string(201, ' ')});
  Told({kV2Request, "image/png"}, {""});
  EXPECT_EQ(Responses("too_long"), 1u);
  EXPECT_EQ(Requests("content_type"), 1u);
  EXPECT_EQ(Responses("absent"), 1u);
  auto holds = Copy({std::string(200, ' ')}, {std::string(200, ' ')});
  Told({std::string(150, ' ')}, {""});
  EXPECT_EQ(Requests("no_memory"), 1u);
  EXPECT_EQ(Metric("leadsman_gateway_held_bytes", {}), 400);
  holds.reset();
  EXPECT_EQ(Metric("leadsman_gateway_held_bytes", {}), 0);
}

TEST_F(ExchangeIntakeTest, AFailedRequestHasInputsAndNoAnswer) {
  Make();
  EXPECT_EQ(Told({kV2Request}, {kV2Response}, StatusCode::kInternal),
            "digits:2 INTERNAL unknown 1000us id=r-7 1.5 2");
  EXPECT_EQ(Responses("decoded"), 0u);
}

TEST_F(ExchangeIntakeTest, BeyondTheQueueTheEventIsItsOwners) {
  Make({.max_queue = 2});
  EXPECT_TRUE(intake_->Offer(Copy({kV2Request}, {kV2Response})));
  EXPECT_TRUE(intake_->Offer(Copy({kV2Request}, {kV2Response})));
  EXPECT_FALSE(intake_->Offer(Copy({kV2Request}, {kV2Response})));
  intake_->RunOnce();
  EXPECT_EQ(sink_.count(), 2u);
  EXPECT_EQ(intake_->view().dropped, 1u);
  EXPECT_TRUE(intake_->Offer(Copy({kV2Request}, {kV2Response}))) << "there is room again";
  EXPECT_EQ(Metric("leadsman_gateway_held_bytes", {}),
            static_cast<double>(std::strlen(kV2Request) + std::strlen(kV2Response)))
      << "what was not taken holds nothing";
}

TEST_F(ExchangeIntakeTest, WhatIsQueuedAtTheEndIsTold) {
  Make();
  ASSERT_TRUE(intake_->Start().ok());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(intake_->Offer(Copy({kV2Request}, {kV2Response})));
  intake_->Stop();
  EXPECT_EQ(sink_.count(), 100u);
  EXPECT_FALSE(intake_->Offer(Copy({kV2Request}, {kV2Response}))) << "nobody would read it";
}

TEST_F(ExchangeIntakeTest, ASinkThatIsFullIsWaitedFor) {
  Make();
  sink_.RefuseNext(3);
  EXPECT_EQ(Told({kV2Request}, {kV2Response}),
            "digits:2 OK unknown 1000us id=r-7 predicted=7 1.5 2");
  EXPECT_EQ(sink_.count(), 1u);
}

}  // namespace
}  // namespace leadsman::intake
