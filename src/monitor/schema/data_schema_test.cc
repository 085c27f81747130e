#include "monitor/schema/data_schema.h"

#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/strings.h"
#include "monitor/schema/schema_diff.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

DataSchema Parsed(std::string_view text) {
  auto schema = ParseDataSchema(text, "schema.yaml");
  EXPECT_TRUE(schema.ok()) << schema.status();
  return schema.ok() ? *schema : DataSchema();
}

std::string Problems(std::string_view text) {
  return std::string(ParseDataSchema(text, "s.yaml").status().message());
}

constexpr std::string_view kCredit = R"(
features:
  - {name: age, type: integer, min: 18, max: 95}
  - {name: income, type: number, min: 0, missing: 2%}
  - {name: colour, type: text, categories: [red, blue]}
  - {name: member, type: boolean, optional: true}
)";

TEST(DataSchemaTest, IsWrittenAsItIsRead) {
  DataSchema schema = Parsed(kCredit);
  ASSERT_EQ(schema.features.size(), 4u);
  EXPECT_EQ(schema.features[1].missing, 0.02);
  EXPECT_EQ(schema.features[2].categories, (std::vector<std::string>{"blue", "red"}));
  schema.allow_others = true;
  schema.inferred =
      SchemaOrigin{SchemaOrigin::From::kFirstRequests, 5000, 0.0004, "2026-03-01T12:00:00Z"};
  schema.features[0].name = "a \"quoted\": name\n# \xc3\xa4";
  schema.features[0].max = 1e22;
  schema.features[2].categories = {"", "3", "no", "{x}"};
  EXPECT_EQ(Parsed(DataSchemaYaml(schema)), schema) << DataSchemaYaml(schema);
  auto json = ParseDataSchema(DataSchemaJson(schema), "schema.json");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(*json, schema);
}

TEST(DataSchemaTest, SaysWhereAndWhatIsWrong) {
  EXPECT_EQ(
      Problems("features: [{name: x, type: numbr}]"),
      "s.yaml:1:28: features[0].type: must be one of number, integer, boolean, text and any, not "
      "\"numbr\"; did you mean number?");
  EXPECT_NE(
      Problems("features: [{name: x, type: text, min: 1}]").find("features[0].min: is of types"),
      std::string::npos);
  EXPECT_NE(
      Problems("features: [{name: x, type: number, min: 2, max: 1}]").find("must not be below min"),
      std::string::npos);
  EXPECT_NE(Problems("features: [{name: x, type: any}, {name: x, type: any}]")
                .find("features[1].name: there is another feature x"),
            std::string::npos);
  EXPECT_NE(Problems("features: [{name: x, type: integer, categories: [1, two]}]")
                .find("categories[1]: must be a number"),
            std::string::npos);
  EXPECT_NE(Problems("").find("needs features"), std::string::npos) << Problems("");
  EXPECT_FALSE(ReadDataSchema("schema.txt").ok());
}

TEST(DataSchemaTest, SaysWhatIsExpectedWithoutValues) {
  const DataSchema schema = Parsed(kCredit);
  EXPECT_EQ(ExpectedText(schema.features[0], SchemaRule::kRange), "must be from 18 to 95");
  EXPECT_EQ(ExpectedText(schema.features[1], SchemaRule::kRange), "must be at least 0");
  EXPECT_EQ(ExpectedText(schema.features[0], SchemaRule::kMissing), "must not be missing");
  EXPECT_EQ(ExpectedText(schema.features[1], SchemaRule::kMissing),
            "may be missing in 5 % of the rows at most");
  EXPECT_EQ(ExpectedText(schema.features[2], SchemaRule::kCategory), "must be one of 2 categories");
}

TEST(DataSchemaTest, CommittedReferenceIsTheGeneratedOne) {
  // After a change of the table: leadsman reference schema > docs/reference/schema.md, and with --json-schema.
  for (bool json : {false, true}) {
    auto page = ReadFile(
        StrCat(SourceDir(), "/docs/reference/", json ? "data-schema.schema.json" : "schema.md"),
        1 << 20);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_EQ(*page, DataSchemaReference(json));
  }
}

TEST(SchemaDiffTest, TellsWhatHasChanged) {
  const DataSchema before = Parsed(kCredit);
  EXPECT_TRUE(DiffSchemas(before, before).empty());
  const DataSchema after = Parsed(R"(
features:
  - {name: income, type: number, min: 0, missing: 2%}
  - {name: age, type: integer, min: 21}
  - {name: colour, type: text, categories: [red, green]}
  - {name: city, type: text}
)");
  std::vector<std::string> told;
  for (const SchemaChange& c : DiffSchemas(before, after))
    told.push_back(StrCat(c.feature, " ", c.what, " ", c.before, " ", c.after));
  EXPECT_EQ(told,
            (std::vector<std::string>{"age min 18 21", "age max 95 -",
                                      "colour categories blue green", "member feature boolean -",
                                      "city feature - text", "age place 1 2", "income place 2 1"}));
}

}  // namespace
}  // namespace leadsman
