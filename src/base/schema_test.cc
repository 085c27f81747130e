#include "base/schema.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace leadsman::schema {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

struct Step {
  double weight = 0.1;
  std::chrono::milliseconds duration{0};
};
enum class Colour { kRed, kGreen };
struct Plan {
  std::string name;
  int count = 3;
  uint16_t port = 8501;
  bool on = true;
  size_t body = 64 << 20;
  Colour colour = Colour::kRed;
  std::vector<Step> steps{{0.5, 1s}};
  std::map<std::string, int64_t> labels;
  std::optional<Step> last;
};

const Struct<Step>& StepTable() {
  static const auto table = [] {
    Struct<Step> s("Step", "One stage.");
    s.Required("weight", &Step::weight, Share(0, 1, true), "The share.");
    s.Field("duration", &Step::duration, Time<std::chrono::milliseconds>(0ms, 1h),
            "At least this long.");
    return s;
  }();
  return table;
}

const Struct<Plan>& PlanTable() {
  static const auto table = [] {
    Struct<Plan> s("Plan", "A plan.");
    s.Required("name", &Plan::name, Text(), "Its name.");
    s.Field("count", &Plan::count, Integer<int>(1, 10), "How many.");
    s.Field("port", &Plan::port, Integer<uint16_t>(), "Where.");
    s.Field("on", &Plan::on, Boolean(), "Whether.");
    s.Field("body", &Plan::body, Bytes<size_t>(1, 1 << 30), "How large.");
    s.Field("colour", &Plan::colour,
            Enum<Colour>({{"red", Colour::kRed}, {"green", Colour::kGreen}}), "Which.");
    s.Field("steps", &Plan::steps, List(Of(StepTable()), 1, 4), "The stages.");
    s.Field("labels", &Plan::labels, Map(Integer<int64_t>(1)), "Names.");
    s.Field("last", &Plan::last, Optional(Of(StepTable())), "The end.");
    s.Check([](const Plan& plan, Problems& problems) {
      for (size_t i = 1; i < plan.steps.size(); ++i) {
        if (problems.IsSound("steps[" + std::to_string(i - 1) + "].weight") &&
            plan.steps[i].weight <= plan.steps[i - 1].weight) {
          problems.Add("steps[" + std::to_string(i) + "].weight", "must grow");
        }
      }
    });
    return s;
  }();
  return table;
}

std::string Errors(std::string_view yaml) {
  Plan plan = PlanTable().initial();
  std::vector<ConfigProblem> problems;
  ReadYaml(yaml, PlanTable(), plan, problems);
  return FormatProblems("f.yaml", problems);
}

TEST(SchemaTest, ReadsEveryTypeAndKeepsTheDefaultsOfTheStruct) {
  Plan plan = PlanTable().initial();
  std::vector<ConfigProblem> problems;
  ASSERT_TRUE(ReadYaml(
      "name: demo\nport: 9000\nbody: 1MiB\ncolour: green\non: false\n"
      "steps:\n  - {weight: 10%, duration: 1m30s}\n  - {weight: 0.5}\nlabels: {stable: 3}\n",
      PlanTable(), plan, problems))
      << FormatProblems("f", problems);
  EXPECT_EQ(plan.name, "demo");
  EXPECT_EQ(plan.count, 3);
  EXPECT_EQ(plan.port, 9000);
  EXPECT_EQ(plan.body, 1u << 20);
  EXPECT_EQ(plan.colour, Colour::kGreen);
  EXPECT_FALSE(plan.on);
  ASSERT_EQ(plan.steps.size(), 2u);
  EXPECT_DOUBLE_EQ(plan.steps[0].weight, 0.1);
  EXPECT_EQ(plan.steps[0].duration, 90s);
  EXPECT_EQ(plan.labels.at("stable"), 3);
  EXPECT_FALSE(plan.last);
}

TEST(SchemaTest, TellsAllErrorsAtOnceWithLineColumnPathAndTheFix) {
  EXPECT_EQ(
      Errors("count: 99\n"
             "colour: gren\n"
             "steps:\n"
             "  - wieght: 10%\n"
             "  - {weight: 25, duration: 5}\n"
             "body: lots\n"
             "on: yes\n"),
      "f.yaml:1:1: needs name: Its name.\n"
      "f.yaml:1:8: count: must be 1 to 10, not 99\n"
      "f.yaml:2:9: colour: must be one of red and green, not \"gren\"; did you mean green?\n"
      "f.yaml:4:5: steps[0].wieght: unknown key; did you mean weight?\n"
      "f.yaml:4:5: steps[0]: needs weight: The share.\n"
      "f.yaml:5:14: steps[1].weight: must be above 0 and at most 1, not 25; did you mean 25%?\n"
      "f.yaml:5:28: steps[1].duration: needs a unit: 5s, 5ms, 5m?\n"
      "f.yaml:6:7: body: must be a size like 65536, 64KiB or 1MiB, not \"lots\"\n"
      "f.yaml:7:5: on: must be true or false, not \"yes\"");
}

TEST(SchemaTest, ChecksOfAStructPointAtTheFieldInTheText) {
  EXPECT_EQ(Errors("name: x\nsteps:\n  - weight: 0.5\n  - weight: 0.4\n"),
            "f.yaml:4:13: steps[1].weight: must grow");
}

TEST(SchemaTest, ChecksOfAStructRunOnWhatCouldBeReadAndLeaveOutTheRest) {
  EXPECT_EQ(Errors("count: 99\nsteps:\n  - weight: 0.5\n  - weight: 0.4\n"),
            "f.yaml:1:1: needs name: Its name.\n"
            "f.yaml:1:8: count: must be 1 to 10, not 99\n"
            "f.yaml:4:13: steps[1].weight: must grow");
  // Of these three weights only the last can be compared, and not with what could not be read.
  EXPECT_EQ(Errors("name: x\nsteps:\n  - weight: 0.5\n  - weight: 7x\n  - wieght: 0.4\n"),
            "f.yaml:4:13: steps[1].weight: must be a share like 0.1 or \"10%\", not \"7x\"\n"
            "f.yaml:5:5: steps[2].wieght: unknown key; did you mean weight?\n"
            "f.yaml:5:5: steps[2]: needs weight: The share.");
  EXPECT_EQ(Errors("name: x\nsteps:\n  - weight: 7x\n  - weight: 0%\n  - weight: 0.4\n"),
            "f.yaml:3:13: steps[0].weight: must be a share like 0.1 or \"10%\", not \"7x\"\n"
            "f.yaml:4:13: steps[1].weight: must be above 0 and at most 1, not 0%");
}

TEST(SchemaTest, ValuesThatTheTypeCannotHoldAreOutOfRange) {
  EXPECT_EQ(Errors("name: x\nport: 65536"), "f.yaml:2:7: port: must be 0 to 65535, not 65536");
  EXPECT_EQ(Errors("name: x\ncount: 99999999999999999999"),
            "f.yaml:2:8: count: must be a whole number, not \"99999999999999999999\"");
  EXPECT_EQ(Errors("name: x\ncount: '3'"),
            "f.yaml:2:8: count: must be a whole number, not the text \"3\"");
}

TEST(SchemaTest, WrongShapesAreNamed) {
  EXPECT_EQ(Errors("name: [a]\nsteps: 3\nlabels: []\nlast: 7"),
            "f.yaml:1:7: name: must be a text, not a list\n"
            "f.yaml:2:8: steps: must be a list, not \"3\"\n"
            "f.yaml:3:9: labels: must be a map of keys and values (a map of names to values), not "
            "a list\n"
            "f.yaml:4:7: last: must be a map of keys and values (Step), not \"7\"");
  EXPECT_EQ(Errors("name: x\nsteps: []"), "f.yaml:2:8: steps: must have 1 to 4 entries, not 0");
  EXPECT_EQ(Errors("- a"), "f.yaml:1:1: must be a map of keys and values (Plan), not a list");
}

TEST(SchemaTest, AKeyWithoutAValueKeepsTheDefault) {
  EXPECT_EQ(Errors("name: x\nsteps:\ncount: ~\n"), "");
}

TEST(SchemaTest, DocumentsAreLimited) {
  EXPECT_NE(Errors(std::string(2 << 20, 'a')).find("at most 1048576 are read"), std::string::npos);
  EXPECT_NE(Errors("name: " + std::string(40, '[') + std::string(40, ']'))
                .find("nested deeper than 32 levels"),
            std::string::npos);
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    std::string n = std::to_string(i), p = "*a" + std::to_string(i - 1);
    bomb += "a" + n + ": &a" + n + " [" + p;
    for (int j = 0; j < 9; ++j) bomb += ", " + p;
    bomb += "]\n";
  }
  EXPECT_NE(Errors(bomb).find("more than 100000 values"), std::string::npos)
      << Errors(bomb).substr(0, 300);
}

TEST(SchemaTest, AliasesStandForWholeValues) {
  Plan plan = PlanTable().initial();
  std::vector<ConfigProblem> problems;
  EXPECT_TRUE(
      ReadYaml("name: x\nlast: &l {weight: 0.25}\nsteps: [*l]\n", PlanTable(), plan, problems))
      << FormatProblems("f", problems);
  EXPECT_DOUBLE_EQ(plan.steps.at(0).weight, 0.25);
}

TEST(SchemaTest, BrokenDocumentsSayWhere) {
  EXPECT_EQ(Errors("name: x\nname: y"),
            "f.yaml:2:1: name: key name is given twice (first in line 1)");
  EXPECT_EQ(Errors("name: x\nsteps: []\nname: y"),
            "f.yaml:3:1: name: key name is given twice (first in line 1)");
  EXPECT_EQ(Errors("name: 'x"), "f.yaml:1:9: not valid YAML: illegal EOF in scalar");
  EXPECT_EQ(Errors("name: x\n---\nname: y"), "f.yaml: more than one document (---) in one file");
  EXPECT_EQ(Errors("name: !!python/object x").find("tags are not supported") != std::string::npos,
            true);
  EXPECT_EQ(Errors("<<: {name: x}"),
            "f.yaml:1:1: merge keys (<<) are not supported; use an alias for the whole value");
}

TEST(SchemaTest, ReadsStrictJsonByTheSameTable) {
  Plan plan = PlanTable().initial();
  std::vector<ConfigProblem> problems;
  EXPECT_TRUE(
      ReadJson(R"({"name": "x", "steps": [{"weight": "10%"}]})", PlanTable(), plan, problems));
  EXPECT_FALSE(ReadJson(R"({"name": "x", "coun": 3})", PlanTable(), plan, problems));
  EXPECT_EQ(FormatProblems("", problems), "coun: unknown key; did you mean count?");
  problems.clear();
  EXPECT_FALSE(ReadJson("name: x", PlanTable(), plan, problems));
  problems.clear();
  EXPECT_FALSE(ReadJson(std::string(5000, '['), PlanTable(), plan, problems));
  EXPECT_NE(FormatProblems("", problems).find("nested deeper"), std::string::npos);
}

TEST(SchemaTest, WhatIsWrittenReadsBackTheSame) {
  Plan plan = PlanTable().initial();
  plan.name = "a \"b\"";
  plan.last = Step{0.125, 1500ms};
  plan.labels["x"] = 4;
  std::string json = WriteJson(PlanTable(), plan);
  EXPECT_EQ(
      json,
      R"({"name":"a \"b\"","count":3,"port":8501,"on":true,"body":"64MiB","colour":"red",)"
      R"("steps":[{"weight":0.5,"duration":"1s"}],"labels":{"x":4},"last":{"weight":0.125,"duration":"1s500ms"}})");
  Plan again = PlanTable().initial();
  std::vector<ConfigProblem> problems;
  ASSERT_TRUE(ReadJson(json, PlanTable(), again, problems)) << FormatProblems("", problems);
  EXPECT_EQ(WriteJson(PlanTable(), again), json);
}

TEST(SchemaTest, JsonSchemaNamesEveryStructOnce) {
  auto schema = nlohmann::json::parse(JsonSchema(PlanTable(), "https://example/plan", "Plan"));
  EXPECT_EQ(schema["$ref"], "#/$defs/Plan");
  EXPECT_EQ(schema["$defs"].size(), 2u);
  EXPECT_EQ(schema["$defs"]["Plan"]["required"], nlohmann::json({"name"}));
  EXPECT_EQ(schema["$defs"]["Plan"]["properties"]["count"]["default"], 3);
  EXPECT_EQ(schema["$defs"]["Plan"]["properties"]["steps"]["items"]["$ref"], "#/$defs/Step");
  EXPECT_EQ(schema["$defs"]["Plan"]["additionalProperties"], false);
}

TEST(SchemaTest, ReferencePageListsKeysTypesDefaults) {
  std::string page = MarkdownReference(PlanTable(), "Plans", "All of it.");
  EXPECT_NE(page.find("| `count` | integer | `3` | How many. (1 to 10) |"), std::string::npos)
      << page;
  EXPECT_NE(page.find("| `name` | text | **required** | Its name. |"), std::string::npos) << page;
  EXPECT_NE(page.find("## `steps[]`"), std::string::npos) << page;
}

TEST(SchemaTest, TimesAndSizesRoundTrip) {
  for (const char* text : {"5s", "200ms", "1h", "1h30m", "500us", "14d", "1d1h", "3ns"}) {
    auto time = ParseTime(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(FormatTime(*time), text);
  }
  EXPECT_EQ(ParseTime("1.5s"), 1500ms);
  EXPECT_EQ(ParseTime("0"), 0ns);
  for (const char* bad : {"", "5", "s", "5 s", "-5s", "1m1h", "5x", "1.2.3s", "1e3s", "inf",
                          "99999999999d", "5s5s"}) {
    EXPECT_FALSE(ParseTime(bad)) << bad;
  }
  EXPECT_EQ(ParseBytes("64KiB"), 65536);
  EXPECT_EQ(ParseBytes("1.5GiB"), 1610612736);
  EXPECT_EQ(ParseBytes("10MB"), 10'000'000);
  EXPECT_EQ(FormatBytes(65536), "64KiB");
  for (const char* bad : {"", "KiB", "-1", "1e9", "10 MB", "999999999GiB"})
    EXPECT_FALSE(ParseBytes(bad)) << bad;
}

}  // namespace
}  // namespace leadsman::schema
