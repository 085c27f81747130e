#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "storage/remote_store.h"
#include "storage/store_options.h"
#include "storage/store_uri.h"

namespace leadsman {

/// What LISTSTATUS says of one name.
struct HdfsEntry {
  std::string name;  ///< empty: the path itself, which is a file
  bool folder = false;
  int64_t size = 0;
  int64_t modified_ms = 0;
  int64_t id = 0;
};
Result<std::vector<HdfsEntry>> ParseListStatus(std::string_view json);

/// Exception and message of an HDFS error answer; empty texts when it is none.
struct HdfsError {
  std::string exception, message;
};
HdfsError ParseHdfsError(std::string_view json);

/// hdfs://, webhdfs:// and swebhdfs:// over WebHDFS: LISTSTATUS, and OPEN, which leads to a DataNode.
/// Of several endpoints the one that is active answers. User by name or delegation token; Kerberos
/// is not supported. `http` and `options` must outlive it.
class WebHdfsStore final : public RemoteStore {
 public:
  static Result<std::unique_ptr<WebHdfsStore>> Create(const StoreUri& uri,
                                                      const StorageOptions::Hdfs& options,
                                                      const Environment& environment,
                                                      StoreHttp& http);

  std::string address() const override { return Join(endpoints_, " "); }
  Result<RemoteListing> List(const StoreCall& call) override;
  Status Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
              const StoreCall& call) override;

 private:
  WebHdfsStore(const StoreUri& uri, const StorageOptions::Hdfs& options, std::string user,
               std::vector<std::string> endpoints, StoreHttp& http);
  Result<StoreRequest> Request(const std::string& path, std::string_view op) const;
  Result<StoreAnswer> Ask(const std::string& path, std::string_view op, const StoreCall& call);
  Result<std::vector<HdfsEntry>> ListFolder(const std::string& path, const StoreCall& call);
  Status Collect(const std::string& relative, int depth, VersionCollector& versions,
                 const StoreCall& call);
  Status Refusal(const StoreAnswer& answer, const std::string& path) const;
  void TurnToNext() { active_ = (active_ + 1) % endpoints_.size(); }

  const std::string root_;
  const StorageOptions::Hdfs& options_;
  const std::string user_;
  const std::vector<std::string> endpoints_;
  std::atomic<size_t> active_{0};  ///< of the endpoints: the one that answered last
  StoreHttp& http_;
};

}  // namespace leadsman
