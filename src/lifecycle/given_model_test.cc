#include "lifecycle/given_model.h"

#include <gtest/gtest.h>

#include <string>

namespace leadsman {
namespace {

std::string Wrong(const GivenModel& given) {
  const Status status = CheckGivenModel(given);
  EXPECT_TRUE(status.ok() || status.code() == StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

std::string WrongFile(const std::string& path) {
  return Wrong({.config = "{}", .files = {{"1/model.onnx", ""}, {path, ""}}});
}

TEST(GivenModelTest, WhatIsGivenIsSound) {
  EXPECT_EQ(Wrong({}), "");
  EXPECT_EQ(Wrong({.config = R"({"max_batch_size": 8})", .files = {}}), "");
  EXPECT_EQ(Wrong({.config = "{}",
                   .files = {{"1/model.onnx", "x"}, {"1/variables/data", ""}, {"labels.txt", ""}}}),
            "");
}

TEST(GivenModelTest, FilesStayInTheModelsFolder) {
  const std::string inside =
      " must stay in the model's folder: no leading /, no empty name, no . and no ..";
  for (const char* path : {"../x", "1/../../x", "/etc/x", "1//x", "1/", "1/./x", ".."})
    EXPECT_EQ(WrongFile(path), "parameters.file:" + std::string(path) + inside);
  EXPECT_EQ(WrongFile(""), "parameters.file: needs a path: file:1/model.onnx");
  EXPECT_EQ(WrongFile("1\\x"), "parameters.file:1\\x may not hold control characters or \\");
  EXPECT_EQ(WrongFile(std::string("1/x\0", 4)),
            std::string("parameters.file:1/x\0 may not hold control characters or \\", 57));
  EXPECT_EQ(WrongFile("1/model.onnx/x"),
            "parameters.file:1/model.onnx/x lies in file:1/model.onnx, which is a file, too");
  EXPECT_EQ(WrongFile("config.pbtxt"),
            "parameters.file:config.pbtxt is what parameters.config is for");
  EXPECT_NE(WrongFile("1/" + std::string(201, 'x')).find("longer than 200 bytes"),
            std::string::npos);
  EXPECT_NE(WrongFile(std::string(513, 'x')).find("is longer than 512 bytes"), std::string::npos);
}

TEST(GivenModelTest, FilesNeedAConfigurationAndAVersion) {
  EXPECT_EQ(Wrong({.config = {}, .files = {{"1/model.onnx", ""}}}),
            "parameters.config must be given with parameters.file:1/model.onnx: it is the "
            "configuration of the model that the files make; {} says nothing");
  EXPECT_EQ(Wrong({.config = "{}", .files = {{"model.onnx", ""}}}),
            "parameters.file:model.onnx is in no version's folder, nor is any other; a version's "
            "file is file:1/model.onnx");
  GivenModel many{.config = "{}", .files = {}};
  for (int i = 0; i <= 1000; ++i) many.files["1/" + std::to_string(i)] = "";
  EXPECT_EQ(Wrong(many), "parameters: more than 1000 files");
}

TEST(GivenModelTest, AConfigurationThatIsNone) {
  EXPECT_EQ(Wrong({.config = "[]", .files = {}}), "parameters.config: must be a JSON object");
  EXPECT_EQ(Wrong({.config = R"({"max_batch_size": -1})", .files = {}}),
            "parameters.config: max_batch_size: must be 0 (no batch dimension) or the largest "
            "number of rows");
}

}  // namespace
}  // namespace leadsman
