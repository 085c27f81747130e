#include "storage/store_record.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "storage/digest.h"
#include "storage/remote_store.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;

Status Damaged() { return DataLossError("it is not what this version of leadsman writes"); }

bool Read(const Json& json, const char* key, std::string& value) {
  auto it = json.find(key);
  if (it == json.end() || !it->is_string()) return false;
  value = it->get<std::string>();
  return true;
}
/// Names need not be UTF-8, texts of JSON have to be.
bool ReadName(const Json& json, const char* key, std::string& value) {
  std::string encoded;
  if (!Read(json, key, encoded)) return false;
  std::optional<std::string> name = UrlDecode(encoded);
  if (name) value = std::move(*name);
  return name.has_value();
}
bool Read(const Json& json, const char* key, int64_t& value) {
  auto it = json.find(key);
  if (it == json.end() || !it->is_number_integer()) return false;
  value = it->get<int64_t>();
  return true;
}

/// Null where it is no array of objects.
const Json* Objects(const Json& json, const char* key) {
  if (!json.is_object()) return nullptr;
  auto it = json.find(key);
  bool good =
      it != json.end() && it->is_array() &&
      std::all_of(it->begin(), it->end(), [](const Json& item) { return item.is_object(); });
  return good ? &*it : nullptr;
}

Json Parse(std::string_view text) {
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

}  // namespace

std::string ToJson(const ListingRecord& record) {
  Json versions = Json::array(), beside = Json::array();
  for (const ListingRecord::Version& version : record.versions)
    versions.push_back({{"version", version.version}, {"stamp", version.stamp}});
  for (const ListingRecord::Beside& file : record.beside) {
    beside.push_back({{"path", UrlEncode(file.path)},
                      {"revision", UrlEncode(file.revision)},
                      {"size", file.size},
                      {"content", ToBase64(file.content)}});
  }
  return Json({{"versions", versions}, {"beside", beside}}).dump(1);
}

Result<ListingRecord> ParseListingRecord(std::string_view text) {
  const Json json = Parse(text);
  const Json* versions = Objects(json, "versions");
  const Json* beside = Objects(json, "beside");
  if (versions == nullptr || beside == nullptr) return Damaged();
  ListingRecord record;
  for (const Json& item : *versions) {
    ListingRecord::Version version;
    if (!Read(item, "version", version.version) || !Read(item, "stamp", version.stamp))
      return Damaged();
    bool ascends = record.versions.empty() || record.versions.back().version < version.version;
    if (version.version < 0 || !ascends) return Damaged();
    record.versions.push_back(std::move(version));
  }
  for (const Json& item : *beside) {
    ListingRecord::Beside file;
    std::string content;
    bool read = ReadName(item, "path", file.path) && ReadName(item, "revision", file.revision) &&
                Read(item, "size", file.size) && Read(item, "content", content);
    if (!read || !FromBase64(content, file.content)) return Damaged();
    record.beside.push_back(std::move(file));
  }
  return record;
}

std::string ToJson(const std::vector<BlobCache::File>& files) {
  Json list = Json::array();
  for (const BlobCache::File& file : files)
    list.push_back({{"path", UrlEncode(file.path)}, {"sha256", file.sha256}, {"size", file.size}});
  return Json({{"files", list}}).dump(1);
}

Result<std::vector<BlobCache::File>> ParseFilesRecord(std::string_view text) {
  const Json json = Parse(text);
  const Json* list = Objects(json, "files");
  if (list == nullptr || list->empty()) return Damaged();
  std::vector<BlobCache::File> files;
  std::set<std::string> paths;
  for (const Json& item : *list) {
    BlobCache::File file;
    bool read = ReadName(item, "path", file.path) && Read(item, "sha256", file.sha256) &&
                Read(item, "size", file.size);
    if (!read || file.size < 0 || !IsSha256(file.sha256) || !IsInsidePath(file.path) ||
        !paths.insert(file.path).second) {
      return Damaged();
    }
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace leadsman
