#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace leadsman {

/// Where a model's versions are, taken apart:
///   /models/digits, file:///models/digits          a file system: local, PVC, NFS, GlusterFS
///   s3://bucket/prefix      gs://bucket/prefix
///   hdfs://namenode/path    webhdfs://host:port/path    swebhdfs://host:port/path
///   http://host/base        https://host/digits-3.tar.gz
///   models:/name   models:/name/3   models:/name@champion
struct StoreUri {
  enum class Kind { kFile, kS3, kGcs, kHdfs, kHttp, kMlflow };
  Kind kind = Kind::kFile;
  std::string scheme;     ///< as written, in small letters; empty for a plain path
  std::string authority;  ///< bucket, or host and port
  std::string path;       ///< without slash at either end, percent escapes left as they are
  std::string query;      ///< of http(s), with its "?"; may hold a signature: never shown
  std::string model;      ///< kMlflow
  int64_t version = 0;    ///< kMlflow: of "models:/name/3"; 0 = all
  std::string alias;      ///< kMlflow
};

/// INVALID_ARGUMENT says what is wrong and how it should look. User and password in a URI are
/// refused.
Result<StoreUri> ParseStoreUri(std::string_view text);

/// True for what FileSource can list.
bool IsFilePath(std::string_view text);

/// The part of a URL that may be logged: without user, query and fragment.
std::string RedactUrl(std::string_view url);

/// The number of a version's folder ("7", "0007"); 0 when `name` is not one.
int64_t VersionNumber(std::string_view name);

}  // namespace leadsman
