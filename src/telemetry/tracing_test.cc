#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "net/http_server.h"
#include "support/eventually.h"
#include "telemetry/batch_sender.h"
#include "telemetry/prometheus.h"
#include "telemetry/spans.h"
#include "telemetry/testing/wire_message.h"
#include "telemetry/tracer.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

TracedRequest Request() {
  TracedRequest request;
  request.trace_id = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
                      0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
  request.span_id = {0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 2, 0xb7};
  request.parent_span_id = {1, 2, 3, 4, 5, 6, 7, 8};
  request.model = "iris";
  request.request_id = "r-1";
  request.version = 3;
  request.protocol = Protocol::kV2Rest;
  request.end_unix_ns = 1'700'000'000'000'500'000;
  request.latency_ns = 500'000;
  request.decode_ns = 50'000;
  request.queue_ns = 100'000;
  request.compute_ns = 300'000;
  request.rows = 2;
  return request;
}

TEST(SpansTest, StagesFollowEachOtherAndEndWithTheRequest) {
  std::vector<Span> stages = StagesOf(Request());
  ASSERT_EQ(stages.size(), 4u);
  const char* names[] = {"receive", "queue", "compute", "respond"};
  int64_t at = 1'700'000'000'000'000'000;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(stages[i].name, names[i]);
    EXPECT_EQ(stages[i].start_unix_ns, at);
    at = stages[i].end_unix_ns;
  }
  EXPECT_EQ(at, 1'700'000'000'000'500'000);
  EXPECT_NE(stages[0].id, stages[1].id);
}

TEST(SpansTest, NoStageLeavesItsRequestAndARefusedRequestHasNone) {
  TracedRequest request = Request();
  request.compute_ns = 900'000;  // clocks that disagree
  for (const Span& stage : StagesOf(request))
    EXPECT_LE(stage.end_unix_ns, request.end_unix_ns) << stage.name;
  request.decode_ns = request.queue_ns = request.compute_ns = 0;
  EXPECT_TRUE(StagesOf(request).empty());
}

/// The spans of an OTLP body.
std::vector<WireMessage> SpansIn(const std::string& body) {
  return WireMessage{body}.at(1).at(2).all(2);
}

/// Of a span, what an attribute says: the bytes of an AnyValue.
WireMessage Attribute(const WireMessage& span, const std::string& key) {
  for (const WireMessage& pair : span.all(9))
    if (pair.text(1) == key) return pair.at(2);
  ADD_FAILURE() << "no attribute " << key;
  return {};
}

std::string HexOf(const WireMessage& span, uint32_t field) {
  std::string text;
  for (char c : span.text(field)) {
    static constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[static_cast<uint8_t>(c) >> 4];
    text += kDigits[c & 15];
  }
  return text;
}

TEST(SpansTest, OtlpHasIdsTimesAndAttributes) {
  const TracedRequest requests[] = {Request()};
  const std::string body = OtlpTraces({"svc", "1.2", "host-a"}, requests);
  const WireMessage resource = WireMessage{body}.at(1).at(1);
  EXPECT_EQ(resource.all(1)[0].at(2).text(1), "svc");
  const std::vector<WireMessage> spans = SpansIn(body);
  ASSERT_EQ(spans.size(), 5u);
  EXPECT_EQ(HexOf(spans[0], 1), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(HexOf(spans[0], 2), "00f067aa0ba902b7");
  EXPECT_EQ(HexOf(spans[0], 4), "0102030405060708");
  EXPECT_EQ(spans[0].text(5), "predict iris");
  EXPECT_EQ(spans[0].number(6), 2u) << "a server's span";
  EXPECT_EQ(spans[0].number(7), 1'700'000'000'000'000'000u);
  EXPECT_EQ(spans[0].number(8), 1'700'000'000'000'500'000u);
  EXPECT_EQ(Attribute(spans[0], "leadsman.request_id").text(1), "r-1");
  EXPECT_EQ(Attribute(spans[0], "leadsman.version").number(3), 3u);
  EXPECT_TRUE(spans[0].all(15).empty()) << "no status";
  EXPECT_EQ(HexOf(spans[1], 4), HexOf(spans[0], 2));
  EXPECT_EQ(spans[1].number(6), 1u);
}

TEST(SpansTest, AnErrorIsMarkedInBothForms) {
  TracedRequest failed = Request();
  failed.outcome = StatusCode::kUnavailable;
  failed.parent_span_id = {};
  failed.trace_id = {0, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
  const TracedRequest requests[] = {failed};
  const std::string otlp = OtlpTraces({}, requests);
  const WireMessage span = SpansIn(otlp)[0];
  EXPECT_EQ(span.at(15).text(2), "UNAVAILABLE");
  EXPECT_EQ(span.at(15).number(3), 2u);
  EXPECT_TRUE(span.all(4).empty()) << "no parent";
  json zipkin = json::parse(ZipkinSpans({"svc", "1", "h"}, requests));
  EXPECT_EQ(zipkin[0]["tags"]["error"], "UNAVAILABLE");
  EXPECT_EQ(zipkin[0]["traceId"], "a3ce929d0e0e4736") << "64 bits go on as 64 bits";
  EXPECT_FALSE(zipkin[0].contains("parentId"));
  EXPECT_EQ(zipkin[0]["timestamp"], 1'700'000'000'000'000);
  EXPECT_EQ(zipkin[0]["duration"], 500);
}

TEST(SpansTest, WhatTheClientIsToBlameForIsNoErrorOfTheServersSpan) {
  TracedRequest refused = Request();
  refused.outcome = StatusCode::kNotFound;
  refused.model.clear();
  const TracedRequest requests[] = {refused};
  const std::string otlp = OtlpTraces({}, requests);
  const WireMessage span = SpansIn(otlp)[0];
  EXPECT_TRUE(span.all(15).empty()) << "no status";
  EXPECT_EQ(span.text(5), "predict");
}

/// A destination that answers as it is told to.
class Collector {
 public:
  Collector() {
    net::HttpServerOptions options;
    options.address = "127.0.0.1";
    options.port = 0;
    auto server = net::HttpServer::Start(options, [this](net::HttpExchange& exchange) {
      MutexLock lock(mutex_);
      ++asked_;
      token_ = std::string(exchange.request().Header("authorization"));
      exchange.response().status = status;
      if (status == 200) bodies_.emplace_back(exchange.request().body);
    });
    CHECK(server.ok());
    server_ = std::move(server).value();
  }
  std::string url() const {
    return "http://127.0.0.1:" + std::to_string(server_->port()) + "/v1/traces";
  }
  size_t asked() {
    MutexLock lock(mutex_);
    return asked_;
  }
  std::string token() {
    MutexLock lock(mutex_);
    return token_;
  }
  std::vector<std::string> bodies() {
    MutexLock lock(mutex_);
    return bodies_;
  }
  std::atomic<int> status{200};

 private:
  Mutex mutex_;
  size_t asked_ = 0;
  std::string token_;
  std::vector<std::string> bodies_;
  std::unique_ptr<net::HttpServer> server_;
};

TEST(BatchSenderTest, TriesAgainWhatIsNotTakenAndKeepsTheOrder) {
  Collector collector;
  collector.status = 503;
  FakeClock clock;
  BatchSender::Options options;
  options.url = collector.url();
  auto made = BatchSender::Create(clock, options);
  ASSERT_TRUE(made.ok()) << made.status();
  BatchSender& sender = **made;
  sender.Send("one", 1);
  sender.Send("two", 2);
  ASSERT_TRUE(Eventually([&] { return sender.counters().failed == 1; }));
  collector.status = 200;
  ASSERT_TRUE(Eventually([&] {
    clock.Advance(1s);
    sender.Send("", 0);  // wakes it, as the next batch would
    return sender.counters().items_sent == 3;
  }));
  std::vector<std::string> bodies = collector.bodies();
  EXPECT_EQ(bodies[0], "one");
  EXPECT_EQ(bodies[1], "two");
  EXPECT_EQ(sender.counters().items_dropped, 0u);
}

TEST(BatchSenderTest, GivesUpWhatIsRefusedForGood) {
  Collector collector;
  collector.status = 400;
  FakeClock clock;
  BatchSender::Options options;
  options.url = collector.url();
  auto made = BatchSender::Create(clock, options);
  ASSERT_TRUE(made.ok()) << made.status();
  BatchSender& sender = **made;
  sender.Send("one", 7);
  EXPECT_TRUE(Eventually([&] { return sender.counters().items_refused == 7; }));
  EXPECT_EQ(collector.asked(), 1u);
}

TEST(BatchSenderTest, TheOldestMakeRoomAndAreCounted) {
  Collector collector;
  collector.status = 500;
  FakeClock clock;
  BatchSender::Options options;
  options.url = collector.url();
  options.max_bodies = 2;
  auto made = BatchSender::Create(clock, options);
  ASSERT_TRUE(made.ok()) << made.status();
  BatchSender& sender = **made;
  sender.Send("a", 1);
  ASSERT_TRUE(Eventually([&] { return sender.counters().failed == 1; }));
  for (uint64_t i = 0; i < 4; ++i) sender.Send("b", 10);
  EXPECT_TRUE(Eventually([&] { return sender.counters().items_dropped == 21; }))
      << sender.counters().items_dropped;
  EXPECT_LE(sender.counters().waiting, 3u);
}

TEST(BatchSenderTest, ReadsItsHeadersBeforeEachBody) {
  TempDir dir;
  const std::string path = (dir.path() / "headers").string();
  std::ofstream(path) << "# who we are\nauthorization: Bearer one\n";
  Collector collector;
  FakeClock clock;
  BatchSender::Options options;
  options.url = collector.url();
  options.headers_file = path;
  auto made = BatchSender::Create(clock, options);
  ASSERT_TRUE(made.ok()) << made.status();
  BatchSender& sender = **made;
  sender.Send("x", 1);
  ASSERT_TRUE(Eventually([&] { return sender.counters().sent == 1; }));
  EXPECT_EQ(collector.token(), "Bearer one");
  std::ofstream(path) << "authorization: Bearer two\n";
  sender.Send("x", 1);
  ASSERT_TRUE(Eventually([&] { return sender.counters().sent == 2; }));
  EXPECT_EQ(collector.token(), "Bearer two");
}

TEST(BatchSenderTest, AHeadersFileThatIsNoneNamesTheLineAndNotItsText) {
  TempDir dir;
  const std::string path = (dir.path() / "headers").string();
  std::ofstream(path) << "a: b\n\nsecret-without-colon\n";
  Status status = ReadHeadersFile(path).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("line 3"), std::string_view::npos) << status;
  EXPECT_EQ(status.message().find("secret"), std::string_view::npos) << status;
}

/// Counts what is passed on.
struct CountingSink final : Sink {
  void Emit(const PredictionEvent&) override { ++events; }
  bool TryEmit(const PredictionEvent&) override { return true; }
  uint32_t FeatureStride(size_t) const override { return 3; }
  std::atomic<int> events{0};
};

class TracerTest : public ::testing::Test {
 protected:
  void Start(TracingOptions options) {
    options.otlp_url = collector_.url();
    auto tracer = Tracer::Create({clock_,
                                  registry_,
                                  sink_,
                                  {"svc", "1", "h"},
                                  [this](const TracedRequest& request) {
                                    MutexLock lock(kept_mutex_);
                                    kept_.push_back(request);
                                  }},
                                 options);
    ASSERT_TRUE(tracer.ok()) << tracer.status();
    tracer_ = std::move(tracer).value();
  }
  static PredictionEvent Event(StatusCode outcome = StatusCode::kOk, uint64_t ns = 1000) {
    PredictionEvent event;
    event.model = "iris";
    event.version = 1;
    event.outcome = outcome;
    event.latency_ns = ns;
    event.unix_ns = 1'700'000'000'000'000'000;
    return event;
  }
  /// The request spans that arrived.
  std::vector<WireMessage> Spans() {
    std::vector<WireMessage> spans;
    bodies_ = collector_.bodies();
    for (const std::string& body : bodies_) {
      for (const WireMessage& span : SpansIn(body))
        if (span.number(6) == 2) spans.push_back(span);
    }
    return spans;
  }
  double Metric(const std::string& name, const std::string& label) {
    for (const MetricFamily& family : registry_.Collect()) {
      if (family.description->name != name) continue;
      for (const MetricSample& sample : family.samples)
        if (sample.label_values.back() == label) return sample.value;
    }
    return -1;
  }

  FakeClock clock_;
  Registry registry_;
  CountingSink sink_;
  Collector collector_;
  std::vector<std::string> bodies_;  ///< what Spans has found lies in them
  Mutex kept_mutex_;
  std::vector<TracedRequest> kept_ GUARDED_BY(kept_mutex_);
  std::unique_ptr<Tracer> tracer_;
};

TEST_F(TracerTest, KeepsSampledFailedAndSlowRequestsAndPassesAllOn) {
  Start({});
  PredictionEvent sampled = Event();
  sampled.traced = sampled.trace_sampled = true;
  sampled.trace_id[15] = 7;
  sampled.span_id[7] = 8;
  sampled.parent_span_id[7] = 9;
  tracer_->Emit(sampled);
  tracer_->Emit(Event(StatusCode::kInternal));
  tracer_->Emit(Event(StatusCode::kOk, 600'000'000));
  tracer_->Emit(Event());
  PredictionEvent observed = Event(StatusCode::kInternal);
  observed.observed = true;
  tracer_->Emit(observed);
  EXPECT_EQ(sink_.events, 5);
  EXPECT_EQ(tracer_->FeatureStride(4), 3u);
  ASSERT_TRUE(Eventually([&] { return Spans().size() >= 3; }));
  const std::vector<WireMessage> spans = Spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(HexOf(spans[0], 4), "0000000000000009");
  EXPECT_TRUE(spans[1].all(4).empty()) << "it begins a trace of its own";
  EXPECT_NE(HexOf(spans[1], 1), HexOf(spans[2], 1));
  EXPECT_EQ(Metric("leadsman_tracing_requests_kept_total", "sampled"), 1);
  EXPECT_EQ(Metric("leadsman_tracing_requests_kept_total", "error"), 1);
  EXPECT_EQ(Metric("leadsman_tracing_requests_kept_total", "slow"), 1);
  EXPECT_EQ(Metric("leadsman_tracing_requests_kept_total", "share"), 0);
}

TEST_F(TracerTest, TellsOfTheRequestsThatItKeepsWithTheirTraces) {
  Start({});
  tracer_->Emit(Event(StatusCode::kInternal));
  tracer_->Emit(Event());
  ASSERT_TRUE(Eventually([&] { return !Spans().empty(); }));
  MutexLock lock(kept_mutex_);
  ASSERT_EQ(kept_.size(), 1u);
  EXPECT_EQ(kept_[0].model, "iris");
  EXPECT_EQ(kept_[0].latency_ns, 1000u);
  EXPECT_NE(kept_[0].trace_id, TracedRequest().trace_id) << "that it came without";
}

TEST_F(TracerTest, KeepsItsShareOfTheRest) {
  TracingOptions options;
  options.keep_share = 0.1;
  options.max_per_second = 1e6;
  Start(options);
  for (int i = 0; i < 5000; ++i) {
    tracer_->Emit(Event());
    if (i % 500 == 0) std::this_thread::yield();
  }
  tracer_.reset();  // sends what is left
  // Within five standard deviations (21) of 500.
  EXPECT_NEAR(static_cast<double>(Spans().size()), 500, 106);
}

TEST_F(TracerTest, WhatIsBeyondTheRateIsDroppedAndCounted) {
  TracingOptions options;
  options.max_per_second = 10;
  Start(options);
  for (int i = 0; i < 50; ++i) tracer_->Emit(Event(StatusCode::kInternal));
  ASSERT_TRUE(
      Eventually([&] { return Metric("leadsman_tracing_requests_dropped_total", "rate") == 40; }));
  EXPECT_EQ(Metric("leadsman_tracing_requests_kept_total", "error"), 10);
  ASSERT_TRUE(Eventually([&] { return Metric("leadsman_tracing_exported_total", "sent") == 10; }));
}

TEST_F(TracerTest, AHangingDestinationHoldsNobodyUp) {
  collector_.status = 500;
  Start({});
  for (int i = 0; i < 100; ++i) tracer_->Emit(Event(StatusCode::kInternal));
  EXPECT_EQ(sink_.events, 100);
  ASSERT_TRUE(
      Eventually([&] { return Metric("leadsman_tracing_export_requests_total", "failed") >= 1; }));
}

TEST(TracingOptionsTest, ThePortSaysTheProtocolAndTheProtocolWhetherThereIsAPath) {
  auto problems = [](const std::string& yaml) {
    std::vector<ConfigProblem> found;
    TracingOptions read;
    schema::ReadYaml(yaml, TracingOptionsSchema(), read, found);
    return FormatProblems("f", found);
  };
  EXPECT_EQ(problems("otlp_url: http://jaeger:4317"), "");
  EXPECT_NE(problems("otlp_url: http://jaeger:4317/v1/traces").find("gRPC"), std::string::npos);
  EXPECT_EQ(problems("{otlp_url: 'http://jaeger:4317/v1/traces', otlp_protocol: http}"), "");
  EXPECT_EQ(problems("{otlp_url: 'http://jaeger:80', otlp_protocol: grpc}"), "");
  EXPECT_NE(problems("otlp_url: http://jaeger:4318").find("/v1/traces"), std::string::npos);
  EXPECT_NE(problems("zipkin_url: zipkin").find("zipkin_url"), std::string::npos);
  EXPECT_NE(problems("ca_file: ca.pem").find("nothing is sent"), std::string::npos);
  EXPECT_NE(problems("keep_share: 10%").find("nothing is sent"), std::string::npos);
  EXPECT_EQ(problems("{}"), "");
  EXPECT_EQ(problems("otlp_url: http://jaeger:4318/v1/traces"), "");
}

}  // namespace
}  // namespace leadsman
