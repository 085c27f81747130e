#include "storage/file_source.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "storage/manifest.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

class FileSourceTest : public testing::Test {
 protected:
  void Folder(const std::string& name, bool complete) {
    fs::create_directories(dir_.path() / name);
    if (complete) std::ofstream(dir_.path() / name / kManifestFileName) << "{}";
  }
  std::vector<int64_t> Versions() {
    std::vector<VersionFolder> folders = source_.List({}, {}).value();
    std::vector<int64_t> versions;
    for (const VersionFolder& folder : folders) versions.push_back(folder.version);
    return versions;
  }
  TempDir dir_;
  FileSource source_{dir_.path().string()};
};

TEST_F(FileSourceTest, ListsVersionFoldersInOrderAndNothingElse) {
  for (const char* name : {"10", "9", "2"}) Folder(name, true);
  for (const char* name : {"0", "-1", "+3", "1.5", "v4", "latest", ".5", "99999999999999999999"}) {
    Folder(name, true);
  }
  std::ofstream(dir_.file("11")) << "not a folder";
  EXPECT_EQ(Versions(), (std::vector<int64_t>{2, 9, 10}));
}

TEST_F(FileSourceTest, TakesLeadingZerosAndTheShorterOfTwoNames) {
  Folder("0007", true);
  EXPECT_EQ(Versions(), std::vector<int64_t>{7});
  Folder("7", false);
  auto folders = source_.List({}, {}).value();
  ASSERT_EQ(folders.size(), 1u);
  EXPECT_EQ(folders[0].directory, dir_.file("7"));
}

TEST_F(FileSourceTest, AFolderWithoutManifestIsWaitedFor) {
  Folder("1", false);
  auto folders = source_.List({}, {}).value();
  ASSERT_EQ(folders.size(), 1u);
  EXPECT_FALSE(folders[0].complete);
  EXPECT_TRUE(folders[0].waiting.starts_with("no model is recognised; its folder is empty"))
      << folders[0].waiting;
  Folder("1", true);
  EXPECT_TRUE(source_.List({}, {}).value()[0].complete);
}

TEST_F(FileSourceTest, AModelWithoutManifestIsCompleteOnceItsFilesRest) {
  Folder("1", false);
  auto write = [&](const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(dir_.file("1/model.onnx"), text).ok());
  };
  auto look = [&](int seconds) {
    return source_.List(SteadyTime(std::chrono::seconds(seconds)), {}).value().at(0);
  };
  write("half");
  EXPECT_FALSE(look(100).complete);
  EXPECT_FALSE(look(104).complete);
  write("the whole of it");
  EXPECT_FALSE(look(106).complete) << "what changed has to rest anew";
  EXPECT_FALSE(look(110).complete);
  VersionFolder settled = look(111);
  EXPECT_TRUE(settled.complete) << settled.waiting;
  EXPECT_EQ(look(112).manifest, settled.manifest);
  write("something else");
  EXPECT_FALSE(look(113).complete);
  EXPECT_NE(look(118).manifest, settled.manifest);
}

TEST_F(FileSourceTest, AFolderWithoutManifestIsNeverCompleteWhereOneIsRequired) {
  FileSource source(dir_.path().string(), {.require_manifest = true, .settle_time = Duration{}});
  Folder("1", false);
  ASSERT_TRUE(WriteFileAtomically(dir_.file("1/model.onnx"), "model").ok());
  VersionFolder folder = source.List({}, {}).value().at(0);
  EXPECT_FALSE(folder.complete);
  EXPECT_EQ(folder.waiting, "waiting for manifest.json (still being copied?)");
}

TEST_F(FileSourceTest, AManifestThatIsAFolderIsWaitedForWithTheReason) {
  fs::create_directories(dir_.path() / "1" / kManifestFileName);
  EXPECT_NE(source_.List({}, {}).value()[0].waiting.find("not a plain file"), std::string::npos);
}

TEST_F(FileSourceTest, AModelInTheFolderItselfIsVersionOne) {
  std::ofstream(dir_.path() / "model.onnx") << "x";
  auto folders = source_.List({}, {}).value();
  ASSERT_EQ(folders.size(), 1u);
  EXPECT_EQ(folders[0].version, 1);
  EXPECT_EQ(folders[0].directory, dir_.path().string());
  EXPECT_FALSE(folders[0].complete);
  EXPECT_TRUE(source_.List(SteadyTime() + std::chrono::seconds(5), {}).value()[0].complete);
  Folder("7", true);
  EXPECT_EQ(Versions(), std::vector<int64_t>{7}) << "version folders have the word";
}

TEST_F(FileSourceTest, AMissingPathIsAnErrorUntilItAppears) {
  FileSource source(dir_.file("later"));
  Result<std::vector<VersionFolder>> folders = source.List({}, {});
  ASSERT_FALSE(folders.ok());
  EXPECT_EQ(folders.status().code(), StatusCode::kNotFound);
  EXPECT_NE(folders.status().message().find("later"), std::string::npos);
  fs::create_directories(dir_.path() / "later" / "1");
  EXPECT_EQ(source.List({}, {}).value().size(), 1u);
}

TEST_F(FileSourceTest, TheStampChangesWithAnyFileBelow) {
  fs::create_directories(dir_.path() / "1" / "sub");
  std::ofstream(dir_.path() / "1" / "sub" / "weights") << "one";
  uint64_t first = StampOfFolder(dir_.file("1"));
  EXPECT_EQ(StampOfFolder(dir_.file("1")), first);
  std::ofstream(dir_.path() / "1" / "sub" / "weights") << "two!";
  EXPECT_NE(StampOfFolder(dir_.file("1")), first);
  EXPECT_EQ(StampOfFolder(dir_.file("none")), 0u);
}

TEST(FsTest, WritesWhollyAndLeavesNothingBeside) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.file("f"), "one").ok());
  ASSERT_TRUE(WriteFileAtomically(dir.file("f"), "two").ok());
  EXPECT_EQ(ReadFile(dir.file("f"), 100).value(), "two");
  EXPECT_EQ(ListDirectory(dir.path().string()).value(), std::vector<std::string>{"f"});
  EXPECT_EQ(ReadFile(dir.file("f"), 2).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(dir.path().string(), 2).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(WriteFileAtomically(dir.file("no/f"), "x").code(), StatusCode::kNotFound);
}

TEST_F(FileSourceTest, ReadsTheConfigPbtxtAgainWhenItOrItsLabelsChange) {
  Folder("1", true);
  Versions();
  EXPECT_EQ(source_.triton_config(), nullptr);
  const uint64_t without = source_.StampOfVersion(1);

  std::ofstream(dir_.file(kTritonConfigName))
      << "output { name: 'y' data_type: TYPE_FP32 dims: 2 label_filename: 'labels.txt' }";
  Versions();
  TritonConfigFound found = source_.triton_config();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->status().code(), StatusCode::kInvalidArgument) << "the labels are missing";
  EXPECT_NE(source_.StampOfVersion(1), without);
  Versions();
  EXPECT_EQ(source_.triton_config(), found) << "nothing has changed";

  std::ofstream(dir_.file("labels.txt")) << "cat\ndog\n";
  Versions();
  found = source_.triton_config();
  ASSERT_TRUE(found && found->ok()) << found->status();
  EXPECT_EQ(found->value().outputs[0].labels, (std::vector<std::string>{"cat", "dog"}));

  fs::remove(dir_.file(kTritonConfigName));
  Versions();
  EXPECT_EQ(source_.triton_config(), nullptr);
  EXPECT_EQ(source_.StampOfVersion(1), without);
}

TEST_F(FileSourceTest, AModelFileThatIsNamedAndNotThereIsForTheLoadToTell) {
  fs::create_directories(dir_.path() / "1");
  std::ofstream(dir_.file("1/a.onnx")) << "x";
  std::ofstream(dir_.file("1/b.onnx")) << "x";
  auto complete = [&](const std::string& file) {
    FileSource source(dir_.path().string(),
                      Source::Options{.settle_time = Duration::zero(), .model_file = file});
    return source.List({}, {}).value()[0].complete;
  };
  EXPECT_FALSE(complete("")) << "which of the two?";
  EXPECT_TRUE(complete("b.onnx"));
  EXPECT_TRUE(complete("c.onnx"));
  std::ofstream(dir_.file(kTritonConfigName)) << "default_model_filename: 'c.onnx'";
  EXPECT_TRUE(complete(""));
}

TEST_F(FileSourceTest, AConfigPbtxtSaysTheFormatAndWhyNothingIsServed) {
  fs::create_directories(dir_.path() / "1");
  std::ofstream(dir_.file("1/a.onnx")) << "x";
  std::ofstream(dir_.file("1/saved_model.pb")) << "x";
  FileSource source(dir_.path().string(), Source::Options{.settle_time = Duration::zero()});
  EXPECT_FALSE(source.List({}, {}).value()[0].complete) << "one of two formats";
  std::ofstream(dir_.file(kTritonConfigName)) << "platform: 'onnxruntime_onnx'";
  EXPECT_TRUE(source.List({}, {}).value()[0].complete);
  // Then the load fails, and says why.
  std::ofstream(dir_.file(kTritonConfigName)) << "ensemble_scheduling { }";
  fs::remove(dir_.file("1/a.onnx"));
  fs::remove(dir_.file("1/saved_model.pb"));
  source.List({}, {}).value();
  EXPECT_TRUE(source.List({}, {}).value()[0].complete);
}

TEST_F(FileSourceTest, WhatIsWrongWithAFolderIsSaidFirst) {
  auto waiting = [&] { return source_.List({}, {}).value().at(0).waiting; };
  Folder("1", false);
  EXPECT_TRUE(
      waiting().starts_with("no model is recognised; its folder is empty, and should have "));
  dir_.Write("1/model.pt", "torch");
  EXPECT_TRUE(waiting().starts_with("no model is recognised; looked for ")) << waiting();
  EXPECT_NE(waiting().find("there is model.pt, of which none is a model"), std::string::npos);
  EXPECT_NE(waiting().find("(still being copied?)"), std::string::npos);
  dir_.Write("1/a.onnx", "");
  dir_.Write("1/b.onnx", "");
  EXPECT_TRUE(waiting().starts_with("several files could be the onnx model: ")) << waiting();
}

TEST_F(FileSourceTest, WhatSomebodyVouchesForNeedNotRest) {
  Folder("1", false);
  dir_.Write("1/model.onnx", "weights");
  auto look = [&](int seconds) {
    return source_.List(SteadyTime(std::chrono::seconds(seconds)), {}).value().at(0);
  };
  EXPECT_TRUE(look(100).waiting.starts_with("its files have to rest for 5 s (settle_time)"))
      << look(100).waiting;
  source_.Vouch();
  EXPECT_TRUE(look(101).complete);
  EXPECT_TRUE(look(102).complete) << "it stays so";
  dir_.Write("1/model.onnx", "other weights");
  EXPECT_FALSE(look(103).complete) << "what has changed since nobody has vouched for";
}

TEST_F(FileSourceTest, AFileInPlaceOfAFolderSaysWhatToGive) {
  Folder("1", false);
  const std::string file = dir_.Write("1/model.onnx", "weights");
  const std::string said =
      StrCat(file, " is a file; give the folder with the model's versions: ", dir_.path().string());
  EXPECT_EQ(WhyNoModelFolder(file), said);
  EXPECT_EQ(WhyNoModelFolder("file://" + file), "file://" + said);
  EXPECT_EQ(FileSource(file).List({}, {}).status().message(), said);
  const std::string alone = dir_.Write("model.onnx", "weights");
  EXPECT_EQ(
      WhyNoModelFolder(alone),
      StrCat(alone, " is a file; give the folder that it is in, ", dir_.path().string(),
             ", where it stands for version 1, or the folder with the model's versions, DIR for "
             "DIR/1/model.onnx"));
  for (const std::string& fine : {dir_.path().string(), dir_.file("none"), std::string("s3://b/m")})
    EXPECT_EQ(WhyNoModelFolder(fine), "");
}

TEST(GivenFilesTest, AFolderIsMadeOfThemAndGoesWithThem) {
  TempDir dir;
  const std::string root = dir.file("given");
  auto given = GivenFiles::Create(
      root,
      {{"1/model.onnx", std::string("a\0b", 3)}, {"1/assets/words", ""}, {"labels.txt", "cat\n"}});
  ASSERT_TRUE(given.ok()) << given.status();
  const std::string folder = (*given)->folder();
  EXPECT_TRUE(ListDirectory(folder)->empty());
  {
    FileSource source(folder,
                      {.settle_time = {}, .triton_json = "{\"name\": \"x\"}", .given = *given});
    auto listed = source.List({}, {});
    ASSERT_TRUE(listed.ok()) << listed.status();
    ASSERT_EQ(listed->size(), 1u);
    EXPECT_TRUE((*listed)[0].complete) << (*listed)[0].waiting;
    EXPECT_EQ(source.triton_config()->value().name, "x");
    EXPECT_EQ(ReadFile(folder + "/1/model.onnx", 10).value(), std::string("a\0b", 3));
    EXPECT_EQ(ReadFile(folder + "/labels.txt", 10).value(), "cat\n");
    EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all);
    given->reset();
    EXPECT_TRUE(IsDirectory(folder));
  }
  EXPECT_TRUE(ListDirectory(root)->empty());
  // What cannot be written is not kept: a file stands where a folder is to be.
  {
    auto torn = GivenFiles::Create(root, {{"1", "a file"}, {"1/model.onnx", "x"}});
    ASSERT_TRUE(torn.ok()) << torn.status();
    FileSource source((*torn)->folder(), {.triton_json = "{}", .given = *torn});
    const Status first = source.List({}, {}).status();
    EXPECT_TRUE(first.message().starts_with("the files of the load cannot be written: ")) << first;
    EXPECT_EQ(source.List({}, {}).status(), first);
    EXPECT_TRUE(ListDirectory(root)->empty());
    EXPECT_EQ((*torn)->Write().code(), StatusCode::kFailedPrecondition);
  }
  dir.Write("file", "");
  EXPECT_FALSE(GivenFiles::Create(dir.file("file"), {}).ok());
}

}  // namespace
}  // namespace leadsman
