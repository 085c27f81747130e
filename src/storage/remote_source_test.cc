#include "storage/remote_source.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <thread>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "storage/digest.h"
#include "storage/manifest.h"
#include "storage/testing/memory_store.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

std::string Sha256(std::string_view text) {
  Digest digest(Digest::Kind::kSha256);
  digest.Add(text);
  return digest.Hex();
}

class RemoteSourceTest : public testing::Test {
 protected:
  RemoteSourceTest() { Open({}); }

  void Open(Source::Options options) {
    auto store = std::make_unique<MemoryStore>();
    store_ = store.get();
    source_ = std::make_unique<RemoteSource>("mem://bucket/digits", options, std::move(store),
                                             http_, *cache_, storage_);
  }
  void PutVersion(int64_t version, const std::map<std::string, std::string>& files) {
    Manifest manifest{.name = "digits", .version = version, .format = "onnx"};
    manifest.model_file = files.begin()->first;
    for (const auto& [path, content] : files) {
      manifest.files.push_back({path, static_cast<int64_t>(content.size()), Sha256(content)});
      store_->Put(StrCat(version, "/", path), content);
    }
    store_->Put(StrCat(version, "/manifest.json"), ManifestToJson(manifest));
  }
  std::vector<VersionFolder> List() { return source_->List(now_, {}).value(); }
  Result<LocalVersion> Fetch(int64_t version) {
    progress_.done = progress_.total = 0;
    return source_->Fetch(version, progress_, call_);
  }
  static std::string Read(const LocalVersion& local, const std::string& path) {
    return ReadFile(local.directory + "/" + path, 1 << 20).value_or("(none)");
  }

  TempDir dir_;
  StorageOptions storage_{.parallel_downloads = 3};
  StoreHttp http_{{.retries = 2, .retry_delay = 1ms}};
  std::unique_ptr<BlobCache> cache_ = BlobCache::Open({dir_.file("cache"), 1 << 20}).value();
  MemoryStore* store_ = nullptr;
  std::unique_ptr<RemoteSource> source_;
  SteadyTime now_{};
  FetchProgress progress_;
  StoreCall call_;
};

TEST_F(RemoteSourceTest, FetchesWhatTheManifestListsAndNothingElse) {
  PutVersion(1, {{"model.onnx", "weights"}, {"sub/words", "a b c"}});
  store_->Put("1/notes.txt", "not listed");
  store_->Put("readme", "no version");
  auto folders = List();
  ASSERT_EQ(folders.size(), 1u);
  EXPECT_TRUE(folders[0].complete);
  LocalVersion local = Fetch(1).value();
  EXPECT_EQ(Read(local, "model.onnx"), "weights");
  EXPECT_EQ(Read(local, "sub/words"), "a b c");
  EXPECT_EQ(Read(local, "notes.txt"), "(none)");
  EXPECT_EQ(progress_.done.load(), progress_.total.load());
  EXPECT_GT(progress_.total.load(), 12);
}

TEST_F(RemoteSourceTest, WhatIsKnownIsNotReadAgain) {
  PutVersion(1, {{"model.onnx", "weights"}});
  PutVersion(2, {{"model.onnx", "weights"}});
  List();
  LocalVersion one = Fetch(1).value();
  int reads = store_->reads();
  LocalVersion again = Fetch(1).value();
  EXPECT_EQ(store_->reads(), reads);
  EXPECT_EQ(again.directory, one.directory);
  LocalVersion two = Fetch(2).value();    // the same weights under another name
  EXPECT_EQ(store_->reads(), reads + 1);  // its manifest
}

TEST_F(RemoteSourceTest, AVersionWithoutManifestMustRest) {
  Open({.settle_time = 5s});
  store_->Put("1/model.onnx", "wei");
  EXPECT_FALSE(List()[0].complete);
  now_ += 4s;
  store_->Put("1/model.onnx", "weights");
  EXPECT_FALSE(List()[0].complete);
  now_ += 4s;
  EXPECT_FALSE(List()[0].complete);
  now_ += 1s;
  EXPECT_TRUE(List()[0].complete);
  EXPECT_EQ(Read(Fetch(1).value(), "model.onnx"), "weights");

  Open({.require_manifest = true, .settle_time = 0s});
  store_->Put("1/model.onnx", "weights");
  List();
  EXPECT_FALSE(List()[0].complete);
  EXPECT_EQ(List()[0].waiting, "waiting for manifest.json (still being copied?)");
}

TEST_F(RemoteSourceTest, AVersionWithAnObjectThatCannotBeAFileNeverRests) {
  Open({.settle_time = 5s});
  store_->Put("7/model.onnx", "weights");
  store_->Put("7//vocab.txt", "words");
  List();
  now_ += 60s;
  VersionFolder folder = List()[0];
  EXPECT_FALSE(folder.complete);
  EXPECT_EQ(folder.waiting,
            "the object name /vocab.txt cannot be a file's path; rename or remove it");
  store_->Remove("7//vocab.txt");
  List();
  now_ += 60s;
  EXPECT_TRUE(List()[0].complete);
}

TEST_F(RemoteSourceTest, TakesUpWhereItBrokeOff) {
  PutVersion(1, {{"model.onnx", "0123456789abcdef"}});
  List();
  std::vector<int64_t> offsets;
  store_->SpoilReads([&](const RemoteFile& file, int64_t offset, std::string& bytes) -> Status {
    if (file.path != "model.onnx") return OkStatus();
    offsets.push_back(offset);
    if (bytes.size() <= 6) return OkStatus();
    bytes.resize(6);
    return UnavailableError("cut");
  });
  EXPECT_EQ(Read(Fetch(1).value(), "model.onnx"), "0123456789abcdef");
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 6, 12}));
}

TEST_F(RemoteSourceTest, TakesUpWhereAnEarlierFetchBrokeOff) {
  PutVersion(1, {{"model.onnx", "0123456789abcdef"}});
  List();
  store_->SpoilReads([&](const RemoteFile& file, int64_t, std::string& bytes) -> Status {
    if (file.path != "model.onnx") return OkStatus();
    bytes.resize(4);
    return PermissionDeniedError("expired");
  });
  EXPECT_EQ(Fetch(1).status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(cache_->GetUsage().versions, 0);
  std::vector<int64_t> offsets;
  store_->SpoilReads([&](const RemoteFile& file, int64_t offset, std::string&) -> Status {
    if (file.path == "model.onnx") offsets.push_back(offset);
    return OkStatus();
  });
  EXPECT_EQ(Read(Fetch(1).value(), "model.onnx"), "0123456789abcdef");
  EXPECT_EQ(offsets, std::vector<int64_t>{4});
}

TEST_F(RemoteSourceTest, WhatWasChangedOnItsWayIsFetchedOnceMoreThenRefused) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  int bad = 1;
  store_->SpoilReads([&](const RemoteFile& file, int64_t, std::string& bytes) -> Status {
    if (file.path == "model.onnx" && bad-- > 0) bytes[0] ^= 1;
    return OkStatus();
  });
  EXPECT_EQ(Read(Fetch(1).value(), "model.onnx"), "weights");

  PutVersion(2, {{"model.onnx", "other weights"}});
  List();
  bad = 100;
  Status status = Fetch(2).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(std::string(status.message()).find("model.onnx: what came has the sha256"),
            std::string::npos)
      << status;
  bad = 0;
  EXPECT_EQ(Read(Fetch(2).value(), "model.onnx"), "other weights");
}

TEST_F(RemoteSourceTest, MoreThanListedIsRefused) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  store_->SpoilReads([&](const RemoteFile& file, int64_t, std::string& bytes) -> Status {
    if (file.path == "model.onnx") bytes += std::string(1'000, '!');
    return OkStatus();
  });
  EXPECT_EQ(Fetch(1).status().code(), StatusCode::kDataLoss);
}

TEST_F(RemoteSourceTest, GivesUpAfterItsRetriesAndKeepsTheReason) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  store_->SpoilReads([&](const RemoteFile&, int64_t, std::string& bytes) -> Status {
    bytes.clear();
    return UnavailableError("the store answered 503");
  });
  int before = store_->reads();
  Status status = Fetch(1).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(std::string(status.message()).find("answered 503"), std::string::npos);
  EXPECT_EQ(store_->reads(), before + 3);
}

TEST_F(RemoteSourceTest, WaitsAsLongAsTheStoreAsks) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  store_->SpoilReads([&](const RemoteFile&, int64_t, std::string& bytes) -> Status {
    bytes.clear();
    return UnavailableError("the store answered 503 (SlowDown)");
  });
  store_->AskToWait(60s);
  call_.deadline = SystemClock().SteadyNow() + 30s;
  int before = store_->reads();
  Status status = Fetch(1).status();
  EXPECT_NE(status.message().find("SlowDown"), std::string_view::npos) << status;
  EXPECT_EQ(store_->reads(), before + 1) << "there is no time for a second";
}

TEST_F(RemoteSourceTest, AReplacedObjectIsNotMixedWithItsOldSelf) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  store_->Put("1/model.onnx", "WEIGHTS");
  EXPECT_EQ(Fetch(1).status().code(), StatusCode::kAborted);
}

TEST_F(RemoteSourceTest, SaysWhatTheStoreLacks) {
  PutVersion(1, {{"model.onnx", "weights"}, {"words", "abc"}});
  store_->Remove("1/words");
  List();
  Status status = Fetch(1).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(std::string(status.message()).find("words that manifest.json lists is not"),
            std::string::npos);
  store_->Put("1/words", "ab");
  List();
  EXPECT_NE(std::string(Fetch(1).status().message()).find("has 2 bytes in the store"),
            std::string::npos);
  EXPECT_EQ(Fetch(7).status().code(), StatusCode::kNotFound);
}

TEST_F(RemoteSourceTest, NoErrorShowsTheQueryOfItsPath) {
  source_ =
      std::make_unique<RemoteSource>("https://host/digits?sig=hush", Source::Options{},
                                     std::make_unique<MemoryStore>(), http_, *cache_, storage_);
  std::string message(Fetch(7).status().message());
  EXPECT_EQ(message, "version 7 is no longer in https://host/digits");
}

TEST_F(RemoteSourceTest, RespectsTheCachesLimit) {
  cache_ = BlobCache::Open({dir_.file("small"), 4'000}).value();
  Open({});
  PutVersion(1, {{"model.onnx", std::string(5'000, 'x')}});
  List();
  Status status = Fetch(1).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(std::string(status.message()).find("storage.cache_limit"), std::string::npos);
}

TEST_F(RemoteSourceTest, WhatBrokeOffAndIsWantedNoMoreGivesWay) {
  cache_ = BlobCache::Open({dir_.file("small"), 4'000}).value();
  Open({});
  PutVersion(1, {{"model.onnx", std::string(3'000, 'x')}});
  List();
  store_->SpoilReads([&](const RemoteFile& file, int64_t, std::string& bytes) -> Status {
    if (file.key != "1/model.onnx") return OkStatus();
    bytes.resize(2'900);
    return PermissionDeniedError("cut");
  });
  EXPECT_EQ(Fetch(1).status().code(), StatusCode::kPermissionDenied);
  store_->Remove("1/model.onnx");
  store_->Remove("1/manifest.json");
  PutVersion(2, {{"model.onnx", std::string(3'000, 'y')}});
  List();
  Result<LocalVersion> second = Fetch(2);
  EXPECT_TRUE(second.ok()) << second.status();
}

TEST_F(RemoteSourceTest, AFetchUnderWayKeepsItsRoom) {
  cache_ = BlobCache::Open({dir_.file("small"), 6'000}).value();
  Open({});
  PutVersion(1, {{"a", std::string(2'000, 'a')}, {"b", std::string(2'000, 'b')}});
  PutVersion(2, {{"a", std::string(2'000, 'c')}});
  List();
  std::optional<Status> second;
  store_->SpoilReads([&](const RemoteFile& file, int64_t, std::string&) -> Status {
    if (file.key != "1/a") return OkStatus();
    FetchProgress progress;
    second = source_->Fetch(2, progress, {}).status();
    return OkStatus();
  });
  storage_.parallel_downloads = 1;
  Result<LocalVersion> first = Fetch(1);
  EXPECT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(second->code(), StatusCode::kResourceExhausted);
  EXPECT_NE(second->message().find("files on their way here"), std::string_view::npos) << *second;
}

TEST_F(RemoteSourceTest, FilesWithoutASizeKeepToTheLimits) {
  cache_ = BlobCache::Open({dir_.file("small"), 4'000}).value();
  Open({.settle_time = 0s});
  store_->HideSizes();
  store_->Put("1/model.onnx", std::string(5'000, 'x'));
  List();
  List();
  Status status = Fetch(1).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("storage.cache_limit"), std::string_view::npos) << status;
  EXPECT_LE(cache_->GetUsage().bytes, 4'000);

  storage_.max_version_size = 3'000;
  store_->Put("2/a", std::string(1'600, 'x'));
  store_->Put("2/b", std::string(1'600, 'y'));
  List();
  List();
  status = Fetch(2).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("storage.max_version_size"), std::string_view::npos) << status;
  storage_.max_version_size = 3'200;
  Result<LocalVersion> both = Fetch(2);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(Read(*both, "b"), std::string(1'600, 'y'));
}

TEST_F(RemoteSourceTest, WhatAnotherFetchHasBroughtMeanwhileIsTaken) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  std::atomic<int> reads{0};
  std::thread waiting;
  auto both_have_reserved = [&] {
    int locks = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.file("cache/staging")))
      locks += entry.is_regular_file() && entry.file_size() > 0 ? 1 : 0;
    return locks == 2;
  };
  std::atomic<bool> ok{false};
  store_->SpoilReads([&](const RemoteFile& file, int64_t, std::string&) -> Status {
    if (file.path != "model.onnx" || reads++ > 0) return OkStatus();
    waiting = std::thread([&] {
      FetchProgress progress;
      ok = source_->Fetch(1, progress, {}).ok();
    });
    while (!both_have_reserved()) std::this_thread::yield();
    return OkStatus();
  });
  EXPECT_TRUE(Fetch(1).ok());
  waiting.join();
  EXPECT_TRUE(ok.load());
  EXPECT_EQ(reads.load(), 1);
}

TEST_F(RemoteSourceTest, FetchesOneAfterTheOtherWhereThereAreNoThreads) {
  PutVersion(1, {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}});
  List();
  pthread_attr_t usual, too_large;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(pthread_getattr_default_np(&too_large), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&too_large, size_t{1} << 50), 0);
  ASSERT_EQ(pthread_setattr_default_np(&too_large), 0);
  EXPECT_THROW(std::thread([] {}), std::system_error);
  EXPECT_EQ(Read(Fetch(1).value(), "d"), "4");
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
}

TEST_F(RemoteSourceTest, CanBeCalledOffInTheMiddle) {
  PutVersion(1, {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}});
  List();
  std::atomic<bool> cancel{false};
  call_.cancel = &cancel;
  store_->SpoilReads([&](const RemoteFile& file, int64_t, std::string& bytes) -> Status {
    if (file.path == "manifest.json") return OkStatus();
    cancel = true;
    bytes.clear();
    return UnavailableError("cut");
  });
  EXPECT_EQ(Fetch(1).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(cache_->GetUsage().versions, 0);
}

TEST_F(RemoteSourceTest, AListingErrorIsPassedOn) {
  store_->FailListing(UnavailableError("down"));
  EXPECT_EQ(source_->List(now_, {}).status().code(), StatusCode::kUnavailable);
}

TEST_F(RemoteSourceTest, SeveralFetchAtOnce) {
  for (int v = 1; v <= 4; ++v)
    PutVersion(v, {{"model.onnx", StrCat("weights ", v % 2)}, {"words", "the same"}});
  List();
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int v = 1; v <= 4; ++v) {
    threads.emplace_back([&, v] {
      FetchProgress progress;
      auto local = source_->Fetch(v, progress, {});
      right += local.ok() && Read(*local, "model.onnx") == StrCat("weights ", v % 2) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right.load(), 4);
}

TEST_F(RemoteSourceTest, ReadsTheConfigPbtxtBesideTheVersionsWhenItChanges) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  EXPECT_EQ(source_->triton_config(), nullptr);
  const uint64_t without = source_->StampOfVersion(1);

  store_->Put(kTritonConfigName,
              "output { name: 'y' data_type: TYPE_FP32 dims: 2 label_filename: 'labels.txt' }");
  List();
  TritonConfigFound found = source_->triton_config();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->status().message(),
            "config.pbtxt:1:49: output[0].label_filename: labels.txt cannot be read: there is no "
            "labels.txt beside the versions in mem://bucket/digits");
  EXPECT_NE(source_->StampOfVersion(1), without);

  store_->Put("labels.txt", "cat\ndog\n");
  List();
  found = source_->triton_config();
  ASSERT_TRUE(found && found->ok()) << found->status();
  EXPECT_EQ(found->value().outputs[0].labels, (std::vector<std::string>{"cat", "dog"}));
  const int reads = store_->reads();
  List();
  EXPECT_EQ(store_->reads(), reads) << "nothing has changed";
  EXPECT_EQ(source_->triton_config(), found);

  store_->Remove(kTritonConfigName);
  List();
  EXPECT_EQ(source_->triton_config(), nullptr);
}

TEST_F(RemoteSourceTest, AConfigPbtxtThatCannotBeReadIsReadAgain) {
  PutVersion(1, {{"model.onnx", "weights"}});
  store_->Put(kTritonConfigName, "max_batch_size: 8");
  store_->SpoilReads([](const RemoteFile&, int64_t, std::string& bytes) {
    bytes.clear();
    return UnavailableError("answered 503");
  });
  EXPECT_EQ(List().size(), 1u) << "its versions are known all the same";
  EXPECT_EQ(source_->triton_config()->status().code(), StatusCode::kUnavailable);
  store_->SpoilReads(nullptr);
  List();
  EXPECT_EQ(source_->triton_config()->value().max_batch_size, 8);
}

/// A process that starts anew while its store is away, with the cache of those before it.
class RecallTest : public RemoteSourceTest {
 protected:
  void Restart(Source::Options options = {}) {
    Open(options);
    store_->FailListing(UnavailableError("cannot reach the store"));
  }
  std::string Recalled() {
    Result<RecalledVersions> recalled = source_->Recall({});
    if (!recalled.ok()) return recalled.status().ToString();
    std::string text;
    for (const VersionFolder& folder : recalled->folders)
      text +=
          StrCat(folder.version, folder.complete ? "" : StrCat(" (", folder.waiting, ")"), "; ");
    return text;
  }
  /// Where the cache keeps the bytes.
  std::string Blob(const std::string& content) {
    std::string sum = Sha256(content);
    return dir_.file("cache/blobs/" + sum.substr(0, 2) + "/" + sum);
  }
  std::vector<std::string> Records() { return ListDirectory(dir_.file("cache/records")).value(); }
  void Damage(const std::string& path) {
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    std::string content = ReadFile(path, 1 << 20).value();
    content[content.size() / 2] ^= 1;
    std::ofstream(path, std::ios::binary) << content;
  }
};

TEST_F(RecallTest, WhatWasFetchedAndStillListedIsHereWithoutTheStore) {
  PutVersion(1, {{"model.onnx", "one"}});
  PutVersion(2, {{"model.onnx", "two"}, {"sub/words", "a b"}});
  PutVersion(3, {{"model.onnx", "three"}});
  List();
  static_cast<void>(Fetch(1).value());
  static_cast<void>(Fetch(2).value());
  store_->Remove("1/model.onnx");
  store_->Remove("1/manifest.json");
  VersionFolder before = List()[0];

  Restart();
  EXPECT_EQ(Recalled(), "2; ") << "1 was withdrawn, 3 never fetched";
  VersionFolder recalled = source_->Recall({})->folders[0];
  EXPECT_EQ(recalled.manifest, before.manifest);
  const uint64_t stamp = source_->StampOfVersion(2);
  LocalVersion local = Fetch(2).value();
  EXPECT_EQ(store_->reads(), 0);
  EXPECT_EQ(Read(local, "model.onnx"), "two");
  EXPECT_EQ(Read(local, "sub/words"), "a b");
  EXPECT_EQ(progress_.done.load(), progress_.total.load());

  store_->FailListing(OkStatus());
  EXPECT_TRUE(List().empty()) << "the store's word counts again";
  EXPECT_EQ(Fetch(2).status().code(), StatusCode::kNotFound);
  EXPECT_NE(stamp, 0u);
}

TEST_F(RecallTest, NothingIsKnownOfAnotherPathOrOfANewCache) {
  Restart();
  EXPECT_TRUE(Recalled().starts_with("NOT_FOUND: ")) << Recalled();
}

TEST_F(RecallTest, AVersionWithAMissingFileIsNotComplete) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  static_cast<void>(Fetch(1).value());
  std::filesystem::remove(Blob("weights"));
  Restart();
  EXPECT_EQ(Recalled(), "1 (not whole in the cache: model.onnx is missing); ");
}

TEST_F(RecallTest, AVersionThatWasEvictedIsNotWorthAWord) {
  PutVersion(1, {{"model.onnx", "shared weights"}, {"words", "a"}});
  PutVersion(2, {{"model.onnx", "shared weights"}, {"words", "b"}});
  List();
  static_cast<void>(Fetch(1).value());
  static_cast<void>(Fetch(2).value());
  std::filesystem::remove(Blob(store_->Content("1/manifest.json")));
  std::filesystem::remove(Blob("a"));
  Restart();
  EXPECT_EQ(Recalled(), "2; ");
}

TEST_F(RecallTest, ADamagedFileIsNotServed) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  static_cast<void>(Fetch(1).value());
  Damage(Blob("weights"));
  Restart();
  EXPECT_EQ(Recalled(), "1; ") << "its size is right";
  Status status = Fetch(1).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(
      status.message(),
      "fetch from mem://bucket/digits: model.onnx: it is missing or damaged in the cache, and "
      "the store cannot be reached: it is fetched once that answers");
}

TEST_F(RecallTest, ADamagedRecordSaysSo) {
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  ASSERT_EQ(Records().size(), 1u);
  std::string listing = Records()[0];
  static_cast<void>(Fetch(1).value());
  ASSERT_EQ(Records().size(), 2u);
  std::string files = Records()[0] == listing ? Records()[1] : Records()[0];
  Damage(dir_.file("cache/records/" + files));
  Restart();
  EXPECT_EQ(Recalled(), StrCat("1 (not served from the cache: the cache's record ",
                               dir_.file("cache/records/" + files), " is damaged); "));
  Damage(dir_.file("cache/records/" + listing));
  EXPECT_EQ(Recalled(), StrCat("DATA_LOSS: the cache's record ",
                               dir_.file("cache/records/" + listing), " is damaged"));

  store_->FailListing(OkStatus());
  PutVersion(1, {{"model.onnx", "weights"}});
  List();
  static_cast<void>(Fetch(1).value());
  Restart();
  EXPECT_EQ(Recalled(), "1; ") << "the next look and fetch have mended them";
}

TEST_F(RecallTest, AVersionWithoutManifestNeedNotRestAgain) {
  Open({.settle_time = 5s});
  store_->Put("1/model.onnx", "weights");
  List();
  now_ += 5s;
  ASSERT_TRUE(List()[0].complete);
  static_cast<void>(Fetch(1).value());

  Open({.settle_time = 5s});
  store_->Put("1/model.onnx", "weights");
  ASSERT_FALSE(List()[0].complete) << "this process has not seen it rest";
  Restart({.settle_time = 5s});
  EXPECT_EQ(Recalled(), "1; ");
  Restart({.require_manifest = true});
  EXPECT_EQ(Recalled(), "1 (without manifest.json, and require_manifest is set); ");
}

TEST_F(RecallTest, TheConfigPbtxtAndWhatItNamesAreRemembered) {
  auto put = [this] {
    PutVersion(1, {{"model.onnx", "weights"}});
    store_->Put("labels.txt", "cat\ndog\n");
    store_->Put(kTritonConfigName,
                "output { name: 'y' data_type: TYPE_FP32 dims: 2 label_filename: 'labels.txt' }");
  };
  put();
  List();
  static_cast<void>(Fetch(1).value());
  Restart();
  ASSERT_EQ(Recalled(), "1; ");
  TritonConfigFound found = source_->triton_config();
  ASSERT_TRUE(found && found->ok()) << found->status();
  EXPECT_EQ(found->value().outputs[0].labels, (std::vector<std::string>{"cat", "dog"}));

  store_->FailListing(OkStatus());
  put();
  List();
  EXPECT_EQ(source_->triton_config(), found) << "the store has what was remembered";
  EXPECT_EQ(store_->reads(), 0);
}

TEST_F(RecallTest, AGivenConfigurationKeepsNoVersionOutOfTheRecord) {
  PutVersion(1, {{"model.onnx", "weights"}});
  store_->Put(kTritonConfigName, "max_batch_size: 4");
  List();
  static_cast<void>(Fetch(1).value());
  Open({.triton_json = R"({"max_batch_size": 8})"});
  PutVersion(1, {{"model.onnx", "weights"}});
  PutVersion(2, {{"model.onnx", "others"}});
  store_->Put(kTritonConfigName, "max_batch_size: 4");
  List();
  static_cast<void>(Fetch(2).value());
  Restart();
  ASSERT_EQ(Recalled(), "1; 2; ");
  TritonConfigFound found = source_->triton_config();
  ASSERT_TRUE(found && found->ok()) << found->status();
  EXPECT_EQ(found->value().max_batch_size, 4);
}

TEST_F(RemoteSourceTest, WhatSomebodyVouchesForNeedNotRest) {
  Open({.settle_time = 5s});
  store_->Put("1/model.onnx", "weights");
  EXPECT_FALSE(List()[0].complete);
  source_->Vouch();
  EXPECT_TRUE(List()[0].complete);
  EXPECT_TRUE(List()[0].complete);
}

}  // namespace
}  // namespace leadsman
