#include "storage/blob_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "storage/digest.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

std::string Sha256(std::string_view text) {
  Digest digest(Digest::Kind::kSha256);
  digest.Add(text);
  return digest.Hex();
}

class BlobCacheTest : public testing::Test {
 protected:
  BlobCacheTest() { Reopen(); }

  void Reopen(int64_t limit = 1 << 20) {
    cache_.reset();
    cache_ = BlobCache::Open({dir_.file("cache"), limit}).value();
  }
  static BlobCache::File FileOf(const std::string& path, const std::string& content) {
    return {path, Sha256(content), static_cast<int64_t>(content.size())};
  }
  void Download(BlobCache::Assembly& assembly, const std::string& path,
                const std::string& content) {
    auto partial = cache_->OpenPartial(BlobCache::KeyOf(path), false, {}).value();
    ASSERT_TRUE(partial->Append(content).ok());
    ASSERT_TRUE(assembly.Add(std::move(partial), FileOf(path, content)).ok());
  }
  LocalVersion Make(const std::string& content) {
    auto assembly = cache_->Begin().value();
    Download(*assembly, "model.onnx", content);
    return assembly->Publish().value();
  }
  Status Reserve(int64_t bytes) { return cache_->Begin().value()->room().Reserve(bytes, {}, {}); }
  size_t FilesBelow(const std::string& folder) {
    size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(dir_.path() / "cache" / folder))
      files += entry.is_regular_file() ? 1 : 0;
    return files;
  }

  TempDir dir_;
  std::unique_ptr<BlobCache> cache_;
};

TEST_F(BlobCacheTest, AVersionAppearsWholeAndItsFilesAreShared) {
  auto assembly = cache_->Begin().value();
  Download(*assembly, "model.onnx", "weights");
  Download(*assembly, "deep/er/vocabulary", "words");
  LocalVersion version = assembly->Publish().value();
  EXPECT_EQ(ReadFile(version.directory + "/model.onnx", 100).value(), "weights");
  EXPECT_EQ(ReadFile(version.directory + "/deep/er/vocabulary", 100).value(), "words");

  // Another version takes the file that it shares without a download.
  auto next = cache_->Begin().value();
  EXPECT_TRUE(next->Take(FileOf("vocab/same", "words"), nullptr).value());
  EXPECT_FALSE(next->Take(FileOf("model.onnx", "other weights"), nullptr).value());
  EXPECT_EQ(FilesBelow("blobs"), 2u);
}

TEST_F(BlobCacheTest, TheSameContentIsPublishedOnce) {
  LocalVersion one = Make("weights");
  LocalVersion two = Make("weights");
  EXPECT_EQ(one.directory, two.directory);
  EXPECT_EQ(cache_->GetUsage().versions, 1);
}

TEST_F(BlobCacheTest, AnAbandonedVersionLeavesNothing) {
  {
    auto assembly = cache_->Begin().value();
    Download(*assembly, "model.onnx", "weights");
  }
  EXPECT_EQ(FilesBelow("staging"), 0u);
  EXPECT_EQ(FilesBelow("versions"), 0u);
}

TEST_F(BlobCacheTest, ADamagedBlobIsDroppedAndThePublishedVersionRepaired) {
  LocalVersion version = Make("weights");
  std::string path = version.directory + "/model.onnx";
  chmod(path.c_str(), 0644);
  std::ofstream(path) << "wEights";  // the blob is the same file
  auto assembly = cache_->Begin().value();
  EXPECT_FALSE(assembly->Take(FileOf("model.onnx", "weights"), nullptr).value());
  Download(*assembly, "model.onnx", "weights");
  LocalVersion again = assembly->Publish().value();
  EXPECT_EQ(again.directory, version.directory);
  EXPECT_EQ(ReadFile(path, 100).value(), "weights");
}

TEST_F(BlobCacheTest, APartialFileIsTakenUpAgain) {
  { ASSERT_TRUE(cache_->OpenPartial("k", true, {}).value()->Append("half").ok()); }
  Reopen();
  auto partial = cache_->OpenPartial("k", true, {}).value();
  EXPECT_EQ(partial->size(), 4);
  ASSERT_TRUE(partial->Append(" done").ok());
  EXPECT_EQ(ReadFile(partial->path(), 100).value(), "half done");
  partial.reset();
  EXPECT_EQ(cache_->OpenPartial("k", false, {}).value()->size(), 0);
}

TEST_F(BlobCacheTest, APartialFileThatDidNotBecomeABlobCanBeWrittenOn) {
  auto assembly = cache_->Begin().value();
  BlobCache::File file = FileOf("model.onnx", "weights");
  std::string blob = dir_.file("cache/blobs/" + file.sha256.substr(0, 2) + "/" + file.sha256);
  fs::create_directories(blob + "/in the way");  // where a kill may come between
  auto partial = cache_->OpenPartial("k", true, {}).value();
  ASSERT_TRUE(partial->Append("weights").ok());
  EXPECT_FALSE(assembly->Add(std::move(partial), file).ok());
  struct stat info;
  ASSERT_EQ(stat(dir_.file("cache/partial/k").c_str(), &info), 0);
  EXPECT_NE(info.st_mode & S_IWUSR, 0u);
}

TEST_F(BlobCacheTest, OneAtATimeWritesAPartialFile) {
  auto first = cache_->OpenPartial("k", true, {}).value();
  StoreCall now{.deadline = SystemClock().SteadyNow()};
  EXPECT_EQ(cache_->OpenPartial("k", true, now).status().code(), StatusCode::kDeadlineExceeded);
  std::atomic<bool> cancel{true};
  EXPECT_EQ(cache_->OpenPartial("k", true, {.cancel = &cancel}).status().code(),
            StatusCode::kCancelled);
  // Who waits gets a file of its own after the first was made a blob.
  std::thread waiter([&] {
    auto second = cache_->OpenPartial("k", true, {}).value();
    EXPECT_EQ(second->size(), 0);
  });
  auto assembly = cache_->Begin().value();
  ASSERT_TRUE(first->Append("x").ok());
  ASSERT_TRUE(assembly->Add(std::move(first), FileOf("f", "x")).ok());
  waiter.join();
}

TEST_F(BlobCacheTest, EvictsTheLongestUnusedAndNeverOneInUse) {
  Reopen(/*limit=*/300);
  LocalVersion used = Make(std::string(100, 'a'));
  std::string oldest = Make(std::string(100, 'b')).directory;
  std::string newer = Make(std::string(100, 'c')).directory;
  struct timespec old[2] = {{.tv_sec = 1'000}, {.tv_sec = 1'000}};
  utimensat(AT_FDCWD, (oldest + ".use").c_str(), old, 0);
  utimensat(AT_FDCWD, (used.directory + ".use").c_str(), old, 0);
  ASSERT_TRUE(Reserve(100).ok());
  EXPECT_TRUE(IsDirectory(used.directory));
  EXPECT_FALSE(IsDirectory(oldest));
  EXPECT_TRUE(IsDirectory(newer));
  EXPECT_EQ(cache_->GetUsage().bytes, 200);

  Status full = Reserve(250);
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(std::string(full.message()).find("storage.cache_limit"), std::string::npos);
  EXPECT_TRUE(IsDirectory(used.directory));
  used.lease.reset();
  EXPECT_TRUE(Reserve(250).ok());
  EXPECT_EQ(cache_->GetUsage().versions, 0);
  EXPECT_EQ(Reserve(301).code(), StatusCode::kResourceExhausted);
}

TEST_F(BlobCacheTest, FilesOfAVersionBeingPutTogetherAreNotEvicted) {
  Reopen(/*limit=*/150);
  auto assembly = cache_->Begin().value();
  Download(*assembly, "a", std::string(100, 'a'));
  EXPECT_EQ(Reserve(100).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(assembly->Publish().value().directory + "/a", 1'000).value().size(), 100u);
}

TEST_F(BlobCacheTest, RemembersWhatAnObjectHeld) {
  EXPECT_FALSE(cache_->Lookup("k").has_value());
  ASSERT_TRUE(cache_->Remember("k", {FileOf("a b/c", "x"), FileOf("d", "y")}).ok());
  auto files = cache_->Lookup("k");
  ASSERT_TRUE(files.has_value());
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].path, "a b/c");
  EXPECT_EQ((*files)[1].sha256, Sha256("y"));
  // A torn file is worth nothing.
  std::ofstream(dir_.file("cache/index/k")) << Sha256("x") << "\t1\ta\n";
  EXPECT_FALSE(cache_->Lookup("k").has_value());
}

// A process that is killed in the middle of it, at whatever point.
TEST_F(BlobCacheTest, WhatAKilledProcessLeftIsSweptAndNothingHalfIsPublished) {
  for (int stage = 0; stage < 4; ++stage) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto assembly = cache_->Begin().value();
      auto partial = cache_->OpenPartial(StrCat("stage", stage), true, {}).value();
      static_cast<void>(partial->Append("weights"));
      if (stage >= 1)
        static_cast<void>(assembly->Add(std::move(partial), FileOf("model.onnx", "weights")));
      if (stage >= 2) static_cast<void>(assembly->Take(FileOf("copy", "weights"), nullptr));
      if (stage >= 3) {
        auto version = assembly->Publish();
        _exit(version.ok() ? 0 : 1);
      }
      _exit(0);  // no destructor runs
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    if (stage < 3) {
      EXPECT_EQ(cache_->GetUsage().versions, 0);
    }
  }
  EXPECT_GT(FilesBelow("staging"), 0u);
  Reopen();
  EXPECT_EQ(FilesBelow("staging"), 0u);
  EXPECT_EQ(cache_->GetUsage().versions, 1);
  EXPECT_EQ(cache_->OpenPartial("stage0", true, {}).value()->size(), 7);
  // Nobody holds what a dead process had.
  EXPECT_TRUE(Reserve(1 << 20).ok());
  EXPECT_EQ(cache_->GetUsage().versions, 0);
  EXPECT_EQ(cache_->GetUsage().bytes, 0);
}

TEST_F(BlobCacheTest, ManyAtOnceShareIt) {
  Reopen(/*limit=*/5'000);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      auto other = BlobCache::Open({dir_.file("cache"), 5'000}).value();
      for (int i = 0; i < 30; ++i) {
        // Some are the same in all threads.
        std::string content(500, static_cast<char>('a' + (i + (t % 2)) % 20));
        auto assembly = other->Begin().value();
        if (!assembly->room().Reserve(500, {}, {}).ok()) continue;
        BlobCache::File file = FileOf("f", content);
        if (!assembly->Take(file, nullptr).value()) {
          auto partial = other->OpenPartial(BlobCache::KeyOf(content), false, {}).value();
          if (!partial->Append(content).ok() || !assembly->Add(std::move(partial), file).ok())
            ++wrong;
        }
        Result<LocalVersion> version = assembly->Publish();
        if (!version.ok() || ReadFile(version->directory + "/f", 1'000).value_or("") != content) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_LE(cache_->GetUsage().bytes, 5'000);
}

TEST(BlobCacheOpenTest, SaysWhenThereIsNoPlace) {
  TempDir dir;
  std::ofstream(dir.file("file")) << "x";
  EXPECT_FALSE(BlobCache::Open({dir.file("file") + "/cache", 1}).ok());
}

TEST(DigestTest, SaysWhenThereIsNoMd5) {
  EXPECT_TRUE(Digest::Available(Digest::Kind::kMd5));
  ASSERT_EQ(EVP_set_default_properties(nullptr, "fips=yes"), 1);
  EXPECT_FALSE(Digest::Available(Digest::Kind::kMd5));
  ASSERT_EQ(EVP_set_default_properties(nullptr, ""), 1);
  EXPECT_TRUE(Digest::Available(Digest::Kind::kMd5));
}

TEST(DigestTest, KnowsTheUsualSums) {
  EXPECT_EQ(Sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Digest md5(Digest::Kind::kMd5);
  md5.Add("abc");
  EXPECT_EQ(md5.Hex(), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(Crc32c(0, "123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(Crc32c(0, "1234"), "56789"), 0xe3069283u);
  std::string bytes;
  EXPECT_TRUE(FromBase64("/+8=", bytes));
  EXPECT_EQ(bytes, "\xff\xef");
  EXPECT_FALSE(FromBase64("/+8", bytes));
  EXPECT_EQ(ToBase64("\xff\xef"), "/+8=");
  EXPECT_EQ(ToBase64Url("\xff\xef"), "_-8");
}

}  // namespace
}  // namespace leadsman
