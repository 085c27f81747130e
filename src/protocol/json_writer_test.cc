#include "protocol/json_writer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace leadsman {
namespace {

Tensor Strings(const std::vector<std::string>& texts) {
  Tensor tensor;
  tensor.Reset("text", DataType::kBytes);
  tensor.shape() = {static_cast<int64_t>(texts.size())};
  for (const std::string& text : texts) tensor.PushString(text);
  return tensor;
}

std::string Written(const Tensor& tensor, BytesForm form) {
  std::string out;
  AppendNested(out, tensor.View(), 0, 0, form);
  return out;
}

TEST(JsonWriterTest, StringsThatAreNotUtf8GoAsBase64OrAreRefused) {
  const Tensor mixed =
      Strings({"caf\xC3\xA9", "caf\xE9", "", std::string("a\0b", 3), "\xF0\x9F\x98"});
  EXPECT_EQ(Written(mixed, BytesForm::kTextOrBase64Object),
            "[\"caf\xC3\xA9\",{\"b64\":\"Y2Fm6Q==\"},\"\",\"a\\u0000b\",{\"b64\":\"8J+Y\"}]");
  EXPECT_EQ(Written(Strings({"a", "\xFF"}), BytesForm::kBase64Object),
            R"([{"b64":"YQ=="},{"b64":"/w=="}])");
  EXPECT_TRUE(CheckJsonForm(mixed.View(), BytesForm::kTextOrBase64Object).ok());
  EXPECT_TRUE(CheckJsonForm(Strings({"caf\xC3\xA9"}).View(), BytesForm::kText).ok());
  const Status refused = CheckJsonForm(mixed.View(), BytesForm::kText);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("output 'text' has a string that is not UTF-8"),
            std::string::npos);
}

TEST(JsonWriterTest, OutputsWhoseNamesSaySoAreBase64) {
  EXPECT_EQ(FormOfStrings("image_bytes"), BytesForm::kBase64Object);
  EXPECT_EQ(FormOfStrings("text"), BytesForm::kTextOrBase64Object);
}

}  // namespace
}  // namespace leadsman
