#include "storage/archive.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "storage/testing/pack_archive.h"

namespace leadsman {
namespace {

using Entry = ArchiveEntry;

class ArchiveTest : public testing::Test {
 protected:
  std::string Pack(const std::vector<Entry>& entries, bool zip = false) {
    std::string path = dir_.file(zip ? "a.zip" : "a.tar.gz");
    PackArchive(path, entries);
    return path;
  }
  Result<std::vector<std::string>> Unpack(const std::string& archive, ArchiveLimits limits = {}) {
    std::filesystem::remove_all(dir_.path() / "out");
    std::filesystem::create_directories(dir_.path() / "out");
    return UnpackArchive(archive, dir_.file("out"), limits, {});
  }
  TempDir dir_;
};

TEST_F(ArchiveTest, UnpacksPlainFilesOfEachKindOfArchive) {
  for (bool zip : {false, true}) {
    auto files = Unpack(Pack({{"./manifest.json", "{}"}, {"sub/weights", "w"}}, zip)).value();
    EXPECT_EQ(files, (std::vector<std::string>{"manifest.json", "sub/weights"}));
    EXPECT_EQ(ReadFile(dir_.file("out/sub/weights"), 10).value(), "w");
  }
}

TEST_F(ArchiveTest, TakesOneFolderAroundEverythingOff) {
  auto files = Unpack(Pack({{"3/", "", AE_IFDIR}, {"3/3/x", "x"}, {"3/model.onnx", "m"}})).value();
  EXPECT_EQ(files, (std::vector<std::string>{"3/x", "model.onnx"}));
  EXPECT_EQ(ReadFile(dir_.file("out/model.onnx"), 10).value(), "m");
  EXPECT_EQ(ReadFile(dir_.file("out/3/x"), 10).value(), "x");
}

TEST_F(ArchiveTest, RefusesWhatMayDoHarm) {
  struct Case {
    Entry entry;
    const char* why;
  };
  const Case cases[] = {
      {{"../evil", "x"}, "leaves its folder"},
      {{"/etc/evil", "x"}, "leaves its folder"},
      {{"a/../../evil", "x"}, "leaves its folder"},
      {{"a/./b", "x"}, "leaves its folder"},
      {{"back\\slash", "x"}, "leaves its folder"},
      {{"link", "", AE_IFLNK, "/etc/passwd"}, "is a link"},
      {{"link", "", AE_IFLNK, "inside"}, "is a link"},
      {{"hard", "", AE_IFREG, "first"}, "is a link"},
      {{"pipe", "", AE_IFIFO}, "neither a file nor a folder"},
      {{"device", "", AE_IFCHR}, "neither a file nor a folder"},
      {{"first", "again"}, "comes twice"},
      {{"./first", "again"}, "comes twice"},
      {{"FIRST", "again"}, "differs only by case from first"},
      {{"first/inside", "x"}, "both a file and a folder"},
      {{"folder", "x"}, "both a file and a folder"},
      {{"Folder/y", "x"}, "differs only by case from folder"},
  };
  for (const Case& c : cases) {
    Status status = Unpack(Pack({{"first", "1"}, {"folder/x", "2"}, c.entry})).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.entry.path;
    EXPECT_NE(std::string(status.message()).find(c.why), std::string::npos) << status;
  }
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "evil"));
}

TEST_F(ArchiveTest, KeepsToItsLimits) {
  std::string archive = Pack({{"a", std::string(1'000'000, '0')}, {"b", "1"}});
  EXPECT_EQ(Unpack(archive, {.max_bytes = 500'000}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Unpack(archive, {.max_files = 1}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Unpack(archive, {.max_bytes = 1'000'001, .max_files = 2}).ok());
}

TEST_F(ArchiveTest, ABombIsRefusedByItsRatio) {
  const std::string megabyte(1 << 20, '0');
  std::vector<Entry> entries;
  for (int i = 0; i < 70; ++i) entries.push_back({StrCat("f", i), megabyte});
  std::string archive = Pack(entries);
  Status refused = Unpack(archive).status();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("more than 200 times"), std::string_view::npos) << refused;
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "out" / "f65")) << "it ends at 64 MiB";
  EXPECT_TRUE(Unpack(archive, {.max_ratio = 2000}).ok());
  entries.resize(60);
  EXPECT_TRUE(Unpack(Pack(entries)).ok()) << "little is harmless";
}

TEST_F(ArchiveTest, AsksForRoomBeforeItWrites) {
  std::string archive = Pack({{"a", std::string(20 << 20, '0')}, {"b", "1"}});
  int64_t room = 10 << 20;
  ArchiveLimits limits;
  limits.make_room = [&](int64_t bytes) {
    room -= bytes;
    return room < 0 ? ResourceExhaustedError("full") : OkStatus();
  };
  EXPECT_EQ(Unpack(archive, limits).status().code(), StatusCode::kResourceExhausted);
  EXPECT_LE(std::filesystem::file_size(dir_.path() / "out" / "a"), 10u << 20);
}

TEST_F(ArchiveTest, EndsWithItsCall) {
  std::string archive = Pack({{"a", "1"}});
  std::filesystem::create_directories(dir_.path() / "out");
  StoreCall late{.deadline = SystemClock().SteadyNow()};
  EXPECT_EQ(UnpackArchive(archive, dir_.file("out"), {}, late).status().code(),
            StatusCode::kDeadlineExceeded);
}

TEST_F(ArchiveTest, ACutOrForeignArchiveIsDataLoss) {
  std::string archive = Pack({{"a", std::string(100'000, 'x')}, {"b", "1"}});
  std::string bytes = ReadFile(archive, 1 << 20).value();
  std::ofstream(archive, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  EXPECT_EQ(Unpack(archive).status().code(), StatusCode::kDataLoss);
  std::ofstream(archive, std::ios::binary) << "<html>not found</html>";
  EXPECT_EQ(Unpack(archive).status().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(Unpack(Pack({{"folder/", "", AE_IFDIR}})).ok());
}

}  // namespace
}  // namespace leadsman
