#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "storage/remote_store.h"
#include "storage/store_options.h"
#include "storage/store_uri.h"

namespace leadsman {

/// `versions.json` of a model on a web server:
///   {"versions": [1, {"version": 2, "manifest": "v2/manifest.json"},
///                 {"version": 3, "archive": "digits-3.tar.gz", "sha256": "…"}]}
/// A bare number N is short for {"version": N, "manifest": "N/manifest.json"}. Paths are relative to
/// the index. INVALID_ARGUMENT names the field; unknown fields are errors.
struct HttpIndexEntry {
  int64_t version = 0;
  std::string manifest, archive, sha256;
};
Result<std::vector<HttpIndexEntry>> ParseHttpIndex(std::string_view json);

/// The version of an archive by its name: "digits-3.tar.gz", "3.zip" → 3; 1 without a number.
int64_t VersionOfArchive(std::string_view name);

/// http(s)://host/base with a versions.json, or http(s)://host/…/digits-3.tar.gz. `http` and
/// `options` must outlive it.
class HttpStore final : public RemoteStore {
 public:
  HttpStore(const StoreUri& uri, const StorageOptions::Http& options, Environment environment,
            StoreHttp& http);

  Result<RemoteListing> List(const StoreCall& call) override;
  Result<std::vector<RemoteFile>> Files(const RemoteVersion& version,
                                        const StoreCall& call) override;
  Status Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
              const StoreCall& call) override;

 private:
  Result<StoreRequest> Request(const std::string& path) const;
  Status Refusal(const StoreAnswer& answer, const std::string& url) const;
  /// The answer to a GET, without its body.
  Result<StoreAnswer> HeadOfGet(StoreRequest request, const StoreCall& call);
  /// Size and revision by HEAD, as far as the server tells.
  Status LookAt(RemoteFile& file, const StoreCall& call);

  const std::string base_;     ///< scheme, host and folder, without slash at its end
  const std::string query_;    ///< of an archive's URL
  const std::string archive_;  ///< the name, when the URI is that of an archive
  const StorageOptions::Http& options_;
  const Environment environment_;
  StoreHttp& http_;
};

}  // namespace leadsman
