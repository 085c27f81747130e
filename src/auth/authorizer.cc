#include "auth/authorizer.h"

#include <openssl/crypto.h>
#include <sys/stat.h>

#include <atomic>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "auth/token_file.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/snapshot.h"
#include "base/strings.h"
#include "base/watched_files.h"

namespace leadsman {
namespace {

using auth::Digest;
using auth::Grant;

constexpr size_t kMaxFile = 4 << 20;
constexpr size_t kLongestField = 8192;

struct FirstBytes {
  size_t operator()(const Digest& digest) const {
    size_t value;
    std::memcpy(&value, digest.data(), sizeof(value));
    return value;
  }
};
/// How far two hashes agree must not show in the time it takes.
struct SameDigest {
  bool operator()(const Digest& a, const Digest& b) const {
    return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
  }
};
using Table = std::unordered_map<Digest, Grant, FirstBytes, SameDigest>;

/// Counted by many threads at once: each on a cache line that few share.
class StripedCounter {
 public:
  void Add() {
    static std::atomic<size_t> next{0};
    thread_local const size_t stripe = next.fetch_add(1) % kStripes;
    stripes_[stripe].value.fetch_add(1, std::memory_order_relaxed);  // a statistic orders nothing
  }
  uint64_t value() const {
    uint64_t sum = 0;
    for (const Stripe& stripe : stripes_) sum += stripe.value.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  static constexpr size_t kStripes = 16;
  struct alignas(64) Stripe {
    std::atomic<uint64_t> value{0};
  };
  Stripe stripes_[kStripes];
};

/// "Bearer <token>"; empty when it is something else.
std::string_view TokenOf(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() > kLongestField ||
      !EqualsIgnoreCase(authorization.substr(0, kScheme.size()), kScheme)) {
    return {};
  }
  return Trim(authorization.substr(kScheme.size()));
}

Result<std::shared_ptr<const Table>> LoadTokens(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxFile));
  auto file = auth::ParseTokenFile(text, path);
  OPENSSL_cleanse(text.data(), text.size());
  if (!file.ok()) return file.status();
  struct stat info {};
  if (file->has_plain_tokens && stat(path.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0) {
    LOG_WARN(
        "the file of tokens can be read by everybody on this machine; chmod 600 it, or store "
        "hashes",
        {"tokens_file", path});
  }
  auto table = std::make_shared<Table>();
  for (Grant& grant : file->grants) {
    const Digest digest = grant.digest;
    table->emplace(digest, std::move(grant));
  }
  return std::shared_ptr<const Table>(std::move(table));
}

class FileAuthorizer final : public Authorizer {
 public:
  FileAuthorizer(AuthOptions options, WatchedFiles files, std::shared_ptr<const Table> table)
      : options_(std::move(options)), table_(std::move(table)), files_(std::move(files)) {}

  const AuthOptions& options() const override { return options_; }

  Status CheckRole(std::string_view authorization, Role role) const override {
    const std::shared_ptr<const Table> table = table_.Get();
    return FindGrant(*table, authorization, role).status();
  }

  Status Check(std::string_view authorization, Role role, ModelScope models) const override {
    const std::shared_ptr<const Table> table = table_.Get();
    ASSIGN_OR_RETURN(const Grant* grant, FindGrant(*table, authorization, role));
    if (grant->Covers(models)) {
      allowed_.Add();
      return OkStatus();
    }
    forbidden_.Add();
    return PermissionDeniedError(
        models.any() ? StrCat("the token of ", grant->name,
                              " is limited to some models, and this may be about any")
                     : StrCat("the token of ", grant->name, " is not for this model"));
  }

  bool CheckFiles() override {
    MutexLock lock(mutex_);
    if (!files_.NeedReading()) return false;
    auto table = LoadTokens(options_.tokens_file);
    if (!table.ok()) {
      if (!files_.Bad()) return false;
      failed_reloads_.fetch_add(1);
      LOG_WARN("the new tokens are not used, the old ones stay in force",
               {"reason", std::string(table.status().message())});
      return false;
    }
    files_.Good();
    if (Same(*table_.Get(), **table)) return false;
    LOG_INFO("tokens reloaded", {"tokens", (*table)->size()});
    table_.Set(std::move(table).value());
    reloads_.fetch_add(1);
    return true;
  }

  Stats stats() const override {
    return {allowed_.value(), missing_.value(),       unknown_.value(),    forbidden_.value(),
            reloads_.load(),  failed_reloads_.load(), table_.Get()->size()};
  }

 private:
  /// The grant of a token that has the role. Counts refusals.
  Result<const Grant*> FindGrant(const Table& table, std::string_view authorization,
                                 Role role) const {
    if (authorization.empty()) {
      missing_.Add();
      return Status(StatusCode::kUnauthenticated,
                    "a token is needed: send the field Authorization: Bearer <token>");
    }
    const std::string_view token = TokenOf(authorization);
    const auto found = table.find(auth::Sha256(token));
    if (token.empty() || found == table.end()) {
      unknown_.Add();
      return Status(StatusCode::kUnauthenticated, token.empty()
                                                      ? "the Authorization is no bearer token"
                                                      : "the token is not known to this server");
    }
    const Grant& grant = found->second;
    if (!grant.Has(role)) {
      forbidden_.Add();
      return PermissionDeniedError(
          StrCat("the token of ", grant.name, " lacks the role ", RoleName(role)));
    }
    return &grant;
  }

  static bool Same(const Table& a, const Table& b) {
    if (a.size() != b.size()) return false;
    for (const auto& [digest, grant] : a) {
      auto other = b.find(digest);
      if (other == b.end() || other->second.roles != grant.roles ||
          other->second.models != grant.models || other->second.name != grant.name) {
        return false;
      }
    }
    return true;
  }

  const AuthOptions options_;
  Snapshot<Table> table_;
  mutable StripedCounter allowed_, missing_, unknown_, forbidden_;
  std::atomic<uint64_t> reloads_{0};
  std::atomic<uint64_t> failed_reloads_{0};
  Mutex mutex_;
  WatchedFiles files_ GUARDED_BY(mutex_);
};

}  // namespace

std::string_view RoleName(Role role) {
  static constexpr std::string_view kNames[kRoleCount] = {"predict", "label", "metrics", "admin"};
  return kNames[size_t(role)];
}

Result<std::unique_ptr<Authorizer>> Authorizer::Create(AuthOptions options, Clock& clock) {
  WatchedFiles files({options.tokens_file}, clock);
  ASSIGN_OR_RETURN(auto table, LoadTokens(options.tokens_file));
  if (table->empty()) {
    LOG_WARN("the file of tokens is empty: nobody may use this server",
             {"tokens_file", options.tokens_file});
  }
  return std::unique_ptr<Authorizer>(
      std::make_unique<FileAuthorizer>(std::move(options), std::move(files), std::move(table)));
}

}  // namespace leadsman
