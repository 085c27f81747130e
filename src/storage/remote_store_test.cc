#include "storage/remote_store.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "storage/gcs_store.h"
#include "storage/http_store.h"
#include "storage/s3_store.h"
#include "storage/testing/store_server.h"
#include "storage/webhdfs_store.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

std::string NoEnvironment(const char*) { return ""; }

struct Waits final : ReadSink {
  Status Restart() override { return OkStatus(); }
  Status Append(std::string_view) override { return OkStatus(); }
  void AskedToWait(Duration at_least) override { asked = at_least; }
  Duration asked{};
};

TEST(RemoteStoreTest, EveryStoreSaysHowLongItsServerAsksToWait) {
  StoreServer server([](const net::HttpRequest&, net::HttpResponse& response) {
    response.status = 503;
    response.headers = "Retry-After: 7\r\n";
  });
  std::string host = server.host();
  std::string url = StrCat("http://", host);
  StoreHttp http({.retries = 0});
  StorageOptions options;
  options.s3 = {.endpoint = url, .anonymous = true};
  options.gcs = {.endpoint = url, .anonymous = true};
  auto uri = [](const std::string& text) { return ParseStoreUri(text).value(); };
  std::vector<std::unique_ptr<RemoteStore>> stores;
  stores.push_back(std::make_unique<HttpStore>(uri(url), options.http, NoEnvironment, http));
  stores.push_back(std::make_unique<S3Store>(uri("s3://b/m"), options.s3, NoEnvironment, http));
  stores.push_back(std::make_unique<GcsStore>(uri("gs://b/m"), options.gcs, NoEnvironment, http));
  stores.push_back(
      WebHdfsStore::Create(uri(StrCat("webhdfs://", host, "/m")), options.hdfs, NoEnvironment, http)
          .value());
  for (const auto& store : stores) {
    Waits sink;
    RemoteFile file{.path = "model.onnx", .key = "m/1/model.onnx", .size = 7};
    EXPECT_EQ(store->Read(file, 0, sink, {}).code(), StatusCode::kUnavailable);
    EXPECT_EQ(sink.asked, Duration(7s));
  }
}

}  // namespace
}  // namespace leadsman
