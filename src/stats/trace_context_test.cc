#include "stats/trace_context.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace leadsman {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr const char* kSpan = "00f067aa0ba902b7";
const std::string kParent = std::string("00-") + kTrace + "-" + kSpan + "-01";

TraceContext Read(const Fields& fields) {
  TraceFields taken;
  for (const auto& [name, value] : fields) taken.Take(name, value);
  TraceContext context;
  const bool found = context.Parse(taken);
  EXPECT_EQ(found, context.valid());
  context.SetSpanId(0x0807060504030201);
  return context;
}

std::map<std::string, std::string> Answer(const TraceContext& context) {
  std::map<std::string, std::string> fields;
  context.ForEachAnswerField(
      [&](std::string_view name, std::string_view value) { fields.emplace(name, value); });
  return fields;
}

TEST(TraceContextTest, AnswersWithTheSameTraceAndASpanOfItsOwn) {
  using Expected = std::map<std::string, std::string>;
  struct Case {
    Fields fields;
    Expected answer;
  };
  const std::string t = kTrace;
  const std::string half = t.substr(16);
  const std::string s = kSpan;
  const std::string ours = "0102030405060708";
  for (const Case& c : std::vector<Case>{
           {{{"traceparent", kParent}}, {{"traceparent", "00-" + t + "-" + ours + "-01"}}},
           {{{"TraceParent", "00-" + t + "-" + s + "-00"}},
            {{"traceparent", "00-" + t + "-" + ours + "-00"}}},
           // Flags that nobody knows are not handed on.
           {{{"traceparent", "00-" + t + "-" + s + "-ff"}},
            {{"traceparent", "00-" + t + "-" + ours + "-01"}}},
           // A later version: read as far as it is known, answered as what is known.
           {{{"traceparent", "cc-" + t + "-" + s + "-01"}},
            {{"traceparent", "00-" + t + "-" + ours + "-01"}}},
           {{{"traceparent", "cc-" + t + "-" + s + "-01-what-the-future-holds"}},
            {{"traceparent", "00-" + t + "-" + ours + "-01"}}},
           {{{"b3", t + "-" + s}}, {{"b3", t + "-" + ours}}},
           {{{"b3", t + "-" + s + "-1"}}, {{"b3", t + "-" + ours + "-1-" + s}}},
           {{{"b3", t + "-" + s + "-0-05e3ac9a4f6e3b90"}}, {{"b3", t + "-" + ours + "-0-" + s}}},
           {{{"b3", half + "-" + s + "-d"}}, {{"b3", half + "-" + ours + "-d-" + s}}},
           {{{"B3", "4BF92F3577B34DA6A3CE929D0E0E4736-" + s}}, {{"b3", t + "-" + ours}}},
           {{{"X-B3-TraceId", t}, {"X-B3-SpanId", s}},
            {{"x-b3-traceid", t}, {"x-b3-spanid", ours}, {"x-b3-parentspanid", s}}},
           {{{"X-B3-TraceId", half}, {"X-B3-SpanId", s}, {"X-B3-Sampled", "1"}},
            {{"x-b3-traceid", half},
             {"x-b3-spanid", ours},
             {"x-b3-parentspanid", s},
             {"x-b3-sampled", "1"}}},
           {{{"X-B3-TraceId", t}, {"X-B3-SpanId", s}, {"X-B3-Sampled", "false"}},
            {{"x-b3-traceid", t},
             {"x-b3-spanid", ours},
             {"x-b3-parentspanid", s},
             {"x-b3-sampled", "0"}}},
           {{{"X-B3-TraceId", t}, {"X-B3-SpanId", s}, {"X-B3-Flags", "1"}},
            {{"x-b3-traceid", t},
             {"x-b3-spanid", ours},
             {"x-b3-parentspanid", s},
             {"x-b3-flags", "1"}}},
           // Both: traceparent says which trace it is.
           {{{"b3", "11111111111111111111111111111111-2222222222222222-0"},
             {"traceparent", kParent}},
            {{"traceparent", "00-" + t + "-" + ours + "-01"}, {"b3", t + "-" + ours + "-1-" + s}}},
           // A broken one does not take the other with it.
           {{{"b3", t + "-" + s}, {"traceparent", "00-x"}}, {{"b3", t + "-" + ours}}},
       }) {
    EXPECT_EQ(Answer(Read(c.fields)), c.answer) << c.fields[0].first << ": " << c.fields[0].second;
  }
}

TEST(TraceContextTest, TakesAMalformedTraceForNone) {
  const std::string t = kTrace;
  const std::string s = kSpan;
  for (const Fields& fields : std::vector<Fields>{
           {},
           {{"traceparent", ""}},
           {{"traceparent", "00"}},
           {{"traceparent", kParent + "-"}},
           {{"traceparent", kParent + "0"}},
           {{"traceparent", kParent.substr(0, 54)}},
           {{"traceparent", "ff-" + t + "-" + s + "-01"}},
           {{"traceparent", "FF-" + t + "-" + s + "-01"}},
           {{"traceparent", "0x-" + t + "-" + s + "-01"}},
           {{"traceparent", "cc-" + t + "-" + s + "-01.more"}},
           {{"traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + s + "-01"}},
           {{"traceparent", "00-00000000000000000000000000000000-" + s + "-01"}},
           {{"traceparent", "00-" + t + "-0000000000000000-01"}},
           {{"traceparent", "00-" + t + "-" + s + "-0g"}},
           {{"traceparent", "00_" + t + "-" + s + "-01"}},
           {{"traceparent", "00-" + t + "_" + s + "-01"}},
           {{"traceparent", kParent}, {"traceparent", kParent}},
           {{"tracestate", "a=b"}},
           {{"b3", "0"}},
           {{"b3", "d"}},
           {{"b3", "-"}},
           {{"b3", t}},
           {{"b3", t + "-"}},
           {{"b3", t + "-" + s + "-"}},
           {{"b3", t + "-" + s + "-2"}},
           {{"b3", t + "-" + s + "-1-"}},
           {{"b3", t + "-" + s + "-1-xyz"}},
           {{"b3", t.substr(1) + "-" + s}},
           {{"b3", "00000000000000000000000000000000-" + s}},
           {{"b3", t + "-0000000000000000"}},
           {{"X-B3-TraceId", t}},
           {{"X-B3-SpanId", s}},
           {{"X-B3-TraceId", t}, {"X-B3-SpanId", "nothex0123456789"}},
           {{"X-B3-Sampled", "1"}},
       }) {
    EXPECT_FALSE(Read(fields).valid()) << (fields.empty() ? "" : fields[0].second);
    EXPECT_TRUE(Answer(Read(fields)).empty());
  }
}

TEST(TraceContextTest, KeepsTheTraceStateWithinItsBounds) {
  auto state = [](Fields fields) {
    fields.emplace_back("traceparent", kParent);
    return Read(fields).tracestate;
  };
  EXPECT_EQ(state({{"tracestate", "rojo=1, congo=t61rcWkgMzE ,,"}}), "rojo=1,congo=t61rcWkgMzE");
  EXPECT_EQ(state({{"tracestate", "a=1"}, {"Tracestate", "b=2"}}), "a=1,b=2");
  EXPECT_EQ(state({{"tracestate", "a=1"}, {"tracestate", "b=2"}, {"tracestate", "c=3"}}), "");
  EXPECT_EQ(state({{"tracestate", "a=\x01"}}), "");
  const std::string member(200, 'x');
  EXPECT_EQ(state({{"tracestate", member + "," + member + "," + member}}), member + "," + member);
  EXPECT_EQ(Read({{"tracestate", "a=1"}, {"traceparent", "00-bad"}}).tracestate, "");
}

TEST(TraceContextTest, StartsAfreshWithoutGivingItsMemoryBack) {
  TraceFields fields;
  fields.Take("traceparent", kParent);
  const std::string member(300, 'x');
  fields.Take("tracestate", member);
  TraceContext context;
  ASSERT_TRUE(context.Parse(fields));
  const size_t capacity = context.tracestate.capacity();
  context.Clear();
  EXPECT_FALSE(context.valid());
  EXPECT_TRUE(Answer(context).empty());
  EXPECT_EQ(context.tracestate, "");
  EXPECT_GE(context.tracestate.capacity(), capacity);
}

TEST(TraceContextTest, NeverHasTheSpanThatMeansNone) {
  TraceContext context;
  context.SetSpanId(0);
  EXPECT_NE(context.span_id, TraceContext::SpanId{});
}

}  // namespace
}  // namespace leadsman
