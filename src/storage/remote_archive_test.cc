// Archives on a web server, fetched and unpacked.
#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "base/fs.h"
#include "base/testing/temp_dir.h"
#include "storage/http_store.h"
#include "storage/remote_source.h"
#include "storage/testing/pack_archive.h"
#include "storage/testing/store_server.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

std::string NoEnvironment(const char*) { return ""; }

/// What gzip cannot make smaller.
std::string Noise(size_t bytes) {
  std::mt19937 random(7);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

class RemoteArchiveTest : public testing::Test {
 protected:
  void Serve(const std::vector<ArchiveEntry>& entries) {
    PackArchive(dir_.file("a.tar.gz"), entries);
    archive_ = ReadFile(dir_.file("a.tar.gz"), 64 << 20).value();
  }
  Result<LocalVersion> Fetch(int64_t cache_limit) {
    if (!cache_) cache_ = BlobCache::Open({dir_.file("cache"), cache_limit}).value();
    std::unique_ptr<RemoteSource> source = NewSource();
    RETURN_IF_ERROR(source->List({}, {}).status());
    FetchProgress progress;
    return source->Fetch(3, progress, {});
  }
  std::unique_ptr<RemoteSource> NewSource() {
    std::string path = StrCat("http://", server_.host(), "/digits-3.tar.gz?sig=hush");
    return std::make_unique<RemoteSource>(
        path, Source::Options(),
        std::make_unique<HttpStore>(ParseStoreUri(path).value(), storage_.http, NoEnvironment,
                                    http_),
        http_, *cache_, storage_);
  }
  void Answer(const net::HttpRequest& request, net::HttpResponse& response) {
    std::string_view range = request.Header("Range");
    if (request.method == "HEAD" || (refuse_from_ && range != "bytes=0-0" && !range.empty())) {
      response.status = 403;
      return;
    }
    response.headers = "ETag: \"1\"\r\n";
    size_t from = 0, to = archive_.size();
    if (!range.empty()) {
      response.status = 206;
      from = static_cast<size_t>(
          ParseInt64(range.substr(6, range.find('-') - 6)).value_or(0));  // "bytes=7-"
      if (range == "bytes=0-0") to = 1;
      response.headers +=
          StrCat("Content-Range: bytes ", from, "-", to - 1, "/", archive_.size(), "\r\n");
    } else if (refuse_from_) {
      to = refuse_from_;
    }
    response.body = archive_.substr(from, to - from);
  }

  TempDir dir_;
  std::string archive_;
  size_t refuse_from_ = 0;  ///< what comes behind is not sent
  StorageOptions storage_;
  StoreHttp http_{{.retries = 1, .retry_delay = 1ms}};
  std::unique_ptr<BlobCache> cache_;
  StoreServer server_{[this](const net::HttpRequest& request, net::HttpResponse& response) {
    Answer(request, response);
  }};
};

TEST_F(RemoteArchiveTest, IsUnpackedIntoAVersion) {
  Serve({{"digits/model.onnx", "weights"}, {"digits/words", "a b c"}});
  Result<LocalVersion> local = Fetch(1 << 20);
  ASSERT_TRUE(local.ok()) << local.status();
  EXPECT_EQ(ReadFile(local->directory + "/words", 100).value(), "a b c");
}

TEST_F(RemoteArchiveTest, IsHereUnpackedWithoutItsServer) {
  Serve({{"digits/model.onnx", "weights"}, {"digits/words", "a b c"}});
  ASSERT_TRUE(Fetch(1 << 20).ok());
  const size_t asked = server_.asked().size();
  std::unique_ptr<RemoteSource> source = NewSource();
  ASSERT_EQ(source->Recall({})->folders.size(), 1u);
  FetchProgress progress;
  Result<LocalVersion> local = source->Fetch(3, progress, {});
  ASSERT_TRUE(local.ok()) << local.status();
  EXPECT_EQ(ReadFile(local->directory + "/words", 100).value(), "a b c");
  EXPECT_EQ(server_.asked().size(), asked);
  const std::string records = dir_.file("cache/records");
  const std::vector<std::string> names = ListDirectory(records).value();
  EXPECT_EQ(names.size(), 2u);
  for (const std::string& name : names) {
    std::string record = ReadFile(JoinPath(records, name), 1 << 20).value();
    EXPECT_EQ(record.find("hush"), std::string::npos) << record;
  }
}

TEST_F(RemoteArchiveTest, WhatItHoldsKeepsToTheCachesLimit) {
  Serve({{"model.onnx", std::string(3 << 20, '0')}});
  Status status = Fetch(1 << 20).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("storage.cache_limit"), std::string_view::npos) << status;
  EXPECT_LE(cache_->GetUsage().bytes, 1 << 20);
}

TEST_F(RemoteArchiveTest, WhatIsHereOfItCountsOnce) {
  Serve({{"model.onnx", Noise(400'000)}});
  refuse_from_ = 300'000;
  EXPECT_EQ(Fetch(1'000'000).status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(cache_->GetUsage().bytes, 300'000);
  refuse_from_ = 0;
  Result<LocalVersion> local = Fetch(1'000'000);
  EXPECT_TRUE(local.ok()) << local.status();
  EXPECT_EQ(cache_->GetUsage().bytes, 400'000);
}

TEST_F(RemoteArchiveTest, ALargerOneThanAVersionMayBeIsNotFetched) {
  Serve({{"model.onnx", Noise(5'000)}});
  storage_.max_version_size = 5'000;
  Status status = Fetch(1 << 20).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("storage.max_version_size"), std::string_view::npos) << status;
  EXPECT_EQ(cache_->GetUsage().bytes, 0);
}

}  // namespace
}  // namespace leadsman
