#include "storage/remote_store.h"

#include <algorithm>
#include <utility>

#include "base/rng.h"
#include "base/strings.h"
#include "storage/manifest.h"
#include "storage/store_uri.h"

namespace leadsman {
namespace {

/// First byte of "bytes 100-199/200"; -1 when it cannot be read.
int64_t BeginOfRange(std::string_view text) {
  if (!text.starts_with("bytes ")) return -1;
  text.remove_prefix(6);
  size_t dash = text.find('-');
  if (dash == std::string_view::npos) return -1;
  return ParseInt64(text.substr(0, dash)).value_or(-1);
}

}  // namespace

bool IsInsidePath(std::string_view path) {
  bool odd = std::any_of(path.begin(), path.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\';
  });
  if (path.empty() || path.size() > 1024 || odd) return false;
  auto parts = Split(path, '/');
  return std::none_of(parts.begin(), parts.end(), [](std::string_view part) {
    return part.empty() || part == "." || part == ".." || part.size() > 255;
  });
}

Status VersionCollector::Add(std::string_view path, RemoteFile file) {
  if (++files_ > kMaxFiles) {
    return ResourceExhaustedError(
        StrCat("there are more than ", kMaxFiles, " objects below the model's path"));
  }
  size_t slash = path.find('/');
  if (slash == std::string_view::npos) {
    if (beside_.size() < kMaxBeside && IsInsidePath(path)) {
      file.path = std::string(path);
      beside_.push_back(std::move(file));
    }
    return OkStatus();
  }
  int64_t number = VersionNumber(path.substr(0, slash));
  if (number == 0) return OkStatus();
  std::string key(path.substr(0, slash));
  std::string_view inside = path.substr(slash + 1);
  if (inside.empty() || inside.ends_with('/')) return OkStatus();  // a folder's marker
  RemoteVersion& version = versions_[number];
  // "7" counts before "007".
  if (version.key.empty() || key.size() < version.key.size()) {
    version = {.version = number, .key = key};
  } else if (key != version.key) {
    return OkStatus();
  }
  if (!IsInsidePath(inside)) {
    version.refused = true;
    version.waiting = StrCat("the object name ", inside.substr(0, 200),
                             " cannot be a file's path; rename or remove it");
    return OkStatus();
  }
  file.path = std::string(inside);
  version.files.push_back(std::move(file));
  return OkStatus();
}

RemoteListing VersionCollector::Finish() {
  std::vector<RemoteVersion> all;
  for (auto& [number, version] : versions_) {
    uint64_t sum = 1;
    bool manifest = false;
    for (const RemoteFile& file : version.files) {
      manifest = manifest || file.path == kManifestFileName;
      uint64_t one = std::hash<std::string>()(StrCat(file.path, "\n", file.revision));
      sum += Rng::Mix(one ^ static_cast<uint64_t>(file.size));
    }
    version.stamp = std::to_string(sum);
    version.complete = manifest && !version.refused;
    if (!version.complete && !version.refused)
      version.waiting = StrCat("waiting for ", kManifestFileName, " (still being copied?)");
    all.push_back(std::move(version));
  }
  versions_.clear();
  return {.versions = std::move(all), .beside = std::exchange(beside_, {})};
}

Result<RemoteListing> ListingOf(std::vector<RemoteFile> files) {
  VersionCollector versions;
  for (RemoteFile& file : files) {
    std::string path = file.path;  // Add() gives the file another
    RETURN_IF_ERROR(versions.Add(path, std::move(file)));
  }
  return versions.Finish();
}

Result<std::string> ReadWhole(RemoteStore& store, const RemoteFile& file, size_t max_bytes,
                              const StoreCall& call) {
  struct Text final : ReadSink {
    std::string text;
    size_t max = 0;
    Status Restart() override {
      text.clear();
      return OkStatus();
    }
    Status Append(std::string_view bytes) override {
      if (text.size() + bytes.size() > max)
        return ResourceExhaustedError(StrCat("it is larger than ", max, " bytes"));
      text += bytes;
      return OkStatus();
    }
  } sink;
  sink.max = max_bytes;
  RETURN_IF_ERROR(store.Read(file, 0, sink, call));
  return std::move(sink.text);
}

Status ReadByRange(StoreHttp& http, StoreRequest request, int64_t offset, int64_t size,
                   ReadSink& sink, const StoreCall& call,
                   const std::function<Status(const StoreAnswer&)>& refuse,
                   const std::function<void(const StoreAnswer&)>& on_head) {
  if (size >= 0 && offset >= size && offset > 0) return OkStatus();
  if (offset > 0) request.headers.emplace_back("Range", StrCat("bytes=", offset, "-"));
  auto head = [&](const StoreAnswer& answer) -> Status {
    if (on_head) on_head(answer);
    if (answer.status == 206 && BeginOfRange(answer.Header("content-range")) != offset) {
      return UnavailableError(StrCat(RedactUrl(request.url), " sends another part than asked for"));
    }
    return answer.status != 206 && offset > 0 ? sink.Restart() : OkStatus();
  };
  ASSIGN_OR_RETURN(
      StoreAnswer answer,
      http.Stream(
          request, head, [&](std::string_view bytes) { return sink.Append(bytes); }, call));
  if (answer.ok()) return OkStatus();
  if (answer.status == 416 && size < 0) return OkStatus();
  sink.AskedToWait(RetryAfter(answer, SystemClock().Now()));
  return refuse(answer);
}

}  // namespace leadsman
