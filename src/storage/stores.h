#pragma once

#include <memory>
#include <string>

#include "base/mutex.h"
#include "storage/blob_cache.h"
#include "storage/source.h"
#include "storage/store_http.h"
#include "storage/store_options.h"

namespace leadsman {

/// Opens sources by the scheme of a model's path and holds what they share: HTTP, the cache, the
/// settings. Must outlive the sources. Thread-safe.
class Stores {
 public:
  Stores(StorageOptions options, Environment environment);
  ~Stores();

  /// Never fails: what is wrong with the path or its store (a setting that is missing, a cache
  /// folder that cannot be made) its List() says, and tries again at the next call.
  std::shared_ptr<Source> Open(const std::string& path, Source::Options options);

  const StorageOptions& options() const { return options_; }

 private:
  class LateSource;
  Result<std::shared_ptr<Source>> OpenNow(const std::string& path, Source::Options options,
                                          const StoreCall& call);
  Result<BlobCache*> Cache(const StoreCall& call);

  const StorageOptions options_;
  const Environment environment_;
  StoreHttp http_;
  Mutex mutex_;
  std::unique_ptr<BlobCache> cache_ GUARDED_BY(mutex_);
};

/// What is wrong with a model's path, or "". Looks at nothing but the text.
std::string CheckModelPath(const std::string& path);

}  // namespace leadsman
