#include "protocol/mlflow/csv.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace leadsman::mlflow {
namespace {

std::string Read(std::string_view text) {
  CsvTable table;
  Status status = ParseCsv(text, table);
  if (!status.ok()) return std::string(status.message());
  std::string shown;
  for (const std::string& name : table.columns) shown += StrCat("<", name, ">");
  for (std::string_view cell : table.cells) shown += StrCat("[", cell, "]");
  return shown;
}

TEST(CsvTest, ReadsWhatPandasWrites) {
  EXPECT_EQ(Read("a,b\n1,2\n3,4\n"), "<a><b>[1][2][3][4]");
  EXPECT_EQ(Read("a,b\r\n1,2\r\n3,4"), "<a><b>[1][2][3][4]");
  EXPECT_EQ(Read("a,b\n1,\n,2"), "<a><b>[1][][][2]");
  EXPECT_EQ(Read("\xEF\xBB\xBF"
                 "a\n\n\r\n1\n\n"),
            "<a>[1]");
  EXPECT_EQ(Read("a\n"), "<a>");
  EXPECT_EQ(Read("\"a,b\",c\n\"x \"\"y\"\"\",\"two\nlines\"\r\n"), "<a,b><c>[x \"y\"][two\nlines]");
  EXPECT_EQ(Read("a,b\n\"\",\"\"\"\""), "<a><b>[][\"]");
}

TEST(CsvTest, NamesTheLineThatIsWrong) {
  EXPECT_EQ(Read(""), "the CSV is empty; its first line must have the columns' names");
  EXPECT_EQ(Read("\n\n"), "the CSV is empty; its first line must have the columns' names");
  EXPECT_EQ(Read("a,b\n1,2\n3\n"), "CSV line 3 has 1 value, the line of names has 2");
  EXPECT_EQ(Read("a,b\n\"1\n\",2\n3,4,5\n"), "CSV line 4 has 3 values, the line of names has 2");
  EXPECT_EQ(Read("a\n\"1\n"), "CSV line 2: a value begins with a quote and never ends");
  EXPECT_EQ(Read("a\n\"1\"2\n"), "CSV line 2: something follows the quote that ends a value");
}

TEST(CsvTest, NumbersAreReadAsPandasReadsThem) {
  auto number = [](std::string_view cell) {
    std::string json;
    AppendCsvNumber(json, cell);
    return json;
  };
  for (auto [cell, json] : {std::pair{"1", "1"},
                            {"-0.5", "-0.5"},
                            {" 2 ", "2"},
                            {"+3", "3"},
                            {"1e5", "1e5"},
                            {".5", "0.5"},
                            {"5.", "5"},
                            {"007", "7"},
                            {"inf", "Infinity"},
                            {"-inf", "-Infinity"},
                            {"", "null"},
                            {"NaN", "null"},
                            {"NA", "null"},
                            {"1,5", "\"1,5\""},
                            {"0x10", "\"0x10\""},
                            {"++1", "\"++1\""},
                            {"one", "\"one\""}}) {
    EXPECT_EQ(number(cell), json) << cell;
  }
  std::string json;
  for (std::string_view cell : {"True", "false", "1"}) AppendCsvBool(json, cell);
  EXPECT_EQ(json, "truefalse\"1\"");
}

}  // namespace
}  // namespace leadsman::mlflow
