#include "monitor/schema/row_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"
#include "base/strings.h"
#include "monitor/schema/data_file.h"
#include "monitor/schema/schema_builder.h"

namespace leadsman {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
using From = SchemaOrigin::From;
using Reader = Status (*)(std::string_view, const DataRowSink&);

DataSchema Infer(std::string_view text, Reader read = ReadCsvRows, double margin = 0.1) {
  SchemaBuilder builder(margin);
  EXPECT_TRUE(read(text, [&](const DataRow& row) { builder.Add(row); }).ok());
  auto schema = builder.Build(From::kFile, "");
  EXPECT_TRUE(schema.ok()) << schema.status();
  return schema.ok() ? *schema : DataSchema();
}

RowCheck CheckOf(DataSchema schema) {
  return RowCheck(std::make_shared<const DataSchema>(std::move(schema)));
}

DataSchema Parsed(std::string_view text) {
  auto schema = ParseDataSchema(text, "s.yaml");
  EXPECT_TRUE(schema.ok()) << schema.status();
  return schema.ok() ? *schema : DataSchema();
}

/// "age range 2: 3 5", one a line.
std::string Told(const RowCheck& check) {
  std::string out;
  for (const RowCheck::Violation& v : check.violations()) {
    out += StrCat(v.feature, " ", SchemaRuleName(v.rule), " ", v.tally.count, ":");
    for (size_t i = 0; i < v.tally.kept; ++i) out += StrCat(" ", v.tally.first[i]);
    out += '\n';
  }
  return out;
}

std::string CheckText(RowCheck& check, std::string_view text, Reader read = ReadCsvRows) {
  Status status = read(text, [&](const DataRow& row) { check.Check(row); });
  if (!status.ok()) return std::string(status.message());
  check.CloseBlock(0);
  return Told(check);
}

constexpr std::string_view kTable =
    "age,income,colour,member,note\n"
    "41,1000.5,red,true,a b\n"
    "18,,blue,false,c d\n"
    "95,2000,red,true,e f\n"
    "33,1500.5,blue,true,g h\n";

TEST(SchemaBuilderTest, FindsTypesRangesCategoriesAndWhatIsMissing) {
  const DataSchema schema = Infer(kTable);
  ASSERT_EQ(schema.features.size(), 5u);
  const FeatureSchema& age = schema.features[0];
  EXPECT_EQ(age.type, FeatureType::kInteger);
  EXPECT_EQ(age.min, 10);  // 18 - 7.7, a whole number
  EXPECT_EQ(age.max, 103);
  const FeatureSchema& income = schema.features[1];
  EXPECT_EQ(income.type, FeatureType::kNumber);
  EXPECT_EQ(income.min, 900);
  EXPECT_EQ(income.max, 2100);
  EXPECT_EQ(income.missing, 0.25);
  EXPECT_EQ(schema.features[2].categories, (std::vector<std::string>{"blue", "red"}));
  EXPECT_EQ(schema.features[3].type, FeatureType::kBoolean);
  EXPECT_EQ(schema.features[4].type, FeatureType::kText);
  EXPECT_TRUE(schema.features[4].categories.empty());  // each there once: free text
  ASSERT_TRUE(schema.inferred);
  EXPECT_EQ(schema.inferred->rows, 4u);
}

TEST(SchemaBuilderTest, RangesDoNotCrossZero) {
  const DataSchema schema = Infer("age,debt\n1,-0.5\n99,-100.5\n");
  EXPECT_EQ(schema.features[0].min, 0);
  EXPECT_EQ(schema.features[1].max, 0);
}

TEST(SchemaBuilderTest, TwoIsNoAnswerToYesOrNo) {
  const DataSchema schema = Infer("member,cars\n1,1\n0,0\n1,2\n");
  EXPECT_EQ(schema.features[0].min, 0);
  EXPECT_EQ(schema.features[0].max, 1);
  EXPECT_EQ(schema.features[1].max, 3);
}

TEST(SchemaBuilderTest, WithoutAMarginRangesAreTheExtremes) {
  const DataSchema schema = Infer("x\n0.1\n7.25\n", ReadCsvRows, 0);
  EXPECT_EQ(schema.features[0].min, 0.1);
  EXPECT_EQ(schema.features[0].max, 7.25);
}

TEST(SchemaBuilderTest, WhatItIsMadeOfKeepsIt) {
  const std::string_view json =
      "{\"age\": 3, \"tags\": [1, 2], \"city\": \"x\"}\n"
      "{\"features\": {\"age\": null, \"tags\": [1], \"mixed\": \"x\"}}\n"
      "{\"age\": 1e300, \"mixed\": 2, \"on\": true}\n"
      "[1, \"text\", false]\n";
  RowCheck of_json = CheckOf(Infer(json, ReadJsonRows));
  EXPECT_EQ(CheckText(of_json, json, ReadJsonRows), "");
  EXPECT_EQ(of_json.rows(), 4u);
  RowCheck of_csv = CheckOf(Infer(kTable));
  EXPECT_EQ(CheckText(of_csv, kTable), "");
}

TEST(SchemaBuilderTest, WideRowsWithoutNamesAreOneFeature) {
  SchemaBuilder builder(0.1);
  std::vector<float> row(784, 0.5f);
  for (int i = 0; i < 200; ++i) builder.Add(row);
  builder.Add(std::span(row).first(3));  // one in a hundred at most is passed over
  auto schema = builder.Build(From::kFirstRequests, "");
  ASSERT_TRUE(schema.ok());
  ASSERT_EQ(schema->features.size(), 1u);
  EXPECT_EQ(schema->features[0].name, "values");
  EXPECT_EQ(schema->features[0].values, 784u);
  RowCheck check = CheckOf(*schema);
  EXPECT_TRUE(check.Check(row, 1));
  EXPECT_FALSE(check.Check(std::span(row).first(700), 2));
  row[700] = kNaN;
  EXPECT_FALSE(check.Check(row, 3));
  EXPECT_EQ(Told(check), "values missing 1: 3\nvalues shape 1: 2\n");
}

// 150 schemas of 500 rows each, held against 2,000 rows of the same kind: the mean of what they break is what they said.
TEST(SchemaBuilderTest, KnowsWhatShareOfUnchangedRowsToExpectBeyondIt) {
  for (double margin : {0.0, 0.1}) {
    Rng rng(7);
    auto row = [&](std::array<float, 3>& to) {
      to[0] = static_cast<float>(rng.Uniform());
      to[1] = static_cast<float>(-std::log(1 - rng.Uniform()));
      to[2] = static_cast<float>(std::floor(-3 * std::log(1 - rng.Uniform())));
    };
    double said = 0, broken = 0;
    constexpr int kTimes = 150, kLater = 2000;
    for (int time = 0; time < kTimes; ++time) {
      SchemaBuilder builder(margin);
      std::array<float, 3> values{};
      for (int i = 0; i < 500; ++i) {
        row(values);
        builder.Add(values);
      }
      auto schema = builder.Build(From::kFirstRequests, "");
      ASSERT_TRUE(schema.ok());
      said += schema->inferred->unseen_share / kTimes;
      RowCheck check = CheckOf(*schema);
      for (int i = 0; i < kLater; ++i) {
        row(values);
        check.Check(values, 0);
      }
      broken += static_cast<double>(check.violating()) / kLater / kTimes;
    }
    EXPECT_NEAR(said, broken, 0.25 * broken) << "margin " << margin;
  }
}

TEST(RowCheckTest, CountsByFeatureAndRule) {
  RowCheck check = CheckOf(Parsed(R"(
features:
  - {name: age, type: integer, min: 18, max: 95}
  - {name: income, type: number, min: 0}
  - {name: colour, type: text, categories: [red, blue]}
  - {name: member, type: boolean}
)"));
  EXPECT_EQ(CheckText(check,
                      "age,income,member,colour,extra\n"
                      "41,1,true,red,1\n"),
            "extra unexpected 1: 2\n");
  RowCheck again = CheckOf(check.schema());
  EXPECT_EQ(CheckText(again,
                      "colour,age,income,member\n"
                      "red,17,1,true\n"
                      "red,18.5,-1,yes\n"
                      "green,,1e3,0\n"
                      "red,17,inf,False\n"
                      "red,41,12,true\n"),
            "age range 2: 2 5\nage missing 1: 4\nage type 1: 3\nincome range 1: 3\n"
            "income non_finite 1: 5\ncolour category 1: 4\nmember type 1: 3\n");
  EXPECT_EQ(again.rows(), 5u);
  EXPECT_EQ(again.violating(), 4u);
  RowCheck absent = CheckOf(check.schema());
  EXPECT_EQ(CheckText(absent, "{\"age\": 20, \"income\": \"12\", \"colour\": 5}\n", ReadJsonRows),
            "income type 1: 1\ncolour type 1: 1\nmember absent 1: 1\n");
}

TEST(RowCheckTest, NumbersOfRequestsAreHeldAgainstBoundsAsTheyArrive) {
  RowCheck check = CheckOf(Parsed(R"(
features:
  - {name: a, type: number, min: 0.1, max: 0.3}
  - {name: b, type: integer, categories: [1, 2, 5]}
  - {name: c, type: text}
  - {name: d, type: boolean}
)"));
  const float good[] = {0.1f, 5, kNaN, 1};
  EXPECT_TRUE(check.Check(good, 1));
  const float high[] = {std::nextafter(0.3f, 1.0f), 3, 7, 2};
  EXPECT_FALSE(check.Check(high, 2));
  const float infinite[] = {kInfinity, kNaN, 7, 0.5f};
  EXPECT_FALSE(check.Check(infinite, 3));
  const float narrow[] = {0.2f, 1};
  EXPECT_FALSE(check.Check(narrow, 4));
  const float wide[] = {0.2f, 1, 1, 1, 1};
  EXPECT_FALSE(check.Check(wide, 5));
  EXPECT_EQ(Told(check),
            "d type 2: 2 3\na range 1: 2\na non_finite 1: 3\nb missing 1: 3\nb category 1: 2\n"
            "c absent 1: 4\nd absent 1: 4\n(others) unexpected 1: 5\n");
  EXPECT_EQ(check.violating(), 4u);
}

TEST(RowCheckTest, WhatIsMissingNowAndThenIsJudgedByItsShare) {
  const DataSchema schema = Parsed("features: [{name: a, type: number, missing: 2%}]");
  RowCheck check = CheckOf(schema);
  auto block = [&](int missing) {
    for (int i = 0; i < 1000; ++i) {
      const float row[] = {i < missing ? kNaN : 1.0f};
      EXPECT_TRUE(check.Check(row, 7));
    }
    check.CloseBlock(8);
  };
  block(50);  // twice as many and one in a hundred
  EXPECT_EQ(check.violating(), 0u);
  block(300);
  EXPECT_EQ(check.violating(), 250u);
  ASSERT_EQ(check.violations().size(), 1u);
  EXPECT_EQ(check.violations()[0].tally.count, 250u);
  block(20);
  EXPECT_EQ(check.violating(), 250u);
}

TEST(RowCheckTest, UnexpectedFeaturesAreBounded) {
  RowCheck check = CheckOf(Parsed("features: [{name: a, type: any}]"));
  std::string row = "{\"a\": 1";
  for (int i = 0; i < 200; ++i) row += StrCat(", \"x", i, "\": 1");
  CheckText(check, row + "}", ReadJsonRows);
  EXPECT_EQ(check.violations().size(), RowCheck::kMaxUnexpected + 1);
  EXPECT_EQ(check.violations()[0].feature, "(others)");
  EXPECT_EQ(check.violations()[0].tally.count, 136u);
  RowCheck lenient = CheckOf(Parsed("{allow_others: true, features: [{name: a, type: any}]}"));
  EXPECT_EQ(CheckText(lenient, row + "}", ReadJsonRows), "");
}

TEST(DataFileTest, ErrorsNameTheLineAndTheFix) {
  auto none = [](const DataRow&) {};
  EXPECT_EQ(ReadJsonRows("{}\n{\"a\": NaN}", none).message(),
            "line 2: is not JSON; for NaN and Infinity, which JSON has not, write null");
  EXPECT_EQ(ReadJsonRows("3", none).message(),
            "line 1: is no object of values by name, and no list of values");
  EXPECT_EQ(ReadJsonRows("{\"a\": {\"b\": 1}}", none).message(),
            "line 1: has an object for a value: features are flat");
  EXPECT_EQ(ReadCsvRows("a,a\n1,2\n", none).message(), "has two columns a: rename one");
  EXPECT_EQ(ReadCsvRows("a,b\n1\n", none).message(), "line 2 has 1 cells, the header 2");
  MisfitRows misfits;
  int rows = 0;
  EXPECT_TRUE(ReadCsvRows(
                  "a,b\n1,2\n3\n4,5\n", [&](const DataRow&) { ++rows; }, &misfits)
                  .ok());
  EXPECT_EQ(rows, 2);
  EXPECT_EQ(misfits.count, 1u);
  EXPECT_EQ(misfits.first, std::vector<uint64_t>{3});
  EXPECT_EQ(ReadDataFile("x.parquet", none).message(),
            "x.parquet: the name of a table must end in .csv, .jsonl, .ndjson or .npz");
  EXPECT_EQ(SchemaBuilder(0).Build(From::kFile, "").status().message(), "has no rows");
}

}  // namespace
}  // namespace leadsman
