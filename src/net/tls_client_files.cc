#include "net/tls_client_files.h"

#include <utility>

#include "base/fs.h"
#include "base/log.h"

namespace leadsman::net {
namespace {

constexpr size_t kMaxFile = 4 << 20;

/// What tells whether a file that was touched has changed. One that cannot be read has no text.
std::string TextsOf(const TlsClientOptions& options) {
  std::string texts;
  for (const std::string& path : {options.ca_file, options.cert_file, options.key_file}) {
    texts += '\0';
    auto text = path.empty() ? Result<std::string>(std::string()) : ReadFile(path, kMaxFile);
    if (text.ok()) texts += *text;
  }
  return texts;
}

}  // namespace

Result<std::shared_ptr<TlsClientFiles>> TlsClientFiles::Create(TlsClientOptions options,
                                                               std::string whose, Clock& clock) {
  WatchedFiles files({options.ca_file, options.cert_file, options.key_file}, clock);
  std::string texts = TextsOf(options);
  ASSIGN_OR_RETURN(std::shared_ptr<const TlsClient> loaded, TlsClient::Create(options));
  return std::shared_ptr<TlsClientFiles>(new TlsClientFiles(
      std::move(options), std::move(whose), std::move(files), std::move(texts), std::move(loaded)));
}

TlsClientFiles::TlsClientFiles(TlsClientOptions options, std::string whose, WatchedFiles files,
                               std::string texts, std::shared_ptr<const TlsClient> loaded)
    : options_(std::move(options)),
      whose_(std::move(whose)),
      current_(std::move(loaded)),
      files_(std::move(files)),
      texts_(std::move(texts)) {}

bool TlsClientFiles::CheckFiles() {
  MutexLock lock(mutex_);
  if (!files_.NeedReading()) return false;
  std::string texts = TextsOf(options_);
  auto loaded = TlsClient::Create(options_);
  if (!loaded.ok()) {
    if (files_.Bad())
      LOG_WARN("new TLS files are not used, the old ones stay in force", {"of", whose_},
               {"reason", loaded.status()});
    return false;
  }
  files_.Good();
  if (texts == texts_) return false;
  texts_ = std::move(texts);
  current_.Set(std::move(loaded).value());
  LOG_INFO("TLS files read again", {"of", whose_});
  return true;
}

}  // namespace leadsman::net
