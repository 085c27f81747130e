#include <gtest/gtest.h>

#include <cmath>

#include "base/strings.h"
#include "intake/line_reader.h"
#include "intake/model_path.h"
#include "intake/testing/describe.h"

namespace leadsman::intake {
namespace {

/// A parser of a named format that has seen `first`.
std::unique_ptr<LineParser> Make(std::string_view format, std::vector<std::string_view> first,
                                 FormatOptions options = {}) {
  options.format = format;
  Result<std::unique_ptr<LineParser>> parser = FindLogFormat(format)->make(first, options);
  EXPECT_TRUE(parser.ok()) << parser.status();
  EXPECT_NE(*parser, nullptr) << format;
  return std::move(*parser);
}

TEST(ModelPathTest, KnowsTheUrlsOfModelServers) {
  struct Case {
    const char* target;
    const char* model;
    const char* version;
    const char* label;
    bool inference;
  };
  for (const Case& c : {
           Case{"/v1/models/digits:predict", "digits", "", "", true},
           Case{"/v1/models/digits%3Apredict", "digits", "", "", true},
           Case{"/v1/models/digits/versions/3:predict?x=/v2/models/", "digits", "3", "", true},
           Case{"/v1/models/digits/labels/canary:classify", "digits", "", "canary", true},
           Case{"/v1/models/digits/versions/3", "digits", "3", "", false},
           Case{"/v1/models/digits/metadata", "digits", "", "", false},
           Case{"/v1/models/digits", "digits", "", "", false},
           Case{"/v1/models/team:digits:predict", "team:digits", "", "", true},
           Case{"/serving/team/isvc/v1/models/iris:predict", "iris", "", "", true},
           Case{"/v2/models/iris/infer", "iris", "", "", true},
           Case{"/v2/models/iris/versions/2/infer", "iris", "2", "", true},
           Case{"/v2/models/iris/generate_stream", "iris", "", "", true},
           Case{"/v2/models/iris/ready", "iris", "", "", false},
           Case{"/seldon/ns/dep/v2/models/iris/infer", "iris", "", "", true},
           Case{"/invocations", "", "", "", true},
           Case{"/api/predict", "", "", "", true},
           Case{"/unpredict", "", "", "", false},
           Case{"/healthz", "", "", "", false},
           Case{"/v2/models/", "", "", "", false},
           Case{"/v1/models//versions//:", "", "", "", false},
           Case{"http://host:80/v2/models/iris/infer", "iris", "", "", true},
           Case{"*", "", "", "", false},
           Case{"", "", "", "", false},
       }) {
    LogRecord record;
    SetTarget(c.target, record);
    EXPECT_EQ(record.model, c.model) << c.target;
    EXPECT_EQ(record.version, c.version) << c.target;
    EXPECT_EQ(record.version_label, c.label) << c.target;
    EXPECT_EQ(record.inference, c.inference) << c.target;
  }
}

TEST(ModelPathTest, AGrpcCallInsideHttp200HasNoKnownOutcome) {
  LogRecord record;
  record.protocol = "HTTP/2";
  record.status = 200;
  SetTarget("/inference.GRPCInferenceService/ModelInfer", record);
  EXPECT_TRUE(record.grpc);
  EXPECT_TRUE(record.inference);
  EXPECT_EQ(record.outcome(), Outcome::kUnknown);
  record.grpc_status = 14;
  EXPECT_EQ(record.outcome(), Outcome::kServerError);
  record.grpc_status = 3;
  EXPECT_EQ(record.outcome(), Outcome::kClientError);
}

TEST(FieldTest, DurationsWithTheirUnits) {
  EXPECT_EQ(ParseDuration("0.012", Unit::kSeconds), 12'000'000);
  EXPECT_EQ(ParseDuration("12", Unit::kMillis), 12'000'000);
  EXPECT_EQ(ParseDuration("12.5ms", Unit::kText), 12'500'000);
  EXPECT_EQ(ParseDuration("250\xC2\xB5s", Unit::kText), 250'000);
  EXPECT_EQ(ParseDuration("1m3.5s", Unit::kText), 63'500'000'000);
  EXPECT_EQ(ParseDuration("12ms", Unit::kSeconds), 12'000'000);
  EXPECT_EQ(ParseDuration("0.010, 0.020", Unit::kSeconds), 30'000'000);
  EXPECT_EQ(ParseDuration("-, 0.020 : 0.001", Unit::kSeconds), 21'000'000);
  for (const char* text :
       {"", "-", "-5", "-0.001", "nan", "inf", "1e300", "12 parsecs", "0x10", "-, -", "12", "1 2"})
    EXPECT_EQ(ParseDuration(text, Unit::kText), std::nullopt) << text;
  EXPECT_EQ(ParseDuration("1e18", Unit::kSeconds), std::nullopt);
}

TEST(AccessLogTest, OddStatusesStandAsWritten) {
  auto parser =
      Make("access_log",
           {R"(1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 5 "-" "curl")"});
  LogRecord record;
  struct Case {
    const char* status;
    Verdict verdict;
    Outcome outcome;
  };
  for (const Case& c : {Case{"000", Verdict::kRequest, Outcome::kClientGone},
                        Case{"999", Verdict::kRequest, Outcome::kUnknown},
                        Case{"408", Verdict::kRequest, Outcome::kClientError},
                        Case{"429", Verdict::kRequest, Outcome::kServerError},
                        Case{"499", Verdict::kRequest, Outcome::kClientGone},
                        Case{"1000", Verdict::kMalformed, Outcome::kUnknown},
                        Case{"99999999999999999999", Verdict::kMalformed, Outcome::kUnknown}}) {
    std::string line = StrCat(R"(1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" )",
                              c.status, R"( 5 "-" "curl")");
    EXPECT_EQ(parser->Parse(line, record), c.verdict) << c.status;
    EXPECT_EQ(record.outcome(), c.outcome) << c.status;
  }
}

TEST(AccessLogTest, AHalfWrittenLineIsMalformed) {
  auto parser =
      Make("access_log",
           {R"(1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 5 "-" "curl")"});
  LogRecord record;
  EXPECT_EQ(parser->Parse(R"(1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HT)", record),
            Verdict::kMalformed);
  EXPECT_EQ(parser->Parse(R"(1.2.3.4 - - [10/Oct/2000:13:)", record), Verdict::kOther);
}

TEST(AccessLogTest, AWholeNumberIsNoLatencyUntilItsUnitIsKnown) {
  const char* line =
      R"(1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "POST /predict HTTP/1.1" 200 5 "-" "curl" 1234)";
  LogRecord record;
  auto unknown = Make("access_log", {line});
  ASSERT_EQ(unknown->Parse(line, record), Verdict::kRequest);
  EXPECT_FALSE(record.latency_ns);
  EXPECT_NE(unknown->note().fix.find("integer_latency"), std::string::npos);
  FormatOptions options;
  options.integer_latency = Unit::kMicros;
  auto known = Make("access_log", {line}, options);
  ASSERT_EQ(known->Parse(line, record), Verdict::kRequest);
  EXPECT_EQ(record.latency_ns, 1'234'000);
  EXPECT_TRUE(known->note().lacks.empty());
}

TEST(AccessLogTest, TheTimeOfTheServerBehindIsNotTakenForTheWhole) {
  std::string line =
      R"(1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "POST /predict HTTP/1.1" 200 5 "-" "curl" 0.010 0.012 0.001)";
  auto parser = Make("access_log", {line, line});
  LogRecord record;
  ASSERT_EQ(parser->Parse(line, record), Verdict::kRequest);
  EXPECT_EQ(record.latency_ns, 12'000'000);
  EXPECT_EQ(record.upstream_latency_ns, 10'000'000);
}

TEST(JsonLinesTest, MapsFieldsFeaturesAndPredictions) {
  FormatOptions options;
  options.fields = {{"latency_ms", "timing.total"}, {"features", "inputs"},
                    {"predicted", "outputs.label"}, {"score", "outputs.score"},
                    {"version", "meta.version"},    {"model", "meta.model"}};
  auto parser = Make("json", {}, options);
  LogRecord record;
  std::string line =
      R"({"time":"2026-11-28T22:11:21Z","timing":{"total":12.25,"queue":1},"inputs":[1,2.5,NaN,null,-Infinity,"x",true],)"
      R"("outputs":{"label":["cat","dog"],"score":[0.5]},"meta":{"model":"pets","version":4}})";
  ASSERT_EQ(parser->Parse(line, record), Verdict::kRequest);
  EXPECT_EQ(record.latency_ns, 12'250'000);
  ASSERT_EQ(record.features.size(), 7u);
  EXPECT_EQ(record.features[1], 2.5F);
  EXPECT_TRUE(std::isnan(record.features[2]));
  EXPECT_TRUE(std::isnan(record.features[3]));
  EXPECT_TRUE(std::isnan(record.features[5]));
  EXPECT_EQ(record.features[6], 1.0F);
  EXPECT_TRUE(record.feature_names.empty());
  EXPECT_EQ(record.predicted, "cat");
  EXPECT_EQ(record.score, 0.5F);
  EXPECT_EQ(record.model, "pets");
  EXPECT_EQ(record.version, "4");
}

TEST(JsonLinesTest, APredictionOfScoresIsThePlaceOfTheHighest) {
  FormatOptions options;
  options.fields = {{"predicted", "p"}};
  auto parser = Make("json", {}, options);
  LogRecord record;
  for (const auto& [value, wanted] :
       std::vector<std::pair<std::string, std::string>>{{"[0.1, 0.7, 0.2]", "1"},
                                                        {"[[0.9, 0.1], [0, 1]]", "0"},
                                                        {"[3]", "3"},
                                                        {"[]", ""},
                                                        {R"(["dog", "cat"])", "dog"},
                                                        {"[0.1, null]", "0.1"},
                                                        {"[{}]", ""}}) {
    parser->Parse(StrCat(R"({"status": 200, "p": )", value, "}"), record);
    EXPECT_EQ(record.predicted, wanted) << value;
  }
}

TEST(JsonLinesTest, NamedFeaturesByObjectAndByPath) {
  FormatOptions object;
  object.fields = {{"features", "x"}};
  LogRecord record;
  auto parser = Make("json", {}, object);
  ASSERT_EQ(parser->Parse(R"({"x":{"age":41,"gr\u00f6\u00dfe":1.8}})", record), Verdict::kRequest);
  ASSERT_EQ(record.feature_names.size(), 2u);
  EXPECT_EQ(record.feature_names[1],
            "gr\xC3\xB6\xC3\x9F"
            "e");
  EXPECT_EQ(record.features[1], 1.8F);
  FormatOptions paths;
  paths.fields = {{"feature.age", "p.age"}, {"feature.height", "p.h"}};
  parser = Make("json", {}, paths);
  ASSERT_EQ(parser->Parse(R"({"p":{"h":1.8,"age":41},"status":200})", record), Verdict::kRequest);
  ASSERT_EQ(record.features.size(), 2u);
  EXPECT_EQ(record.features[0], 41.0F);
  EXPECT_EQ(record.feature_names[1], "height");
  ASSERT_EQ(parser->Parse(R"({"p":{"h":1.7},"status":200})", record), Verdict::kRequest);
  EXPECT_TRUE(std::isnan(record.features[0]));
  ASSERT_EQ(parser->Parse(R"({"status":200})", record), Verdict::kRequest);
  EXPECT_TRUE(record.features.empty());
}

/// "a=1 b=x": the segments that a line says.
std::string SegmentsOf(LineParser& parser, std::string_view line) {
  LogRecord record;
  parser.Parse(line, record);
  std::string text;
  for (size_t i = 0; i < record.segment_names.size(); ++i)
    text += StrCat(i > 0 ? " " : "", record.segment_names[i], "=", record.segments[i]);
  return text;
}

TEST(JsonLinesTest, SegmentsAreMappedWhateverElseTheirMembersAre) {
  FormatOptions options;
  options.fields = {{"features", "x"},
                    {"segment.age", "x.age"},
                    {"segment.country", "x.country"},
                    {"segment.tenant", "headers.x-tenant"},
                    {"segment.model", "model"}};
  auto parser = Make("json", {}, options);
  const std::string line =
      R"({"x":{"age":41,"country":"d\u00e9"},"headers":{"x-tenant":"acme"},"model":"m","status":200})";
  EXPECT_EQ(SegmentsOf(*parser, line), "age=41 country=d\xC3\xA9 tenant=acme model=m");
  LogRecord record;
  parser->Parse(line, record);
  EXPECT_EQ(record.model, "m");
  ASSERT_EQ(record.features.size(), 2u);
  EXPECT_EQ(record.features[0], 41.0F);
  EXPECT_EQ(SegmentsOf(*parser, R"({"x":{"age":null,"country":["de"]},"headers":{},"status":200})"),
            "age= country= tenant= model=");
}

TEST(JsonLinesTest, SegmentsOfLinesReadByTheirLayoutAreTheSame) {
  FormatOptions options;
  options.fields = {{"segment.tenant", "t"}, {"feature.age", "age"}, {"segment.age", "age"}};
  auto parser = Make("json", {}, options);
  for (const auto& [tenant, wanted] :
       {std::pair(R"("acme")", "tenant=acme"), std::pair(R"("globex")", "tenant=globex"),
        std::pair("7", "tenant=7"), std::pair("null", "tenant="), std::pair("[1]", "tenant="),
        std::pair(R"("a\"b")", "tenant=a\"b")}) {
    const std::string line = StrCat(R"({"status":200,"t":)", tenant, R"(,"age":41})");
    EXPECT_EQ(SegmentsOf(*parser, line), StrCat(wanted, " age=41")) << tenant;
    LogRecord record;
    parser->Parse(line, record);
    ASSERT_EQ(record.features.size(), 1u) << tenant;
    EXPECT_EQ(record.features[0], 41.0F) << tenant;
  }
}

TEST(JsonLinesTest, AMappedNumberOfACaptureFileIsNoFeature) {
  FormatOptions options;
  options.fields = {{"request_id", "nr"}, {"segment.age", "age"}};
  auto parser = Make("json", {R"({"nr":17,"age":41,"prediction":"a"})"}, options);
  LogRecord record;
  ASSERT_EQ(parser->Parse(R"({"nr":18,"age":42,"prediction":"b"})", record), Verdict::kRequest);
  EXPECT_EQ(record.request_id, "18");
  ASSERT_EQ(record.feature_names.size(), 1u);
  EXPECT_EQ(record.feature_names[0], "age") << "a segment is a feature, too";
  EXPECT_EQ(record.features[0], 42.0F);
  EXPECT_EQ(record.segments[0], "42");
}

TEST(LogfmtTest, SegmentsAreMapped) {
  FormatOptions options;
  options.fields = {{"segment.tenant", "customer"}, {"segment.age", "age"}};
  auto parser = Make("logfmt", {}, options);
  EXPECT_EQ(
      SegmentsOf(*parser, R"(method=POST path=/predict status=200 customer="acme corp" age=41)"),
      "tenant=acme corp age=41");
  EXPECT_EQ(SegmentsOf(*parser, "method=POST path=/predict status=200 customer=-"), "tenant= age=");
}

TEST(JsonLinesTest, RowsGiveTheirFirstAndWideInputsAreCut) {
  FormatOptions options;
  options.fields = {{"features", "instances"}};
  auto parser = Make("json", {}, options);
  LogRecord record;
  ASSERT_EQ(parser->Parse(R"({"instances":[[1,2],[3,4]],"status":200})", record),
            Verdict::kRequest);
  EXPECT_EQ(record.features.size(), 2u);
  std::string wide = R"({"instances":[0)";
  for (int i = 1; i < 10'000; ++i) wide += StrCat(",", i);
  ASSERT_EQ(parser->Parse(wide + "]}", record), Verdict::kRequest);
  EXPECT_EQ(record.features.size(), 4096u);
  EXPECT_TRUE(record.features_cut);
}

TEST(JsonLinesTest, WhatIsBrokenIsMalformedAndWhatIsWrongIsAbsent) {
  auto parser = Make("json", {});
  LogRecord record;
  for (std::string_view line :
       {R"({"status":200,"path":"/pre)", R"({"status":200)", R"({"status":200} x)",
        R"({"status":200}{"status":500})", R"({"status" 200})", "{\"path\":\"\xff\xfe\"}", R"({)",
        R"({"a":[1,2})"})
    EXPECT_EQ(parser->Parse(line, record), Verdict::kMalformed) << line;
  ASSERT_EQ(
      parser->Parse(R"({"status":-5,"latency_ms":-1,"time":"soon","method":"GET","path":"/x"})",
                    record),
      Verdict::kRequest);
  EXPECT_FALSE(record.latency_ns);
  EXPECT_FALSE(record.unix_ns);
  EXPECT_FALSE(record.status);
  EXPECT_EQ(record.unreadable, 2u);
  ASSERT_EQ(
      parser->Parse(
          R"({"status":99999999999999999999999,"latency_ms":1e999,"path":"/x","method":"GET"})",
          record),
      Verdict::kRequest);
  EXPECT_EQ(record.unreadable, 2u);
  ASSERT_EQ(parser->Parse(R"({"status":"ok","level":"error","message":"it broke"})", record),
            Verdict::kOther);
  EXPECT_EQ(record.error, "it broke");
  std::string deep = R"({"a":)" + std::string(2000, '[') + std::string(2000, ']') + "}";
  Verdict verdict = parser->Parse(deep, record);
  EXPECT_TRUE(verdict == Verdict::kOther || verdict == Verdict::kMalformed);
}

/// `lines` one after the other by one parser, and each by a parser that has no line before it: the same.
void ExpectSameAsAlone(const std::vector<std::string>& lines, const FormatOptions& options = {}) {
  auto one = Make("json", {}, options), alone = Make("json", {}, options);
  LogRecord record, expected;
  for (const std::string& line : lines) {
    alone->Restart();
    const Verdict verdict = alone->Parse(line, expected);
    ASSERT_EQ(one->Parse(line, record), verdict) << line;
    ASSERT_EQ(Describe(record), Describe(expected)) << line;
    ASSERT_EQ(record.message, expected.message) << line;
    ASSERT_EQ(record.level, expected.level) << line;
    ASSERT_EQ(record.unreadable, expected.unreadable) << line;
  }
}

TEST(JsonLinesTest, WhatMostLinesHaveInCommonIsReadAsIfTheyHadNot) {
  std::vector<std::string> lines;
  for (int i = 0; i < 2400; ++i) {
    const char* level = i % 97 == 0 ? "error" : i == 500 ? "in\\u0066o" : "info";
    const char* host = i < 2000 ? "scoring-1" : i % 3 == 0 ? "scoring-2" : "scoring-3";
    const char* user = i > 1000 && i < 1100 ? "-" : "curl/8";
    lines.push_back(StrCat(R"({"ts": 17959038)", 10 + i % 90, R"(, "level": ")", level,
                           R"(", "msg": "served", "host": ")", host, R"(", "status": )",
                           i % 50 == 7 ? 500 : 200, R"(, "method": "POST", "path": "/v1/models/m)",
                           i % 3, R"(:predict", "latency_ms": )", i % 100, ".5, \"user_agent\": \"",
                           user, R"(", "client": "10.0.0.1:80", "odd": [1, null]})"));
    if (i % 211 == 0) lines.push_back(lines.back().substr(0, 3 + static_cast<size_t>(i) % 150));
    if (i % 307 == 0) lines.push_back(R"({"msg": "about itself", "level": "warning"})");
  }
  ExpectSameAsAlone(lines);
  FormatOptions options;
  options.fields = {{"feature.a", "latency_ms"}, {"predicted", "status"}, {"model", "host"}};
  ExpectSameAsAlone(lines, options);
}

TEST(JsonLinesTest, OfTwoValuesForOneFieldTheFirstCountsWhicheverIsTheSameInAllLines) {
  std::vector<std::string> lines;
  for (int i = 0; i < 300; ++i) {
    const int changing = i % 5 == 0 ? 503 : 201;
    lines.push_back(StrCat(R"({"code": )", changing, R"(, "status": 200, "path": "/predict"})"));
    lines.push_back(StrCat(R"({"status": 200, "code": )", changing, R"(, "path": "/predict"})"));
    lines.push_back(StrCat(R"({"request": "GET /a)", i, R"( HTTP/1.0", "method": "POST"})"));
    lines.push_back(StrCat(R"({"uri": "/a)", i, R"(", "path": "/predict", "method": "POST"})"));
  }
  ExpectSameAsAlone(lines);
}

TEST(JsonLinesTest, ADurationWithoutUnitIsNotTaken) {
  const char* line = R"({"method":"POST","path":"/predict","status":200,"duration":12})";
  auto parser = Make("json", {line});
  LogRecord record;
  ASSERT_EQ(parser->Parse(line, record), Verdict::kRequest);
  EXPECT_FALSE(record.latency_ns);
  EXPECT_EQ(record.unreadable, 0u);
  EXPECT_NE(parser->note().fix.find("no unit"), std::string::npos);
  ASSERT_EQ(parser->Parse(R"({"path":"/predict","status":200,"duration":"12.5ms"})", record),
            Verdict::kRequest);
  EXPECT_EQ(record.latency_ns, 12'500'000);
}

TEST(LogfmtTest, QuotesEscapesAndNames) {
  auto parser = Make("logfmt", {});
  LogRecord record;
  ASSERT_EQ(
      parser->Parse(
          R"(time=2026-11-28T22:11:21Z level=info msg="say \"hi\"" method=POST path="/a b" status=503 duration=1.5s request_id="x\\y" flag)",
          record),
      Verdict::kRequest);
  EXPECT_EQ(record.path, "/a b");
  EXPECT_EQ(record.latency_ns, 1'500'000'000);
  EXPECT_EQ(record.request_id, "x\\y");
  EXPECT_EQ(parser->Parse(R"(msg="it broke)", record), Verdict::kOther);
  EXPECT_EQ(parser->Parse(R"(level=error status=500 msg="it broke)", record), Verdict::kMalformed);
  ASSERT_EQ(parser->Parse(R"(level=error msg="it broke")", record), Verdict::kOther);
  EXPECT_EQ(record.error, "it broke");
}

TEST(FormatsTest, UnknownFieldNamesAreErrorsWithTheNearest) {
  for (std::string_view format : {"json", "logfmt"}) {
    FormatOptions options;
    options.fields = {{"latencyms", "a"}};
    options.format = format;
    auto parser = FindLogFormat(format)->make({}, options);
    ASSERT_FALSE(parser.ok());
    EXPECT_NE(parser.status().message().find("did you mean latency_ms?"), std::string::npos)
        << parser.status();
  }
}

TEST(FormatsTest, HostileLinesAreReadByEveryFormatWithoutHarm) {
  std::vector<std::string> lines = {
      "",
      std::string(1, '\0'),
      std::string(100, '\0'),
      "\xff\xfe\xfd \"\xff\" [\xff] {\xff}",
      std::string(10 << 20, 'x'),
      std::string(10 << 20, '"'),
      std::string(10 << 20, ' '),
      "[" + std::string(1 << 20, '['),
      "{" + std::string(100'000, '{'),
      R"({"a":)" + std::string(100'000, '['),
      "1.2.3.4 - - [" + std::string(70'000, '/'),
      R"([2026-11-28T22:11:21Z] "GET / HTTP/1.1" 200 -)",
      R"([2026-11-28T22:11:21Z] "GET / HTTP/1.1" 200 - 1 2 3 4 ")",
      R"([2026-11-28T22:11:21Z] "GET / HTTP/1.1" 200 - 1 2 3 4 "" "" ")",
      R"([2026-11-28T22:11:21Z] "" " " " )",
      R"(INFO: a - "GET / HTTP/1.1" )",
      R"( - "" )",
      "\x1b[",
      "\x1b",
      "\x1b[31",
      "a=\"\\",
      "a=b c=\"\\",
      "=",
      "a= b= c",
      "E1128 ",
      "E1128] ",
      "2026-11-28 22:11:21",
      "2026-11-28 22:11:21 [",
      "Traceback (most recent call last):",
  };
  std::vector<std::string_view> views(lines.begin(), lines.end());
  for (const LogFormat& format : LogFormats()) {
    FormatOptions options;
    options.pattern = R"($client "$request" $status ${feature.a})";
    options.format = format.name;
    auto parser = format.make(views, options);
    if (format.name == "csv" && !parser.ok()) continue;  // they have no header
    ASSERT_TRUE(parser.ok()) << parser.status();
    if (!*parser) continue;  // the access log learns its layout from lines of it
    LineReader reader(std::move(*parser), EnvelopeKind::kNone);
    DescribingSink sink;
    for (std::string_view line : views) reader.Feed(line, sink);
    reader.Flush(sink);
    EXPECT_EQ(reader.counts().lines, views.size());
  }
  EXPECT_FALSE(Recognise(std::vector<std::string_view>{lines[4]}, {}).ok());
}

TEST(LineReaderTest, AStackTraceIsOneErrorThoughRequestsOfTheOtherStreamComeBetween) {
  std::vector<std::string_view> lines = {
      "2016-10-06T00:17:09.100000000Z stdout F INFO:     10.0.0.1:1 - \"GET /ping HTTP/1.1\" 200 "
      "OK",
      "2016-10-06T00:17:09.200000000Z stderr F ERROR:    Exception in ASGI application",
      "2016-10-06T00:17:09.200000000Z stderr F Traceback (most recent call last):",
      "2016-10-06T00:17:09.300000000Z stdout F INFO:     10.0.0.1:1 - \"POST /predict HTTP/1.1\" "
      "500 Internal Server Error",
      "2016-10-06T00:17:09.400000000Z stderr F   File \"a.py\", line 1, in f",
      "2016-10-06T00:17:09.400000000Z stderr F ValueError: input has no feature_7",
  };
  Result<Recognition> log = Recognise(lines, {});
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(log->envelope, EnvelopeKind::kCri);
  EXPECT_EQ(log->format, "uvicorn");
  LineReader reader(std::move(log->parser), log->envelope);
  DescribingSink sink;
  for (std::string_view line : lines) reader.Feed(line, sink);
  reader.Flush(sink);
  EXPECT_EQ(reader.counts().requests, 2u);
  EXPECT_EQ(reader.counts().errors, 1u);
  EXPECT_NE(sink.text().find("ERROR=4 lines time=1475713029200000000 level=\"error\" "
                             "text=\"Exception in ASGI application\" "
                             "exception=\"ValueError: input has no feature_7\""),
            std::string::npos)
      << sink.text();
}

TEST(RecogniseTest, SaysWhatItIsAndWhatIsNotInIt) {
  std::vector<std::string_view> lines = {"INFO:     10.0.0.1:1 - \"GET /ping HTTP/1.1\" 200 OK"};
  Result<Recognition> log = Recognise(lines, {});
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(log->Sentence(),
            "uvicorn access log; 1 of 1 lines are requests; not in this log: latency, time (log a "
            "line of your own with "
            "latency_ms as JSON, or put Envoy or nginx in front)");
}

TEST(RecogniseTest, AMappedFieldThatStandsNowhereIsNamed) {
  const std::vector<std::string_view> json = {
      R"({"path": "/score", "status": 200, "timing": {"total": 3}, "out": {"label": "a"}})"};
  FormatOptions options;
  options.fields = {{"latency_ms", "timing.totl"}, {"predicted", "out.label"}, {"score", "p"}};
  Result<Recognition> log = Recognise(json, options);
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_NE(log->Sentence().find("; mapped, and nowhere in these lines: timing.totl (did you mean "
                                 "timing.total?) and p"),
            std::string::npos)
      << log->Sentence();
  const std::vector<std::string_view> logfmt = {"path=/score status=200 took=3"};
  options.fields = {{"latency_ms", "tok"}, {"client", "path"}};
  log = Recognise(logfmt, options);
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_NE(log->Sentence().find("nowhere in these lines: tok (did you mean took?)"),
            std::string::npos)
      << log->Sentence();
}

TEST(RecogniseTest, ProgramsThatHaveJustStartedAreNotSettled) {
  std::vector<std::string_view> lines = {R"({"level":"info","msg":"server started"})"};
  Result<Recognition> log = Recognise(lines, {});
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_FALSE(log->settled);
}

TEST(RecogniseTest, NoMatchAndWrongOptionsSayTheFix) {
  std::vector<std::string_view> lines = {"hello world", "so it goes"};
  Result<Recognition> log = Recognise(lines, {});
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.status().code(), StatusCode::kNotFound);
  EXPECT_NE(log.status().message().find("declare the line with a pattern"), std::string::npos)
      << log.status();
  FormatOptions options;
  options.format = "uvicron";
  log = Recognise(lines, options);
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.status().message(), "format: there is no 'uvicron'; did you mean uvicorn?");
  options.format = "pattern";
  EXPECT_EQ(Recognise(lines, options).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Recognise({}, {}).status().code(), StatusCode::kNotFound);
  options.format = "json";
  log = Recognise(lines, options);
  ASSERT_FALSE(log.ok()) << "a format that no line is in";
  EXPECT_NE(log.status().message().find("none of the first 2 lines is one of json"),
            std::string::npos)
      << log.status();
}

}  // namespace
}  // namespace leadsman::intake
