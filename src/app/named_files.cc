#include "app/named_files.h"

#include "auth/authorizer.h"
#include "base/clock.h"
#include "base/strings.h"
#include "net/tls_server.h"
#include "telemetry/batch_sender.h"

namespace leadsman {

Status CheckNamedFiles(const Config& config) {
  std::string wrong;
  auto note = [&](const char* setting, const Status& status) {
    if (!status.ok()) wrong += StrCat(wrong.empty() ? "" : "\n", setting, ": ", status.message());
  };
  auto certificates = [&](const char* setting, const net::TlsServerOptions& options) {
    if (!options.enabled()) return;
    note(setting, net::ServerCertificates::Create(options, SystemClock()).status());
  };
  certificates("server.tls", config.server.tls);
  certificates("admin.tls", config.admin.tls);
  if (config.auth.enabled()) {
    note("auth.tokens_file", Authorizer::Create(config.auth, SystemClock()).status());
  }
  note("telemetry.tracing.headers_file",
       ReadHeadersFile(config.telemetry.tracing.headers_file).status());
  return wrong.empty() ? OkStatus() : InvalidArgumentError(wrong);
}

}  // namespace leadsman
