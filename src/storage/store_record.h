#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/blob_cache.h"

namespace leadsman {

// What is kept beside the cache's files so that a start without the store knows what they are.

/// What the last look at a model's store that worked has found.
struct ListingRecord {
  struct Version {
    int64_t version = 0;
    std::string stamp;  ///< as RemoteVersion's, but without anything secret
    friend bool operator==(const Version&, const Version&) = default;
  };
  /// The config.pbtxt beside the versions, and each file that it names.
  struct Beside {
    std::string path, revision;
    int64_t size = 0;
    std::string content;
    friend bool operator==(const Beside&, const Beside&) = default;
  };
  std::vector<Version> versions;  ///< ascending; the complete ones
  std::vector<Beside> beside;
  friend bool operator==(const ListingRecord&, const ListingRecord&) = default;
};
std::string ToJson(const ListingRecord& record);
/// DATA_LOSS where it is not what ToJson() makes.
Result<ListingRecord> ParseListingRecord(std::string_view json);

/// Which files a version was made of when it was fetched.
std::string ToJson(const std::vector<BlobCache::File>& files);
Result<std::vector<BlobCache::File>> ParseFilesRecord(std::string_view json);

}  // namespace leadsman
