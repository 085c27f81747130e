#include "gateway/upstream_tls.h"

#include <cstring>
#include <memory>
#include <utility>

#include "base/strings.h"
#include "gateway/table.h"
#include "net/tls_client_files.h"
#include "net/tls_stream.h"

namespace leadsman::gateway {
namespace {

std::string NameOf(const Version& version, const Endpoint& endpoint) {
  return version.server_name.empty() ? endpoint.host : version.server_name;
}

/// What the service's connections with these options use there; null: there are none.
std::shared_ptr<net::TlsClientFiles> SameIn(const Table& table, const UpstreamTlsOptions& options,
                                            const ServiceOptions& of) {
  const Service* const service = table.Find(of.name);
  if (service == nullptr || service->options.http2() != of.http2()) return nullptr;
  for (const auto& version : service->versions) {
    const auto& own = service->options.versions[version->index].tls;
    const auto& used = own ? own : service->options.tls;
    if (used && *used == options) return version->tls;
  }
  return nullptr;
}

}  // namespace

Status LoadUpstreamTls(Table& table, const Table* before, Clock& clock) {
  auto load = [&](const UpstreamTlsOptions& options, const ServiceOptions& service,
                  const std::string& setting) -> Result<std::shared_ptr<net::TlsClientFiles>> {
    if (before != nullptr) {
      if (auto same = SameIn(*before, options, service)) return same;
    }
    net::TlsClientOptions files = options.files();
    files.http2 = service.http2();
    auto made =
        net::TlsClientFiles::Create(std::move(files), StrCat("service ", service.name), clock);
    if (!made.ok()) return Annotate(made.status(), setting);
    return made;
  };
  for (size_t i = 0; i < table.services.size(); ++i) {
    Service& service = *table.services[i];
    const std::string at = StrCat("gateway.services[", i, "].");
    std::shared_ptr<net::TlsClientFiles> of_service;
    if (service.options.tls) {
      ASSIGN_OR_RETURN(of_service, load(*service.options.tls, service.options, at + "tls"));
    }
    for (const auto& version : service.versions) {
      const auto& own = service.options.versions[version->index].tls;
      version->tls = of_service;
      if (own) {
        const std::string setting = StrCat(at, "versions[", version->index, "].tls");
        ASSIGN_OR_RETURN(version->tls, load(*own, service.options, setting));
      }
      if (version->tls) version->server_name = (own ? own : service.options.tls)->server_name;
    }
  }
  return OkStatus();
}

bool BeginUpstreamTls(net::StreamSocket& socket, const Version& version, const Endpoint& endpoint) {
  return socket.BeginTls(*version.tls->current(), NameOf(version, endpoint));
}

std::string WhyTlsFailed(const net::StreamSocket& socket, const Version& version,
                         const Endpoint& endpoint) {
  const std::string& error = socket.tls_error();
  switch (socket.distrust()) {
    case net::TlsDistrust::kExpired:
      return "has a certificate that has expired";
    case net::TlsDistrust::kName:
      return StrCat("has a certificate that is not for ", NameOf(version, endpoint),
                    " (tls.server_name)");
    case net::TlsDistrust::kAuthority:
      return StrCat("has a certificate that nobody who is trusted has signed: ", error,
                    " (tls.ca_file)");
    case net::TlsDistrust::kOther:
      return StrCat("has a certificate that is not accepted: ", error);
    case net::TlsDistrust::kNone:
      break;
  }
  if (!error.empty()) return StrCat("does not agree on TLS: ", error);
  return StrCat("ended the connection in the TLS handshake",
                socket.error() != 0 ? StrCat(": ", strerror(socket.error())) : std::string());
}

}  // namespace leadsman::gateway
