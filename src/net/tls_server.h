#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/status.h"

namespace leadsman::net {

enum class ClientAuth {
  kNone,      ///< clients are not asked for a certificate
  kOptional,  ///< asked; one that is shown must be good
  kRequired,  ///< without a good one there is no connection
};

/// `server.tls` and `admin.tls` of the configuration, for HTTP and gRPC alike. A value.
struct TlsServerOptions {
  std::string cert_file;       ///< PEM: the certificate, then its chain; empty: no TLS
  std::string key_file;        ///< PEM, without a pass phrase
  std::string client_ca_file;  ///< PEM: who signs the clients' certificates
  ClientAuth client_auth = ClientAuth::kNone;

  bool enabled() const { return !cert_file.empty(); }
  friend bool operator==(const TlsServerOptions&, const TlsServerOptions&) = default;
};

/// What is wrong between the fields, naming them; empty when nothing is. Reads no file.
std::string ExplainTlsOptions(const TlsServerOptions& options);

/// What an endpoint needs for TLS, as texts in PEM.
struct TlsPem {
  std::string certificate_chain;
  std::string private_key;
  std::string client_authorities;
};

/// One file that has all of it inside, in a form that its owner reads.
struct TlsBundle {
  struct Content {
    TlsPem pem;
    ClientAuth client_auth = ClientAuth::kNone;
  };
  std::string file;
  std::string certificate_field, key_field, authorities_field;  ///< their names in it, for messages
  /// Errors name the file. Thread-safe; blocks for it.
  std::function<Result<Content>(const std::string& file)> read;
};

/// The files of one TlsServerOptions, or a TlsBundle, as they are in force. They are read again when they change: whoever owns this calls
/// CheckFiles every few seconds. A certificate and its key are taken together or not at all: while one of them has been
/// written and the other not yet, or when what has been written is no good, what was in force stays. Connections that are
/// open keep what they began with.
///
///   kInForce ──(files changed, all good)──→ kInForce, generation + 1
///      └──(files changed, no good)──→ the same; after two checks that found the same files: WARN once, and counted
///
/// One instance serves the HTTP and the gRPC server of one port configuration. Thread-safe.
class ServerCertificates {
 public:
  struct Stats {
    uint64_t reloads = 0;  ///< that were taken
    uint64_t failed_reloads = 0;
    WallTime expires;  ///< of the certificate in force
  };
  /// Reads and checks the files. INVALID_ARGUMENT, NOT_FOUND … name the field and the file. An expired certificate is
  /// served, with a WARN: not to start would take more away than it gives.
  /// `port`: what the log calls the ports that they are of.
  static Result<std::shared_ptr<ServerCertificates>> Create(TlsServerOptions options, Clock& clock,
                                                            std::string port = "");
  static Result<std::shared_ptr<ServerCertificates>> CreateFrom(TlsBundle bundle, Clock& clock,
                                                                std::string port = "");
  virtual ~ServerCertificates() = default;

  /// Blocks for the files when one of them has changed, otherwise for a stat of each. True when new ones are in force now.
  virtual bool CheckFiles() = 0;
  virtual std::shared_ptr<const TlsPem> pem() const = 0;
  /// Grows by one with every change.
  virtual uint64_t generation() const = 0;
  virtual Stats stats() const = 0;
};

}  // namespace leadsman::net
