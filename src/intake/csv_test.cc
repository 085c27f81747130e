#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/strings.h"
#include "intake/csv_record.h"
#include "intake/line_reader.h"
#include "intake/testing/describe.h"

namespace leadsman::intake {
namespace {

std::vector<std::string> Fields(std::string_view record, char delimiter = ',') {
  CsvFields fields;
  auto split = fields.Split(record, delimiter);
  return {split.begin(), split.end()};
}

TEST(CsvRecordTest, FieldsWithAndWithoutQuotes) {
  using V = std::vector<std::string>;
  EXPECT_EQ(Fields("a,b,c"), (V{"a", "b", "c"}));
  EXPECT_EQ(Fields("a,,"), (V{"a", "", ""}));
  EXPECT_EQ(Fields(""), (V{""}));
  EXPECT_EQ(Fields(R"("a,b","say ""no""",c)"), (V{"a,b", "say \"no\"", "c"}));
  EXPECT_EQ(Fields("\"two\nlines\",1"), (V{"two\nlines", "1"}));
  EXPECT_EQ(Fields(R"(5" pipe,x"y)"), (V{"5\" pipe", "x\"y"})) << "a quote within is a character";
  EXPECT_EQ(Fields(R"("a"b,c)"), (V{"ab", "c"}));
  EXPECT_EQ(Fields(R"("",1)"), (V{"", "1"}));
  EXPECT_EQ(Fields(R"("never closed,1)"), (V{"never closed,1"}));
  EXPECT_EQ(Fields("a;b,c", ';'), (V{"a", "b,c"}));
  EXPECT_EQ(Fields("a\t\"b\tc\"", '\t'), (V{"a", "b\tc"}));
}

TEST(CsvRecordTest, AQuoteStaysOpenOverLines) {
  EXPECT_FALSE(QuoteStaysOpen("a,b", ',', false));
  EXPECT_TRUE(QuoteStaysOpen("a,\"b", ',', false));
  EXPECT_TRUE(QuoteStaysOpen("\"", ',', false));
  EXPECT_FALSE(QuoteStaysOpen("\"\"", ',', false));
  EXPECT_TRUE(QuoteStaysOpen("\"\"\"", ',', false));
  EXPECT_FALSE(QuoteStaysOpen("a\"b,c", ',', false));
  EXPECT_TRUE(QuoteStaysOpen("still open, \"\" too", ',', true));
  EXPECT_FALSE(QuoteStaysOpen("closed\",x", ',', true));
  EXPECT_TRUE(QuoteStaysOpen("closed\",\"open", ',', true));
  EXPECT_EQ(FirstCsvRecord("\xEF\xBB\xBF"
                           "a,\"b\r\nc\",d\r\n1,2,3\r\n"),
            "a,\"b\r\nc\",d");
  EXPECT_EQ(FirstCsvRecord("a,b\nc"), "a,b");
}

/// What is made of a whole file.
std::string Read(std::string_view text, FormatOptions options = {}) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::vector<std::string_view> lines = Split(text, '\n');
  Result<Recognition> found = Recognise(lines, options);
  if (!found.ok()) return std::string(found.status().message());
  LineReader reader(std::move(found->parser), found->envelope);
  DescribingSink sink;
  for (std::string_view line : lines) reader.Feed(line, sink);
  reader.End(sink);
  return StrCat(sink.text(), "malformed=", reader.counts().malformed,
                " other=", reader.counts().other);
}

std::string SentenceOf(std::string_view text, FormatOptions options = {}) {
  std::vector<std::string_view> lines = Split(text, '\n');
  Result<Recognition> found = Recognise(lines, options);
  return found.ok() ? found->Sentence() : std::string(found.status().message());
}

TEST(CsvTest, ColumnsAreKnownByTheirNames) {
  EXPECT_EQ(Read("ts,request_id,age,city,prediction,label\n"
                 "1795904108,r1,41,Rome,1,1.0\n"
                 "1795904109,r2,,Oslo,0.0,\n"),
            "outcome=unknown time=1795904108000000000 id=\"r1\" features=\"age:41\" rows=1 "
            "predicted=\"1\" truth=\"1\" inference\n"
            "outcome=unknown time=1795904109000000000 id=\"r2\" features=\"age:nan\" rows=1 "
            "predicted=\"0\" inference\n"
            "malformed=0 other=1");
  EXPECT_EQ(SentenceOf("ts,request_id,age,city,prediction\n1795904108,r1,41,Rome,1"),
            "CSV capture file, comma between 5 columns; 1 of 2 lines are requests; prediction from "
            "prediction, request id from request_id and time from ts; 1 feature: age; columns left "
            "out: city; not in this log: latency");
}

TEST(CsvTest, ARowWithoutQuotesIsReadAsOneWithThem) {
  constexpr std::string_view kCells[] = {"",
                                         "1",
                                         "-2.5",
                                         "0.125",
                                         "1e5",
                                         " 3",
                                         "4 ",
                                         "+5",
                                         "nan",
                                         "true",
                                         "inf",
                                         "0x1",
                                         "1.2.3",
                                         "12345678901234567890",
                                         "7.",
                                         ".5",
                                         "NA",
                                         "1,5",
                                         "x",
                                         "-",
                                         "1;2",
                                         "-0",
                                         "3.14159274",
                                         "16777217",
                                         "0.1234567890123456"};
  uint32_t state = 1;
  auto next = [&](size_t below) {
    state = state * 1664525 + 1013904223;
    return (state >> 16) % below;
  };
  for (char delimiter : {',', ';', '\t'}) {
    std::string plain = "a,b,note,c,prediction,d\n", quoted;
    std::replace(plain.begin(), plain.end(), ',', delimiter);
    for (int i = 0; i < 10; ++i)  // what columns are is told by the first rows
      plain += StrCat(i * i, ";1;n;2.5;yes;", i % 3, "\n");
    std::replace(plain.begin(), plain.end(), ';', delimiter);
    quoted = plain;
    for (int i = 0; i < 2000; ++i) {
      const size_t count = next(20) == 0 ? next(9) : 6;
      for (size_t field = 0; field < count; ++field) {
        const std::string_view cell = kCells[next(std::size(kCells))];
        const std::string between = field == 0 ? "" : std::string(1, delimiter);
        plain += StrCat(between, cell);
        // A comma in it makes one field more of a plain one, none of a quoted one.
        const bool may_quote = field == 2 && cell.find(delimiter) == std::string_view::npos;
        quoted += may_quote ? StrCat(between, "\"", cell, "\"") : StrCat(between, cell);
      }
      plain += '\n';
      quoted += '\n';
    }
    EXPECT_EQ(Read(plain), Read(quoted)) << delimiter;
  }
}

TEST(CsvTest, BlankRowsAreNone) {
  EXPECT_EQ(Read("x\ty\tprediction\n1\t2\ta\n\t\t\n  \n3\t4\tb\n"),
            "outcome=unknown features=\"x:1,y:2\" rows=1 predicted=\"a\" inference\n"
            "outcome=unknown features=\"x:3,y:4\" rows=1 predicted=\"b\" inference\n"
            "malformed=0 other=3");
}

TEST(CsvTest, AMappingNamesColumns) {
  FormatOptions options;
  options.fields = {{"predicted", "out"}, {"feature.years", "age"}, {"label", "truth_at_last"}};
  EXPECT_EQ(Read("age,height,out,truth_at_last\n41,1.8,yes,no\n", options),
            "outcome=unknown features=\"years:41\" rows=1 predicted=\"yes\" truth=\"no\" "
            "inference\nmalformed=0 other=1");
  options.fields = {{"predicted", "out"}, {"features", "x_*"}};
  EXPECT_EQ(Read("x_1;x_2;y;out\n0,5;2;3;cat\n", options),
            "outcome=unknown features=\"x_1:0.5,x_2:2\" rows=1 predicted=\"cat\" "
            "inference\nmalformed=0 other=1");
  options.fields = {{"predicted", "outt"}};
  EXPECT_EQ(Read("age,height,out\n41,1.8,yes\n", options),
            "fields: the file has no column outt; did you mean out?");
}

TEST(CsvTest, AColumnIsASegmentWhateverElseItIs) {
  FormatOptions options;
  options.fields = {{"segment.city", "city"}, {"segment.age", "age"}};
  const std::string text = "age,city,prediction\n41,Rome,1\n42,NA,0\n";
  EXPECT_EQ(Read(text, options),
            "outcome=unknown features=\"age:41\" segment.city=\"Rome\" segment.age=\"41\" rows=1 "
            "predicted=\"1\" inference\n"
            "outcome=unknown features=\"age:42\" segment.age=\"42\" rows=1 predicted=\"0\" "
            "inference\nmalformed=0 other=1");
  EXPECT_EQ(SentenceOf(text, options),
            "CSV capture file, comma between 3 columns; 2 of 4 lines are requests; prediction from "
            "prediction; 1 feature: age; segment age from age; segment city from city; not in this "
            "log: time, latency, label, or request id to join one by");
}

TEST(CsvTest, ListsInACellAreFeaturesOrScores) {
  EXPECT_EQ(Read("features,predictions\n\"[5.1, 3.5]\",\"[0.1, 0.9]\"\n[1 2],[0.7 0.3]\n"),
            "outcome=unknown features=\"5.1,3.5\" rows=1 predicted=\"1\" inference\n"
            "outcome=unknown features=\"1,2\" rows=1 predicted=\"0\" inference\n"
            "malformed=0 other=1");
}

TEST(CsvTest, RecordsOverSeveralLinesAndBrokenOnes) {
  const std::string text =
      "note,x,prediction\n"
      "\"first\n\nsecond \"\"line\"\"\",1,a\n"
      "too,few\n"
      "one,two,three,four\n"
      "\n"
      "fine,2,b\n"
      "\"never closed,3,c\n";
  EXPECT_EQ(Read(text),
            "outcome=unknown features=\"x:1\" rows=1 predicted=\"a\" inference\n"
            "outcome=unknown features=\"x:2\" rows=1 predicted=\"b\" inference\n"
            "malformed=3 other=2");
}

TEST(CsvTest, AQuoteThatNobodyClosesSwallowsNoMoreThanALine) {
  FormatOptions options;
  options.format = "csv";
  std::vector<std::string_view> first = {"x,prediction", "1,a", "2,b"};
  Result<Recognition> found = Recognise(first, options);
  ASSERT_TRUE(found.ok()) << found.status();
  LineReader reader(std::move(found->parser), found->envelope);
  DescribingSink sink;
  reader.Feed("\"open,a", sink);
  const std::string filler(10'000, 'x');
  for (int i = 0; i < 200; ++i) reader.Feed(filler, sink);
  for (int i = 0; i < 10; ++i) reader.Feed("3,c", sink);
  EXPECT_EQ(reader.counts().requests, 10u);
}

TEST(CsvTest, TheFirstLinesMayEndWithinARecord) {
  std::string text = "note,x,prediction\n";
  for (size_t i = 0; i < kRecogniseLines; ++i)
    text += StrCat("\"over\ntwo lines\",", i * i, ",a\n");
  EXPECT_TRUE(Read(text).ends_with("malformed=0 other=1")) << Read(text);
}

TEST(CsvTest, AHeaderInTheMiddleMayNameOtherColumns) {
  EXPECT_EQ(Read("x,prediction\n1,a\n2,b\nx,prediction\n3,c\nx,y,prediction\n4,5,d\n"),
            "outcome=unknown features=\"x:1\" rows=1 predicted=\"a\" inference\n"
            "outcome=unknown features=\"x:2\" rows=1 predicted=\"b\" inference\n"
            "outcome=unknown features=\"x:3\" rows=1 predicted=\"c\" inference\n"
            "outcome=unknown features=\"x:4,y:5\" rows=1 predicted=\"d\" inference\n"
            "malformed=0 other=3");
}

TEST(CsvTest, TheHeaderOfTheFileIsKnownWhereLinesBeginBehindIt) {
  FormatOptions options;
  options.first_record = "x,prediction";
  EXPECT_EQ(Read("1,a\n2,b\n", options),
            "outcome=unknown features=\"x:1\" rows=1 predicted=\"a\" inference\n"
            "outcome=unknown features=\"x:2\" rows=1 predicted=\"b\" inference\n"
            "malformed=0 other=0");
  options.first_record = "1,a";
  options.former_header = "x,prediction";
  EXPECT_EQ(Read("1,a\n", options),
            "outcome=unknown features=\"x:1\" rows=1 predicted=\"a\" inference\n"
            "malformed=0 other=0");
}

TEST(CsvTest, WhatIsNoCaptureFileIsLeftToOthersOrSaysWhy) {
  FormatOptions options;
  EXPECT_NE(Read("a,b\n1,2\n3,4\n").find("no known format"), std::string::npos);
  options.format = "csv";
  EXPECT_EQ(Read("a,b\n1,2\n3,4\n", options).substr(0, 40),
            "outcome=unknown features=\"a:1,b:2\" rows=");
  EXPECT_EQ(Read("request_id,label\nr1,a\nr2,b\n", options),
            "format csv: no column is a prediction or a feature: map it, for example predicted: "
            "label; labels alone are sent by `leadsman labels add --file`");
  EXPECT_EQ(Read("1,2\n3,4\n", options),
            "format csv: the first line must be a header that names the columns");
  EXPECT_EQ(Read("x,prediction\n1\n2\n", options),
            "format csv: most rows have not the 2 columns that the header names");
}

TEST(CsvTest, ARowNumberIsNoFeature) {
  std::string text = "row,x,prediction\n";
  for (int i = 0; i < 6; ++i) text += StrCat(i, ",", i * i, ",a\n");
  EXPECT_NE(SentenceOf(text.substr(0, text.size() - 1)).find("1 feature: x; columns left out: row"),
            std::string::npos);
}

TEST(JsonCaptureTest, NamesAreEnoughWhereNoLineIsAServicesRequest) {
  EXPECT_EQ(
      Read(
          R"({"timestamp":"2026-11-28T22:11:21Z","id":"r1","features":{"age":41},"prediction":"yes","label":"no"})"
          "\n"),
      "outcome=unknown time=1795903881000000000 id=\"r1\" features=\"age:41\" "
      "predicted=\"yes\" truth=\"no\"\nmalformed=0 other=0");
  EXPECT_EQ(Read(R"({"x":1,"name":"n","predictions":[[0.2,0.8]],"y_true":1})"
                 "\n"),
            "outcome=unknown features=\"x:1\" predicted=\"1\" truth=\"1\"\nmalformed=0 other=0");
  // Mapped features leave the other names their meaning.
  FormatOptions mapped;
  mapped.fields = {{"feature.years", "age"}};
  EXPECT_EQ(Read(R"({"age":41,"income":7,"prediction":1,"label":0})"
                 "\n",
                 mapped),
            "outcome=unknown features=\"years:41\" predicted=\"1\" truth=\"0\"\nmalformed=0 "
            "other=0");
  // In a service's log they are taken only where they are mapped.
  EXPECT_EQ(Read(R"({"path":"/predict","method":"POST","status":200,"prediction":"yes"})"
                 "\n")
                .find("predicted"),
            std::string::npos);
}

TEST(JsonCaptureTest, AFeatureMayHaveMissingValues) {
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += StrCat(R"({"age":)", 20 + i, R"(,"income":)", i % 20 == 3 ? "NaN" : "12.5",
                   R"(,"bal":)", i % 20 == 7 ? R"("NaN")" : "3",
                   R"(,"city":"Rome","prediction":1,"label":)", i % 5 == 0 ? "1" : "NaN", "}\n");
  const std::string sentence = SentenceOf(text.substr(0, text.size() - 1));
  EXPECT_NE(sentence.find("features: age, income and bal"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("members left out: city"), std::string::npos) << sentence;
  const std::string read = Read(text);
  EXPECT_NE(read.find("features=\"age:23,income:nan,bal:3\""), std::string::npos) << read;
  EXPECT_NE(read.find("features=\"age:27,income:12.5,bal:nan\""), std::string::npos) << read;
}

}  // namespace
}  // namespace leadsman::intake
