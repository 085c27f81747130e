#include "monitor/drift/reference_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/base64.h"
#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "events/feature_names.h"

namespace leadsman {
namespace {

TEST(ReferenceFileTest, ReadsTextWithAHeader) {
  auto table = ParseReferenceCsv(
      "\xef\xbb\xbf"
      "age,\"the, income\"\r\n41,1e3\r\n,NA\n\n-2.5,true\n");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->names, (std::vector<std::string>{"age", "the, income"}));
  ASSERT_EQ(table->rows(), 3u);
  EXPECT_EQ(table->values[0], 41);
  EXPECT_EQ(table->values[1], 1000);
  EXPECT_TRUE(std::isnan(table->values[2]));
  EXPECT_TRUE(std::isnan(table->values[3]));
  EXPECT_EQ(table->values[5], 1);
}

TEST(ReferenceFileTest, SaysWhichCellIsNoNumber) {
  EXPECT_EQ(ParseReferenceCsv("a;b\n1;2\n3;red\n").status().message(),
            "line 3, column b: red is no number; the columns must be the model's numeric inputs, "
            "in their order");
  EXPECT_EQ(ParseReferenceCsv("a,b\n1\n").status().message(), "line 2 has 1 cells, the header 2");
  EXPECT_FALSE(ParseReferenceCsv("").ok());
  EXPECT_FALSE(ParseReferenceCsv("a\n\"1").ok());
}

TEST(ReferenceFileTest, TakesTimeAndAnswerOutOfTheInputs) {
  auto table = ParseReferenceCsv(
      "age,at,income,answer\n1,2026-03-01T12:00:00Z,2,yes\n3,1772366401,4,no\n5,1772366402000,6,\n",
      {"at", "answer"});
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->names, (std::vector<std::string>{"age", "income"}));
  EXPECT_EQ(table->values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(table->unix_ms, (std::vector<int64_t>{1772366400000, 1772366401000, 1772366402000}));
  EXPECT_EQ(table->answers, (std::vector<std::string>{"yes", "no", ""}));
  EXPECT_NE(ParseReferenceCsv("a,b\n1,noon\n", {"b", ""})
                .status()
                .message()
                .find("line 2, column b: noon is no time; it must be like 2026-03-01T12:00:00Z"),
            std::string::npos);
  EXPECT_NE(ParseReferenceCsv("a,b\n1,2\n", {"c", ""})
                .status()
                .message()
                .find("has no column c; columns: a"),
            std::string::npos);
}

TEST(ReferenceFileTest, NamesTheFileAndWhatItNeeds) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.file("few.csv"), "a\n1\n2\n").ok());
  auto few = ReadReferenceFile(dir.file("few.csv"), 64, 0);
  EXPECT_NE(few.status().message().find("has 2 rows; a reference needs 500"), std::string::npos)
      << few.status();
  EXPECT_FALSE(ReadReferenceFile(dir.file("x.parquet"), 64, 0).ok());
  EXPECT_FALSE(ReadReferenceFile(dir.file("none.csv"), 64, 0).ok());
  std::string text = "a,b\n";
  for (int i = 0; i < 600; ++i) text += StrCat(i % 7, ",", i % 3, "\n");
  ASSERT_TRUE(WriteFileAtomically(dir.file("good.csv"), text).ok());
  auto good = ReadReferenceFile(dir.file("good.csv"), 64, 0);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ((*good)->numbers[0].name, "a");
  EXPECT_EQ((*good)->rows, 600u);
  EXPECT_EQ((*good)->from, ReferenceFrom::kFile);
}

#include "monitor/drift/testdata/npz.inc"

std::string Bytes(std::string_view archive) {
  std::string bytes;
  EXPECT_TRUE(DecodeBase64(archive, bytes));
  return bytes;
}

TEST(ReferenceFileTest, ReadsNumPysArchives) {
  for (std::string_view archive : {kPlainNpz, kCompressedNpz}) {
    auto table = ParseReferenceNpz(Bytes(archive));
    ASSERT_TRUE(table.ok()) << table.status();
    EXPECT_EQ(table->width, 6u) << "what follows the first dimension is one row";
    ASSERT_EQ(table->rows(), 4u);
    for (size_t i = 0; i < 24; ++i) EXPECT_EQ(table->values[i], static_cast<float>(i) / 2);
  }
}

TEST(ReferenceFileTest, ReadsIntegersAndTakesTheOnlyTable) {
  auto table = ParseReferenceNpz(Bytes(kIntegerNpz));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->values, (std::vector<float>{-3, -2, -1, 0, 1, 2}));
}

TEST(ReferenceFileTest, ReadsNoPicklesAndSaysSo) {
  auto table = ParseReferenceNpz(Bytes(kPickledNpz));
  EXPECT_NE(table.status().message().find("x.npy: has type '|O': only little-endian float32"),
            std::string::npos)
      << table.status();
  EXPECT_FALSE(ParseReferenceNpz("nothing").ok());
  std::string cut = Bytes(kPlainNpz);
  for (size_t i = 0; i < cut.size(); i += 11) (void)ParseReferenceNpz(cut.substr(0, i));
}

/// Of a and b, whose values are around 10 and 20.
std::string WriteTable(const TempDir& dir, std::string_view header) {
  std::string text = StrCat(header, "\n");
  for (int i = 0; i < 500; ++i) text += StrCat(10 + i % 2, ",", 20 + i % 3, "\n");
  EXPECT_TRUE(WriteFileAtomically(dir.file("train.csv"), text).ok());
  return dir.file("train.csv");
}

TEST(ReferenceFileTest, ColumnsAreFoundByNameWhereRequestsHaveNames) {
  TempDir dir;
  FeatureNames names;
  names.PlaceOf("b");
  names.PlaceOf("c");
  auto reference = ReadReferenceFile(WriteTable(dir, "a,b"), 64, 0, &names);
  ASSERT_TRUE(reference.ok()) << reference.status();
  const auto& numbers = (*reference)->numbers;
  ASSERT_EQ(numbers.size(), 3u);
  EXPECT_EQ(numbers[0].name, "b");
  EXPECT_NEAR(numbers[0].mean, 21, 0.1);
  EXPECT_EQ(numbers[1].name, "c");
  EXPECT_EQ(numbers[1].sketch.count(), 0u) << "the file does not have it";
  EXPECT_EQ(numbers[2].name, "a");
  EXPECT_NEAR(numbers[2].mean, 10.5, 0.1);
  EXPECT_EQ(names.PlaceOf("a"), 2u);
}

TEST(ReferenceFileTest, ColumnsAreAnOrderWhereRequestsHaveNoNames) {
  TempDir dir;
  FeatureNames names;
  auto reference = ReadReferenceFile(WriteTable(dir, "b,a"), 64, 0, &names);
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_EQ((*reference)->numbers[0].name, "b");
  EXPECT_FALSE(names.named());
  EXPECT_EQ(names.PlaceOf("a"), 1u) << "names that come later keep to it";
}

TEST(ReferenceFileTest, ColumnsOfOneNameCannotBeFoundByName) {
  TempDir dir;
  FeatureNames names;
  const std::string path = WriteTable(dir, "a,a");
  EXPECT_TRUE(ReadReferenceFile(path, 64, 0, &names).ok());
  names.PlaceOf("a");
  auto reference = ReadReferenceFile(path, 64, 0, &names);
  EXPECT_NE(reference.status().message().find("two columns of one name"), std::string::npos)
      << reference.status();
}

}  // namespace
}  // namespace leadsman
