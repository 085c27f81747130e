#include "base/text_proto.h"

#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/strings.h"
#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

// protobuf's own description of a .proto file stands in for a configuration: it has texts, numbers,
// lists and nested messages.
using google::protobuf::FileDescriptorProto;

std::string Problems(std::string_view text) {
  TextProto reader;
  FileDescriptorProto message;
  return std::string(reader.Parse("models.config", text, message).message());
}

TEST(TextProtoTest, ReadsAFile) {
  TempDir dir;
  std::ofstream(dir.file("a.config")) << "# a comment\nname: 'a'\nmessage_type { name: \"M\" }\n";
  TextProto reader;
  FileDescriptorProto message;
  EXPECT_EQ(reader.Load(dir.file("a.config"), message), OkStatus());
  EXPECT_EQ(message.name(), "a");
  EXPECT_EQ(message.message_type(0).name(), "M");
  EXPECT_EQ(reader.Load(dir.file("b.config"), message).code(), StatusCode::kNotFound);
}

TEST(TextProtoTest, SaysWhereAndWhatIsWrong) {
  EXPECT_EQ(Problems("name: 'a'\nmessage_type { nam: 'M' }"),
            "models.config:2:19: unknown field nam in DescriptorProto; did you mean name?");
  EXPECT_EQ(Problems("name: 5"),
            "models.config:1:7: name: Expected string, got: 5; it is written as a text in quotes: "
            "name: \"…\"");
  EXPECT_EQ(Problems("message_type {\n"),
            "models.config:2:1: message_type[0]: the text ends before the } of this block");
  EXPECT_NE(Problems("name 'a'").find("models.config:1:6: "), std::string::npos);
  EXPECT_NE(Problems("zzzz: 1").find("it has "), std::string::npos);
  EXPECT_NE(Problems("name: 'a' name: 'b'").find("specified multiple times"), std::string::npos);
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "nested_type {";
  EXPECT_NE(Problems("message_type {" + deep).find("too deep"), std::string::npos);
}

TEST(TextProtoTest, NamesTheFieldAndHowItIsWritten) {
  EXPECT_EQ(
      Problems("message_type { name: 'M' } # { name: 5\n"
               "message_type {\n\tfield { name: 'a{' } field { number: \"one\" }\n}"),
      "models.config:3:46: message_type[1].field[1].number: Expected integer, got: \"one\"; it "
      "is written as a whole number: number: 1");
  EXPECT_EQ(Problems("options { deprecated: maybe }"),
            "models.config:1:29: options.deprecated: Invalid value for boolean field "
            "\"deprecated\". Value: \"maybe\"; it is written as deprecated: true or deprecated: "
            "false");
  EXPECT_EQ(Problems("message_type {\n  name: 'M'\n"),
            "models.config:3:1: message_type[0]: the text ends before the } of this block");
  EXPECT_NE(Problems("options: 7").find("options: "), std::string::npos);
  EXPECT_NE(Problems("options: 7").find("; it is written as a block: options { … } with "),
            std::string::npos)
      << Problems("options: 7");
  EXPECT_NE(Problems("options { optimize_for: FAST }").find("one of SPEED, CODE_SIZE and "),
            std::string::npos)
      << Problems("options { optimize_for: FAST }");
  // However broken the text is, it is only looked at.
  for (const char* text : {"}}}{", "[", "name: [", "name: '", "<", "a.b.c { } ]", "name: \"\\"})
    EXPECT_NE(Problems(text), "") << text;
}

TEST(TextProtoTest, JsonMayNotBeNestedWithoutAnEnd) {
  auto problems = [](const std::string& json) {
    TextProto reader;
    FileDescriptorProto message;
    return std::string(reader.ParseJson("config", json, message).message());
  };
  auto nested = [](size_t levels) {
    return leadsman::StrCat(std::string(levels, '['), std::string(levels, ']'));
  };
  EXPECT_EQ(problems(R"({"name": "a", "messageType": [{"name": "M"}]})"), "");
  const std::string deep = "config: is nested deeper than 100 levels";
  for (const char* field : {"name", "options", "message_type", "nobody"}) {
    EXPECT_EQ(problems(leadsman::StrCat("{\"", field, "\": ", nested(250'000), "}")), deep);
    EXPECT_EQ(problems(leadsman::StrCat("{\"", field, "\": ", std::string(250'000, '['))), deep);
    EXPECT_NE(problems(leadsman::StrCat("{\"", field, "\": ", nested(90), "}")), deep);
  }
  EXPECT_EQ(problems(nested(250'000)), deep);
}

TEST(TextProtoTest, PointsALaterCheckAtTheText) {
  TextProto reader;
  FileDescriptorProto message;
  ASSERT_EQ(
      reader.Parse("f", "name: 'a'\nmessage_type { name: 'M' }\nmessage_type {\n  name: 'N'\n}",
                   message),
      OkStatus());
  reader.Add("message_type[1].name", "is taken");
  reader.Add("message_type[1].options", "is missing");
  reader.Add("package", "is missing");
  EXPECT_EQ(reader.status().message(),
            "f: package: is missing\n"
            "f:3:1: message_type[1].options: is missing\n"
            "f:4:3: message_type[1].name: is taken");
}

}  // namespace
}  // namespace leadsman
