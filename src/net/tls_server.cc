#include "net/tls_server.h"

#include <atomic>
#include <functional>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "base/watched_files.h"
#include "net/tls_context.h"

namespace leadsman::net {
namespace {

class Certificates final : public CertificatesOfFiles {
 public:
  using Load = std::function<Result<std::shared_ptr<const ServerTls>>()>;

  /// Loads for the first time. `cert_file`: the file with the certificate.
  static Result<std::shared_ptr<ServerCertificates>> Create(std::string cert_file, Load load,
                                                            WatchedFiles files, Clock& clock,
                                                            std::string port) {
    ASSIGN_OR_RETURN(auto loaded, load());
    if (loaded->expires <= clock.Now()) {
      LOG_WARN("the TLS certificate has expired; clients will refuse it", {"cert_file", cert_file},
               {"expired", FormatRfc3339(loaded->expires)});
    }
    return std::shared_ptr<ServerCertificates>(
        std::make_shared<Certificates>(std::move(cert_file), std::move(load), clock,
                                       std::move(files), std::move(loaded), std::move(port)));
  }

  Certificates(std::string cert_file, Load load, Clock& clock, WatchedFiles files,
               std::shared_ptr<const ServerTls> loaded, std::string port)
      : port_(std::move(port)),
        cert_file_(std::move(cert_file)),
        load_(std::move(load)),
        clock_(clock),
        current_(std::move(loaded)),
        files_(std::move(files)) {}

  std::shared_ptr<const ServerTls> current() const override { return current_.Get(); }
  std::shared_ptr<const TlsPem> pem() const override {
    std::shared_ptr<const ServerTls> loaded = current_.Get();
    const TlsPem* pem = &loaded->pem;
    return {std::move(loaded), pem};
  }
  uint64_t generation() const override { return reloads_.load() + 1; }
  Stats stats() const override {
    return {reloads_.load(), failed_reloads_.load(), current_.Get()->expires};
  }

  bool CheckFiles() override {
    MutexLock lock(mutex_);
    if (!files_.NeedReading()) return false;
    auto loaded = load_();
    Status problem = loaded.status();
    if (loaded.ok() && (*loaded)->expires <= clock_.Now()) {
      problem = InvalidArgumentError(StrCat("the certificate in ", cert_file_, " expired at ",
                                            FormatRfc3339((*loaded)->expires)));
    }
    if (!problem.ok() && !SameAs(loaded)) {
      if (!files_.Bad()) return false;
      failed_reloads_.fetch_add(1);
      LOG_WARN("new TLS files are not used, the old ones stay in force", {"port", port_},
               {"reason", problem}, {"expires", FormatRfc3339(current_.Get()->expires)});
      return false;
    }
    files_.Good();
    if (SameAs(loaded)) return false;
    LOG_INFO("TLS certificate reloaded", {"port", port_}, {"cert_file", cert_file_},
             {"expires", FormatRfc3339((*loaded)->expires)});
    current_.Set(std::move(loaded).value());
    reloads_.fetch_add(1);
    return true;
  }

 private:
  /// What is in force; an expired one is told at the start and not again.
  bool SameAs(const Result<std::shared_ptr<const ServerTls>>& loaded) const {
    if (!loaded.ok()) return false;
    const std::shared_ptr<const ServerTls> now = current_.Get();
    return now->pem.certificate_chain == (*loaded)->pem.certificate_chain &&
           now->pem.private_key == (*loaded)->pem.private_key &&
           now->pem.client_authorities == (*loaded)->pem.client_authorities &&
           now->client_auth == (*loaded)->client_auth;
  }

  const std::string port_;
  const std::string cert_file_;
  const Load load_;
  Clock& clock_;
  Snapshot<ServerTls> current_;
  std::atomic<uint64_t> reloads_{0};
  std::atomic<uint64_t> failed_reloads_{0};
  Mutex mutex_;
  WatchedFiles files_ GUARDED_BY(mutex_);
};

}  // namespace

std::string ExplainTlsOptions(const TlsServerOptions& options) {
  if (options.cert_file.empty() != options.key_file.empty()) {
    return "cert_file and key_file go together: give both or none";
  }
  if (!options.enabled() &&
      (!options.client_ca_file.empty() || options.client_auth != ClientAuth::kNone)) {
    return "clients' certificates need TLS: give cert_file and key_file";
  }
  if (options.client_auth != ClientAuth::kNone && options.client_ca_file.empty()) {
    return "client_auth needs client_ca_file: who signs the clients' certificates";
  }
  if (options.client_auth == ClientAuth::kNone && !options.client_ca_file.empty()) {
    return "client_ca_file is of no use while client_auth is none: set it to required or optional";
  }
  return "";
}

Result<std::shared_ptr<ServerCertificates>> ServerCertificates::Create(TlsServerOptions options,
                                                                       Clock& clock,
                                                                       std::string port) {
  if (!options.enabled()) return InvalidArgumentError("TLS needs cert_file and key_file");
  if (std::string wrong = ExplainTlsOptions(options); !wrong.empty()) {
    return InvalidArgumentError(std::move(wrong));
  }
  WatchedFiles files({options.cert_file, options.key_file, options.client_ca_file}, clock);
  std::string cert_file = options.cert_file;
  return Certificates::Create(
      std::move(cert_file), [options = std::move(options)] { return LoadServerTls(options); },
      std::move(files), clock, std::move(port));
}

Result<std::shared_ptr<ServerCertificates>> ServerCertificates::CreateFrom(TlsBundle bundle,
                                                                           Clock& clock,
                                                                           std::string port) {
  WatchedFiles files({bundle.file}, clock);
  std::string file = bundle.file;
  return Certificates::Create(
      std::move(file), [bundle = std::move(bundle)] { return LoadServerTls(bundle); },
      std::move(files), clock, std::move(port));
}

}  // namespace leadsman::net
