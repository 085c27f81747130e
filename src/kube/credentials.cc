#include "kube/credentials.h"

#include <algorithm>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman::kube {
namespace {

constexpr auto kLookEvery = std::chrono::seconds(1);
constexpr size_t kLongestToken = 64 << 10;

Status CheckToken(std::string_view token, std::string_view where) {
  if (token.empty()) return InvalidArgumentError(StrCat(where, " holds no token"));
  const bool printable =
      std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (printable) return OkStatus();
  return InvalidArgumentError(StrCat(where, " holds characters that no token has"));
}

}  // namespace

Credentials::Credentials(Clock& clock, std::string token_file)
    : clock_(clock),
      token_file_(std::move(token_file)),
      token_files_({token_file_}, clock),
      looked_(clock.SteadyNow()) {}

Result<std::unique_ptr<Credentials>> Credentials::Create(const ClusterAccess& access,
                                                         Clock& clock) {
  std::unique_ptr<Credentials> made(new Credentials(clock, access.token_file));
  if (!access.token_file.empty()) {
    MutexLock lock(made->files_mutex_);
    RETURN_IF_ERROR(Annotate(made->ReadToken(), access.source));
  } else if (!access.token.empty()) {
    RETURN_IF_ERROR(CheckToken(access.token, StrCat(access.source, ": token")));
    MutexLock lock(made->mutex_);
    made->token_ = access.token;
  }
  const net::TlsClientOptions& tls = access.tls;
  if (tls.ca_file.empty() && tls.cert_file.empty() && tls.key_file.empty()) {
    auto loaded = net::TlsClient::Create(tls);
    if (!loaded.ok()) return Annotate(loaded.status(), access.source);
    made->tls_ = std::move(loaded).value();
  } else {
    auto files = net::TlsClientFiles::Create(tls, access.source, clock);
    if (!files.ok()) return Annotate(files.status(), access.source);
    made->tls_files_ = std::move(files).value();
  }
  return made;
}

Credentials::Current Credentials::Get() {
  bool due = false;
  {
    MutexLock lock(mutex_);
    due = clock_.SteadyNow() - looked_ >= kLookEvery;
    if (due) looked_ = clock_.SteadyNow();
  }
  if (due) {
    MutexLock lock(files_mutex_);
    Look();
  }
  return InForce();
}

bool Credentials::Refresh(const Current& used) {
  if (!IsInForce(used)) return true;
  MutexLock lock(files_mutex_);
  // Whoever held the files before may have read what is new.
  if (!IsInForce(used)) return true;
  Look();
  return !IsInForce(used);
}

Credentials::Current Credentials::InForce() {
  MutexLock lock(mutex_);
  return {token_, tls_files_ ? tls_files_->current() : tls_};
}

bool Credentials::IsInForce(const Current& used) {
  const Current now = InForce();
  return now.token == used.token && now.tls == used.tls;
}

void Credentials::Look() {
  {
    MutexLock lock(mutex_);
    looked_ = clock_.SteadyNow();
  }
  if (tls_files_) (void)tls_files_->CheckFiles();
  if (token_file_.empty() || !token_files_.NeedReading()) return;
  const Status read = ReadToken();
  if (read.ok()) {
    token_files_.Good();
  } else if (token_files_.Bad()) {
    LOG_WARN("a new token cannot be read, the old one stays in force", {"file", token_file_},
             {"reason", read});
  }
}

Status Credentials::ReadToken() {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(token_file_, kLongestToken));
  const std::string_view token = Trim(text);
  RETURN_IF_ERROR(CheckToken(token, token_file_));
  MutexLock lock(mutex_);
  token_ = token;
  return OkStatus();
}

}  // namespace leadsman::kube
