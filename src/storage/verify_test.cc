#include "storage/verify.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

class VerifyFilesTest : public testing::Test {
 protected:
  VerifyFilesTest() {
    manifest_.name = "digits";
    manifest_.version = 3;
    manifest_.files = {{"model.onnx", 3, kAbc}};
    Write("model.onnx", "abc");
  }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(dir_.file(name), std::ios::binary) << content;
  }
  Status Verify() { return VerifyFiles(manifest_, dir_.path().string(), "digits", 3); }

  TempDir dir_;
  Manifest manifest_;
};

TEST_F(VerifyFilesTest, AcceptsWhatTheManifestSays) { EXPECT_TRUE(Verify().ok()) << Verify(); }

TEST_F(VerifyFilesTest, SaysBothSizesOfATruncatedFile) {
  Write("model.onnx", "ab");
  EXPECT_EQ(Verify(),
            DataLossError("the file model.onnx has 2 bytes, manifest.json says 3: truncated, or "
                          "still being copied"));
}

TEST_F(VerifyFilesTest, SaysBothSumsOfATamperedFile) {
  Write("model.onnx", "abd");
  Status status = Verify();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find(kAbc), std::string::npos);
  EXPECT_NE(status.message().find(*Sha256OfFile(dir_.file("model.onnx"))), std::string::npos);
}

TEST_F(VerifyFilesTest, NamesAMissingFile) {
  std::filesystem::remove(dir_.file("model.onnx"));
  Status status = Verify();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("model.onnx"), std::string::npos);
}

TEST_F(VerifyFilesTest, RefusesAManifestOfAnotherModelOrVersion) {
  EXPECT_EQ(VerifyFiles(manifest_, dir_.path().string(), "iris", 3).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(VerifyFiles(manifest_, dir_.path().string(), "digits", 4).code(),
            StatusCode::kInvalidArgument);
}

TEST_F(VerifyFilesTest, RefusesALinkToOutsideButNotOneToInside) {
  TempDir other;
  std::ofstream(other.file("secret")) << "abc";
  std::filesystem::remove(dir_.file("model.onnx"));
  std::filesystem::create_symlink(other.file("secret"), dir_.file("model.onnx"));
  EXPECT_EQ(Verify().code(), StatusCode::kPermissionDenied) << Verify();

  std::filesystem::remove(dir_.file("model.onnx"));
  Write("real", "abc");
  std::filesystem::create_symlink("real", dir_.file("model.onnx"));
  EXPECT_TRUE(Verify().ok()) << Verify();
}

TEST_F(VerifyFilesTest, RefusesAFolderAndAPipeInPlaceOfAFile) {
  std::filesystem::remove(dir_.file("model.onnx"));
  std::filesystem::create_directory(dir_.file("model.onnx"));
  EXPECT_EQ(Verify().code(), StatusCode::kDataLoss) << Verify();
}

TEST_F(VerifyFilesTest, GivesUpWhenCalledOff) {
  std::atomic<bool> cancel{true};
  EXPECT_EQ(VerifyFiles(manifest_, dir_.path().string(), "digits", 3, &cancel).code(),
            StatusCode::kCancelled);
}

}  // namespace
}  // namespace leadsman
