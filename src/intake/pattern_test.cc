#include "intake/pattern.h"

#include <gtest/gtest.h>

#include <cmath>

#include "intake/log_format.h"

namespace leadsman::intake {
namespace {

std::string ErrorOf(std::string_view text) {
  Result<Pattern> pattern = Pattern::Compile(text);
  return pattern.ok() ? "" : std::string(pattern.status().message());
}

struct Parsed {
  Pattern::Match match;
  LogRecord record;
};
Parsed Apply(std::string_view text, std::string_view line) {
  Result<Pattern> pattern = Pattern::Compile(text);
  EXPECT_TRUE(pattern.ok()) << pattern.status();
  TimeParser time;
  std::vector<float> features(pattern->feature_names().size());
  Parsed parsed;
  parsed.match = pattern->Apply(line, time, features, parsed.record);
  return parsed;
}

TEST(PatternTest, TakesALineApartFieldByField) {
  Parsed parsed = Apply(
      R"($client - [$time] "$method $path $_" $status $latency_ms)",
      R"(10.0.0.7 - [10/Oct/2000:13:55:36 -0700] "POST /v1/models/digits/versions/3:predict HTTP/1.1" 200 12.5)");
  ASSERT_EQ(parsed.match, Pattern::Match::kYes);
  EXPECT_EQ(parsed.record.client, "10.0.0.7");
  EXPECT_EQ(parsed.record.unix_ns, 971211336'000'000'000);
  EXPECT_EQ(parsed.record.method, "POST");
  EXPECT_EQ(parsed.record.path, "/v1/models/digits/versions/3:predict");
  EXPECT_EQ(parsed.record.model, "digits");
  EXPECT_EQ(parsed.record.version, "3");
  EXPECT_TRUE(parsed.record.inference);
  EXPECT_EQ(parsed.record.status, 200);
  EXPECT_EQ(parsed.record.latency_ns, 12'500'000);
}

TEST(PatternTest, BracesDollarsAndUnitsBehindTheNumber) {
  Parsed parsed = Apply("cost=$$3 took ${latency_us}us for ${model}/${version}",
                        "cost=$3 took 250us for iris/2");
  ASSERT_EQ(parsed.match, Pattern::Match::kYes);
  EXPECT_EQ(parsed.record.latency_ns, 250'000);
  EXPECT_EQ(parsed.record.model, "iris");
  EXPECT_EQ(parsed.record.version, "2");
}

TEST(PatternTest, QuotesAndListsInsideAField) {
  Parsed parsed = Apply(R"("$http_user_agent" $upstream_addr $upstream_response_time $status)",
                        R"("a \"b\" c" 10.0.0.1:80, 10.0.0.2:80 0.010, 0.020 502)");
  ASSERT_EQ(parsed.match, Pattern::Match::kYes);
  EXPECT_EQ(parsed.record.user_agent, R"(a \"b\" c)");
  EXPECT_EQ(parsed.record.upstream_latency_ns, 30'000'000);
  EXPECT_EQ(parsed.record.status, 502);
}

TEST(PatternTest, FeaturesByName) {
  FormatOptions options;
  options.pattern = "$request_id,${feature.age},${feature.income},$predicted,$score";
  Result<std::unique_ptr<LineParser>> parser = MakePatternParser({}, options);
  ASSERT_TRUE(parser.ok()) << parser.status();
  LogRecord record;
  ASSERT_EQ((*parser)->Parse("r1,41.5,,yes,0.75", record), Verdict::kRequest);
  ASSERT_EQ(record.features.size(), 2u);
  EXPECT_EQ(record.features[0], 41.5F);
  EXPECT_TRUE(std::isnan(record.features[1]));
  EXPECT_EQ(record.feature_names[1], "income");
  EXPECT_EQ(record.predicted, "yes");
  EXPECT_EQ(record.score, 0.75F);
  EXPECT_EQ((*parser)->Parse("starting up", record), Verdict::kOther);
}

TEST(PatternTest, SegmentsByName) {
  FormatOptions options;
  options.pattern = "$method $path $status tenant=${segment.tenant}";
  auto parser = MakePatternParser({}, options);
  ASSERT_TRUE(parser.ok()) << parser.status().message();
  LogRecord record;
  ASSERT_EQ((*parser)->Parse("POST /predict 200 tenant=acme", record), Verdict::kRequest);
  ASSERT_EQ(record.segment_names.size(), 1u);
  EXPECT_EQ(record.segment_names[0], "tenant");
  EXPECT_EQ(record.segments[0], "acme");
}

TEST(PatternTest, ErrorsNameThePositionAndTheFix) {
  EXPECT_EQ(ErrorOf("$client $latncy_ms").substr(0, 67),
            "pattern, character 9: no field is named 'latncy_ms'; did you mean l");
  EXPECT_EQ(ErrorOf("$method$path"),
            "pattern, character 8: $path follows another field with nothing between them: where "
            "the first ends "
            "cannot be told; put the text that separates them there");
  EXPECT_EQ(ErrorOf("${path"), "pattern, character 1: '${' without '}'");
  EXPECT_EQ(ErrorOf("a $ b"),
            "pattern, character 3: '$' without a name; '$$' is a dollar of the line");
  EXPECT_NE(ErrorOf("only text").find("names no field"), std::string::npos);
  EXPECT_NE(ErrorOf("$_ $_").find("names no field"), std::string::npos);
  EXPECT_NE(ErrorOf("$features").find("one by one"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(5000, 'x')).find("longer than"), std::string::npos);
}

TEST(PatternTest, AnotherLayoutIsNoMatchAndABadStatusIsBad) {
  EXPECT_EQ(Apply("$client - $status", "10.0.0.1 200").match, Pattern::Match::kNo);
  EXPECT_EQ(Apply("$client - $status end", "a - 200 en").match, Pattern::Match::kNo);
  EXPECT_EQ(Apply("$client - $status end", "a - 200 end more").match, Pattern::Match::kNo);
  EXPECT_EQ(Apply("$client - $status", "a - two").match, Pattern::Match::kBad);
  EXPECT_EQ(Apply("$client - $status", "a - 20000000000000000000000").match, Pattern::Match::kBad);
  EXPECT_EQ(Apply("$client - $status", "").match, Pattern::Match::kNo);
}

}  // namespace
}  // namespace leadsman::intake
