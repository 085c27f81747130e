#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"
#include "gateway/testing/scripted_upstream.h"
#include "net/testing/certificates.h"

namespace leadsman::gateway {

/// A server on 127.0.0.1 that answers each request over TLS with its path, a thread for each connection; OpenSSL as it is,
/// blocking.
class TlsUpstream {
 public:
  struct Options {
    std::string client_authority;    ///< PEM: clients must show a certificate of this one
    int requests_of_connection = 0;  ///< then it closes; 0: never
    bool say_goodbye = true;         ///< by close_notify
  };
  explicit TlsUpstream(const net::TestCertificate& own) : TlsUpstream(own, Options()) {}
  TlsUpstream(const net::TestCertificate& own, Options options) : options_(std::move(options)) {
    context_ = SSL_CTX_new(TLS_server_method());
    BIO* bio = BIO_new_mem_buf(own.certificate.data(), int(own.certificate.size()));
    X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    CHECK(SSL_CTX_use_certificate(context_, certificate) == 1);
    X509_free(certificate);
    BIO_free(bio);
    bio = BIO_new_mem_buf(own.key.data(), int(own.key.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    CHECK(SSL_CTX_use_PrivateKey(context_, key) == 1);
    EVP_PKEY_free(key);
    BIO_free(bio);
    if (!options_.client_authority.empty()) {
      bio =
          BIO_new_mem_buf(options_.client_authority.data(), int(options_.client_authority.size()));
      X509* authority = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), authority);
      X509_free(authority);
      BIO_free(bio);
      SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    upstream_ = std::make_unique<ScriptedUpstream>([this](auto& c) { Serve(c.fd()); });
  }
  ~TlsUpstream() {
    upstream_.reset();
    SSL_CTX_free(context_);
  }

  std::string endpoint() const { return upstream_->endpoint(); }
  int connections() const { return upstream_->connections(); }
  /// What the last client has asked for.
  std::string server_name() const {
    MutexLock lock(mutex_);
    return name_;
  }

 private:
  void Serve(int socket) {
    timeval patience{10, 0};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    SSL* ssl = SSL_new(context_);
    SSL_set_fd(ssl, socket);
    if (SSL_accept(ssl) == 1) {
      const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
      {
        MutexLock lock(mutex_);
        name_ = name != nullptr ? name : "";
      }
      int served = 0;
      while (Answer(ssl) &&
             (++served < options_.requests_of_connection || options_.requests_of_connection == 0)) {
      }
      if (options_.say_goodbye) SSL_shutdown(ssl);
    }
    ERR_clear_error();
    SSL_free(ssl);
  }

  /// A body comes back as it is.
  static bool Answer(SSL* ssl) {
    std::string input;
    size_t end;
    char buffer[16384];
    auto more = [&] {
      const int n = SSL_read(ssl, buffer, sizeof(buffer));
      if (n > 0) input.append(buffer, static_cast<size_t>(n));
      return n > 0;
    };
    while ((end = input.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return false;
    }
    const size_t length = input.find("Content-Length: ");
    const size_t size = length < end ? std::stoul(input.substr(length + 16)) : 0;
    while (input.size() < end + 4 + size) {
      if (!more()) return false;
    }
    const size_t space = input.find(' ');
    const std::string body = size > 0
                                 ? input.substr(end + 4, size)
                                 : input.substr(space + 1, input.find(' ', space + 1) - space - 1);
    const std::string answer =
        "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return SSL_write(ssl, answer.data(), int(answer.size())) > 0;
  }

  const Options options_;
  SSL_CTX* context_ = nullptr;
  mutable Mutex mutex_;
  std::string name_ GUARDED_BY(mutex_);
  std::unique_ptr<ScriptedUpstream> upstream_;
};

}  // namespace leadsman::gateway
