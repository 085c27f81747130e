#include "protocol/http_frontend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "net/http_client.h"
#include "net/http_status.h"
#include "protocol/testing/fake_exchange.h"
#include "protocol/tfserving/examples.h"
#include "protocol/v2/infer.h"
#include "serving/testing/serving_world.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

/// Copies input 0 into output 0.
Status Echo(int64_t, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
  const TensorView& in = inputs[0];
  outputs[0].shape() = in.shape;
  if (in.type == DataType::kBytes) {
    for (std::string_view text : in.as<std::string_view>()) outputs[0].PushString(text);
  } else if (in.element_count > 0) {  // memcpy takes no null pointer, not even for nothing
    std::memcpy(outputs[0].Extend(static_cast<size_t>(in.element_count)), in.data, in.byte_size());
  }
  for (size_t i = 1; i < outputs.size() && i < inputs.size(); ++i) {
    outputs[i].shape() = inputs[i].shape;
    std::memcpy(outputs[i].Extend(static_cast<size_t>(inputs[i].element_count)), inputs[i].data,
                inputs[i].byte_size());
  }
  return OkStatus();
}

/// A model that parses tf.Examples: what it finds in each is its first class, the sum of the feature
/// "x" its value. Other signatures echo.
Status ParseExamples(int64_t version, std::span<const TensorView> inputs,
                     std::vector<Tensor>& outputs) {
  if (inputs[0].type != DataType::kBytes) return Echo(version, inputs, outputs);
  for (Tensor& output : outputs)
    output.shape() = {inputs[0].element_count, output.name() == "outputs" ? 1 : 2};
  for (std::string_view serialized : inputs[0].as<std::string_view>()) {
    tfserving::Example example;
    tfserving::ExampleRoom room(SIZE_MAX);
    RETURN_IF_ERROR(tfserving::ParseExample(serialized, room, example));
    std::string seen;
    float sum = 0;
    for (const tfserving::Feature& feature : example.features) {
      seen += StrCat(seen.empty() ? "" : " ", feature.name, ":");
      for (const std::string& text : feature.bytes) seen += StrCat("'", text, "'");
      for (double value : feature.floats) seen += StrCat(value, "f");
      for (int64_t value : feature.ints) seen += StrCat(value, "i");
      for (double value : feature.floats)
        sum += feature.name == "x" ? static_cast<float>(value) : 0;
    }
    if (outputs[0].name() == "outputs") {
      outputs[0].Push<float>(sum);
      continue;
    }
    outputs[0].PushString(seen);
    outputs[0].PushString("other");
    outputs[1].Push<float>(0.75f);
    outputs[1].Push<float>(0.25f);
  }
  return OkStatus();
}

class HttpFrontendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto add = [&](const std::string& name, std::vector<TensorSpec> in,
                   std::vector<TensorSpec> out) -> FakeBackend& {
      FakeBackend& backend = world_.AddBackend(name);
      backend.signature = {std::move(in), std::move(out)};
      backend.run = Echo;
      world_.AddModel(name, {1}, name).labels = {{"live", 1}};
      return backend;
    };
    using enum DataType;
    world_.AddModel("iris", {1, 2}).labels = {{"old", 1}};
    add("echo", {{"x", kFp32, {-1, 2}}}, {{"y", kFp32, {-1, 2}}});
    add("pair", {{"a", kFp32, {-1}}, {"b", kInt64, {-1, 2}}},
        {{"a", kFp32, {-1}}, {"b", kInt64, {-1, 2}}});
    add("text", {{"s", kBytes, {-1}}}, {{"t_bytes", kBytes, {-1}}, {"t", kBytes, {-1}}}).run =
        [](int64_t v, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
          RETURN_IF_ERROR(Echo(v, inputs, outputs));
          outputs[1].shape() = inputs[0].shape;
          for (std::string_view text : inputs[0].as<std::string_view>())
            outputs[1].PushString(text);
          return OkStatus();
        };
    add("opt", {{"x", kFp32, {-1}}, {"scale", kFp32, {-1}, true}}, {{"y", kFp32, {-1}}});
    add("grid", {{"x", kFp32, {-1, -1, 2}}}, {{"y", kFp32, {-1, -1, 2}}});
    add("row", {{"x", kFp32, {-1, 1}}}, {{"y", kFp32, {-1, 1}}});
    add("ranks", {{.name = "x", .type = kFp32, .any_rank = true}},
        {{.name = "y", .type = kFp32, .any_rank = true}});
    add("scalar", {{"x", kFp32, {}}}, {{"y", kFp32, {}}});
    add("half", {{"x", kFp16, {-1}}}, {{"y", kFp16, {-1}}});
    add("flags", {{"f", kBool, {-1}}}, {{"g", kBool, {-1}}});
    add("bytes8", {{"u", kUint8, {-1}}}, {{"v", kUint8, {-1}}});
    add("table", {{"age", kFp32, {-1, 1}}, {"city", kBytes, {-1}}, {"n", kInt64, {-1}, true}},
        {{"age", kFp32, {-1, 1}}, {"city", kBytes, {-1}}})
        .run = [](int64_t v, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
      RETURN_IF_ERROR(Echo(v, inputs.first(1), outputs));
      outputs[1].shape() = inputs[1].shape;
      for (std::string_view text : inputs[1].as<std::string_view>()) outputs[1].PushString(text);
      return OkStatus();
    };
    add("empty", {{"x", kFp32, {-1}}}, {{"y", kFp32, {-1, 2}}}).run =
        [](auto, auto, std::vector<Tensor>& outputs) {
          outputs[0].shape() = {0, 2};
          return OkStatus();
        };
    add("uneven", {{"x", kFp32, {-1}}}, {{"y", kFp32, {-1}}, {"z", kFp32, {-1}}}).run =
        [](int64_t v, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
          RETURN_IF_ERROR(Echo(v, inputs, outputs));
          outputs[1].shape() = {1};
          outputs[1].Push<float>(7);
          return OkStatus();
        };
    add("broken", {{"x", kFp32, {-1}}}, {{"y", kFp32, {-1}}}).run = [](auto, auto, auto&) {
      return InternalError("the runtime broke");
    };
    add("refuses", {{"x", kFp32, {-1, 4}}}, {{"y", kFp32, {-1}}}).run = [](auto, auto, auto&) {
      return InvalidArgumentError("value out of domain");
    };
    FakeBackend& multi = add("multi", {{"x", kFp32, {-1, 2}}}, {{"y", kFp32, {-1, 2}}});
    multi.more_signatures = {
        {"classes",
         "tensorflow/serving/classify",
         {{{"inputs", kBytes, {-1}}}, {{"classes", kBytes, {-1, 2}}, {"scores", kFp32, {-1, 2}}}}},
        {"values",
         "tensorflow/serving/regress",
         {{{"inputs", kBytes, {-1}}}, {{"outputs", kFp32, {-1, 1}}}}},
        {"counts", "tensorflow/serving/predict", {{{"n", kInt64, {-1}}}, {{"n", kInt64, {-1}}}}}};
    multi.run = ParseExamples;
    FakeBackend& house =
        add("house",
            {{"size", kFp64, {-1}}, {"rooms", kInt32, {-1, 2}}, {"town", kBytes, {-1, 1}, true}},
            {{"price", kFp32, {-1, 1}}});
    house.run = [](auto, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
      auto rows = static_cast<size_t>(inputs[0].shape[0]);
      outputs[0].shape() = {inputs[0].shape[0], 1};
      for (size_t i = 0; i < rows; ++i) {
        outputs[0].Push<float>(static_cast<float>(inputs[0].as<double>()[i]) +
                               static_cast<float>(inputs[1].as<int32_t>()[2 * i + 1]));
      }
      return OkStatus();
    };
    FakeBackend& pooled = world_.AddBackend("pooled");
    pooled.signature = {{{"x", kFp32, {-1}}}, {{"y", kFp32, {-1}}}};
    pooled.run = Echo;
    world_.AddModel("pooled", {1}, "pooled").execution = ExecutionMode::kPool;
    world_.Start({.pool_threads = 2, .pool_queue = 4});
    // Readiness is said a moment after the last version got ready.
    world_.Await([&] { return world_.lifecycle().SettledOnce(); });
    HttpFrontend::Options options;
    options.plain.model = "iris";
    options.mlflow.model = "iris";
    frontend_ = std::make_unique<HttpFrontend>(world_.predictor(), options);
  }
  void TearDown() override { frontend_.reset(); }

  std::string Send(std::string_view method, std::string_view target, std::string_view body,
                   std::vector<std::pair<std::string, std::string>> headers = {}) {
    exchange_.Set(method, target, body, std::move(headers));
    frontend_->Handle(exchange_);
    exchange_.Await();
    return exchange_.response().body;
  }

  static std::string FromHex(std::string_view hex) {
    std::string bytes;
    for (std::string_view byte : Split(hex, ' ')) {
      if (!byte.empty()) bytes += static_cast<char>(std::stoi(std::string(byte), nullptr, 16));
    }
    return bytes;
  }
  static std::string ToHex(std::string_view bytes) {
    static constexpr char kHex[] = "0123456789abcdef";
    std::string hex;
    for (unsigned char byte : bytes) {
      hex += ' ';
      hex += kHex[byte >> 4];
      hex += kHex[byte & 15];
    }
    return hex;
  }
  /// The answer as scripts show it: bytes behind the JSON in hex.
  std::string Shown(std::string_view answer) {
    if (exchange_.response().content_type != "application/octet-stream") return std::string(answer);
    auto json =
        static_cast<size_t>(std::stoul(exchange_.ResponseHeader(v2::InferCodec::kLengthField)));
    if (json > answer.size()) return "the length of the JSON is beyond the answer";
    return StrCat(answer.substr(0, json), "\n+", ToHex(answer.substr(json)));
  }

  /// Replays a script over one connection; LEADSMAN_UPDATE=1 writes the answers down instead.
  /// In a request "+ 0a ff" is binary data behind the JSON, whose length is then sent, and
  /// "! name: value" is a header field.
  void RunScript(const std::string& name) {
    std::string path = SourceDir() + "/src/protocol/testdata/" + name;
    std::ifstream in(path);
    ASSERT_TRUE(in) << path;
    std::string line, actual, wanted;
    std::string method, target, body;
    std::vector<std::pair<std::string, std::string>> headers;
    bool in_request = false, in_answer = false;
    int requests = 0;
    while (std::getline(in, line)) {
      wanted += line + "\n";
      if (line.starts_with("> ")) {
        std::istringstream words(line.substr(2));
        words >> method >> target;
        body.clear();
        headers.clear();
        in_request = true;
        in_answer = false;
      } else if (in_request && line.starts_with("< ")) {
        in_request = false;
        in_answer = true;
        std::string answer = Shown(Send(method, target, body, headers));
        ++requests;
        EXPECT_LT(exchange_.response().status, 504) << target;
        if (EqualsIgnoreCase(std::string_view(target).substr(0, 3), "/v1")) {
          EXPECT_EQ(exchange_.response().content_type, "application/json") << target;
        }
        actual += "< " + std::to_string(exchange_.response().status) + "\n" + answer;
        if (!answer.ends_with('\n')) actual += "\n";
        continue;
      } else if (in_request && line.starts_with("! ")) {
        size_t colon = line.find(": ");
        ASSERT_NE(colon, std::string::npos) << line;
        headers.emplace_back(line.substr(2, colon - 2), line.substr(colon + 2));
      } else if (in_request && line.starts_with("+")) {
        if (headers.empty())
          headers.emplace_back(v2::InferCodec::kLengthField, std::to_string(body.size()));
        body += FromHex(std::string_view(line).substr(1));
      } else if (in_request && line.starts_with("| ")) {
        body += line.substr(2) + "\n";
      } else if (in_request) {
        body += line;
      } else if (in_answer && line.empty() && !(target == "/" && (in.peek() != '>'))) {
        in_answer = false;
      }
      if (!in_answer) actual += line + "\n";
    }
    EXPECT_GT(requests, 5);
    if (std::getenv("LEADSMAN_UPDATE") != nullptr) {
      std::ofstream(path) << actual;
    } else {
      EXPECT_EQ(actual, wanted) << "run with LEADSMAN_UPDATE=1 to rewrite " << path;
    }
  }

  ServingWorld world_;
  std::unique_ptr<HttpFrontend> frontend_;
  FakeExchange exchange_;
};

TEST_F(HttpFrontendTest, AnswersTheTensorFlowServingScript) { RunScript("tfserving.script"); }
TEST_F(HttpFrontendTest, AnswersTheOpenInferenceProtocolScript) { RunScript("v2.script"); }
TEST_F(HttpFrontendTest, AnswersTheBinaryTensorDataScript) { RunScript("v2_binary.script"); }
TEST_F(HttpFrontendTest, AnswersThePlainScript) { RunScript("plain.script"); }
TEST_F(HttpFrontendTest, AnswersTheMlflowScript) { RunScript("mlflow.script"); }
TEST_F(HttpFrontendTest, AnswersTheMlflowScriptOfAModelWithColumns) {
  HttpFrontend::Options options;
  options.mlflow.model = "table";
  options.mlflow.output = "*";
  frontend_ = std::make_unique<HttpFrontend>(world_.predictor(), options);
  RunScript("mlflow_table.script");
}

TEST_F(HttpFrontendTest, PingIsHealthyWhenInvocationsCanScore) {
  const std::string row = R"({"inputs": [[1, 2, 3, 4]]})";
  Send("GET", "/ping", "");
  EXPECT_EQ(exchange_.response().status, 200);
  Send("POST", "/invocations", row);
  EXPECT_EQ(exchange_.response().status, 200);

  frontend_ = std::make_unique<HttpFrontend>(world_.predictor(), HttpFrontend::Options());
  const std::string advice =
      "/invocations needs to know which model: set mlflow.model in the configuration";
  for (const char* path : {"/ping", "/health"}) {
    EXPECT_EQ(Send("GET", path, ""), advice + "\n") << "and no name of a model";
    EXPECT_EQ(exchange_.response().status, 404);
  }
  EXPECT_NE(Send("POST", "/invocations", row).find(advice + "; models here: "), std::string::npos);
  EXPECT_EQ(exchange_.response().status, 400);

  HttpFrontend::Options options;
  options.mlflow.model = "nobody";
  frontend_ = std::make_unique<HttpFrontend>(world_.predictor(), options);
  EXPECT_EQ(Send("GET", "/ping", ""), "\n");
  EXPECT_EQ(exchange_.response().status, 404);
}

TEST_F(HttpFrontendTest, AnMlflowAnswerNeverShowsWhatWasSent) {
  for (std::string body :
       {R"({"inputs": [[1, 2, "s3cret", 4]]})", R"({"inputs": [[1, 2, 3, {"s3cret": 1}]]})",
        R"({"instances": [["s3cret"]]})",
        R"({"dataframe_split": {"columns": ["a","b","c","d"],)"
        R"( "data": [[1, 2, 3, "s3cret"]]}})",
        R"({"dataframe_records": [{"a": "s3cret"}]})", R"({"inputs": [[1, 2, [["s3cret"]], 4]]})",
        R"({"inputs": ["s3cret)"}) {
    std::string answer = Send("POST", "/invocations", body);
    EXPECT_EQ(exchange_.response().status, 400) << body;
    EXPECT_TRUE(answer.starts_with("{\"error_code\": \"BAD_REQUEST\", \"message\": ")) << answer;
    EXPECT_EQ(answer.find("s3cret"), std::string::npos) << answer;
  }
}

TEST_F(HttpFrontendTest, AContextIsNotWrittenOutBeyondTheLimit) {
  constexpr std::string_view kEcho = "/v1/models/echo:classify";
  constexpr std::string_view kMulti = "/v1/models/multi:regress";
  HttpFrontend::Options options;
  options.max_input_bytes = 1000;
  frontend_ = std::make_unique<HttpFrontend>(world_.predictor(), options);
  auto ask = [&](std::string_view target, std::string_view context, int examples) {
    std::string body = StrCat("{\"context\": {", context, "}, \"signature_name\": \"",
                              target == kMulti ? "values" : "", "\", \"examples\": [{}");
    for (int i = 1; i < examples; ++i) body += ",{}";
    const std::string answer = Send("POST", target, body + "]}");
    return exchange_.response().status == 200 ? "" : answer;
  };
  const std::string text = StrCat("\"a\": \"", std::string(80, 'x'), "\"");
  EXPECT_EQ(ask(kEcho, "\"x\": [1, 2]", 100), "");
  EXPECT_NE(
      ask(kEcho, "\"x\": [1, 2]", 150).find("take more than 1000 bytes (server.limits.max_body)"),
      std::string::npos);
  // Where the model parses the examples itself.
  EXPECT_EQ(ask(kMulti, StrCat("\"x\": 1.5, ", text), 6), "");
  EXPECT_NE(ask(kMulti, StrCat("\"x\": 1.5, ", text), 20).find("input 'inputs': the examples"),
            std::string::npos);
  // Nor do they fill the memory before.
  EXPECT_NE(
      ask(kEcho, "\"x\": [1, 2]", 1000).find("the examples take more than 4000 bytes of memory"),
      std::string::npos);
}

TEST_F(HttpFrontendTest, AnExceptionWhileTheAnswerIsWrittenIsOneFailedRequest) {
  for (std::string model : {"echo", "pooled"}) {
    FakeBackend& backend = world_.backend(model);
    // More bytes than a string can hold: std::length_error, before anything is read.
    backend.on_views = [](std::vector<TensorView>& views) {
      views[0].element_count = int64_t{1} << 61;
    };
    std::string shape = model == "echo" ? "[1,2]" : "[2]";
    std::string body =
        StrCat(R"({"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":)", shape,
               R"(,"datatype":"FP32","data":[1,2]}]})");
    std::string answer = Send("POST", StrCat("/v2/models/", model, "/infer"), body);
    EXPECT_EQ(exchange_.response().status, 500);
    EXPECT_TRUE(answer.starts_with(R"({"error": "the request could not be encoded: )")) << answer;
    EXPECT_EQ(exchange_.response().content_type, "application/json");
    EXPECT_EQ(exchange_.ResponseHeader("x-request-id").size(), 16u);
    auto events = world_.sink.Take();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].outcome, StatusCode::kInternal);
    backend.on_views = nullptr;
    Send("POST", StrCat("/v2/models/", model, "/infer"), body);
    EXPECT_EQ(exchange_.response().status, 200);
    world_.sink.Take();
  }
}

TEST_F(HttpFrontendTest, TellsWhatMayBeTriedAgainFromWhatIsWrong) {
  using enum StatusCode;
  const std::vector<std::pair<StatusCode, int>> wanted = {
      {kOk, 200},          {kCancelled, 499},         {kUnknown, 500},
      {kInternal, 500},    {kDataLoss, 500},          {kDeadlineExceeded, 504},
      {kNotFound, 404},    {kResourceExhausted, 429}, {kUnimplemented, 501},
      {kUnavailable, 503}, {kInvalidArgument, 400},   {kFailedPrecondition, 400},
      {kOutOfRange, 400}};
  for (auto [code, status] : wanted) {
    EXPECT_EQ(V2HttpStatus(code), status) << StatusCodeName(code);
    EXPECT_EQ(net::HttpStatusOf(code), status) << StatusCodeName(code);
  }
}

TEST_F(HttpFrontendTest, TakesAClientsDeadlineFromItsHeader) {
  world_.clock.Advance(std::chrono::milliseconds(10));  // since the request was received
  auto status = [&](const char* header, const char* value) {
    Send("POST", "/v1/models/iris:predict", R"({"instances": [[1,2,3,4]]})", {{header, value}});
    return exchange_.response().status;
  };
  EXPECT_EQ(status("X-Request-Timeout-Ms", "11"), 200);
  EXPECT_EQ(status("X-Request-Timeout-Ms", "10"), 504);
  EXPECT_EQ(status("x-envoy-expected-rq-timeout-ms", "9"), 504);
  for (const char* bad : {"0", "-5", "1.5", "soon"}) {
    EXPECT_EQ(status("x-request-timeout-ms", bad), 400) << bad;
  }
}

TEST_F(HttpFrontendTest, OfTwoDeadlinesTheEarlierHolds) {
  world_.clock.Advance(std::chrono::milliseconds(10));  // since the request was received
  auto status = [&](std::string_view timeout_us, const char* header_ms) {
    Send("POST", "/v2/models/iris/infer",
         StrCat(R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], )",
                R"("data": [1, 2, 3, 4]}], "parameters": {"timeout": )", timeout_us, "}}"),
         {{"x-request-timeout-ms", header_ms}});
    return exchange_.response().status;
  };
  EXPECT_EQ(status("60000000", "11"), 200);
  EXPECT_EQ(status("60000000", "9"), 504);
  EXPECT_EQ(status("9000", "60000"), 504);
  EXPECT_EQ(status("0", "11"), 200) << "0 is none";
  EXPECT_EQ(status("0", "9"), 504);
}

TEST_F(HttpFrontendTest, SaysWhenAFullQueueMayBeAskedAgain) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> running{0};
  world_.backend("pooled").run = [&](auto version, auto inputs, auto& outputs) {
    ++running;
    released.wait();
    return Echo(version, inputs, outputs);
  };
  FakeExchange held[6];  // two run, four wait
  for (int i = 0; i < 6; ++i) {
    if (i == 2) world_.Await([&] { return running == 2; });
    held[i].Set("POST", "/v1/models/pooled:predict", R"({"instances": [1]})");
    frontend_->Handle(held[i]);
  }
  const std::string v2 =
      R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]})";
  const std::vector<std::pair<std::string, std::string>> requests = {
      {"/v1/models/pooled:predict", R"({"instances": [1]})"}, {"/v2/models/pooled/infer", v2}};
  for (const auto& [path, body] : requests) {
    const std::string answer = Send("POST", path, body);
    EXPECT_EQ(exchange_.response().status, 503) << path;
    EXPECT_EQ(exchange_.ResponseHeader("retry-after"), "1") << path;
    EXPECT_NE(answer.find("is full"), std::string::npos) << answer;
  }
  release.set_value();
  for (FakeExchange& exchange : held) {
    exchange.Await();
    EXPECT_EQ(exchange.response().status, 200);
    EXPECT_EQ(exchange.ResponseHeader("retry-after"), "");
  }
}

TEST_F(HttpFrontendTest, KeepsAClientsRequestIdAndMakesOneOtherwise) {
  constexpr std::string_view kBody = R"({"instances": [[1,2,3,4]]})";
  Send("POST", "/v1/models/iris:predict", kBody, {{"X-Request-Id", "order-77"}});
  EXPECT_EQ(exchange_.ResponseHeader("x-request-id"), "order-77");
  EXPECT_EQ(world_.sink.Take().back().request_id, "order-77");

  for (std::string bad : {std::string(129, 'x'), std::string("a b"),
                          std::string("a\r\nset-cookie: x"), std::string()}) {
    Send("POST", "/v1/models/iris:predict", kBody, {{"X-Request-Id", bad}});
    std::string made = exchange_.ResponseHeader("x-request-id");
    EXPECT_EQ(made.size(), 16u) << made;
    EXPECT_EQ(world_.sink.Take().back().request_id, made);
  }
  Send("POST", "/v2/models/scalar/infer",
       R"({"id":"from-body","inputs":[{"name":"x","shape":[],"datatype":"FP32","data":[1]}]})");
  EXPECT_EQ(exchange_.ResponseHeader("x-request-id"), "from-body");
  EXPECT_EQ(world_.sink.Take().back().protocol, Protocol::kV2Rest);
}

TEST_F(HttpFrontendTest, AnswersWithinTheCallersTrace) {
  const std::string body = R"({"instances":[[1,2,3,4]]})";
  Send("POST", "/v1/models/iris:predict", body,
       {{"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}});
  RecordedEvent event = world_.sink.Take().back();
  ASSERT_TRUE(event.traced);
  EXPECT_EQ(event.trace_id[0], 0x4b);
  EXPECT_EQ(event.parent_span_id[7], 0xb7);
  char ours[16];
  EXPECT_EQ(exchange_.ResponseHeader("traceparent"),
            StrCat("00-4bf92f3577b34da6a3ce929d0e0e4736-",
                   TraceContext::WriteSpanId(event.span_id, ours), "-01"));
  EXPECT_EQ(exchange_.ResponseHeader("b3"), "");

  Send("POST", "/v1/models/nobody:predict", body, {{"b3", "a3ce929d0e0e4736-00f067aa0ba902b7"}});
  EXPECT_TRUE(exchange_.ResponseHeader("b3").starts_with("a3ce929d0e0e4736-"));  // also an error

  Send("POST", "/v1/models/iris:predict", body);
  EXPECT_EQ(exchange_.ResponseHeader("traceparent"), "");
  EXPECT_FALSE(world_.sink.Take().back().traced);
}

TEST_F(HttpFrontendTest, FinishesPooledModelsFromThePool) {
  EXPECT_EQ(Send("POST", "/v1/models/pooled:predict", R"({"instances": [1, 2]})"),
            R"({"predictions": [1.0,2.0]})");
  EXPECT_TRUE(exchange_.deferred());
  EXPECT_EQ(
      Send("POST", "/v1/models/iris:predict", R"({"instances": [[1, 2, 3, 4]]})").substr(0, 15),
      R"({"predictions":)");
  EXPECT_FALSE(exchange_.deferred());
}

TEST_F(HttpFrontendTest, AClientThatGoesTakesItsRequestOutOfTheQueue) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> running{0};
  world_.backend("pooled").run = [&](auto version, auto inputs, auto& outputs) {
    ++running;
    released.wait();
    return Echo(version, inputs, outputs);
  };
  constexpr int kThreads = 2;  // of the pool
  FakeExchange exchanges[kThreads + 1];
  for (FakeExchange& exchange : exchanges) {
    exchange.Set("POST", "/v1/models/pooled:predict", R"({"instances": [1, 2]})");
    frontend_->Handle(exchange);
  }
  world_.Await([&] { return running == kThreads; });
  FakeExchange& waiting = exchanges[kThreads];
  exchanges[0].Go();  // which runs already
  waiting.Go();
  waiting.Await();
  EXPECT_EQ(waiting.response().status, 499);
  release.set_value();
  for (FakeExchange& exchange : exchanges) exchange.Await();
  EXPECT_EQ(exchanges[0].response().status, 200);
  EXPECT_EQ(running, kThreads);
}

TEST_F(HttpFrontendTest, RefusesDeepNestingInsteadOfOverflowingTheStack) {
  for (std::string_view open : {"[", "{\"x\":", "[{\"x\":["}) {
    for (std::string_view field : {"instances", "inputs", "unknown"}) {
      std::string body = StrCat("{\"", field, "\": ");
      for (int i = 0; i < 200'000; ++i) body += open;
      body += "}";
      for (std::string_view path : {"/v1/models/iris:predict", "/v1/models/text:predict",
                                    "/v2/models/iris/infer", "/predict"}) {
        Send("POST", path, body);
        EXPECT_EQ(exchange_.response().status, 400);
      }
    }
  }
}

TEST_F(HttpFrontendTest, NeverReadsPastTheBody) {
  // FakeExchange puts digits behind the body: a number that is cut short must not go on there.
  for (std::string body : {R"({"instances": [[1)", R"({"instances": [[1, 2, 3, 4]], "n": 1)",
                           R"({"instances": )", R"({)", R"({"a)"}) {
    Send("POST", "/v1/models/iris:predict", body);
    EXPECT_EQ(exchange_.response().status, 400);
  }
}

TEST_F(HttpFrontendTest, RefusesALengthOfTheJsonThatIsNoneOfTheBody) {
  constexpr std::string_view kBody =
      R"({"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]})";
  for (std::string value :
       {"67", "99999999999999999999", "-1", "0x10", "1.0", "66 ", "66,66", "a"}) {
    ASSERT_EQ(kBody.size(), 66u);
    std::string answer =
        Send("POST", "/v2/models/opt/infer", kBody, {{"inference-header-content-length", value}});
    EXPECT_EQ(exchange_.response().status, 400) << value;
    EXPECT_NE(answer.find("Inference-Header-Content-Length: '"), std::string::npos) << answer;
    EXPECT_EQ(exchange_.response().content_type, "application/json");
  }
  // The field is of one request: the next one on the connection is all JSON again.
  Send("POST", "/v2/models/opt/infer", kBody, {{"Inference-Header-Content-Length", "66"}});
  EXPECT_EQ(exchange_.response().status, 200);
  Send("POST", "/v2/models/opt/infer", kBody);
  EXPECT_EQ(exchange_.response().status, 200);
  Send("POST", "/v2/models/nowhere/infer", kBody, {{"Inference-Header-Content-Length", "1"}});
  EXPECT_EQ(exchange_.response().status, 404);
  Send("POST", "/v2/models/opt/infer", kBody);
  EXPECT_EQ(exchange_.response().status, 200);
  EXPECT_EQ(exchange_.ResponseHeader("inference-header-content-length"), "");
}

TEST_F(HttpFrontendTest, ARawRequestIsForTheOnlyInputThatIsNeeded) {
  const std::string values("\0\0\x80\x3f\0\0\0\x40", 8);  // 1 and 2
  const std::string answer =
      Send("POST", "/v2/models/opt/infer", values, {{"Inference-Header-Content-Length", "0"}});
  EXPECT_EQ(exchange_.response().status, 200) << answer;
  EXPECT_TRUE(exchange_.response().body.ends_with(values));
}

TEST_F(HttpFrontendTest, ParamsThatNoModelWantsAreCounted) {
  for (const char* params : {"null", "{}", "{ }"})
    Send("POST", "/invocations", StrCat(R"({"inputs": [[1, 2, 3, 4]], "params": )", params, "}"));
  EXPECT_EQ(frontend_->ignored_params().total(), 0u);
  for (int i = 0; i < 3; ++i) {
    const std::string answer =
        Send("POST", "/invocations", R"({"params": {"t": 1}, "inputs": [[1, 2, 3, 4]]})");
    EXPECT_EQ(exchange_.response().status, 200) << answer;
  }
  EXPECT_EQ(frontend_->ignored_params().total(), 3u);
}

TEST_F(HttpFrontendTest, HeadIsAnsweredAsGetIs) {
  for (const char* path : {"/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/iris",
                           "/v2/models/iris/ready", "/v2/models/nowhere/ready", "/v1/models/iris",
                           "/v1/models/iris/metadata", "/ping", "/health", "/version", "/"}) {
    const std::string got = Send("GET", path, "");
    const int status = exchange_.response().status;
    // The server sends the length of this body, and not the body.
    EXPECT_EQ(Send("HEAD", path, ""), got) << path;
    EXPECT_EQ(exchange_.response().status, status) << path;
  }
  Send("HEAD", "/v2/models/iris/infer", "");
  EXPECT_EQ(exchange_.response().status, 405);
}

TEST_F(HttpFrontendTest, OptionsAreAnsweredWithWhatIsAllowed) {
  const std::pair<const char*, const char*> paths[] = {{"/v2", "GET, HEAD"},
                                                       {"/v2/health/ready", "GET, HEAD"},
                                                       {"/v2/models/iris", "GET, HEAD"},
                                                       {"/v2/models/iris/infer", "POST"},
                                                       {"/v2/repository/index", "POST"},
                                                       {"/invocations", "POST"},
                                                       {"/predict", "POST"},
                                                       {"/ping", "GET, HEAD"},
                                                       {"/version", "GET, HEAD"}};
  for (const auto& [path, allowed] : paths) {
    const std::string answer = Send("OPTIONS", path, "");
    EXPECT_EQ(exchange_.response().status, 405) << path << ": " << answer;
    EXPECT_EQ(exchange_.ResponseHeader("allow"), allowed) << path;
    EXPECT_EQ(exchange_.ResponseHeader("access-control-allow-origin"), "");
  }
  // As TensorFlow Serving without --rest_api_enable_cors_support.
  Send("OPTIONS", "/v1/models/iris:predict", "", {{"origin", "http://elsewhere"}});
  EXPECT_EQ(exchange_.response().status, 400);
  EXPECT_EQ(exchange_.ResponseHeader("access-control-allow-origin"), "");
}

TEST_F(HttpFrontendTest, AnswersEveryCutOfABinaryRequestWithA4xx) {
  std::string json =
      R"({"inputs":[{"name":"a","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},)"
      R"({"name":"b","shape":[1,2],"datatype":"INT64","parameters":{"binary_data_size":16}}],)"
      R"("parameters":{"binary_data_output":true}})";
  std::string whole = json + std::string(24, '\x7f');
  for (size_t size = 0; size < whole.size(); ++size) {
    Send("POST", "/v2/models/pair/infer", whole.substr(0, size),
         {{"Inference-Header-Content-Length", std::to_string(json.size())}});
    EXPECT_EQ(exchange_.response().status, 400) << size;
  }
  for (size_t length = 0; length <= whole.size(); ++length) {
    Send("POST", "/v2/models/pair/infer", whole,
         {{"Inference-Header-Content-Length", std::to_string(length)}});
    EXPECT_EQ(exchange_.response().status, length == json.size() ? 200 : 400) << length;
  }
}

TEST_F(HttpFrontendTest, TakesAndGivesBinaryDataOverARealConnectionAndFromThePool) {
  Result<std::unique_ptr<net::HttpServer>> server =
      net::HttpServer::Start({}, [&](net::HttpExchange& exchange) { frontend_->Handle(exchange); });
  ASSERT_TRUE(server.ok()) << server.status();
  auto client = net::MakeHttpClient();
  for (size_t count : {1u, 1000u, 300'000u}) {
    for (std::string_view model : {"opt", "pooled"}) {
      std::vector<float> values(count);
      for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i) * 0.5f;
      std::string_view bytes(reinterpret_cast<const char*>(values.data()), count * sizeof(float));
      std::string json = StrCat(
          R"({"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[)", count,
          R"(],"datatype":"FP32","parameters":{"binary_data_size":)", bytes.size(), "}}]}");
      net::ClientRequest request;
      request.method = "POST";
      request.url = StrCat("http://127.0.0.1:", (*server)->port(), "/v2/models/", model, "/infer");
      request.headers = {{"Inference-Header-Content-Length", std::to_string(json.size())}};
      request.body = StrCat(json, bytes);
      Result<net::ClientResponse> response = client->Send(request);
      ASSERT_TRUE(response.ok()) << response.status();
      ASSERT_EQ(response->status, 200) << response->body.substr(0, 500);
      EXPECT_EQ(response->Header("content-type"), "application/octet-stream");
      std::optional<int64_t> size = ParseInt64(response->Header("inference-header-content-length"));
      ASSERT_TRUE(size);
      EXPECT_EQ(response->body.substr(static_cast<size_t>(*size)), bytes);
    }
  }
  (*server)->Shutdown(std::chrono::seconds(5));
}

TEST_F(HttpFrontendTest, WorksOverARealConnection) {
  Result<std::unique_ptr<net::HttpServer>> server =
      net::HttpServer::Start({}, [&](net::HttpExchange& exchange) { frontend_->Handle(exchange); });
  ASSERT_TRUE(server.ok()) << server.status();
  std::string base = StrCat("http://127.0.0.1:", (*server)->port());
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      auto client = net::MakeHttpClient();
      for (int i = 0; i < 50; ++i) {
        net::ClientRequest request;
        request.method = "POST";
        request.url = base + (i % 2 ? "/v1/models/pooled:predict" : "/v1/models/opt:predict");
        request.body = StrCat("{\"instances\": [", c, ", ", i, "]}");
        Result<net::ClientResponse> response = client->Send(request);
        ASSERT_TRUE(response.ok()) << response.status();
        EXPECT_EQ(response->status, 200);
        EXPECT_EQ(response->body, StrCat("{\"predictions\": [", c, ".0,", i, ".0]}"));
        EXPECT_EQ(response->Header("x-request-id").size(), 16u);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  (*server)->Shutdown(std::chrono::seconds(5));
}

}  // namespace
}  // namespace leadsman
